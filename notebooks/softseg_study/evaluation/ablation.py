"""One change at a time: which models belong to which factor, and what each change did.

Every variant is compared with the method that it differs from in one thing, on the same people and
contrasts, with the participant as unit and a family of tests per factor and measure.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from softseg_study.evaluation.comparison import PROPOSAL
from softseg_study.evaluation.model_grid import Factors
from softseg_study.statistics.comparison import adjust, compare_methods, paired_test
from softseg_study.statistics.variability import contrast_variability, csa_error

MEASURES = {
    "sd_mm2": "SD over contrasts (mm²)",
    "absolute_error_mm2": "absolute error (mm²)",
    "error_mm2": "bias (mm²)",
    "slope": "slope on the true area",
}
"""What is compared, and its label."""


def participant_measures(
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
        values: From `participant_measures`.

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


def seed_variability(trainings: pd.Series, method: str, base: str) -> float:
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


CAPTIONS = {
    "sd_mm2": "SD of one person's areas over the contrasts (mm²)",
    "absolute_error_mm2": "Absolute error of the area (mm²)",
    "error_mm2": "Bias of the area (mm²)",
    "slope": "Slope of the area on the true area; 1 tells people apart in full",
}
EXPECTED = ((PROPOSAL, "hard_all"), ("hard_all", "hard_per_contrast"), (PROPOSAL, "labels"))
"""Stated before any model was trained: the first of each pair has the smaller SD over contrasts."""


def compare_factors(
    csa_table: pd.DataFrame,
    truth: pd.DataFrame,
    factors: Factors,
    *,
    correction: str = "holm",
) -> pd.DataFrame:
    """Every variant against the method it differs from: difference, interval, adjusted p.

    Wilcoxon's signed-rank test on people for SD and errors; slopes on the true area are compared by
    the regression of the difference of both areas on it, whose slope is the difference of theirs.
    Trainings are averaged within each participant. The tests say what other participants would show
    with these very networks; `seed_variability` says what another training would: the difference
    that two trainings of the same setting show in one case of twenty, from the trainings of all
    methods together.

    Args:
        csa_table: `subject`, `contrast`, `method`, `seed`, `area_mm2`.
        truth: From `true_csa`; without it only the SD is compared.
        factors: From `read_factors`. Variants without areas are left out; where what they are to
            be compared with is missing, the proposal takes its place.
        correction: Over the family of a factor and measure.

    Returns:
        `factor`, `method_a`, `method_b`, `measure`, `n`, `n_contrasts` (that both have), `value_a`,
        `value_b` (means), `difference` (median of a - b), `ci_low`, `ci_high`, `p`, `p_adjusted`,
        `seed_variability`, `verdict` (`larger`, `smaller`, either with `, within seed variability`,
        `not told apart` or `n too small`).
    """
    known = csa_table.dropna(subset=["area_mm2"])
    seen = known.groupby("method", sort=False)["contrast"].agg(lambda c: frozenset(c))
    cache: dict[frozenset, tuple[pd.DataFrame, pd.DataFrame]] = {}
    rows: list[dict] = []
    for factor, variants in factors.items():
        for method, base in variants.items():
            base = base if base in seen else PROPOSAL
            if method not in seen or base not in seen or method == base:
                continue
            shared = seen[method] & seen[base]
            if shared not in cache:
                values = participant_measures(known, truth, contrasts=shared)
                cache[shared] = (values, training_measures(values))
            named = {"factor": factor, "method_a": method, "method_b": base}
            for found in _compare_pair(*cache[shared], method, base, seed=0):
                rows.append(named | {"n_contrasts": len(shared)} | found)
    table = pd.DataFrame(rows).reindex(columns=_COLUMNS)
    family = table.groupby(["factor", "measure"], sort=False)
    table["p_adjusted"] = family["p"].transform(lambda p: adjust(p, correction))
    size = family["p"].transform("count") if correction != "none" else 1
    reachable = table["smallest_p"] * size
    table["verdict"] = [
        _verdict(row, reach, 0.05) for row, reach in zip(table.itertuples(), reachable, strict=True)
    ]
    return table.drop(columns="smallest_p")


_COLUMNS = [
    "factor", "method_a", "method_b", "measure", "n", "n_contrasts", "value_a", "value_b",
    "difference", "ci_low", "ci_high", "p", "p_adjusted", "seed_variability", "smallest_p",
]  # fmt: skip


def _compare_pair(
    values: pd.DataFrame, trainings: pd.DataFrame, method: str, base: str, *, seed: int
) -> list[dict]:
    """A row a measure."""
    rows = []
    for measure in (m for m in MEASURES if m in values and values[m].notna().any()):
        a, b = (_by_participant(values, name, measure) for name in (method, base))
        a, b = a.align(b, join="inner")
        found = paired_test(a, b, seed=seed)
        row = {key: found[key] for key in ("n", "ci_low", "ci_high", "p", "smallest_p")}
        row |= {"difference": found["median_difference"], "value_a": a.mean(), "value_b": b.mean()}
        rows.append(row | {"measure": measure})
    if "truth_mm2" in values:
        rows.append(_compare_slopes(values, method, base))
    for row in rows:
        row["seed_variability"] = seed_variability(trainings[row["measure"]], method, base)
    return rows


def _by_participant(values: pd.DataFrame, method: str, measure: str) -> pd.Series:
    return values[values["method"] == method].groupby("subject")[measure].mean().dropna()


def _compare_slopes(values: pd.DataFrame, method: str, base: str) -> dict:
    a, b = (_by_participant(values, name, "area_mm2") for name in (method, base))
    a, b = a.align(b, join="inner")
    true = _by_participant(values, method, "truth_mm2").reindex(a.index)
    row = {"measure": "slope", "n": len(a)}
    if len(a) < 3 or np.ptp(true) == 0:
        return row | {"smallest_p": 1.0}
    line = stats.linregress(true, a - b)
    reach = stats.t.ppf(0.975, len(a) - 2) * line.stderr
    row |= {f"value_{k}": stats.linregress(true, v).slope for k, v in (("a", a), ("b", b))}
    row |= {"difference": line.slope, "p": line.pvalue, "smallest_p": 0.0}
    return row | {"ci_low": line.slope - reach, "ci_high": line.slope + reach}


def _verdict(row: tuple, reachable: float, alpha: float) -> str:
    if not np.isfinite(row.p) or reachable >= alpha:
        return "n too small"
    if row.p_adjusted >= alpha:
        return "not told apart"
    verdict = "larger" if row.difference > 0 else "smaller"
    within = abs(row.difference) < row.seed_variability
    return f"{verdict}, within seed variability" if within else verdict


def measured(comparisons: pd.DataFrame) -> list[str]:
    """Measures that the comparisons have, in the order of `MEASURES`."""
    present = set(comparisons["measure"])
    return [measure for measure in MEASURES if measure in present]


def caption(comparisons: pd.DataFrame, measure: str) -> str:
    """What a table of one measure says above it, with the number of people."""
    people = comparisons.loc[comparisons["measure"] == measure, "n"]
    what = "difference of slopes" if measure == "slope" else "median difference within people"
    return f"{CAPTIONS[measure]}; {what}, n = {people.max():.0f}"


def contrasts_learnt(
    csa_table: pd.DataFrame,
    truth: pd.DataFrame,
    learnt: Mapping[str, Sequence[str]],
) -> pd.DataFrame:
    """What each further contrast in the training is worth, in contrasts seen and not seen.

    Args:
        csa_table: `subject`, `contrast`, `method`, `seed`, `area_mm2`.
        truth: From `true_csa`; may be empty.
        learnt: Method → contrasts that it learnt from.

    Returns:
        One row a person, method and `part` (`all`, `learnt`, `not learnt`): `n_learnt`, `sd_mm2`
        (`nan` with one contrast) and, with truth, `absolute_error_mm2`; trainings averaged.
    """
    parts = []
    for method, contrasts in learnt.items():
        rows = csa_table[csa_table["method"] == method].dropna(subset=["area_mm2"])
        inside = rows["contrast"].isin(list(contrasts))
        for part, chosen in (
            ("all", rows),
            ("learnt", rows[inside]),
            ("not learnt", rows[~inside]),
        ):
            if chosen.empty:
                continue
            values = participant_measures(chosen, truth)
            measures = [m for m in ("sd_mm2", "absolute_error_mm2") if m in values]
            means = values.groupby("subject", sort=False)[measures].mean().reset_index()
            parts.append(means.assign(method=method, part=part, n_learnt=len(contrasts)))
    columns = ["subject", "method", "part", "n_learnt", "sd_mm2"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def expectation_tests(csa_table: pd.DataFrame, *, correction: str = "holm") -> pd.DataFrame:
    """The comparisons of `EXPECTED` whose methods are there, as `compare_methods`."""
    spread = contrast_variability(csa_table, by=("seed",))
    present = set(spread.dropna(subset=["sd_mm2"])["method"])
    pairs = [pair for pair in EXPECTED if set(pair) <= present]
    return compare_methods(spread, "sd_mm2", pairs=pairs, correction=correction)


def chain(pairs: Sequence[tuple[str, str]] = EXPECTED) -> str:
    """What was expected, written out.

    Example:
        >>> chain()
        'soft_all < hard_all < hard_per_contrast and soft_all < labels'
    """
    text = " < ".join(pairs[0])
    for before, pair in pairwise(pairs):
        text += f" < {pair[1]}" if before[1] == pair[0] else f" and {' < '.join(pair)}"
    return text
