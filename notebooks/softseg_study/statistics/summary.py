"""Means over participants with bootstrap intervals: how far a figure would move with others."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

Statistic = Callable[..., np.ndarray]
"""Takes `axis=`, as `numpy.mean` and `numpy.median` do."""
CHUNK_VALUES = 2_000_000
"""Values resampled at a time, so that memory stays small however many participants there are."""


def bootstrap_interval(
    values: np.ndarray,
    statistic: Statistic = np.mean,
    *,
    level: float = 0.95,
    n_resamples: int = 4999,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of independent values.

    Values have to be one a participant: six contrasts of one person are no six independent values.
    Percentiles keep the interval inside what the statistic can be and need no variance, also for a
    median (Efron 1979, doi:10.1214/aos/1176344552).

    Args:
        values: `(n,)`; `nan` is left out.
        statistic: Function of an array and `axis`.
        level: Coverage, 0 to 1.
        n_resamples: Resamples drawn.
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
    n = values.size
    if n < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng([seed, n])
    step = max(1, CHUNK_VALUES // n)
    drawn = np.concatenate(
        [
            statistic(values[rng.integers(n, size=(min(step, n_resamples - start), n))], axis=1)
            for start in range(0, n_resamples, step)
        ]
    )
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return float(low), float(high)


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
    means = participant_means(table, value, by=by, unit=unit)
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


def participant_means(
    table: pd.DataFrame,
    value: str,
    *,
    by: Sequence[str] = ("method",),
    unit: str | Sequence[str] = "subject",
) -> pd.DataFrame:
    """One value per group and participant: the mean over whatever else the rows differ in."""
    unit = [unit] if isinstance(unit, str) else list(unit)
    keys = [*by, *[u for u in unit if u not in by]]
    known = table.dropna(subset=[value])
    return known.groupby(keys, sort=False, observed=True, dropna=False, as_index=False)[
        value
    ].mean()
