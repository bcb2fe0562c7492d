"""Measures of every person and of every training, and what the luck of a training does to them."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

from softseg_study.statistics.variability import contrast_variability, csa_error

MEASURES = {
    "sd_mm2": "SD over contrasts (mm²)",
    "absolute_error_mm2": "absolute error (mm²)",
    "error_mm2": "bias (mm²)",
    "slope": "slope on the true area",
}
"""What is compared, and its label."""


def person_measures(
    csa_table: pd.DataFrame, truth: pd.DataFrame, *, contrasts: Iterable[str] | None = None
) -> pd.DataFrame:
    """SD over contrasts and error of every person, method and training.

    Args:
        csa_table: `subject`, `contrast`, `method`, `seed`, `area_mm2`.
        truth: From `true_csa`; where it is empty there are no errors.
        contrasts: Only these; all by default.

    Returns:
        `subject`, `method`, `seed`, `sd_mm2`, and where known `absolute_error_mm2`, `error_mm2`
        (means over contrasts), `area_mm2` and `truth_mm2`.
    """
    keys = ["subject", "method", "seed"]
    rows = csa_table if contrasts is None else csa_table[csa_table["contrast"].isin(contrasts)]
    found = contrast_variability(rows, by=("seed",))[[*keys, "sd_mm2"]]
    if truth.empty:
        return found
    errors = csa_error(rows, truth, by=["seed"])
    values = ["absolute_error_mm2", "error_mm2", "area_mm2", "truth_mm2"]
    means = errors.groupby(keys, sort=False)[values].mean().reset_index()
    return found.merge(means, on=keys, how="left")


def training_measures(values: pd.DataFrame) -> pd.DataFrame:
    """Every measure of every training: means over people, and the slope on the true area.

    Args:
        values: From `person_measures`.

    Returns:
        Indexed by `method` and `seed`, with the columns of `MEASURES` that are known.
    """
    groups = values.groupby(["method", "seed"], sort=False)
    table = groups[[m for m in MEASURES if m in values]].mean()
    if "truth_mm2" in values:
        table["slope"] = pd.Series({key: _slope(part) for key, part in groups}, dtype=float)
    return table


def _slope(people: pd.DataFrame) -> float:
    known = people.dropna(subset=["area_mm2", "truth_mm2"])
    if len(known) < 3 or np.ptp(known["truth_mm2"]) == 0:
        return float("nan")
    return float(np.polyfit(known["truth_mm2"], known["area_mm2"], 1)[0])


def training_luck(trainings: pd.Series, method: str, base: str) -> float:
    """Difference between two methods that trainings of one setting exceed in one case of twenty.

    The variance between trainings is pooled over all methods that were trained more than once; a
    Student interval of the difference of two means over as many trainings as both methods have.

    Args:
        trainings: A value a training, indexed by `method` and `seed`.
        method: One method.
        base: The other.

    Returns:
        `nan` where nothing was trained twice.
    """
    groups = trainings.dropna().groupby(level="method")
    count = groups.size()
    df = int((count - 1).sum())
    if df < 1 or not {method, base} <= set(count.index):
        return float("nan")
    variance = ((count - 1) * groups.var(ddof=1).fillna(0)).sum() / df
    share = 1 / count[method] + 1 / count[base]
    return float(stats.t.ppf(0.975, df) * np.sqrt(variance * share))
