"""Bootstrap intervals: how far a figure would move with other participants."""

from collections.abc import Callable

import numpy as np

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
