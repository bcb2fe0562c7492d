"""What a comparison of methods found, as numbers and sentences for the page."""

from collections.abc import Mapping

import pandas as pd

from softseg_study.sentences.common import say_count, say_number, say_p, say_range


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
