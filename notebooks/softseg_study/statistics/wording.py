"""A test's outcome as a sentence, so that no conclusion is typed by hand."""

import math
from collections.abc import Iterable

import pandas as pd


def say_number(value: float, places: int = 1, *, signed: bool = False) -> str:
    """A number in a sentence: with a true minus sign, and no sign on what rounds to nothing.

    Args:
        value: The number.
        places: Decimals.
        signed: Whether a positive number has a plus sign.

    Example:
        >>> say_number(-4.71), say_number(2.2, signed=True), say_number(-0.001)
        ('−4.7', '+2.2', '0.0')
    """
    text = f"{abs(value):,.{places}f}"
    if not text.strip("0.,"):
        return text
    return f"−{text}" if value < 0 else f"{'+' if signed else ''}{text}"


def say_range(low: float, high: float, places: int = 1) -> str:
    """Both ends of an interval.

    Example:
        >>> say_range(-0.52, 1.25, 2)
        '−0.52 to 1.25'
    """
    return f"{say_number(low, places)} to {say_number(high, places)}"


def say_count(number: float, one: str = "person", more: str = "people") -> str:
    """How many of something there are.

    Example:
        >>> say_count(1), say_count(24), say_count(1, "image", "images")
        ('1 person', '24 people', '1 image')
    """
    return f"{number:,.0f} {one if number == 1 else more}"


def say_names(names: Iterable[str], *, most: int = 3) -> str:
    """A list of names as long as a reader follows it, and how many more there are.

    Args:
        names: The first ones are named.
        most: How many of them.

    Example:
        >>> say_names(["a", "b", "c"]), say_names("abcde")
        ('a, b, c', 'a, b, c and 2 more')
    """
    names = [str(name) for name in names]
    more = len(names) - most
    return f"{', '.join(names[:most])} and {more} more" if more > 0 else ", ".join(names)


def say_values(values: pd.Series) -> str:
    """How often each value is there.

    Example:
        >>> say_values(pd.Series(["GE", "Siemens", "GE"]))
        'GE 2, Siemens 1'
    """
    return ", ".join(f"{value} {n}" for value, n in values.value_counts().sort_index().items())


def say_p(p: float) -> str:
    """A p-value as one writes it.

    Example:
        >>> say_p(0.0004), say_p(0.0312), say_p(0.4)
        ('p < 0.001', 'p = 0.031', 'p = 0.40')
    """
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def say_comparison(
    tests: pd.DataFrame,
    better: str,
    worse: str,
    *,
    what: str = "spread",
    unit: str = "mm²",
    alpha: float = 0.05,
) -> str:
    """One sentence on whether a method has the smaller value, whichever way it came out.

    Args:
        tests: From `compare_methods`.
        better: The method expected to have the smaller value.
        worse: The other.
        what: What was compared.
        unit: Its unit.
        alpha: Level of the adjusted p.

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
    if row["p_adjusted"] >= alpha:
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


def say_response(responses: pd.DataFrame, method: str) -> str:
    """One sentence on how much of a true loss of area a method shows.

    Args:
        responses: From `atrophy_response`; empty where no visits with a known loss were measured.
        method: Which row.

    Example:
        >>> row = {"method": "a", "n": 9, "response": 0.5, "ci_low": 0.3, "ci_high": 0.7}
        >>> say_response(pd.DataFrame([row]), "a")
        'Of a true loss of area, a shows 0.50 (95 % interval 0.30 to 0.70, n = 9; 1 is all of it).'
    """
    rows = responses[responses["method"] == method] if len(responses) else responses
    if rows.empty or rows["response"].isna().all():
        return f"How much of a true loss {method} shows is not known: no such visits were measured."
    row = rows.iloc[0]
    return (
        f"Of a true loss of area, {method} shows {say_number(row['response'], 2)} (95 % interval "
        f"{say_range(row['ci_low'], row['ci_high'], 2)}, n = {row['n']:.0f}; 1 is all of it)."
    )


def say_cost(
    sizes: pd.DataFrame,
    method: str,
    *,
    atrophy_percent: float,
    study: str = "longitudinal",
    masks: str = "",
) -> str:
    """One sentence on what contrasts that are not held fixed cost a study.

    Args:
        sizes: From `sample_size_table`.
        method: Whose masks.
        atrophy_percent: Loss to be seen.
        study: `longitudinal` or `cross-sectional`.
        masks: How the sentence names the method's masks.
    """
    masks = masks or f"masks of {method}"
    rows = sizes[(sizes["method"] == method) & (sizes.get("atrophy_percent") == atrophy_percent)]
    if rows.empty:
        return f"What a study with {masks} needs is not known: too few people."
    rows = rows.set_index("design")
    names, between = {
        "longitudinal": (("same contrast", "different contrasts"), "two visits"),
        "cross-sectional": (("one contrast", "mixed contrasts"), "two groups"),
    }[study]
    one, mixed = (rows.loc[f"{study}, {name}"] for name in names)
    said = (
        f"With {masks}, a loss of {atrophy_percent:g} % between {between} takes "
        f"{_say_people(one)} per arm in one contrast and {_say_people(mixed)} in {names[1]}"
    )
    people = 2 * (float(mixed["n_per_arm"]) - float(one["n_per_arm"]))
    if not math.isfinite(people):
        return f"{said}."
    hours = mixed["scanner_hours"] - one["scanner_hours"]
    return f"{said}: for both arms {people:,.0f} more people and {hours:,.0f} more scanner hours."


def _say_people(row: pd.Series) -> str:
    if math.isinf(row["n_per_arm"]):
        return "no number of people"
    said = say_count(row["n_per_arm"])
    if math.isnan(row["ci_low"]):
        return said
    high = "any number" if math.isinf(row["ci_high"]) else f"{row['ci_high']:,.0f}"
    return f"{said} (95 % interval {row['ci_low']:,.0f} to {high})"
