"""Vertebral level of each slice: from a labelled mask, from disc points, or from a few landmarks.

Level k reaches from disc k, at its top, down to disc k + 1; disc 3 lies between C2 and C3. A disc
belongs to the point of the centreline nearest to it, and a slice to the first disc at or above it.
Discs that nobody marked are placed between and beyond those marked, along the cord, by the
population's level lengths.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np

from softseg.csa.centreline import Centreline
from softseg.csa.level_votes import vote_beside, vote_inside
from softseg.csa.norm import PLAUSIBLE_SDS, norm_areas_mm2, plausible_area_mm2
from softseg.csa.numbering import like_totalspineseg, read_labels
from softseg.csa.region import Region
from softseg.errors import InputError
from softseg.masks import MaskWarning
from softseg.volume import Volume

FAR_MM = 40.0
"""A disc point further than this from the cord belongs to another image."""
_BEYOND_MM = 80.0
_POINT_VOXELS = 100
_BLOB_MM = 5.0
"""Voxels of a disc further apart than this, and than neighbours are, lie in two places."""
_MIXED_MM = 5.0
"""Labels of bodies that lie obliquely mix this far at their borders."""
_LENGTH_SD = 0.055
"""Of the length of several vertebrae over its mean: adults' height varies by as much."""
_LOWEST = 22
"""No cord reaches below L3."""


@dataclass(frozen=True)
class Levels:
    """Level and place within it, per slice.

    Attributes:
        level: `(Z,)` 2 = C2, 8 = T1; 0 where unknown.
        position: `(Z,)` 0 at the top of the level, 1 at its bottom; NaN where unknown.
        estimated: `(Z,)` True where a border of the level comes from the population's lengths.
    """

    level: np.ndarray
    position: np.ndarray
    estimated: np.ndarray

    @classmethod
    def unknown(cls, n_slices: int) -> "Levels":
        """No level for any slice."""
        return cls(np.zeros(n_slices, int), np.full(n_slices, np.nan), np.zeros(n_slices, bool))


def level_name(level: int) -> str:
    """What a level's number stands for.

    Example:
        >>> level_name(2), level_name(8), level_name(20), level_name(25)
        ('C2', 'T1', 'L1', 'S1')
    """
    for first, letter in ((25, "S"), (20, "L"), (8, "T"), (1, "C")):
        if level >= first:
            return f"{letter}{level - first + 1}"
    raise ValueError(f"levels begin at 1 = C1, found {level}")


def disc_name(disc: int) -> str:
    """Between which vertebrae a disc lies: disc k at the top of level k.

    Example:
        >>> disc_name(3), disc_name(8), disc_name(1)
        ('C2-C3', 'C7-T1', 'top of C1')
    """
    return f"{level_name(disc - 1)}-{level_name(disc)}" if disc > 1 else "top of C1"


@cache
def level_lengths_mm() -> dict[int, float]:
    """Length of each vertebral level along the cord, from C1 (1) downwards, population mean."""
    text = files("softseg").joinpath("data/level_lengths.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    return {int(row[0]): float(row[1]) for row in rows[1:]}


def levels_from_discs(
    points_mm: Mapping[int, Sequence[float]], region: Region, line: Centreline
) -> Levels:
    """Levels from points on discs.

    Args:
        points_mm: Disc (3 = C2-C3) to its point in scanner millimetres.
        region: The cord.
        line: Its centreline.

    Raises:
        InputError: If no point is given, one lies far from the cord, or their order along the cord
            contradicts their numbers.
    """
    known = {int(k): p for k, p in points_mm.items() if int(k) in _depths()}
    if not known:
        raise InputError(
            f"{region.name}: levels need at least one disc numbered 1 to 21, found none"
        )
    numbers = sorted(known)
    places = region.from_world(np.array([known[k] for k in numbers], dtype=float))
    heights, curve, lengths = along_cord(line)
    apart = np.linalg.norm(places[:, None] - curve[None], axis=2)
    nearest = apart.argmin(axis=1)
    for number, distance in zip(numbers, apart.min(axis=1), strict=True):
        if distance > FAR_MM:
            raise InputError(
                f"{region.name}: disc {number} must lie near the cord, found {distance:.0f} mm away"
            )
    at = lengths[nearest]
    if (np.diff(at) >= 0).any():
        raise InputError(
            f"{region.name}: discs must descend along the cord, found "
            + ", ".join(f"{k} at {s:.0f} mm" for k, s in zip(numbers, at, strict=True))
        )
    slices = np.interp(np.arange(line.n_slices), heights, lengths)
    return _between(slices, _all_discs(dict(zip(numbers, at, strict=True))), set(numbers))


def levels_from_mask(
    labels: Volume | Path | str,
    region: Region,
    line: Centreline,
    *,
    level_names: str = "softseg",
) -> Levels:
    """Levels from an image whose values are levels, on the mask's grid or another.

    A slice takes the level that most of its cord has; where the cord has none, the level that most
    labelled voxels of the slice have.

    Args:
        labels: The image.
        region: The cord.
        line: Its centreline.
        level_names: Numbering of the image (`softseg.csa.numbering`).

    Raises:
        InputError: If the image holds no labels, something else than labels, points instead of an
            area, none of its labels lies beside the cord, or they do not descend along it.
    """
    volume = read_labels(labels, level_names=level_names)
    name = str(volume.path or "levels")
    where = np.argwhere(volume.data > 0)
    values = volume.data[tuple(where.T)].astype(int)
    if where.shape[0] < 4 * np.unique(values).size:
        raise InputError(f"{name}: levels must cover the cord, found single points; use --discs")
    level = vote_inside(volume, region)
    missing = level == 0
    if missing.any():
        beside = vote_beside(volume, where, values, region, line, within_mm=FAR_MM)
        level[missing] = beside[missing]
    if not level.any():
        raise InputError(f"{name}: no label lies on the slices of {region.name}; wrong level file?")
    _check_order(level, region.thickness_mm, name)
    heights, _, lengths = along_cord(line)
    slices = np.interp(np.arange(line.n_slices), heights, lengths)
    if level_names == "softseg":
        _check_numbering(level, _borders(level, slices), region, name)
    return _with_positions(level, slices)


def _check_numbering(
    level: np.ndarray, borders: Mapping[int, float], region: Region, name: str
) -> None:
    """Doubt levels that could be TotalSpineSeg's: C1 to C7 are 11 to 17 there, T1 is 21.

    They are refused where no cord has them as they are named here, and said otherwise.
    """
    found = set(level[level > 0].tolist())
    if not like_totalspineseg(found):
        return
    first, last = min(found), max(found)
    named = level_name(first) if first == last else f"{level_name(first)} to {level_name(last)}"
    advice = "TotalSpineSeg's, from 11 = C1 and 21 = T1 on, are read with --level-names"
    if first < 18 and last > 20:
        raise InputError(
            f"{name}: levels follow one another, found 17 beside 21; {advice} totalspineseg"
        )
    doubt = f"a cord ends above {level_name(_LOWEST + 1)}" if last > _LOWEST else None
    if doubt := doubt or _too_short_and_large(level, borders, region):
        raise InputError(
            f"{name}: found {named}, but {doubt}; {advice} totalspineseg, and with sct as {named}"
        )
    warnings.warn(f"{name}: read as {named}; {advice} totalspineseg", MaskWarning, stacklevel=5)


def _too_short_and_large(
    level: np.ndarray, borders: Mapping[int, float], region: Region
) -> str | None:
    """Why levels named T4 to T10 are C1 to C7: both length and area say so, or nothing does.

    Children have thoracic levels as short as cervical ones of adults, but no cord as large; a
    swollen cord has levels of the usual length. Levels cut by either end of the file do not count.
    """
    whole = [k for k in borders if k + 1 in borders]
    if len(whole) < 2:
        return None
    found_mm = sum(borders[k] - borders[k + 1] for k in whole)
    ours_mm, theirs_mm = (sum(level_lengths_mm()[k - less] for k in whole) for less in (0, 10))
    spread = PLAUSIBLE_SDS * _LENGTH_SD
    area_mm2 = np.median(region.soft[:, :, level > 0].sum(axis=(0, 1))) * region.pixel_mm2
    largest_mm2 = plausible_area_mm2(max(norm_areas_mm2()))[1]
    fits = found_mm < (1 - spread) * ours_mm and abs(found_mm / theirs_mm - 1) <= spread
    if not (fits and area_mm2 > largest_mm2):
        return None
    return (
        f"{len(whole)} of them are {found_mm:.0f} mm long (usual are {ours_mm:.0f}) and hold a "
        f"cord of {area_mm2:.0f} mm² (at most {largest_mm2:.0f})"
    )


def _check_order(level: np.ndarray, thickness_mm: float, name: str) -> None:
    """Refuse levels that ascend along the cord, or of which one lies in two places."""
    rows = {int(k): np.flatnonzero(level == k) for k in np.unique(level[level > 0])}
    for number, own in rows.items():
        between = level[own[0] : own[-1] + 1]
        others = np.count_nonzero((between > 0) & (between != number))
        if others > max(1, _MIXED_MM / thickness_mm):
            raise InputError(
                f"{name}: a level has one place along the cord, found {level_name(number)} "
                f"({number}) in two with {others} slices of others between"
            )
    for upper, lower in pairwise(rows):
        if np.median(rows[upper]) <= np.median(rows[lower]):
            raise InputError(
                f"{name}: levels must descend along the cord, found {level_name(lower)} ({lower}) "
                f"above {level_name(upper)} ({upper}); is the file upside down, or its numbering "
                "another one (--level-names)?"
            )


def read_discs(
    source: Volume | Path | str, *, level_names: str = "softseg"
) -> dict[int, np.ndarray]:
    """Points of a disc label image in scanner millimetres; a blob counts as its centre.

    Raises:
        InputError: If it holds no labels, areas instead of points, or a number in several places.
    """
    volume = read_labels(source, level_names=level_names, discs=True)
    name = str(volume.path or "discs")
    where = np.argwhere(volume.data > 0)
    values = volume.data[tuple(where.T)].astype(int)
    if where.shape[0] > _POINT_VOXELS * np.unique(values).size:
        raise InputError(f"{name}: discs must be points, found areas; use --levels")
    points = nib.affines.apply_affine(volume.affine, where)
    discs = {int(k): points[values == k] for k in np.unique(values)}
    reach_mm = max(_BLOB_MM, float(np.linalg.norm(volume.spacing_mm)) + 1e-3)
    for number, own in discs.items():
        gaps_mm = np.zeros(1)
        if len(own) > 1:
            from scipy.cluster.hierarchy import linkage  # a fifth of a second that few need

            gaps_mm = linkage(own, "single")[:, 2]
        if (places := 1 + np.count_nonzero(gaps_mm > reach_mm)) > 1:
            raise InputError(
                f"{name}: disc {number} lies in {'two' if places == 2 else places} places, "
                f"{gaps_mm.max():.0f} mm apart; each disc has a number of its own (3 = C2-C3)"
            )
    return {number: own.mean(axis=0) for number, own in discs.items()}


def along_cord(line: Centreline) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slice coordinate, place and length along the cord at fine steps, ends drawn out straight."""
    beyond = _BEYOND_MM / line.thickness_mm
    count = int(np.ceil((line.n_slices + 2 * beyond) * line.thickness_mm / 0.25))
    heights = np.linspace(-beyond, line.n_slices - 1 + beyond, count)
    curve = line.at(heights)
    steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    return heights, curve, np.concatenate([[0.0], np.cumsum(steps)])


@cache
def _depths() -> dict[int, float]:
    """Distance of each disc below the top of C1 in the population."""
    depths, depth = {}, 0.0
    for level, length in level_lengths_mm().items():
        depths[level] = depth
        depth += length
    depths[max(depths) + 1] = depth
    return depths


def _all_discs(known: Mapping[int, float]) -> dict[int, float]:
    """Place of every disc along the cord from those known, by the population's lengths."""
    depths = _depths()
    numbers = np.array(sorted(known))
    depth = np.array([depths[k] for k in numbers])
    at = np.array([known[k] for k in numbers])
    scale = (at[0] - at[-1]) / (depth[-1] - depth[0]) if numbers.size > 1 else 1.0
    every = np.array(list(depths.values()))
    place = np.interp(every, depth, at)
    place += scale * (np.maximum(depth[0] - every, 0) - np.maximum(every - depth[-1], 0))
    return dict(zip(depths, place, strict=True))


def _between(slices: np.ndarray, discs: Mapping[int, float], marked: set[int]) -> Levels:
    numbers = np.array(list(discs))
    places = np.array(list(discs.values()))  # descending
    index = np.searchsorted(-places, -(slices + 1e-6), side="right") - 1
    known = (index >= 0) & (index < numbers.size - 1)
    index = np.clip(index, 0, numbers.size - 2)
    position = (places[index] - slices) / (places[index] - places[index + 1])
    level = np.where(known, numbers[index], 0)
    sure = np.isin(level, list(marked)) & np.isin(level + 1, list(marked))
    return Levels(level, np.where(known, np.clip(position, 0, 1), np.nan), known & ~sure)


def _borders(level: np.ndarray, slices: np.ndarray) -> dict[int, float]:
    """Top of each level below another, halfway between slices of different levels."""
    borders = {}
    for number in np.unique(level[level > 0]):
        here, above = np.flatnonzero(level == number), np.flatnonzero(level == number - 1)
        if above.size and int(number) in _depths():
            borders[int(number)] = (slices[here].max() + slices[above].min()) / 2
    return borders


def _with_positions(level: np.ndarray, slices: np.ndarray) -> Levels:
    """Place within each level."""
    borders = _borders(level, slices)
    position = np.full(level.size, np.nan)
    if borders and (np.diff([borders[k] for k in sorted(borders)]) < 0).all():
        discs = _all_discs(borders)
        known = np.isin(level, list(discs)) & np.isin(level + 1, list(discs))
        top = np.array([discs.get(int(k), np.nan) for k in level])
        bottom = np.array([discs.get(int(k) + 1, np.nan) for k in level])
        inside = (top - slices) / (top - bottom)
        position[known] = np.clip(inside[known], 0.0, 1.0)
    return Levels(level, position, np.zeros(level.size, dtype=bool))
