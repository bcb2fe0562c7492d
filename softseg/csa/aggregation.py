"""From a row per slice to a row per mask or per level."""

from collections.abc import Sequence

import numpy as np

from softseg.csa.columns import Columns, Table, columns_of, like, where
from softseg.errors import InputError

DEFAULT_VERTEBRAE = (2, 3)
"""Levels C2 and C3, where the field measures the cervical cord."""
MEASURES = (
    "area_mm2", "angle_ap_deg", "angle_rl_deg", "diameter_ap_mm", "diameter_rl_mm", "eccentricity",
    "orientation_deg", "solidity",
)  # fmt: skip


def aggregate(
    table: Table,
    *,
    vertebrae: tuple[int, int] | None = None,
    slices: tuple[int, int] | None = None,
    distance_mm: tuple[float, float] | None = None,
    per_level: bool = False,
    partial: bool = False,
    outliers: bool = False,
) -> Table:
    """Mean, spread and number of slices of each file, or of each level of each file.

    Without a choice, levels C2 and C3 are taken where levels are known, else all slices.

    Args:
        table: What `measure` returned, of one or several files: a `DataFrame` or its columns.
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
        >>> import pandas as pd
        >>> table = pd.DataFrame({"file": "a", "slice": [0, 1], "level": [3, 2],
        ...     "area_mm2": [70.0, 72.0], "length_mm": 5.0, "flag": ""})
        >>> aggregate(table)[["level", "slice", "n_slices", "area_mm2", "area_mm2_std"]]
          level slice  n_slices  area_mm2  area_mm2_std
        0   2:3   0:1         2      71.0           1.0
    """
    rows, columns = [], columns_of(table)
    for file, own in _rows_of_files(columns).items():
        one = where(columns, own)
        marked, label = _choose(one, file, vertebrae, slices, distance_mm, per_level)
        chosen = where(one, marked)
        left_out = [f for f, kept in (("partial", partial), ("outlier", outliers)) if not kept]
        usable = whole_slices(chosen, left_out)
        if not usable["area_mm2"].size:
            raise InputError(f"{file}: no whole slice is left to average of those chosen")
        groups = [(label, usable, chosen)]
        if per_level:
            groups = [
                (int(k), *(where(each, _numbers(each, "level") == k) for each in (usable, chosen)))
                for k in np.unique(_numbers(usable, "level"))
            ]
        rows += [_row(file, *group) for group in groups]
        if distance_mm is not None and _missing_mm(usable, *distance_mm) > 0:
            rows[-1]["flag"] = ";".join(filter(None, (rows[-1]["flag"], "incomplete")))
    return like(table, rows)


def select(
    table: Table,
    *,
    vertebrae: tuple[int, int] | None = None,
    slices: tuple[int, int] | None = None,
    distance_mm: tuple[float, float] | None = None,
) -> Table:
    """The rows of chosen levels, slices or distances of each file; all without a choice.

    Slices without a mask, as between those of a mask that is drawn on every tenth, have no row.

    Raises:
        InputError: If a choice leaves a file without rows, or two choices are given.
    """
    columns = columns_of(table)
    rows = np.flatnonzero(~np.isnan(_numbers(columns, "area_mm2")))
    if (vertebrae, slices, distance_mm) != (None, None, None):
        chosen = [
            rows[own][_choose(where(columns, rows[own]), file, vertebrae, slices, distance_mm)[0]]
            for file, own in _rows_of_files(where(columns, rows)).items()
        ]
        rows = np.concatenate(chosen)
    taken = where(table, rows)
    return taken if isinstance(taken, dict) else taken.reset_index(drop=True)


def _rows_of_files(columns: Columns) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, file in enumerate(columns["file"].tolist()):
        rows.setdefault(str(file), []).append(row)
    return rows


def _numbers(columns: Columns, name: str) -> np.ndarray:
    """A column of numbers as floats, NaN where one is missing."""
    return columns[name].astype(float)


def _choose(
    one: Columns, file: str, vertebrae, slices, distance_mm, per_level: bool = False
) -> tuple[np.ndarray, str]:
    """Which rows of a file are chosen, and how their levels are called."""
    choices = {"slices": slices, "vertebrae": vertebrae, "a distance": distance_mm}
    given = [name for name, choice in choices.items() if choice is not None]
    if len(given) > 1:
        raise InputError(f"choose {' or '.join(given)}, not both")
    if per_level and distance_mm is not None:
        raise InputError("choose a distance or a row per level, not both")
    level = _numbers(one, "level")
    has_level = ~np.isnan(level)
    label, found = "", "no level known"
    if not given and not per_level and has_level.any():
        vertebrae = DEFAULT_VERTEBRAE
    if vertebrae is not None:
        first, last = vertebrae
        chosen, label = (level >= first) & (level <= last), f"{first}:{last}"
        if has_level.any():
            found = f"levels {_ends(level[has_level], ' to ')}"
    elif given:
        values = _numbers(one, "slice" if slices is not None else "distance_mm")
        first, last = slices if slices is not None else distance_mm
        chosen = (values >= first) & (values <= last)
        if (inside := level[chosen & has_level]).size:
            label = _ends(inside, ":")
        found = f"{given[0]} {values.min():.3g} to {values.max():.3g}"
    else:
        chosen = np.ones(level.size, dtype=bool)
    if per_level and chosen.any() and not (chosen := chosen & has_level).any():
        raise InputError(
            f"{file}: a row per level needs levels, found no level known; --levels, --discs or "
            "--disc give them"
        )
    if not chosen.any():
        wanted = f"vertebrae {label}" if vertebrae else given[0]
        raise InputError(f"{file}: {wanted} must be on the cord, found {found}")
    return chosen, label


def _ends(numbers: np.ndarray, between: str) -> str:
    return f"{numbers.min():.0f}{between}{numbers.max():.0f}"


def _missing_mm(usable: Columns, first: float, last: float) -> float:
    """How much of a length of cord the slices leave out, beyond half a slice at either end."""
    lengths = usable["length_mm"]
    return last - first - float(lengths.sum() + lengths.max())


def whole_slices(table: Table, left_out: Sequence[str] = ("partial", "outlier")) -> Table:
    """Rows with an area and without flags of slices that do not hold a whole section."""
    columns = columns_of(table)
    whole = [not any(flag in str(flags) for flag in left_out) for flags in columns["flag"]]
    return where(table, np.array(whole, dtype=bool) & ~np.isnan(_numbers(columns, "area_mm2")))


def _row(file: str, level: object, group: Columns, chosen: Columns) -> dict[str, object]:
    """Figures of the usable slices of a group, and the flags of all slices chosen for it."""
    row: dict[str, object] = {
        "file": file,
        "level": level,
        "slice": f"{group['slice'].min()}:{group['slice'].max()}",
        "n_slices": group["slice"].size,
        "n_left_out": int((~np.isnan(chosen["area_mm2"])).sum()) - group["slice"].size,
    }
    for name in (m for m in MEASURES if m in group):
        values = _numbers(group, name)
        row[name] = values.mean()
        row[f"{name}_std"] = values.std()
        if name == "area_mm2":
            row["area_mm2_median"] = float(np.median(values))
            row["area_mm2_weighted"] = float(np.average(values, weights=group["length_mm"]))
    row["length_mm"] = group["length_mm"].sum()
    if "distance_mm" in group:
        row["distance_mm"] = group["distance_mm"].mean()
    if "level_confidence" in group:
        row["level_confidence"] = np.fmin.reduce(group["level_confidence"])
    flags = [flag for flag in chosen["flag"] if isinstance(flag, str)]  # NaN in a table read again
    row["flag"] = ";".join(sorted({f for flag in flags for f in flag.split(";") if f}))
    return row
