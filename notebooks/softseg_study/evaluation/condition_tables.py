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
from softseg_study.statistics.variability import area_tracking

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
    correction: str = "holm",
) -> pd.DataFrame:
    """Does a condition change a method's error? Each against the reference, in the same people.

    Args:
        table: From `run_conditions`.
        method: Which method.
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
    return compare_methods(usable, "absolute_error_percent", pairs=pairs, correction=correction)


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
