"""What a study needs, and what of a loss a method shows, as sentences."""

import math

import pandas as pd

from softseg_study.sentences.common import say_count, say_number, say_range


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
