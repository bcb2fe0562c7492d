"""What a table of many conditions says: by condition and method, against the reference, in words.

People are the units: images of one person (contrasts, trainings from several seeds) are averaged
first. Failed masks are counted and left out of the means, which would otherwise say more about
where a lost mask happens to lie than about the method.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from softseg_study.evaluation.conditions import CONDITIONS, REFERENCE
from softseg_study.statistics.comparison import compare_methods
from softseg_study.statistics.tracking import area_tracking
from softseg_study.statistics.wording import say_count, say_number, say_range

MEASURES = {
    "absolute_error_percent": "absolute area error (%)",
    "error_percent": "area error, signed (%)",
    "slice_error_percent": "area error of a slice (%)",
    "dice": "Dice",
}
"""Columns of `summarise_conditions` and what they are."""
CAPTIONS = MEASURES | {
    "slope": "Slope of the area on the true area; 1 tells people apart in full",
    "sd_mm2": "SD of a person's errors over contrasts (mm²)",
}
"""What a table of one column says above it."""
_GROUP = ["condition", "method"]


def summarise_conditions(table: pd.DataFrame) -> pd.DataFrame:
    """Means over people of every method under every condition, and how much failed.

    Args:
        table: From `run_conditions`.

    Returns:
        One row a condition and method, in the order of `table`: `people` (with at least one mask
        that did not fail), `images`, `failures`, the columns of `MEASURES`, `slope` of the area on
        the true area over people with `slope_low` and `slope_high` (95 %; `nan` below three
        people), `sd_mm2` (of a person's errors over contrasts in mm², `nan` for one contrast).
    """
    rows = []
    for key, group in table.groupby(_GROUP, sort=False):
        usable = _usable(group)
        people = usable.groupby("subject")[list(MEASURES)].mean()
        row = dict(zip(_GROUP, key, strict=True)) | {
            "people": len(people),
            "images": len(group),
            "failures": int(group["failed"].sum()),
        }
        rows.append(row | people.mean().to_dict() | _slope(usable) | {"sd_mm2": _spread(usable)})
    return pd.DataFrame(rows)


def _usable(table: pd.DataFrame) -> pd.DataFrame:
    found = table[~table["failed"].astype(bool)].dropna(subset=["area_mm2"])
    return found.assign(absolute_error_percent=found["error_percent"].abs())


def _slope(usable: pd.DataFrame) -> dict[str, float]:
    names = {"slope": "slope", "ci_low": "slope_low", "ci_high": "slope_high"}
    if usable["subject"].nunique() < 3:
        return dict.fromkeys(names.values(), np.nan)
    people = usable.groupby(["subject", "method"])[["area_mm2", "truth_mm2"]].mean().reset_index()
    truth = people[["subject"]].assign(area_mm2=people.pop("truth_mm2"))
    found = area_tracking(people.assign(contrast="all"), truth).iloc[0]
    return {new: float(found[old]) for old, new in names.items()}


def _spread(usable: pd.DataFrame) -> float:
    """The true area of an image depends on its slices a little, so errors are compared."""
    errors = usable.assign(error_mm2=usable["area_mm2"] - usable["truth_mm2"])
    errors = errors.groupby(["subject", "seed", "contrast"])["error_mm2"].mean()
    return float(errors.groupby(["subject", "seed"]).std().mean())


def compare_conditions(
    table: pd.DataFrame,
    method: str,
    *,
    value: str = "absolute_error_percent",
    correction: str = "holm",
) -> pd.DataFrame:
    """Does a condition change a method's error? Each against the reference, in the same people.

    Args:
        table: From `run_conditions`.
        method: Which method.
        value: One of `MEASURES`.
        correction: Over the family of all conditions.

    Returns:
        `compare_methods`'s table, a row a condition, with the condition as `method_a` and the
        reference as `method_b`; a condition with fewer than two people is left out.
    """
    usable = _usable(table[table["method"] == method])
    usable = usable.drop(columns="method").rename(columns={"condition": "method"})
    reference = CONDITIONS[REFERENCE].title
    known = usable.groupby("method", sort=False)["subject"].agg(set)
    pairs = [
        (name, reference)
        for name in known.index
        if name != reference and len(known[name] & known.get(reference, set())) > 1
    ]
    if not pairs:
        return pd.DataFrame(columns=["method_a", "method_b", "n", "median_difference", "note"])
    return compare_methods(usable, value, pairs=pairs, correction=correction)


def say_conditions(
    summary: pd.DataFrame, comparisons: pd.DataFrame, method: str, *, alpha: float = 0.05
) -> str:
    """What the conditions do to one method, in a few sentences that follow from the tables.

    Args:
        summary: From `summarise_conditions`.
        comparisons: From `compare_conditions` of the same method.
        method: Which method.
        alpha: Level of the adjusted p.
    """
    own = summary[summary["method"] == method].set_index("condition")
    reference = CONDITIONS[REFERENCE].title
    others = own.drop(index=reference, errors="ignore")
    known = others["absolute_error_percent"].dropna()
    if known.empty or reference not in own.index:
        return f"No mask of {method} is usable, so that nothing can be said of its errors."
    worst, signed = known.idxmax(), own["error_percent"].dropna()
    text = (
        f"The area of {method} is {own.loc[reference, 'absolute_error_percent']:.1f} % off under "
        f"the reference and {known.median():.1f} % in the median of {len(known)} changed "
        f"conditions, at worst {known[worst]:.1f} % ({worst}); with its sign, the mean error runs "
        f"from {say_number(signed.min(), signed=True)} % ({signed.idxmin()}) to "
        f"{say_number(signed.max(), signed=True)} % "
        f"({signed.idxmax()})."
    )
    return f"{text} {_say_tests(comparisons, alpha)} {_say_failures(own)}"


def _say_tests(comparisons: pd.DataFrame, alpha: float) -> str:
    if comparisons.empty:
        return "Too few people for tests."
    small = comparisons["note"].astype(str).str.contains("n too small")
    if small.all():
        return f"With {say_count(comparisons['n'].max())} no test can tell a difference."
    sure = comparisons[(comparisons["p_adjusted"] < alpha) & (comparisons["median_difference"] > 0)]
    if sure.empty:
        return f"No condition has a larger error at an adjusted p below {alpha:g}."
    names = ", ".join(sure["method_a"])
    return f"The error is larger than under the reference (adjusted p < {alpha:g}) for: {names}."


def _say_failures(own: pd.DataFrame) -> str:
    failed = own[own["failures"] > 0]
    total = f"{own['failures'].sum():.0f} of {own['images'].sum():.0f} masks miss the cord"
    if failed.empty:
        return f"None of {own['images'].sum():.0f} masks misses the cord."
    worst = failed["failures"].idxmax()
    return f"{total}, most of them for {worst} ({failed.loc[worst, 'failures']:.0f})."


def say_slopes(summary: pd.DataFrame, method: str) -> str:
    """Over how many conditions areas still follow the people, and where least.

    Args:
        summary: From `summarise_conditions`.
        method: Which method.
    """
    own = summary[summary["method"] == method].dropna(subset=["slope"]).set_index("condition")
    if own.empty:
        return "Too few people to say whether areas follow them."
    slope, lowest = own["slope"], own["slope"].idxmin()
    return (
        f"Of every mm² by which two people differ, {method} shows "
        f"{say_number(slope.median(), 2)} mm² in the median of {len(own)} "
        f"conditions (n = {own['people'].max():.0f}), and least, "
        f"{say_number(slope[lowest], 2)} mm², under: {lowest} (95 % interval "
        f"{say_range(*own.loc[lowest, ['slope_low', 'slope_high']], 2)})."
    )


def wide(summary: pd.DataFrame, value: str, *, titles: Mapping[str, str] | None = None):
    """One measure as a table for reading: conditions down, methods across.

    Args:
        summary: From `summarise_conditions`.
        value: Column shown.
        titles: How methods are written.
    """
    table = summary.pivot_table(
        index="condition", columns="method", values=value, sort=False, dropna=False
    )
    order: Sequence[str] = list(dict.fromkeys(summary["condition"]))
    return table.reindex(order).rename(columns=dict(titles or {}))
