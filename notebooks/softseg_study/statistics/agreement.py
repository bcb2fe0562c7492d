"""Do two contrasts, or two methods, measure the same?"""

import numpy as np
import pandas as pd
from scipy import stats


def icc(
    table: pd.DataFrame,
    value: str = "area_mm2",
    *,
    subject: str = "subject",
    rater: str = "contrast",
    level: float = 0.95,
) -> pd.DataFrame:
    """The six intraclass correlations of Shrout and Fleiss 1979 (doi:10.1037/0033-2909.86.2.420).

    With contrasts as raters, ICC(2,1) asks whether one contrast's area can stand for another's
    (a bias between contrasts counts), ICC(3,1) whether it ranks people alike (a bias does not).
    Participants who lack a contrast are left out, and `n` says how many remain.

    Args:
        table: One row per subject and rater.
        value: Column measured.
        subject: Column of what is measured.
        rater: Column of who measures.
        level: Coverage of the intervals (McGraw and Wong 1996 for ICC(2,·)).

    Returns:
        `kind`, `icc`, `ci_low`, `ci_high`, `f`, `df1`, `df2`, `p` (of no difference between
        subjects), `n` (subjects), `k` (raters).

    Raises:
        ValueError: If fewer than two complete subjects or two raters remain, or rows are double.
    """
    if table.duplicated([subject, rater]).any():
        raise ValueError(f"one row per {subject} and {rater} is needed, found several")
    x = table.pivot_table(index=subject, columns=rater, values=value).dropna().to_numpy(float)
    n, k = x.shape
    if n < 2 or k < 2:
        raise ValueError(f"two complete {subject}s and two {rater}s are needed, found {n} and {k}")
    between, judges, error, within = mean_squares(x)
    spread = judges - error
    single = {
        1: _ratio(between - within, between + (k - 1) * within),
        2: _ratio(between - error, between + (k - 1) * error + k * spread / n),
        3: _ratio(between - error, between + (k - 1) * error),
    }
    tail = 0.5 + level / 2
    intervals = {
        1: _f_interval(between / within, n - 1, n * (k - 1), k, tail),
        2: _absolute_interval(between, judges, error, n, k, single[2], tail),
        3: _f_interval(between / error, n - 1, (n - 1) * (k - 1), k, tail),
    }
    rows = []
    for size in (1, k):
        for model, value_of_one in single.items():
            f = between / (within if model == 1 else error)
            df2 = n * (k - 1) if model == 1 else (n - 1) * (k - 1)
            low, high = (_of_average(v, size) for v in intervals[model])
            rows.append(
                {
                    "kind": f"ICC({model},{size if size == 1 else 'k'})",
                    "icc": _of_average(value_of_one, size),
                    "ci_low": low,
                    "ci_high": high,
                    "f": f,
                    "df1": n - 1,
                    "df2": df2,
                    "p": stats.f.sf(f, n - 1, df2),
                    "n": n,
                    "k": k,
                }
            )
    return pd.DataFrame(rows)


def mean_squares(x: np.ndarray) -> tuple[float, float, float, float]:
    """Mean squares of a two-way table without replication.

    Args:
        x: `(n, k)`, subjects by raters.

    Returns:
        Between subjects, between raters, residual, within subjects.
    """
    n, k = x.shape
    rows, columns, mean = x.mean(axis=1), x.mean(axis=0), x.mean()
    residual = x - rows[:, None] - columns + mean
    between = k * ((rows - mean) ** 2).sum() / (n - 1)
    judges = n * ((columns - mean) ** 2).sum() / (k - 1)
    error = (residual**2).sum() / ((n - 1) * (k - 1))
    within = ((x - rows[:, None]) ** 2).sum() / (n * (k - 1))
    return between, judges, error, within


def _ratio(a: float, b: float) -> float:
    return float(a / b) if b else float("nan")


def _of_average(one: float, k: int) -> float:
    return float(k * one / (1 + (k - 1) * one))  # Spearman and Brown


def _f_interval(f: float, df1: int, df2: int, k: int, tail: float) -> tuple[float, float]:
    low, high = f / stats.f.ppf(tail, df1, df2), f * stats.f.ppf(tail, df2, df1)
    return (low - 1) / (low + k - 1), (high - 1) / (high + k - 1)


def _absolute_interval(
    between: float, judges: float, error: float, n: int, k: int, one: float, tail: float
) -> tuple[float, float]:
    fj = judges / error
    common = n * (1 + (k - 1) * one) - k * one
    v = (k - 1) * (n - 1) * (k * one * fj + common) ** 2
    v /= (n - 1) * (k * one * fj) ** 2 + common**2
    upper, lower = stats.f.ppf(tail, n - 1, v), stats.f.ppf(tail, v, n - 1)
    rest = k * judges + (k * n - k - n) * error
    low = n * (between - upper * error) / (upper * rest + n * between)
    high = n * (lower * between - error) / (rest + n * lower * between)
    return low, high
