"""What a comparison of methods found, as numbers and sentences for the page."""

from collections.abc import Mapping

import pandas as pd

from softseg_study.evaluation.comparison import HEADLINE, PROPOSAL
from softseg_study.sentences.common import say_count, say_number, say_p, say_range
from softseg_study.statistics.variability import area_tracking


def say_comparison(
    tests: pd.DataFrame,
    better: str,
    worse: str,
    *,
    what: str = "spread",
    unit: str = "mm²",
) -> str:
    """One sentence on whether a method has the smaller value, whichever way it came out.

    Args:
        tests: From `compare_methods`.
        better: The method expected to have the smaller value.
        worse: The other.
        what: What was compared.
        unit: Its unit.

    Raises:
        ValueError: If the two were not compared.

    Example:
        >>> row = {"method_a": "a", "method_b": "b", "n": 9, "median_difference": -1.0,
        ...     "ci_low": -2.0, "ci_high": -0.5, "p_adjusted": 0.01, "note": ""}
        >>> say_comparison(pd.DataFrame([row]), "a", "b")
        'The spread of a is smaller than that of b by 1.0 mm² (median, 95 % interval 0.5 to 2.0; Wilcoxon signed-rank, n = 9, adjusted p = 0.010).'
    """  # noqa: E501
    straight = tests[(tests["method_a"] == better) & (tests["method_b"] == worse)]
    turned = tests[(tests["method_a"] == worse) & (tests["method_b"] == better)]
    if straight.empty and turned.empty:
        raise ValueError(f"{better} and {worse} were not compared")
    row = (turned if straight.empty else straight).iloc[0]
    # Positive: `better` has the smaller value.
    sign = -1.0 if turned.empty else 1.0
    gain = sign * row["median_difference"]
    low, high = sorted((sign * row["ci_low"], sign * row["ci_high"]))
    if "n too small" in str(row["note"]):
        return (
            f"With n = {say_count(row['n'])} no test can tell {better} from {worse}: n too small."
        )
    test = f"Wilcoxon signed-rank, n = {row['n']:.0f}, adjusted {say_p(row['p_adjusted'])}"
    if row["p_adjusted"] >= 0.05:
        return (
            f"The {what} of {better} and of {worse} cannot be told apart (median difference "
            f"{say_number(gain)} {unit}, 95 % interval {say_range(low, high)}; {test})."
        )
    if gain < 0:
        low, high = -high, -low
    order = "smaller" if gain > 0 else "larger"
    return (
        f"The {what} of {better} is {order} than that of {worse} by {abs(gain):.1f} {unit} "
        f"(median, 95 % interval {say_range(low, high)}; {test})."
    )


def say_overlap(scores: pd.DataFrame | None, *, measure: str = "dice") -> str:
    """One sentence on how masks agree with manual ones, or that nothing could be compared.

    Args:
        scores: From `evaluate_overlap`, one row an image; None or empty without any.
        measure: Column that is reported.

    Example:
        >>> say_overlap(pd.DataFrame({"subject": ["a", "a", "b"], "dice": [0.9, 0.7, 0.5]}))
        'On 3 real images of 2 people with manual masks the Dice score is 0.65 (mean by person; \
worst image 0.50).'
    """
    if scores is None or scores.empty:
        return "No real image with a manual mask was at hand to compare with."
    people = scores.groupby("subject")[measure].mean()
    return (
        f"On {say_count(len(scores), 'real image', 'real images')} of {say_count(len(people))} "
        f"with manual masks the Dice score is {people.mean():.2f} (mean by person; worst image "
        f"{scores[measure].min():.2f})."
    )


def say_tracking(tracking: pd.DataFrame, method: str) -> str:
    """One sentence on how far a method's area follows a person's true one.

    Args:
        tracking: From `area_tracking`; empty where no truth is known.
        method: Which row.

    Example:
        >>> row = {"method": "a", "n": 9, "slope": 0.5, "ci_low": 0.3, "ci_high": 0.7}
        >>> say_tracking(pd.DataFrame([row]), "a")
        'Of every mm² by which the true areas of two people differ, a shows 0.50 mm² \
(95 % interval 0.30 to 0.70, n = 9).'
    """
    rows = tracking[tracking["method"] == method] if len(tracking) else tracking
    if rows.empty:
        return "How far areas follow the people is not known: these data have no true areas."
    row = rows.iloc[0]
    return (
        f"Of every mm² by which the true areas of two people differ, {method} shows "
        f"{say_number(row['slope'], 2)} mm² (95 % interval {say_number(row['ci_low'], 2)} to "
        f"{say_number(row['ci_high'], 2)}, n = {row['n']:.0f})."
    )


PAIR_NAMES = {"labels": "drawn masks", PROPOSAL: "the proposal"}


def comparison_values(
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
        agreement: From `method_agreement`, indexed by method.
        error_table: From `method_errors`, indexed by method.
        tests: Of the SD over contrasts, from `compare_methods`.
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
    except ValueError:  # data with neither of the two get a sentence all the same
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
        error_table: From `method_errors`.
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
        units: From `units_side_by_side`.
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


def say_reliability(
    table: pd.DataFrame, first: str, second: str, *, names: Mapping[str, str] | None = None
) -> str:
    """One sentence on whether contrasts can stand for one another under two methods.

    Args:
        table: From `contrast_reliability`.
        first: A method.
        second: Another.
        names: Method → how the sentence names it; the method's own name by default.

    Example:
        >>> table = pd.DataFrame({"method": ["a", "b"], "n": [9, 9], "icc": [0.5, 0.99],
        ...     "ci_low": [0.3, 0.98], "ci_high": [0.7, 1.0]})
        >>> say_reliability(table, "a", "b")
        'The intraclass correlation of one contrast with another is 0.50 (95 % interval 0.30 to \
0.70) for a and 0.99 (0.98 to 1.00) for b, over 9 people.'
    """
    rows = table.set_index("method").reindex([first, second])
    if rows["icc"].isna().any():
        return "Too few people have every contrast to tell whether one can stand for another."
    values = [say_number(row.icc, 2) for row in rows.itertuples()]
    ranges = [say_range(row.ci_low, row.ci_high, 2) for row in rows.itertuples()]
    one, other = ((names or {}).get(method, method) for method in (first, second))
    return (
        f"The intraclass correlation of one contrast with another is {values[0]} (95 % interval "
        f"{ranges[0]}) for {one} and {values[1]} ({ranges[1]}) for {other}, over "
        f"{say_count(rows['n'].min())}."
    )


def say_distance(errors: pd.DataFrame | None, methods: Mapping[str, str]) -> str:
    """One sentence on how far methods are from the true area, or that it is not known.

    Args:
        errors: From `csa_error`; None or empty without a truth.
        methods: Method → how the sentence names it, in the plural or not, as it stands.

    Example:
        >>> errors = pd.DataFrame({"method": ["a", "a", "b", "b"], "subject": [1, 2] * 2,
        ...     "error_mm2": [-3.0, 1.0, 1.0, 1.0], "absolute_error_mm2": [3.0, 1.0, 1.0, 1.0]})
        >>> say_distance(errors, {"a": "hard masks", "b": "the soft truth"})
        'From the true area, hard masks are off by 2.0 mm² (mean absolute error; mean error −1.0), \
the soft truth by 1.0 mm² (+1.0).'
    """
    if errors is None or errors.empty:
        return "How far either is from the true area is not known: these data have no true areas."
    measures = ["absolute_error_mm2", "error_mm2"]
    means = errors.groupby(["method", "subject"])[measures].mean().groupby("method").mean()
    said = []
    for method, words in methods.items():
        size, error = means.loc[method]
        signed = say_number(error, signed=True)
        if said:
            said.append(f"{words} by {size:.1f} mm² ({signed})")
        else:
            said.append(
                f"{words} are off by {size:.1f} mm² (mean absolute error; mean error {signed})"
            )
    return f"From the true area, {', '.join(said)}."
