"""Means over participants with bootstrap intervals: how far a figure would move with others."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats


def bootstrap_interval(
    values: np.ndarray, statistic: Callable[..., np.ndarray] = np.mean, *, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a statistic of independent values.

    Values have to be one a participant: six contrasts of one person are no six independent values.
    Percentiles keep the interval inside what the statistic can be and need no variance, also for a
    median (Efron 1979, doi:10.1214/aos/1176344552).

    Args:
        values: `(n,)`; `nan` is left out.
        statistic: Takes `axis=`, as `numpy.mean` and `numpy.median` do.
        seed: The interval is a function of values and seed.

    Returns:
        Lower and upper end; `nan` for fewer than two values.

    Example:
        >>> low, high = bootstrap_interval(np.arange(100.0))
        >>> bool(low < 49.5 < high)
        True
    """
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    if values.size < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng([seed, values.size])
    options = {"n_resamples": 4999, "method": "percentile", "batch": 500, "rng": rng}
    interval = stats.bootstrap((values,), statistic, **options).confidence_interval
    return float(interval.low), float(interval.high)


def summarise(
    table: pd.DataFrame,
    value: str,
    *,
    by: Sequence[str] = ("method",),
    unit: str = "subject",
) -> pd.DataFrame:
    """Mean, SD and interval of a value over participants, for each group.

    Rows of one participant (contrasts) are averaged first: the participant is the unit that was
    sampled, and the SD and the interval are over participants.

    Args:
        table: Columns `value`, `unit` and those of `by`.
        value: Column summarised.
        by: Columns that form the groups.
        unit: Column whose values are independent of one another.

    Returns:
        One row a group in order of appearance: the columns of `by`, `n` (participants), `mean`,
        `sd`, `median`, `ci_low`, `ci_high` (95 % of the mean).
    """
    rows = []
    keys = [*by, *({unit} - set(by))]
    groups = table.dropna(subset=[value]).groupby(
        keys, sort=False, observed=True, dropna=False, as_index=False
    )
    means = groups[value].mean()
    for key, group in means.groupby(list(by), sort=False, observed=True, dropna=False):
        values = group[value].to_numpy(float)
        low, high = bootstrap_interval(values, seed=0)
        rows.append(
            dict(zip(by, key, strict=True))
            | {
                "n": values.size,
                "mean": values.mean(),
                "sd": values.std(ddof=1) if values.size > 1 else np.nan,
                "median": np.median(values),
                "ci_low": low,
                "ci_high": high,
            }
        )
    columns = [*by, "n", "mean", "sd", "median", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)
