"""Does the area depend on the contrast, and how far is it from the truth?

Tables are tidy: one row per participant, contrast and method, with the value in a column.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats


def contrast_variability(
    csa_table: pd.DataFrame,
    *,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """Spread of one person's area over contrasts: the paper's main figure of merit.

    A cord has one area, so whatever varies is the method's doing. The sample SD (n - 1) is taken
    within each participant and method; contrasts without a value are left out and counted.

    Args:
        csa_table: Columns `subject`, `contrast`, `method` and `value`.
        by: More columns that keep rows apart, for example `("mask",)` or `("level",)`.

    Returns:
        One row per participant and method: `subject`, `method`, the columns of `by`, `mean_mm2`,
        `sd_mm2` and `cov_percent` (`nan` with fewer than two contrasts), `range_mm2`,
        `n_contrasts`.

    Raises:
        ValueError: If a column is missing or a participant has two rows for one contrast.

    Example:
        >>> table = pd.DataFrame({"subject": "sub-01", "method": "soft",
        ...     "contrast": ["T1w", "T2w"], "area_mm2": [69.0, 71.0]})
        >>> contrast_variability(table).round(3).loc[0, ["mean_mm2", "sd_mm2"]].tolist()
        [70.0, 1.414]
    """
    keys = ["subject", "method", *by]
    rows = select_rows(csa_table, [*keys, "contrast"], "area_mm2")
    groups = rows.groupby(keys, sort=False, observed=True, dropna=False)["area_mm2"]
    spread = groups.agg(
        mean_mm2="mean",
        sd_mm2="std",
        range_mm2=lambda v: v.max() - v.min(),
        n_contrasts="count",
    ).reset_index()
    spread["cov_percent"] = 100 * spread["sd_mm2"] / spread["mean_mm2"]
    columns = [*keys, "mean_mm2", "sd_mm2", "cov_percent", "range_mm2", "n_contrasts"]
    return spread[columns]


def csa_error(
    csa_table: pd.DataFrame,
    truth: str | pd.DataFrame = "truth",
    *,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """Signed and absolute error of every area against the true one of the same image.

    Args:
        csa_table: Columns `subject`, `contrast`, `method` and `value`.
        truth: The method that counts as true, or a table of `subject`, `contrast` and `value`
            (without `contrast`, one truth holds for all contrasts of a participant).
        by: More columns that rows are matched on, for example `("level",)`.

    Returns:
        One row per row of another method that has a truth: `subject`, `contrast`, `method`, the
        columns of `by`, `value`, `truth_mm2`, `error_mm2` (method - truth),
        `absolute_error_mm2`, `error_percent`.

    Raises:
        ValueError: If no truth is found or rows are not unique.
    """
    keys = ["subject", "contrast", "method", *by]
    rows = select_rows(csa_table, keys, "area_mm2")
    if isinstance(truth, str):
        true = rows.loc[rows["method"] == truth, ["subject", "contrast", *by, "area_mm2"]]
        rows = rows[rows["method"] != truth]
    else:
        columns = [c for c in ("subject", "contrast", *by) if c in truth]
        true = select_rows(truth, columns, "area_mm2")
    if true.empty:
        known = ", ".join(map(str, pd.unique(csa_table["method"])))
        raise ValueError(f"no row has the method {truth!r} that counts as true; found {known}")
    on = [c for c in true.columns if c != "area_mm2"]
    errors = rows.merge(true.rename(columns={"area_mm2": "truth_mm2"}), on=on, how="inner")
    errors["error_mm2"] = errors["area_mm2"] - errors["truth_mm2"]
    errors["absolute_error_mm2"] = errors["error_mm2"].abs()
    errors["error_percent"] = 100 * errors["error_mm2"] / errors["truth_mm2"]
    columns = ["truth_mm2", "error_mm2", "absolute_error_mm2", "error_percent"]
    return errors[[*keys, "area_mm2", *columns]]


def select_rows(table: pd.DataFrame, keys: Sequence[str], value: str) -> pd.DataFrame:
    """The rows with a value, after checking that `keys` tell them apart.

    Raises:
        ValueError: If a column is missing or two rows have the same keys.
    """
    missing = [c for c in (*keys, value) if c not in table]
    if missing:
        raise ValueError(f"column {missing[0]!r} is missing; found {', '.join(table.columns)}")
    rows = table.loc[table[value].notna(), [*keys, value]]
    double = rows.duplicated(list(keys))
    if double.any():
        first = ", ".join(str(v) for v in rows.loc[double, list(keys)].iloc[0])
        others = [c for c in table.columns if c not in (*keys, value)]
        raise ValueError(
            f"two rows for {first}; select one, or tell them apart with by= (columns left: "
            f"{', '.join(others) or 'none'})"
        )
    return rows


def area_tracking(
    csa_table: pd.DataFrame, truth: pd.DataFrame, *, by: Sequence[str] = ()
) -> pd.DataFrame:
    """Slope and correlation of measured areas on true ones, over people.

    Areas of one person are averaged over contrasts (and over whatever else rows differ in), since
    the person is the unit. A slope of 1 follows the truth; 0 is one area for everybody.

    Args:
        csa_table: Columns `subject`, `contrast`, `method`, `area_mm2` and those of `by`.
        truth: True areas as `true_csa` gives them.
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
