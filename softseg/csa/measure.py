"""One mask in, one table out: a row per slice.

A slab of a tube holds area × length of centreline, so the area perpendicular to the cord is the
slab's volume over the length of centreline inside it. For a tilt by a and b that is the slice's
area over √(1 + tan²a + tan²b), not the product of two cosines.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from softseg.csa.centreline import ENDS, Centreline, fit_centreline
from softseg.csa.columns import Table, filled
from softseg.csa.given_centreline import given_centreline
from softseg.csa.landmark import distance_from
from softseg.csa.levels import (
    Levels,
    level_name,
    levels_from_discs,
    levels_from_mask,
    read_discs,
)
from softseg.csa.norm import PLAUSIBLE_SDS, plausible_area_mm2
from softseg.csa.numbering import check_level_names
from softseg.csa.oversized import LARGEST_RATIO, cord_sections
from softseg.csa.region import Region, cord_region
from softseg.csa.sections import Sections
from softseg.csa.shape import shape_of
from softseg.errors import counted
from softseg.masks import BRIDGE_MM, FAINT, MaskWarning
from softseg.rows import unbroken
from softseg.volume import Volume

COLUMNS = (
    "file", "slice", "level", "area_mm2", "angle_ap_deg", "angle_rl_deg", "diameter_ap_mm",
    "diameter_rl_mm", "eccentricity", "orientation_deg", "solidity", "length_mm", "flag",
    "position", "centre_x_mm", "centre_y_mm", "centre_z_mm", "other_components",
)  # fmt: skip
"""Columns of a table with a row per slice."""

Points = Mapping[int, Sequence[float]]
LARGEST_FAINT_SHARE = 0.03
"""Values below 0.1 make less of an edge's area; more is a background around the cord."""
WHOLE = 0.75
"""A mask in which no value reaches this has other units, or voxels wider than a cord."""
LARGEST_HOLES = 0.05
"""Voxels missed here and there make less of a cord; a cavity that is left out makes more."""
_LARGEST_SHARE = 0.1
"""A cord's bend changes the ratio by a hundredth at most; beyond this the line is not a cord's."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(3)


class MeasurementWarning(MaskWarning):
    """A mask could be measured but holds something the reader should know."""


def measure(
    mask: Volume | Path | str,
    *,
    levels: Volume | Path | str | None = None,
    discs: Volume | Path | str | Points | None = None,
    level_names: str = "softseg",
    landmark_mm: Sequence[float] | None = None,
    centreline: Volume | Path | str | None = None,
    angle_correction: bool = True,
    threshold: float | None = None,
    full_value: float = 1.0,
    shape: bool = True,
    as_columns: bool = False,
) -> Table:
    """Area, angles and shape of the cord in every slice of a mask.

    Slice 0 is the most inferior of the volume in working orientation. Areas are perpendicular to
    the cord and keep partial volume: a voxel half inside counts for half.

    Args:
        mask: Soft or binary mask, values in [0, 1], any orientation.
        levels: Label image with the vertebral level inside the cord (2 = C2), on any grid.
        discs: Posterior disc points: a label image (3 = C2-C3) or a mapping from disc to a point
            in scanner millimetres; two or three are enough, the rest is interpolated.
        level_names: Numbering of `levels` or of an image of `discs`: `softseg` (C1 = 1, T1 = 8),
            `sct` (alike), `totalsegmentator` (C1 = 50, or 25, and down) or `totalspineseg` (C1 =
            11, T1 = 21).
        landmark_mm: A point in scanner millimetres, such as the pontomedullary junction, from which
            distances along the cord are measured.
        centreline: Mask or CSV of points (`x_mm, y_mm, z_mm`) that defines the direction of the
            cord instead of the mask itself.
        angle_correction: False leaves areas in the slice's plane.
        threshold: Binarise the mask: values above it (times `full_value`) become 1.
        full_value: Value of a voxel wholly inside the cord, for a mask of 0 to 255 or 0 to 100.
        shape: False leaves out diameters, eccentricity, orientation and solidity, which take most
            of the time.
        as_columns: Return the columns by name as arrays, missing levels as NaN, without pandas.

    Returns:
        One row per slice with the columns of `COLUMNS`, and `distance_mm` down the cord from the
        landmark where there is one. `level` is missing where none is known,
        `flag` lists what is unusual: `partial` (end slice only partly covered), `gap` (no mask,
        bridged), `cut` (the cord touches the side of the field of view), `outlier` (the centre
        leaves the cord's course, or the area is no cord's, as where a mask leaks), `straight` and
        `uncorrected` (too few slices for a curve, or for any direction), `level-estimated`,
        `background` (low values around the cord add to its area), `implausible` (the level's median
        area is no cord's).

    Raises:
        InputError: If the mask, the level file or the discs cannot be used.

    Example:
        A square of 8 x 8 mm that moves by 1 mm from slice to slice of 5 mm, a tilt of 11.3°:

        >>> data = np.zeros((20, 24, 8))
        >>> for z in range(8):
        ...     data[6:14, 4 + z : 12 + z, z] = 1.0
        >>> table = measure(Volume(data, np.diag([-1.0, 1.0, 5.0, 1.0])))
        >>> table.area_mm2.round(1).unique().tolist(), float(table.angle_rl_deg.mean().round(1))
        ([62.8], 11.3)
    """
    region = cord_region(mask, threshold=threshold, full_value=full_value)
    sections = cord_sections(region)
    own = fit_centreline(sections)
    line = own if centreline is None else given_centreline(centreline, region, own)
    known = _levels(region, line, levels, discs, level_names)
    corrected = angle_correction and line.kind != "none"
    factor = obliquity_factor(line, sections.covariance_mm2) if corrected else 1.0
    area_mm2 = np.where(sections.area_mm2 > 0, sections.area_mm2 / factor, np.nan)
    implausible = _implausible(
        area_mm2, sections.partial | sections.oversized, known.level, region.name
    )
    angle_ap, angle_rl = line.angles_deg()
    centre = region.to_world(line.at(np.arange(line.n_slices)))
    columns = {
        "file": region.name,
        "slice": region.slices,
        "level": np.where(known.level > 0, known.level, np.nan),
        "area_mm2": area_mm2,
        "angle_ap_deg": angle_ap,
        "angle_rl_deg": angle_rl,
        **_shape_columns(region, sections, line, corrected, shape),
        "length_mm": secants(line) * region.thickness_mm,
        "flag": _flags(region, sections, line, known, implausible),
        "position": known.position,
        **{f"centre_{a}_mm": centre[:, i] for i, a in enumerate("xyz")},
        "other_components": region.other_components,
    }
    table = filled(line.n_slices, **{name: columns[name] for name in COLUMNS})
    if landmark_mm is not None:
        table["distance_mm"] = distance_from(landmark_mm, region, line)
    _warn(region, sections, line)
    if as_columns:
        return table
    import pandas as pd

    return pd.DataFrame(table | {"level": pd.array(table["level"], dtype="Int64")})


def secants(line: Centreline) -> np.ndarray:
    """Millimetres of centreline per millimetre of Z in each slice, `(n,)`."""
    speed = np.sqrt(1 + (line.at_slices(_NODES / 2)[1] ** 2).sum(-1))
    return np.einsum("q,qn->n", _WEIGHTS / 2, speed)


def obliquity_factor(line: Centreline, covariance_mm2: np.ndarray) -> np.ndarray:
    """Ratio of a slice's area to the perpendicular area of a bent tube, `(n,)`.

    A tilted slice meets the tube at places whose tilt differs. To second order in the tube's size,
    with slope g, J² = 1 + |g|² and the slice's covariance S, the mean of J over the slice adds
    J' g·S(g' - g (g·g')/J²)/J⁴ + ½ J'' g·S g/J⁴ to J.
    """
    _, slope, second = line.at_slices()
    secant2 = 1 + (slope**2).sum(-1)
    secant = np.sqrt(secant2)
    bend = (slope * second).sum(-1)
    rise = bend / secant
    third = np.diff(line.at_slices(ENDS)[2], axis=0)[0] / line.thickness_mm
    curve = ((second**2).sum(-1) + (slope * third).sum(-1)) / secant - bend**2 / secant**3
    along_slope = np.einsum("nij,nj->ni", covariance_mm2, slope)
    sideways = second - slope * (bend / secant2)[:, None]
    first_order = rise * (along_slope * sideways).sum(-1)
    second_order = 0.5 * curve * (along_slope * slope).sum(-1)
    plain = secants(line)
    limit = _LARGEST_SHARE * plain
    return plain + np.clip((first_order + second_order) / secant2**2, -limit, limit)


def _shape_columns(region, sections, line, corrected, wanted) -> dict[str, np.ndarray]:
    names = (
        "diameter_ap_mm", "diameter_rl_mm", "eccentricity", "orientation_deg", "solidity",
    )  # fmt: skip
    if not wanted:
        return dict.fromkeys(names, np.nan)
    slope = line.at_slices()[1] if corrected else np.zeros((line.n_slices, 2))
    shapes = shape_of(region, sections, slope)
    return {name: getattr(shapes, name) for name in names}


def _implausible(
    area_mm2: np.ndarray, left_out: np.ndarray, level: np.ndarray, name: str
) -> np.ndarray:
    """Slices of levels whose median area no cord has, or all slices where no level is known."""
    marked = np.zeros(area_mm2.size, dtype=bool)
    said = []
    for number in np.unique(level):
        own = level == number
        areas = area_mm2[own & ~left_out & np.isfinite(area_mm2)]
        low, high = plausible_area_mm2(int(number) if number > 0 else None)
        if areas.size and not low <= (median := float(np.median(areas))) <= high:
            marked |= own
            where = f"at {level_name(int(number))}" if number > 0 else "where no level is known"
            said.append(f"{median:.3g} mm² {where} (plausible are {low:.3g} to {high:.3g})")
    if said:
        warnings.warn(
            f"{name}: implausible areas, beyond {PLAUSIBLE_SDS:g} SD of the population: "
            f"{'; '.join(said)}; are the mask, its values and its units right?",
            MeasurementWarning,
            stacklevel=3,
        )
    return marked


def _flags(
    region: Region,
    sections: Sections,
    line: Centreline,
    known: Levels,
    implausible: np.ndarray,
) -> list[str]:
    few = {"none": "uncorrected", "straight": "straight"}.get(line.kind)
    every = np.ones(line.n_slices, dtype=bool)
    marks = {
        "gap": sections.area_mm2 <= 0,
        "partial": sections.partial,
        "cut": region.cut,
        "outlier": line.outliers | sections.oversized,
        few: every,
        "level-estimated": known.estimated & (known.level > 0),
        "background": every & (sections.faint_share > LARGEST_FAINT_SHARE),
        "implausible": implausible,
    }
    marks.pop(None, None)
    return [";".join(m for m, where in marks.items() if where[k]) for k in range(line.n_slices)]


def _levels(region: Region, line: Centreline, levels, discs, level_names: str) -> Levels:
    check_level_names(level_names)
    if levels is not None:
        return levels_from_mask(levels, region, line, level_names=level_names)
    if discs is not None:
        named = {"level_names": level_names}
        points = discs if isinstance(discs, Mapping) else read_discs(discs, **named)
        return levels_from_discs(points, region, line)
    return Levels.unknown(line.n_slices)


def _holes_share(region: Region) -> float:
    """Share of the filled cord that is empty voxels enclosed within its slices."""
    inside = region.soft >= FAINT
    if unbroken(inside):
        return 0.0
    from scipy import ndimage  # 0.2 s at start-up

    within = np.zeros((3, 3, 3), dtype=bool)
    within[[0, 1, 1, 1, 2], [1, 0, 1, 2, 1], 1] = True
    filled = ndimage.binary_fill_holes(inside, structure=within)
    return 1 - float(inside.sum() / filled.sum())


def _warn(region: Region, sections: Sections, line: Centreline) -> None:
    notes = []
    drawn = np.flatnonzero(sections.area_mm2 > 0)
    gaps_mm = (np.diff(drawn) - 1) * region.thickness_mm
    long = gaps_mm[(np.diff(drawn) > 2) & (gaps_mm > BRIDGE_MM + 1e-6)]
    if long.size:
        notes.append(
            f"{region.name}: {counted(long.size, 'gap')} along the cord, of up to "
            f"{long.max():.3g} mm, bridged"
        )
    if sections.oversized.any():
        rows = region.slices[sections.oversized]
        notes.append(
            f"{region.name}: {counted(rows.size, 'slice')} from {rows[0]} to {rows[-1]} "
            f"flagged `outlier`, larger than any cord (above {plausible_area_mm2()[1]:.0f} mm² and "
            f"{LARGEST_RATIO:g} times this mask's median) or beside those and on the way to their "
            "size; does it hold the brain, or leak?"
        )
    if sections.faint_share > LARGEST_FAINT_SHARE:
        notes.append(
            f"{region.name}: values below 0.1 around the cord make {sections.faint_share:.1%} of "
            "its area, more than an edge does; `softseg csa --threshold 0.5` leaves them out"
        )
    highest = float(region.soft.max())
    if highest < WHOLE:
        notes.append(
            f"{region.name}: no voxel is wholly cord, the highest value is {highest:.2g}; if that "
            f"is one, give `softseg csa` --full-value {highest:.2g}"
        )
    holes = _holes_share(region)
    if holes > LARGEST_HOLES:
        notes.append(
            f"{region.name}: holes within slices, or an outline without its inside, make "
            f"{holes:.0%} of the cord and do not count; fill them if they are cord"
        )
    if region.other_components:
        notes.append(
            f"{region.name}: the largest object was measured, {region.other_components} other "
            f"({region.other_volume_mm3:.0f} mm³) left out"
        )
    if line.kind == "straight":
        notes.append(f"{region.name}: too few slices for a curve, a straight line was used")
    if line.kind == "none":
        notes.append(f"{region.name}: one slice has no direction, areas are not angle-corrected")
    for note in notes:
        warnings.warn(note, MeasurementWarning, stacklevel=3)
