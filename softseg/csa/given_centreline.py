"""A centreline that is given, by points or by another mask, instead of the mask's own."""

import warnings
from pathlib import Path

import numpy as np

from softseg.csa.centreline import Centreline, fit_centreline
from softseg.csa.oversized import cord_sections
from softseg.csa.region import STEEPEST_DEG, Region, cord_region
from softseg.csa.spline import BENDING, smoother
from softseg.errors import InputError
from softseg.masks import BRIDGE_MM, MaskWarning
from softseg.volume import Volume

FAR_FROM_CORD_MM = 15.0
"""A centreline further from the cord's own is another one's; a cord is 12 mm wide."""
LARGEST_TURN_DEG = 30.0
"""And one that is turned by more than this against it."""
_DIRECTION_MM = 10.0
"""From this length on a cord has a direction of its own to compare with."""
_GIVEN_MM = 1e-4
"""A centreline that is given is followed to this."""


def given_centreline(source: Volume | Path | str, region: Region, own: Centreline) -> Centreline:
    """The centreline of another mask or of a table of points, over the slices of a region.

    Args:
        source: A mask, or the path of a CSV table with columns `x_mm, y_mm, z_mm`.
        region: The cord to be measured.
        own: Its own centreline, beside which the other must run.

    Raises:
        InputError: If the points cannot be read or are no course along the body, or the centreline
            lies more than `FAR_FROM_CORD_MM` from the cord's or `LARGEST_TURN_DEG` off it.

    Warns:
        MaskWarning: If it ends before the cord does.
    """
    if not isinstance(source, Volume) and str(source).endswith(".csv"):
        name, points = str(source), region.from_world(_read_points(Path(source)))
        _check_course(points, region.thickness_mm, name)
    else:
        other = cord_region(source)
        line, name = fit_centreline(cord_sections(other)), other.name
        points = region.from_world(other.to_world(_dense(line)))
    line = centreline_through(points, region.soft.shape[2], region.thickness_mm)
    _check_beside(line, own, points, f"{name}: a centreline must run along {region.name}")
    return line


def centreline_through(points_mm: np.ndarray, n_slices: int, thickness_mm: float) -> Centreline:
    """The centreline through given points, for example of another mask.

    Args:
        points_mm: `(m, 3)` in the region's frame, in order along Z.
        n_slices: Number of slices wanted.
        thickness_mm: Distance between slices.
    """
    order = np.argsort(points_mm[:, 2], kind="stable")
    height, xy = points_mm[order, 2] / thickness_mm, points_mm[order, :2]
    fine = (np.arange(n_slices * 8) + 0.5) / 8 - 0.5
    sampled = np.stack([_interpolate(fine, height, xy[:, axis]) for axis in (0, 1)], axis=-1)
    centres = sampled.reshape(n_slices, 8, 2).mean(axis=1)
    used = np.ones(n_slices, dtype=bool)
    coefficients = smoother(used, _GIVEN_MM, thickness_mm, BENDING)(centres)
    kind = "spline" if n_slices > 1 else "straight"
    return Centreline(coefficients, thickness_mm, _GIVEN_MM, kind, ~used)


def _interpolate(where: np.ndarray, height: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Through the points, all in slices, and straight on beyond the first and the last."""
    low, high = height[0], height[-1]
    if high <= low:
        return np.interp(where, height, value)
    if np.median(np.diff(height)) > 1 + 1e-6:
        return _spline(where, height, value)
    inside = np.interp(where, height, value)
    span = min(5, height.size)
    ends = ((slice(0, span), where < low, 0), (slice(-span, None), where > high, -1))
    for few, beyond, end in ends:
        slope = np.polyfit(height[few], value[few], 1)[0]
        inside[beyond] = value[end] + slope * (where[beyond] - height[end])
    return inside


def _spline(where: np.ndarray, height: np.ndarray, value: np.ndarray) -> np.ndarray:
    """A natural cubic spline: points far apart joined by lines would tilt whole stretches."""
    from scipy.interpolate import CubicSpline  # which a mask alone needs not

    starts = [0]  # points less than a slice apart are one, for their noise is no direction
    for index, one in enumerate(height):
        if one - height[starts[-1]] >= 1:
            starts.append(index)
    count = np.diff([*starts, height.size])
    height, value = (np.add.reduceat(each, starts) / count for each in (height, value))
    curve = CubicSpline(height, value, bc_type="natural")
    nearest = np.clip(where, height[0], height[-1])
    return curve(nearest) + curve(nearest, 1) * (where - nearest)


def _read_points(path: Path) -> np.ndarray:
    import pandas as pd  # takes longer than measuring, and a mask alone needs none

    if not path.exists():
        raise InputError(f"{path}: no such file")
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


def _check_course(points_mm: np.ndarray, thickness_mm: float, name: str) -> None:
    """Refuse points that are no course along the body, or too short a one to have a direction."""
    if len(np.unique(points_mm, axis=0)) < len(points_mm):
        raise InputError(f"{name}: the points of a centreline must differ, found one twice")
    along = np.linalg.svd(points_mm - points_mm.mean(axis=0), full_matrices=False)[2][0, 2]
    turned = float(np.degrees(np.arccos(np.clip(abs(along), 0, 1))))
    if turned > STEEPEST_DEG:
        raise InputError(
            f"{name}: a centreline must run within {STEEPEST_DEG:.0f}° of the slices' normal, "
            f"found {turned:.0f}°"
        )
    length_mm, least_mm = float(np.ptp(points_mm[:, 2])), 2 * thickness_mm
    if length_mm < least_mm - 1e-6:
        raise InputError(
            f"{name}: a centreline must reach over two slices ({least_mm:.3g} mm), found "
            f"{length_mm:.3g} mm"
        )


def _check_beside(line: Centreline, own: Centreline, points_mm: np.ndarray, rule: str) -> None:
    """Refuse a centreline that is not this cord's: too far away, or in another direction."""
    slices = np.arange(own.n_slices)
    cord, given = own.at(slices), line.at(slices)
    low, high = points_mm[:, 2].min(), points_mm[:, 2].max()
    half = own.thickness_mm / 2
    beside = (cord[:, 2] >= low - half) & (cord[:, 2] <= high + half)
    if not beside.any():
        apart = np.linalg.norm(cord[:, None] - points_mm[None], axis=2).min()
        raise InputError(f"{rule}, found {apart:.0f} mm away from it")
    apart = float(np.median(np.linalg.norm((cord - given)[beside], axis=1)))
    if apart > FAR_FROM_CORD_MM:
        raise InputError(f"{rule}, found {apart:.0f} mm away from it")
    if own.kind == "spline" and beside.sum() * own.thickness_mm >= _DIRECTION_MM:
        ours, theirs = (
            np.append(each.at_slices()[1][beside].mean(axis=0), 1.0) for each in (own, line)
        )
        cosine = ours @ theirs / (np.linalg.norm(ours) * np.linalg.norm(theirs))
        turned = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        if turned > LARGEST_TURN_DEG:
            raise InputError(f"{rule}, found turned by {turned:.0f}° against it")
    missing_mm = np.count_nonzero(~beside) * own.thickness_mm
    if missing_mm > BRIDGE_MM + own.thickness_mm:
        warnings.warn(
            f"{rule}; it misses {missing_mm:.0f} mm of it, where it is drawn on straight",
            MaskWarning,
            stacklevel=4,
        )


def _dense(line: Centreline) -> np.ndarray:
    return line.at((np.arange(line.n_slices * 8) + 0.5) / 8 - 0.5)
