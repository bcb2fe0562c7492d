"""What an ablation found, as sentences: whichever way it came out, nothing typed by hand."""

from collections.abc import Iterable, Sequence

import pandas as pd

from softseg_study.evaluation.ablation import EXPECTED, chain
from softseg_study.sentences.common import say_count, say_names, say_number, say_p

UNITS = {"sd_mm2": " mm²", "absolute_error_mm2": " mm²", "error_mm2": " mm²", "slope": ""}
NAMES = {
    "sd_mm2": "SD over contrasts",
    "absolute_error_mm2": "absolute error",
    "error_mm2": "signed error",
    "slope": "slope on the true area",
}
FACTORS = {
    "truth": "the truth",
    "budget": "six networks that share one budget",
    "models": "one network or six",
    "loss": "the loss",
    "activation": "the output activation",
    "augmentation": "the augmentation",
    "contrasts": "the number of contrasts",
    "other": "other changes",
}
"""How a sentence writes the factors."""


def say_what_mattered(comparisons: pd.DataFrame, measure: str = "sd_mm2") -> str:
    """A paragraph: which changes moved a measure, which did not, and which nobody can tell.

    Args:
        comparisons: From `compare_factors`.
        measure: Key of `MEASURES`.

    Example:
        >>> row = {"method_a": "hard_all", "measure": "sd_mm2", "difference": 4.5, "n": 24,
        ...     "ci_low": 4.1, "ci_high": 4.9, "p_adjusted": 0.0001, "seed_variability": 0.3}
        >>> print(say_what_mattered(pd.DataFrame([row | {"verdict": "larger"}])))
        Of 1 change, 1 raised the SD over contrasts: hard_all by 4.50 mm².
    """
    rows = comparisons[comparisons["measure"] == measure]
    if rows.empty:
        why = "these data have no true areas"
        if comparisons.empty:
            why = "no two models can be compared"
        return f"Nothing can be said about the {NAMES[measure]}: {why}."
    parts = []
    for verdict, verb in (("larger", "raised"), ("smaller", "lowered")):
        found = rows[rows["verdict"] == verdict]
        if len(found):
            parts.append(f"{len(found)} {verb} the {NAMES[measure]}: {_amounts(found, measure)}")
    parts += _rest(rows, measure)
    changes = "1 change" if len(rows) == 1 else f"{len(rows)} changes"
    return f"Of {changes}, {'; '.join(parts)}."


def _rest(rows: pd.DataFrame, measure: str) -> list[str]:
    """Changes that say little: within seed-to-seed variability, not told apart, too few people."""
    parts = []
    within = rows[rows["verdict"].str.endswith("within seed variability")]
    if len(within):
        parts.append(
            f"{len(within)} moved it by no more than another training of the same setting might "
            f"({_amounts(within, measure)})"
        )
    same = rows[rows["verdict"] == "not told apart"]
    if len(same):
        reach = same[["ci_low", "ci_high"]].abs().max().max()
        parts.append(
            f"{len(same)} cannot be told apart from what {_they(same)} compared with "
            f"({say_names(same['method_a'])}; no interval reaches beyond {reach:.2f}"
            f"{UNITS[measure]})"
        )
    few = rows[rows["verdict"] == "n too small"]
    if len(few):
        parts.append(
            f"for {len(few)} no test can tell: n = {say_count(few['n'].max())} is too small"
        )
    return parts


def _amounts(rows: pd.DataFrame, measure: str) -> str:
    rows = rows.sort_values("difference", key=abs, ascending=False)
    return say_names(
        f"{row.method_a} by {abs(row.difference):.2f}{UNITS[measure]}" for row in rows.itertuples()
    )


def _they(rows: pd.DataFrame) -> str:
    return "it is" if len(rows) == 1 else "they are"


def say_expectation(tests: pd.DataFrame, *, pairs: Sequence[tuple[str, str]] = EXPECTED) -> str:
    """Whether what was stated before the trainings came out, inequality by inequality.

    Args:
        tests: From `expectation_tests`.
        pairs: What was expected: the first has the smaller SD.

    Example:
        >>> row = {"method_a": "soft_all", "method_b": "hard_all", "n": 24, "note": "",
        ...     "median_difference": -4.5, "p_adjusted": 0.0001}
        >>> print(say_expectation(pd.DataFrame([row]), pairs=[("soft_all", "hard_all")]))
        Expected beforehand: soft_all < hard_all. soft_all < hard_all came out (4.50 mm² less, \
adjusted p < 0.001, n = 24).
    """
    found = {(row.method_a, row.method_b): row for row in tests.itertuples()}
    said = [_inequality(found.get(tuple(pair)), pair, 0.05) for pair in pairs]
    return f"Expected beforehand: {chain(pairs)}. {'; '.join(said)}."


def _inequality(row: tuple | None, pair: tuple[str, str], alpha: float) -> str:
    text = " < ".join(pair)
    if row is None:
        return f"{text} was not tested, since one of them is missing"
    if "n too small" in str(row.note):
        return f"{text} cannot be tested with n = {say_count(row.n)}"
    test = f"adjusted {say_p(row.p_adjusted)}, n = {row.n:.0f}"
    amount = f"{abs(row.median_difference):.2f} mm²"
    if row.p_adjusted >= alpha:
        return f"{text} could not be shown (median difference {amount}, {test})"
    if row.median_difference < 0:
        return f"{text} came out ({amount} less, {test})"
    return f"the opposite of {text} came out ({amount} more, {test})"


def say_dependence(comparisons: pd.DataFrame) -> str:
    """In short: which factors moved the SD over contrasts and the slope, and which did not.

    A factor counts as moved where one of its changes did so beyond the uncertainty about
    participants and seeds; the largest of its changes is named.

    Args:
        comparisons: From `compare_factors`.

    Example:
        >>> rows = {"factor": ["truth", "loss"], "method_a": ["hard_all", "soft_all_dice"],
        ...     "method_b": "soft_all", "measure": "sd_mm2", "difference": [4.5, -0.4], "n": 24,
        ...     "value_a": [6.2, 1.1], "value_b": 1.5, "verdict": ["larger", "not told apart"]}
        >>> print(say_dependence(pd.DataFrame(rows)))
        The SD over contrasts depended on the truth (hard_all: 6.20 instead of 1.50 mm²); \
beyond the uncertainty about participants and seeds it did not depend on the loss.
    """
    said = []
    for measure in ("sd_mm2", "slope"):
        rows = comparisons[comparisons["measure"] == measure]
        if rows.empty:
            continue
        if rows["verdict"].eq("n too small").all():
            said.append(f"With n = {say_count(rows['n'].max())} no test can say what moved it")
            break
        moved, still = [], []
        for factor, part in rows.groupby("factor", sort=False):
            sure = part[part["verdict"].isin(["larger", "smaller"])]
            named = FACTORS.get(str(factor), str(factor))
            if len(sure):
                largest = sure.loc[sure["difference"].abs().idxmax()]
                moved.append(f"{named} ({_both(largest, measure)})")
            else:
                still.append(named)
        said.append(_dependence(NAMES[measure], moved, still))
    return f"{'. '.join(said)}." if said else "No two models could be compared."


def _both(row: pd.Series, measure: str) -> str:
    values = [say_number(row[f"value_{k}"], 2) for k in "ab"]
    return f"{row['method_a']}: {values[0]} instead of {values[1]}{UNITS[measure]}"


def _dependence(name: str, moved: Sequence[str], still: Sequence[str]) -> str:
    if not moved:
        return f"No change moved the {name} beyond the uncertainty about participants and seeds"
    text = f"The {name} depended on {_listed(moved, 'and')}"
    beyond = "beyond the uncertainty about participants and seeds it did not depend on"
    return f"{text}; {beyond} {_listed(still, 'or')}" if still else text


def _listed(names: Sequence[str], word: str) -> str:
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last


def say_budget(budget: pd.DataFrame, *, one: str = "soft_all") -> str:
    """How many times the one model's steps the contrast-specific ones took together.

    Seconds are left to the table of times: they depend on what else the machine did.

    Args:
        budget: From `training_budget`.
        one: The method of one model.

    Example:
        >>> say_budget(pd.DataFrame({"method": ["soft_all", "hard_per_contrast"], "models": [1, 6],
        ...     "steps_together": [100, 600]}))
        'Together hard_per_contrast took 6.0 times the steps of soft_all.'
    """
    rows = budget.set_index("method")
    if one not in rows.index or rows["models"].max() < 2:
        return "No contrast-specific models were trained in this run."
    several = rows[rows["models"] > 1]
    times = several["steps_together"] / rows.loc[one, "steps_together"]
    said = [f"{method} took {ratio:.1f}" for method, ratio in times.items()]
    return f"Together {_listed(said, 'and')} times the steps of {one}."


def say_left_out(csa_table: pd.DataFrame, methods: Iterable[str]) -> str:
    """Whose masks gave no area, so that means rest on the others alone.

    Args:
        csa_table: `method`, `area_mm2`; one row a mask.
        methods: Which methods.

    Example:
        >>> masks = pd.DataFrame({"method": ["a", "a", "b"], "area_mm2": [None, 70, 71]})
        >>> say_left_out(masks, ["a", "b"])
        'Masks without an area, for example empty ones, are left out: 1 of 2 of a.'
    """
    rows = csa_table[csa_table["method"].isin(list(methods))]
    gone = rows["area_mm2"].isna().groupby(rows["method"]).agg(["sum", "size"])
    gone = gone[gone["sum"] > 0].sort_values("sum", ascending=False, kind="stable")
    if gone.empty:
        return "Every mask gave an area."
    said = say_names(f"{lost} of {every} of {method}" for method, lost, every in gone.to_records())
    return f"Masks without an area, for example empty ones, are left out: {said}."


def say_contrasts(learning: pd.DataFrame) -> str:
    """What happens in contrasts that a network has never seen, by how many it learnt from.

    Args:
        learning: From `contrasts_learnt`.
    """
    value = "absolute_error_mm2" if "absolute_error_mm2" in learning else "sd_mm2"
    name = "absolute error" if value == "absolute_error_mm2" else "SD over contrasts"
    parts = learning.dropna(subset=[value]).pivot_table(
        value, index=["n_learnt", "method"], columns="part"
    )
    if "not learnt" not in parts:
        return "No model of this run learnt from fewer contrasts than it was measured in."
    rows = parts.dropna(subset=["not learnt"])
    said = [
        f"{row['not learnt']:.1f} mm² in contrasts never seen and {row['learnt']:.1f} mm² in those "
        f"learnt ({method}, {count} in the training)"
        for (count, method), row in rows.iloc[[0, -1]].iterrows()
    ]
    return f"The {name} was {'; '.join(dict.fromkeys(said))}."


def say_missing(missing: Sequence[str], planned: int) -> str:
    """Which models of the grid were not trained in this run.

    Example:
        >>> say_missing(["synthseg"], 20), say_missing([], 20)
        ('Of 20 planned variants 1 was not trained in this run: synthseg.', \
'All 20 planned variants were trained.')
    """
    if not missing:
        return f"All {planned} planned variants were trained."
    verb = "was" if len(missing) == 1 else "were"
    return (
        f"Of {planned} planned variants {len(missing)} {verb} not trained in this run: "
        f"{say_names(missing)}."
    )


def say_seed_variability(comparisons: pd.DataFrame, measure: str = "sd_mm2") -> str:
    """How far two trainings of one setting may lie apart, or that it is not known.

    Args:
        comparisons: From `compare_factors`.
        measure: Key of `MEASURES`.
    """
    rows = comparisons[comparisons["measure"] == measure]
    seeds = rows["seed_variability"].dropna()
    if seeds.empty:
        return (
            "No setting was trained more than once, so that the seed-to-seed variability of "
            f"the {NAMES[measure]} is not known."
        )
    return (
        f"Two trainings of one setting, from other random numbers, differ by up to "
        f"{seeds.median():.2f}{UNITS[measure]} in their {NAMES[measure]} (19 of 20 pairs, averaged "
        "over as many seeds as here)."
    )
