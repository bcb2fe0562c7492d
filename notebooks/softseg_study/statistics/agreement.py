"""Do two contrasts, or two methods, measure the same?"""

import numpy as np
import pandas as pd
from scipy import stats


def icc(table: pd.DataFrame) -> pd.Series:
    """Intraclass correlation of contrasts (Shrout and Fleiss 1979, doi:10.1037/0033-2909.86.2.420).

    ICC(2,1) asks whether one contrast's area can stand for another's (a bias between contrasts
    counts), ICC(3,1) whether it ranks people alike (a bias does not). Participants who lack a
    contrast are left out.

    Args:
        table: `subject`, `contrast`, `area_mm2`, one row of each pair.

    Returns:
        `icc`, `ci_low`, `ci_high` (ICC(2,1) and its 95 % interval, McGraw and Wong 1996,
        doi:10.1037/1082-989X.1.1.30), `consistency` (ICC(3,1)), `n` (subjects).

    Raises:
        ValueError: If fewer than two complete subjects or two contrasts remain, or rows are double.
    """
    if table.duplicated(["subject", "contrast"]).any():
        raise ValueError("one row per subject and contrast is needed, found several")
    x = table.pivot_table("area_mm2", "subject", "contrast").dropna().to_numpy(float)
    n, k = x.shape
    if n < 2 or k < 2:
        raise ValueError(f"two complete subjects and two contrasts are needed, found {n} and {k}")
    between, judges, error = mean_squares(x)
    with np.errstate(divide="ignore", invalid="ignore"):
        one = (between - error) / (between + (k - 1) * error + k * (judges - error) / n)
        consistency = (between - error) / (between + (k - 1) * error)
        common = n * (1 + (k - 1) * one) - k * one
        df = (k - 1) * (n - 1) * (k * one * judges / error + common) ** 2
        df /= (n - 1) * (k * one * judges / error) ** 2 + common**2
        upper, lower = stats.f.ppf(0.975, n - 1, df), stats.f.ppf(0.975, df, n - 1)
        rest = k * judges + (k * n - k - n) * error
        low = n * (between - upper * error) / (upper * rest + n * between)
        high = n * (lower * between - error) / (rest + n * lower * between)
    names = ("icc", "ci_low", "ci_high", "consistency", "n")
    return pd.Series(dict(zip(names, (one, low, high, consistency, n), strict=True)))


def mean_squares(x: np.ndarray) -> tuple[float, float, float]:
    """Mean squares of a two-way table without replication.

    Args:
        x: `(n, k)`, subjects by contrasts.

    Returns:
        Between subjects, between contrasts, residual.
    """
    n, k = x.shape
    rows, columns, mean = x.mean(axis=1), x.mean(axis=0), x.mean()
    residual = x - rows[:, None] - columns + mean
    between = k * ((rows - mean) ** 2).sum() / (n - 1)
    judges = n * ((columns - mean) ** 2).sum() / (k - 1)
    return between, judges, (residual**2).sum() / ((n - 1) * (k - 1))
