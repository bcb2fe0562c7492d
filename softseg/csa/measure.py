"""One mask in, one table out: a row per slice."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from softseg.csa.area import secants, stretch
from softseg.csa.centreline import Centreline, fit, through
from softseg.csa.levels import Levels, levels_from_discs, levels_from_mask, read_discs
from softseg.csa.region import Region, cord_region
from softseg.csa.sections import Sections, sections_of
from softseg.csa.shape import shape_of
from softseg.errors import InputError
from softseg.volume import Volume

COLUMNS = (
    "file", "slice", "level", "area_mm2", "angle_ap_deg", "angle_rl_deg", "diameter_ap_mm",
    "diameter_rl_mm", "eccentricity", "orientation_deg", "solidity", "length_mm", "flag",
    "position", "centre_x_mm", "centre_y_mm", "centre_z_mm", "other_components",
)  # fmt: skip
"""Columns of a table with a row per slice."""

Points = Mapping[int, Sequence[float]]


class MeasurementWarning(UserWarning):
    """A mask could be measured but holds something the reader should know."""


def measure(
    mask: Volume | Path | str,
    *,
    levels: Volume | Path | str | None = None,
    discs: Volume | Path | str | Points | None = None,
    centreline: Volume | Path | str | None = None,
    angle_correction: bool = True,
    threshold: float | None = None,
    shape: bool = True,
) -> pd.DataFrame:
    """Area, angles and shape of the cord in every slice of a mask.

    Slice 0 is the most inferior of the volume in working orientation. Areas are perpendicular to
    the cord and keep partial volume: a voxel half inside counts for half.

    Args:
        mask: Soft or binary mask, values in [0, 1], any orientation.
        levels: Label image with the vertebral level inside the cord (2 = C2), on any grid.
        discs: Posterior disc points: a label image (3 = C2-C3) or a mapping from disc to a point
            in scanner millimetres; two or three are enough, the rest is interpolated.
        centreline: Mask or CSV of points (`x_mm, y_mm, z_mm`) that defines the direction of the
            cord instead of the mask itself.
        angle_correction: False leaves areas in the slice's plane.
        threshold: Binarise the mask: values above it become 1.
        shape: False leaves out diameters, eccentricity, orientation and solidity, which take most
            of the time.

    Returns:
        One row per slice with the columns of `COLUMNS`. `level` is missing where none is known,
        `flag` lists what is unusual: `partial` (end slice only partly covered), `gap` (no mask,
        bridged), `cut` (the cord touches the side of the field of view), `stray` (the centre leaves
        the cord's course, as where a mask leaks), `straight` and `uncorrected` (too few slices for
        a curve, or for any direction), `level-estimated`.

    Raises:
        InputError: If the mask, the level file or the discs cannot be used.

    Example:
        >>> from softseg.phantom.tubes import Curve, Tube, sample
        >>> tube = sample(Tube(Curve(tilt_deg=(0, 20))), (1, 1, 5), length_mm=30)
        >>> table = measure(tube.soft)
        >>> table.area_mm2.round(1).tolist(), table.angle_rl_deg.round(1).tolist()
        ([70.0, 70.0, 70.0, 70.0, 70.0, 70.0], [20.0, 20.0, 20.0, 20.0, 20.0, 20.0])
    """
    region = cord_region(mask, threshold=threshold)
    sections = sections_of(region)
    own = fit(sections)
    line = own if centreline is None else _given_centreline(centreline, region)
    known = _levels(region, line, levels, discs)
    corrected = angle_correction and line.kind != "none"
    ratio = stretch(line, sections.covariance_mm2) if corrected else 1.0
    empty = sections.area_mm2 <= 0
    angle_ap, angle_rl = line.angles_deg()
    centre = region.to_world(line.at(np.arange(line.n_slices)))
    columns = {
        "file": region.name,
        "slice": region.slices,
        "level": pd.array(np.where(known.level > 0, known.level, 0), dtype="Int64"),
        "area_mm2": np.where(empty, np.nan, sections.area_mm2 / ratio),
        "angle_ap_deg": angle_ap,
        "angle_rl_deg": angle_rl,
        **_shape_columns(region, sections, line, corrected, shape),
        "length_mm": secants(line) * region.thickness_mm,
        "flag": _flags(region, sections, line, known),
        "position": known.position,
        **{f"centre_{a}_mm": centre[:, i] for i, a in enumerate("xyz")},
        "other_components": region.other_components,
    }
    table = pd.DataFrame({name: columns[name] for name in COLUMNS})
    table.loc[known.level <= 0, "level"] = pd.NA
    _warn(region, line)
    return table


def _shape_columns(region, sections, line, corrected, wanted) -> dict[str, np.ndarray]:
    names = (
        "diameter_ap_mm", "diameter_rl_mm", "eccentricity", "orientation_deg", "solidity",
    )  # fmt: skip
    if not wanted:
        return dict.fromkeys(names, np.nan)
    slope = line.at_slices()[1] if corrected else np.zeros((line.n_slices, 2))
    shapes = shape_of(region, sections, slope)
    return {name: getattr(shapes, name) for name in names}


def _flags(region: Region, sections: Sections, line: Centreline, known: Levels) -> list[str]:
    few = {"none": "uncorrected", "straight": "straight"}.get(line.kind)
    every = np.ones(line.n_slices, dtype=bool)
    marks = {
        "gap": sections.area_mm2 <= 0,
        "partial": sections.partial,
        "cut": region.cut,
        "stray": line.stray,
        few: every,
        "level-estimated": known.estimated & (known.level > 0),
    }
    marks.pop(None, None)
    return [";".join(m for m, where in marks.items() if where[k]) for k in range(line.n_slices)]


def _read_points(path: Path) -> np.ndarray:
    try:
        points = pd.read_csv(path)
        columns = [c for a in "xyz" for c in points.columns if c.strip() in (a, f"{a}_mm")]
        values = points[columns].to_numpy(dtype=float)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a readable table of points ({error})") from error
    if values.shape[1] != 3 or len(values) < 2 or not np.isfinite(values).all():
        raise InputError(
            f"{path}: a centreline needs columns x_mm, y_mm, z_mm and two or more finite rows, "
            f"found {', '.join(points.columns)} in {len(points)} rows"
        )
    return values


def _levels(region: Region, line: Centreline, levels, discs) -> Levels:
    if levels is not None:
        return levels_from_mask(levels, region, line)
    if discs is not None:
        points = discs if isinstance(discs, Mapping) else read_discs(discs)
        return levels_from_discs(points, region, line)
    return Levels.unknown(line.n_slices)


def _given_centreline(source: Volume | Path | str, region: Region) -> Centreline:
    if not isinstance(source, Volume) and str(source).endswith(".csv"):
        points = _read_points(Path(source))
    else:
        other = cord_region(source)
        points = other.to_world(_dense(fit(sections_of(other))))
    return through(region.from_world(points), region.soft.shape[2], region.thickness_mm)


def _dense(line: Centreline) -> np.ndarray:
    return line.at((np.arange(line.n_slices * 8) + 0.5) / 8 - 0.5)


def _warn(region: Region, line: Centreline) -> None:
    notes = []
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
