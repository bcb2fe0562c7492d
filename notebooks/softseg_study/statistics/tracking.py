"""Does a method's area still tell people apart?

A method that answered with the same area for everybody would agree perfectly between contrasts.
Agreement is worth something only where the area follows the person's true one.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from softseg_study.statistics.variability import csa_error


def area_tracking(
    csa_table: pd.DataFrame, truth: pd.DataFrame, *, by: Sequence[str] = ()
) -> pd.DataFrame:
    """Slope and correlation of measured areas on true ones, over people.

    Areas of one person are averaged over contrasts (and over whatever else rows differ in), since
    the person is the unit. A slope of 1 follows the truth; 0 is one area for everybody.

    Args:
        csa_table: Columns `subject`, `contrast`, `method`, `area_mm2` and those of `by`.
        truth: True areas as `evaluation.true_csa` gives them.
        by: Columns that tell repeated rows of an image apart, for example `("seed",)`; they are
            averaged over.

    Returns:
        One row a method: `method`, `n` (people), `slope` with its 95 % interval `ci_low`, `ci_high`
        (`nan` below three people), `correlation` (Pearson), `sd_mm2` and `true_sd_mm2` between
        people.

    Example:
        >>> people = [f"sub-{i}" for i in range(4)]
        >>> truth = pd.DataFrame({"subject": people, "contrast": "T2w", "method": "truth",
        ...     "area_mm2": [60.0, 70, 75, 80]})
        >>> half = truth.assign(method="half", area_mm2=35 + truth["area_mm2"] / 2)
        >>> area_tracking(half, truth)[["method", "n", "slope", "correlation"]].round(2)
          method  n  slope  correlation
        0   half  4    0.5          1.0
    """
    errors = csa_error(csa_table, truth, by=list(by))
    keys = ["method", "subject"]
    means = errors.groupby(keys, sort=False)[["area_mm2", "truth_mm2"]].mean().reset_index()
    rows = []
    for method, people in means.groupby("method", sort=False):
        n = len(people)
        row = {"method": method, "n": n} | dict.fromkeys(_FITTED, np.nan)
        if n > 2:
            line = stats.linregress(people["truth_mm2"], people["area_mm2"])
            reach = stats.t.ppf(0.975, n - 2) * line.stderr
            ends = (line.slope - reach, line.slope + reach)
            row |= dict(zip(_FITTED, (line.slope, *ends, line.rvalue), strict=True))
        row |= {"sd_mm2": people["area_mm2"].std(), "true_sd_mm2": people["truth_mm2"].std()}
        rows.append(row)
    return pd.DataFrame(rows)


_FITTED = ("slope", "ci_low", "ci_high", "correlation")
