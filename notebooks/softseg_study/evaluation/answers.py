"""What a comparison of methods found, as numbers and sentences for the page."""

from collections.abc import Mapping

import pandas as pd

from softseg_study.evaluation.comparison import HEADLINE, PROPOSAL
from softseg_study.statistics.tracking import area_tracking
from softseg_study.statistics.wording import say_comparison, say_number, say_tracking

PAIR_NAMES = {"labels": "drawn masks", PROPOSAL: "the proposal"}


def comparison_answers(
    summary: pd.DataFrame,
    agreement: pd.DataFrame,
    error_table: pd.DataFrame,
    tests: pd.DataFrame,
    *,
    other: str = "hard_all",
) -> dict[str, float | int | str]:
    """Every number that the page of a comparison says, by the name that it is glued under.

    Args:
        summary: SD over contrasts, `mean` and `n`, indexed by method.
        agreement: From `comparison.method_agreement`, indexed by method.
        error_table: From `comparison.method_errors`, indexed by method.
        tests: Of the SD over contrasts, from `statistics.compare_methods`.
        other: What the proposal is compared with in the sentence `verdict`.

    Returns:
        `sd_<method>`, `pair_<method>` (bias of a pair of contrasts), `error_<method>` (percent),
        `n_people`, and the sentences `verdict` and `pair`; `nan` for a method of the main
        comparison that is not there.
    """
    bias = agreement["bias_mm2"]
    error = error_table.get("error_percent", pd.Series(dtype=float))
    found: dict[str, float | int | str] = {"n_people": int(summary["n"].max())}
    for name, values in (("sd", summary["mean"]), ("pair", bias), ("error", error)):
        every = dict.fromkeys([*HEADLINE, *values.index])
        found |= {f"{name}_{method}": float(values.get(method, float("nan"))) for method in every}
    try:
        verdict = say_comparison(tests, PROPOSAL, other, what="spread over contrasts")
    except ValueError:  # data with neither of the two have an answer all the same
        verdict = f"{PROPOSAL} and {other} were not both measured here."
    return found | {"verdict": verdict, "pair": say_pair(bias)}


def say_pair(bias_mm2: pd.Series, *, methods: Mapping[str, str] = PAIR_NAMES) -> str:
    """How far the two contrasts that most studies have lie apart, for some methods.

    Args:
        bias_mm2: Mean of T1w − T2w, by method.
        methods: Method → how the sentence names it; those without a value are left out.

    Example:
        >>> say_pair(pd.Series({"labels": -4.78, "soft_all": -1.31}))
        'The areas of T1w and T2w differ by −4.8 mm² on average for drawn masks, by −1.3 mm² for \
the proposal.'
    """
    known = {m: bias_mm2[m] for m in methods if m in bias_mm2 and pd.notna(bias_mm2[m])}
    if not known:
        return "Nobody here has both."
    said = [f"by {say_number(value)} mm²" for value in known.values()]
    said[0] += " on average"
    parts = [f"{words} for {methods[m]}" for words, m in zip(said, known, strict=True)]
    return f"The areas of T1w and T2w differ {', '.join(parts)}."


def say_classical(
    tests: pd.DataFrame, error_table: pd.DataFrame, *, method: str = "contour_following"
) -> str:
    """How the method that needs no training compares with the proposal, spread and error.

    Args:
        tests: Of the SD over contrasts.
        error_table: From `comparison.method_errors`.
        method: The classical method.
    """
    try:
        spread = say_comparison(tests, PROPOSAL, method, what="spread over contrasts")
    except ValueError:
        return f"{method} did not take part."
    error = error_table.get("error_percent", pd.Series(dtype=float)).get(method, float("nan"))
    if error != error:
        return spread
    side = "above" if error > 0 else "below"
    return f"{spread} The area of {method} lies {abs(error):.1f} % {side} the right one on average."


def say_following(csa_table: pd.DataFrame, truth: pd.DataFrame, method: str = PROPOSAL) -> str:
    """How far a method's area follows the people's true ones, or that these are not known.

    Args:
        csa_table: `subject`, `contrast`, `method`, `seed`, `area_mm2`.
        truth: From `true_csa`; empty for real data.
        method: Which method.
    """
    if truth.empty:
        return say_tracking(truth, method)
    return say_tracking(area_tracking(csa_table, truth, by=["seed"]), method)


def say_units(units: pd.DataFrame, *, alpha: float = 0.05) -> str:
    """What it changes to count images as if they were people.

    Args:
        units: From `comparison.units_side_by_side`.
        alpha: Level.

    Example:
        >>> rows = pd.DataFrame({"n": [24], "p_adjusted": [0.2], "n_images": [144],
        ...     "p_pooled": [0.01], "note": [""]})
        >>> say_units(rows)
        'With people as units (n = 24) 0 of 1 comparisons reach 0.05, with images pooled (n = 144) \
1 do.'
    """
    if units.empty:
        return "The two units cannot be compared here: there is nothing to test."
    people, images = int(units["n"].max()), int(units["n_images"].max())
    few = (units["p_adjusted"] < alpha).sum()
    many = (units["p_pooled"] < alpha).sum()
    return (
        f"With people as units (n = {people}) {few} of {len(units)} comparisons reach {alpha:g}, "
        f"with images pooled (n = {images}) {many} do."
    )


def say_groups(table: pd.DataFrame, value: str, method: str, *, group: str, unit: str) -> str:
    """Between which ends a method's mean lies over the groups of people.

    Args:
        table: `method`, `group`, `subject` and `value`.
        value: Column averaged.
        method: Which method.
        group: Column of the groups.
        unit: Of the value.

    Example:
        >>> rows = pd.DataFrame({"method": "a", "subject": list("xyz"), "sd_mm2": [1.0, 3.0, 2.0],
        ...     "vendor": ["GE", "GE", "Philips"]})
        >>> say_groups(rows, "sd_mm2", "a", group="vendor", unit="mm²")
        'from 2.00 mm² (Philips, n = 1) to 2.00 mm² (GE, n = 2)'
    """
    rows = table[table["method"] == method].dropna(subset=[value])
    if rows.empty:
        return "not known"
    people = rows.groupby([group, "subject"])[value].mean().groupby(level=group)
    found = pd.DataFrame({"mean": people.mean(), "n": people.size()}).sort_values(["mean", "n"])
    ends = [f"{r.mean:.2f} {unit} ({r.Index}, n = {r.n})" for r in found.itertuples()]
    return f"{ends[0]} (the only group)" if len(ends) == 1 else f"from {ends[0]} to {ends[-1]}"
