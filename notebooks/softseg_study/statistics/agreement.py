"""Do two contrasts, or two methods, measure the same?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats


def bland_altman(a: Sequence[float], b: Sequence[float]) -> dict:
    """Bias and limits of agreement of paired measurements.

    Limits are `bias ± 1.96 SD` of the differences a - b, with Student intervals: the standard
    error of the bias is `SD/√n`, of a limit about `√(3/n) SD` (Bland and Altman 1986,
    doi:10.1016/S0140-6736(86)90837-8).

    Args:
        a: `(n,)`; pairs with a `nan` are left out.
        b: `(n,)`.

    Returns:
        `n`, `bias`, `sd`, `low`, `high` (limits), `bias_ci_low`, `bias_ci_high`, `low_ci_low`,
        `low_ci_high`, `high_ci_low`, `high_ci_high`, `slope` (of difference on mean: a bias that
        grows with size); `nan` where n is too small.

    Example:
        >>> found = bland_altman([1.0, 2.0, 3.0], [0.0, 2.0, 4.0])
        >>> found["bias"], round(found["high"], 2)
        (0.0, 1.96)
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    known = ~(np.isnan(a) | np.isnan(b))
    difference, mean = (a - b)[known], (a + b)[known] / 2
    n = difference.size
    bias = float(difference.mean()) if n else np.nan
    sd = float(difference.std(ddof=1)) if n > 1 else np.nan
    z = stats.norm.ppf(0.5 + 0.95 / 2)
    t = stats.t.ppf(0.5 + 0.95 / 2, n - 1) if n > 1 else np.nan
    of_bias, of_limit = t * sd / np.sqrt(max(n, 1)), t * sd * np.sqrt(3 / max(n, 1))
    found = {"n": n, "bias": bias, "sd": sd, "low": bias - z * sd, "high": bias + z * sd}
    for name, half in (("bias", of_bias), ("low", of_limit), ("high", of_limit)):
        found |= {
            f"{name}_ci_low": float(found[name] - half),
            f"{name}_ci_high": float(found[name] + half),
        }
    varies = n > 2 and np.ptp(mean) > 0
    found["slope"] = float(np.polyfit(mean, difference, 1)[0]) if varies else np.nan
    return {k: v if k == "n" else float(v) for k, v in found.items()}


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


COLUMNS = (
    "method", "n", "n_contrasts", "icc", "ci_low", "ci_high", "consistency", "widest_gap_mm2",
    "smallest_in", "largest_in",
)  # fmt: skip


def contrast_reliability(csa_table: pd.DataFrame) -> pd.DataFrame:
    """Intraclass correlations over contrasts, and the two contrasts that lie furthest apart.

    `icc` is ICC(2,1) of Shrout and Fleiss 1979 (doi:10.1037/0033-2909.86.2.420), where a bias
    between contrasts counts; `consistency` is ICC(3,1), where it does not. A large gap between
    the two says that contrasts rank people alike and differ by a shift.

    Args:
        csa_table: `subject`, `contrast`, `method` and `value`, one row an image and method.

    Returns:
        One row a method: `method`, `n` (people with every contrast), `n_contrasts`, `icc` with
        `ci_low` and `ci_high`, `consistency`, `widest_gap_mm2` (between the means of two contrasts
        over those people), `smallest_in`, `largest_in` (which two); `nan` where fewer than two
        people have two contrasts.

    Example:
        >>> table = pd.DataFrame({"method": "hard", "subject": ["a", "a", "b", "b", "c", "c"],
        ...     "contrast": ["T1w", "T2w"] * 3, "area_mm2": [60, 66, 70, 76, 80, 86]})
        >>> contrast_reliability(table).loc[0, ["consistency", "widest_gap_mm2"]].tolist()
        [1.0, 6.0]
    """
    rows = []
    for method, part in csa_table.groupby("method", sort=False, observed=True):
        wide = part.pivot_table(index="subject", columns="contrast", values="area_mm2", sort=False)
        wide = wide.dropna()
        n, k = wide.shape
        row = dict.fromkeys(COLUMNS, np.nan) | {"method": method, "n": n, "n_contrasts": k}
        if n >= 2 and k >= 2:
            means = wide.mean()
            tidy = wide.melt(ignore_index=False, value_name="area_mm2").reset_index()
            # Areas may agree to the last digit, and then there is nothing to divide by.
            with np.errstate(divide="ignore", invalid="ignore"):
                found = icc(tidy, "area_mm2").set_index("kind")
            row |= {name: found.loc["ICC(2,1)", name] for name in ("icc", "ci_low", "ci_high")}
            row |= {
                "consistency": found.loc["ICC(3,1)", "icc"],
                "widest_gap_mm2": float(np.ptp(means)),
                "smallest_in": means.idxmin(),
                "largest_in": means.idxmax(),
            }
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))
