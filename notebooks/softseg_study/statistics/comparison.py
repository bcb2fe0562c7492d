"""Is one method better than another? Paired tests on participants, corrected, with effect sizes."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from softseg_study.statistics.summary import bootstrap_interval, participant_means

ALPHA = 0.05
CORRECTIONS = ("holm", "bonferroni", "none")
EXACT_UP_TO = 50
"""Pairs up to which the null distribution is enumerated; beyond it the normal one is as good."""


def compare_methods(
    table: pd.DataFrame,
    value: str,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    correction: str = "holm",
    unit: str | Sequence[str] = "subject",
    alpha: float = ALPHA,
    seed: int = 0,
) -> pd.DataFrame:
    """Two-sided Wilcoxon signed-rank tests between methods on the same participants.

    Rows are averaged to one value per participant and method first, since the test assumes
    independent pairs; the paper pools the six contrasts of a person, which `unit=("subject",
    "contrast")` does for comparison. Where not even the most one-sided outcome could reach
    `alpha`, the note says "n too small": a large p then says nothing.

    Args:
        table: Columns `method`, `value` and `unit`.
        value: Column compared, for example `sd_mm2`.
        pairs: Pairs of methods that form the family; all of them by default.
        correction: `holm`, `bonferroni` or `none`, over the family.
        unit: What is paired.
        alpha: Level that the note refers to.
        seed: For the bootstrap.

    Returns:
        One row a pair: `method_a`, `method_b`, `n` (pairs with both values), `median_a`,
        `median_b`, `median_difference` (of a - b within pairs) with `ci_low` and `ci_high` (95 %
        percentile bootstrap), `p`, `p_adjusted`, `rank_biserial` (see `rank_biserial`),
        `smallest_p` (that n pairs can reach), `note`.

    Raises:
        ValueError: If a method or a column is unknown or the correction is.

    Example:
        >>> table = pd.DataFrame({"subject": [1, 2, 3] * 2, "method": ["a"] * 3 + ["b"] * 3,
        ...     "sd_mm2": [3.0, 4.0, 5.0, 1.0, 1.5, 2.0]})
        >>> compare_methods(table, "sd_mm2")[["n", "p", "rank_biserial", "note"]]
           n     p  rank_biserial                                             note
        0  3  0.25            1.0  n too small: 3 pairs cannot give p below 0.25
    """
    unit = [unit] if isinstance(unit, str) else list(unit)
    missing = [c for c in ("method", value, *unit) if c not in table]
    if missing:
        raise ValueError(f"column {missing[0]!r} is missing; found {', '.join(table.columns)}")
    means = participant_means(table, value, unit=unit)
    methods = list(pd.unique(means["method"]))
    pairs = list(combinations(methods, 2)) if pairs is None else [tuple(p) for p in pairs]
    unknown = {m for pair in pairs for m in pair} - set(methods)
    if unknown:
        raise ValueError(f"no values of method {sorted(unknown)[0]!r}; found {', '.join(methods)}")
    wide = means.pivot_table(index=unit, columns="method", values=value, sort=False)
    rows = [
        {"method_a": a, "method_b": b} | paired_test(wide[a], wide[b], seed=seed) for a, b in pairs
    ]
    columns = ["method_a", "method_b", *_PAIRED]
    result = pd.DataFrame(rows, columns=columns)
    result.insert(columns.index("p") + 1, "p_adjusted", adjust(result["p"], correction))
    result["note"] = [
        _note(n, p, len(pairs), correction, alpha)
        for n, p in zip(result["n"], result["smallest_p"], strict=True)
    ]
    return result


_PAIRED = (
    "n", "median_a", "median_b", "median_difference", "ci_low", "ci_high", "p", "rank_biserial",
    "smallest_p",
)  # fmt: skip


def paired_test(a: np.ndarray, b: np.ndarray, *, seed: int = 0) -> dict[str, float]:
    """Wilcoxon signed-rank test of paired values with effect size and interval.

    Args:
        a: `(n,)`; pairs with a `nan` are left out.
        b: `(n,)`.
        seed: For the bootstrap.

    Returns:
        `n`, `median_a`, `median_b`, `median_difference`, `ci_low`, `ci_high`, `p`,
        `rank_biserial`, `smallest_p`.
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    known = ~(np.isnan(a) | np.isnan(b))
    a, b = a[known], b[known]
    difference = a - b
    n = difference.size
    low, high = bootstrap_interval(difference, np.median, seed=seed)
    return {
        "n": n,
        "median_a": float(np.median(a)) if n else np.nan,
        "median_b": float(np.median(b)) if n else np.nan,
        "median_difference": float(np.median(difference)) if n else np.nan,
        "ci_low": low,
        "ci_high": high,
        "p": signed_rank_p(difference),
        "rank_biserial": rank_biserial(difference),
        "smallest_p": smallest_p(n),
    }


def signed_rank_p(difference: np.ndarray) -> float:
    """Two-sided p of the Wilcoxon signed-rank test (Wilcoxon 1945, doi:10.2307/3001968).

    Zero differences are dropped. Up to 50 pairs the null distribution is exact, with ties too
    (their mid-ranks are enumerated by the same recursion); beyond, it is normal.

    Args:
        difference: `(n,)` without `nan`.

    Returns:
        1 when every difference is zero, `nan` without a pair.
    """
    difference = np.asarray(difference, dtype=float)
    if not difference.size:
        return float("nan")
    difference = difference[difference != 0]
    if not difference.size:
        return 1.0
    if difference.size > EXACT_UP_TO:
        return float(stats.wilcoxon(difference, method="asymptotic").pvalue)
    ranks = np.round(2 * stats.rankdata(np.abs(difference))).astype(int)  # mid-ranks are halves
    counts = np.ones(1)
    for rank in ranks:  # number of ways that each sum of positive ranks comes about
        counts = np.pad(counts, (0, rank)) + np.pad(counts, (rank, 0))
    positive = ranks[difference > 0].sum()
    extreme = min(positive, ranks.sum() - positive)
    return float(min(1.0, 2 * counts[: extreme + 1].sum() / counts.sum()))


def rank_biserial(difference: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation, (W+ - W-) / (W+ + W-) (Kerby 2014).

    1 where every pair has a > b, -1 where every pair has a < b, 0 where ranks balance
    (doi:10.2466/11.IT.3.1).

    Example:
        >>> rank_biserial(np.array([1.0, 2.0, -3.0]))
        0.0
    """
    difference = np.asarray(difference, dtype=float)
    difference = difference[difference != 0]
    if not difference.size:
        return 0.0
    ranks = stats.rankdata(np.abs(difference))
    return float((ranks * np.sign(difference)).sum() / ranks.sum())


def smallest_p(n: int) -> float:
    """Smallest two-sided p that `n` pairs can give: all differences of one sign, 2 / 2^n.

    Example:
        >>> smallest_p(5), smallest_p(6)
        (0.0625, 0.03125)
    """
    return min(1.0, 2.0 ** (1 - n))


def adjust(p: Sequence[float], correction: str = "holm") -> np.ndarray:
    """Adjust p-values of one family; `nan` stays and does not count.

    Holm's step-down procedure (1979, JSTOR 4615733) is never weaker than Bonferroni's.

    Example:
        >>> adjust([0.01, 0.04, 0.03], "holm").round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    if correction not in CORRECTIONS:
        raise ValueError(f"correction is one of {', '.join(CORRECTIONS)}, found {correction!r}")
    adjusted = np.array(p, dtype=float)
    known = ~np.isnan(adjusted)
    if known.any() and correction != "none":
        from statsmodels.stats.multitest import multipletests  # a second of imports

        adjusted[known] = multipletests(adjusted[known], method=correction)[1]
    return adjusted


def _note(n: int, smallest: float, family: int, correction: str, alpha: float) -> str:
    if smallest >= alpha:
        return f"n too small: {n} pairs cannot give p below {smallest:.2g}"
    reachable = smallest * family
    if correction != "none" and reachable >= alpha:
        return f"n too small for {family} comparisons: adjusted p cannot go below {reachable:.2g}"
    return ""
