"""From a row per slice to a row per mask or per level."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from softseg.errors import InputError

DEFAULT_VERTEBRAE = (2, 3)
"""Levels C2 and C3, where the field measures the cervical cord."""
MEASURES = (
    "area_mm2", "angle_ap_deg", "angle_rl_deg", "diameter_ap_mm", "diameter_rl_mm", "eccentricity",
    "orientation_deg", "solidity",
)  # fmt: skip


def aggregate(
    table: pd.DataFrame,
    *,
    vertebrae: tuple[int, int] | None = None,
    slices: tuple[int, int] | None = None,
    distance_mm: tuple[float, float] | None = None,
    per_level: bool = False,
    partial: bool = False,
    outliers: bool = False,
) -> pd.DataFrame:
    """Mean, spread and number of slices of each file, or of each level of each file.

    Without a choice, levels C2 and C3 are taken where levels are known, else all slices.

    Args:
        table: What `measure` returned, of one or several files.
        vertebrae: First and last level, inclusive.
        slices: First and last slice, inclusive.
        distance_mm: From where to where down the cord from a landmark, by the slices' middles.
        per_level: A row per level instead of one per file.
        partial: Whether partly covered end slices count; by default they do not.
        outliers: Whether slices count whose centre leaves the cord's course, or whose area is no
            cord's; by default they do not, since that is where a mask leaks or misses a part.

    Returns:
        `file, level, slice, n_slices, n_left_out` (of those two kinds), each measure under the name
        that it has in a row per slice, here the mean over slices, and its population SD as `…_std`,
        `area_mm2_median`, `area_mm2_weighted` (by length of cord), `length_mm`, `flag`, which has
        `incomplete` where the slices averaged do not hold all of the distance chosen, and the mean
        `distance_mm` where that was measured.

    Raises:
        InputError: If a choice leaves no slice, or two choices are given.

    Example:
        >>> table = pd.DataFrame({"file": "a", "slice": [0, 1], "level": [3, 2],
        ...     "area_mm2": [70.0, 72.0], "length_mm": 5.0, "flag": ""})
        >>> aggregate(table)[["level", "slice", "n_slices", "area_mm2", "area_mm2_std"]]
          level slice  n_slices  area_mm2  area_mm2_std
        0   2:3   0:1         2      71.0           1.0
    """
    rows = []
    for file, one in table.groupby("file", sort=False):
        chosen, label = _choose(one, str(file), vertebrae, slices, distance_mm, per_level)
        left_out = [f for f, kept in (("partial", partial), ("outlier", outliers)) if not kept]
        usable = whole_slices(chosen, left_out)
        if usable.empty:
            raise InputError(f"{file}: no whole slice is left to average of those chosen")
        if per_level:
            own = dict(iter(chosen.groupby("level")))
            groups = [(k, one, own[k]) for k, one in usable.groupby("level", sort=True)]
        else:
            groups = [(label, usable, chosen)]
        rows += [_row(str(file), *group) for group in groups]
        if distance_mm is not None and _missing_mm(usable, *distance_mm) > 0:
            rows[-1]["flag"] = ";".join(filter(None, (rows[-1]["flag"], "incomplete")))
    return pd.DataFrame(rows)


def select(
    table: pd.DataFrame,
    *,
    vertebrae: tuple[int, int] | None = None,
    slices: tuple[int, int] | None = None,
    distance_mm: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """The rows of chosen levels, slices or distances of each file; all without a choice.

    Slices without a mask, as between those of a mask that is drawn on every tenth, have no row.

    Raises:
        InputError: If a choice leaves a file without rows, or two choices are given.
    """
    table = table[table["area_mm2"].notna()].reset_index(drop=True)
    if vertebrae is None and slices is None and distance_mm is None:
        return table
    chosen = [
        _choose(one, str(file), vertebrae, slices, distance_mm, False)[0]
        for file, one in table.groupby("file", sort=False)
    ]
    return pd.concat(chosen, ignore_index=True)


def _choose(one, file, vertebrae, slices, distance_mm, per_level) -> tuple[pd.DataFrame, str]:
    choices = {"slices": slices, "vertebrae": vertebrae, "a distance": distance_mm}
    given = [name for name, choice in choices.items() if choice is not None]
    if len(given) > 1:
        raise InputError(f"choose {' or '.join(given)}, not both")
    if per_level and distance_mm is not None:
        raise InputError("choose a distance or a row per level, not both")
    known = one["level"].dropna()
    if not given and not per_level and not known.empty:
        vertebrae = DEFAULT_VERTEBRAE
    if vertebrae is not None:
        first, last = vertebrae
        chosen, label = (
            one[one["level"].between(first, last).fillna(False).astype(bool)],
            f"{first}:{last}",
        )
        found = f"levels {known.min()} to {known.max()}" if not known.empty else "no level known"
    elif given:
        column = "slice" if slices is not None else "distance_mm"
        first, last = slices if slices is not None else distance_mm
        chosen = one[one[column].between(first, last)]
        inside = chosen["level"].dropna()
        label = "" if inside.empty else f"{inside.min()}:{inside.max()}"
        found = f"{given[0]} {one[column].min():.3g} to {one[column].max():.3g}"
    else:
        chosen, label = (one.dropna(subset=["level"]), "") if per_level else (one, "")
        found = "no level known"
    if chosen.empty:
        if not given and vertebrae is None:
            raise InputError(
                f"{file}: a row per level needs levels, found {found}; --levels, --discs or --disc "
                "give them"
            )
        wanted = f"vertebrae {label}" if vertebrae else given[0]
        raise InputError(f"{file}: {wanted} must be on the cord, found {found}")
    return chosen, label


def _missing_mm(usable: pd.DataFrame, first: float, last: float) -> float:
    """How much of a length of cord the slices leave out, beyond half a slice at either end."""
    lengths = usable["length_mm"]
    return last - first - float(lengths.sum() + lengths.max())


def whole_slices(
    table: pd.DataFrame, left_out: Sequence[str] = ("partial", "outlier")
) -> pd.DataFrame:
    """Rows with an area and without flags of slices that do not hold a whole section."""
    usable = table[table["area_mm2"].notna()]
    flagged = [usable["flag"].str.contains(flag, regex=False) for flag in left_out]
    return usable[~np.logical_or.reduce(flagged)] if flagged else usable


def _row(file: str, level: object, group: pd.DataFrame, chosen: pd.DataFrame) -> dict[str, object]:
    """Figures of the usable slices of a group, and the flags of all slices chosen for it."""
    row: dict[str, object] = {
        "file": file,
        "level": level,
        "slice": f"{group['slice'].min()}:{group['slice'].max()}",
        "n_slices": len(group),
        "n_left_out": int(chosen["area_mm2"].notna().sum()) - len(group),
    }
    for name in (m for m in MEASURES if m in group):
        values = group[name].to_numpy(dtype=float)
        row[name] = values.mean()
        row[f"{name}_std"] = values.std()
        if name == "area_mm2":
            row["area_mm2_median"] = float(np.median(values))
            row["area_mm2_weighted"] = float(np.average(values, weights=group["length_mm"]))
    row["length_mm"] = group["length_mm"].sum()
    if "distance_mm" in group:
        row["distance_mm"] = group["distance_mm"].mean()
    if "level_confidence" in group:
        row["level_confidence"] = group["level_confidence"].min()
    row["flag"] = ";".join(sorted({f for flag in chosen["flag"] for f in flag.split(";") if f}))
    return row
