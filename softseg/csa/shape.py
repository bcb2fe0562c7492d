"""Shape of the cord in the plane perpendicular to it: diameters, orientation, solidity."""

from dataclasses import dataclass

import numpy as np

from softseg.csa.region import Region
from softseg.csa.sections import Sections

STRIP_MM = 3.0
"""Width of the central strip over which the anterior-posterior diameter is averaged."""


@dataclass(frozen=True)
class Shape:
    """One value per slice.

    Attributes:
        diameter_ap_mm: Mean extent across the major axis, over the central 3 mm.
        diameter_rl_mm: Major axis of the ellipse with the same second moments.
        eccentricity: √(1 - (minor/major)²) of that ellipse.
        orientation_deg: Angle of its major axis to the right-left axis in (-90, 90]; positive where
            the subject's left side is turned forward.
        solidity: Area over the area of the convex hull, from the outline at one half.
    """

    diameter_ap_mm: np.ndarray
    diameter_rl_mm: np.ndarray
    eccentricity: np.ndarray
    orientation_deg: np.ndarray
    solidity: np.ndarray


def shape_of(region: Region, sections: Sections, slope: np.ndarray) -> Shape:
    """Shape of every slice after projection onto the plane perpendicular to the cord.

    Soft values weigh by their fraction, so that the shape keeps partial volume as the area does.

    Args:
        region: The cord.
        sections: Its slices.
        slope: `(Z, 2)` slope of the centreline, 0 for no correction.
    """
    projection = _projection(slope)
    moments = projection @ _without_voxel(region, sections, slope) @ projection
    values, vectors = np.linalg.eigh(moments)
    values = np.maximum(values, 0.0)
    minor, major = 4 * np.sqrt(values[:, 0]), 4 * np.sqrt(values[:, 1])
    axis = vectors[:, :, 1] * np.where(vectors[:, :1, 1] < 0, -1.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        eccentricity = np.sqrt(np.maximum(1 - values[:, 0] / values[:, 1], 0.0))
    # A cord is wide: an almost round one may have its longer axis from back to front.
    sideways = np.abs(axis[:, 0]) >= np.abs(axis[:, 1])
    across = np.where(sideways[:, None], axis, np.stack([axis[:, 1], -axis[:, 0]], axis=-1))
    empty = sections.area_mm2 <= 0
    return Shape(
        diameter_ap_mm=np.where(empty, np.nan, _strip(region, sections, projection, across)),
        diameter_rl_mm=np.where(empty, np.nan, np.where(sideways, major, minor)),
        eccentricity=np.where(empty, np.nan, eccentricity),
        orientation_deg=np.where(empty, np.nan, np.degrees(np.arctan2(axis[:, 1], axis[:, 0]))),
        solidity=_solidity(region.soft),
    )


def _projection(slope: np.ndarray) -> np.ndarray:
    """Maps that shorten the direction of tilt by the cosine, `(Z, 2, 2)`."""
    steepness = np.linalg.norm(slope, axis=1)
    direction = slope / np.maximum(steepness, 1e-12)[:, None]
    shortening = 1 - 1 / np.sqrt(1 + steepness**2)
    outer = direction[:, :, None] * direction[:, None, :]
    return np.eye(2) - shortening[:, None, None] * outer


def _without_voxel(region: Region, sections: Sections, slope: np.ndarray) -> np.ndarray:
    """Second moments without the blur of covered fractions: the voxel's own extent."""
    plane = region.frame[:2, :2]
    voxel = plane @ plane.T / 12
    smear = slope[:, :, None] * slope[:, None, :] * region.thickness_mm**2 / 12
    return sections.covariance_mm2 - sections.softness * (voxel + smear)


def _strip(
    region: Region, sections: Sections, projection: np.ndarray, across: np.ndarray
) -> np.ndarray:
    """Area of the central strip over its width."""
    plane = region.frame[:2, :2]
    along = np.einsum("zi,zij,jk->zk", across, projection, plane)  # mm along the axis per voxel
    centre = np.linalg.solve(plane, (sections.centre_mm - _steps(region)).T).T
    i, j = np.arange(region.soft.shape[0]), np.arange(region.soft.shape[1])
    distance = (
        along[:, 0] * (i[:, None] - centre[:, 0])[:, None, :]
        + along[:, 1] * (j[:, None] - centre[:, 1])[None, :, :]
    )
    width = np.abs(along).sum(axis=1)
    inside = np.clip((STRIP_MM / 2 - np.abs(distance)) / width + 0.5, 0.0, 1.0)
    pixel = region.pixel_mm2 * np.abs(np.linalg.det(projection))
    return np.einsum("ijk,ijk->k", region.soft, inside) * pixel / STRIP_MM


def _steps(region: Region) -> np.ndarray:
    return np.arange(region.soft.shape[2])[:, None] * region.frame[:2, 2]


def _solidity(soft: np.ndarray) -> np.ndarray:
    """Area within the outline at one half over that of its convex hull, row by row.

    Rows run along Y; the outline crosses each where the values, linear between voxels, pass one
    half. Both areas are sums of chords over the same rows, so a convex outline has solidity 1
    whatever the voxel. Tilt does not matter: a projection keeps ratios of areas.
    """
    padded = np.pad(soft, ((1, 1), (0, 0), (0, 0))) - 0.5
    before, after = padded[:-1], padded[1:]
    high, low = np.maximum(before, after), np.minimum(before, after)
    crosses = (high > 0) & (low <= 0)
    inside = np.where(low > 0, 1.0, 0.0)
    np.divide(high, high - low, out=inside, where=crosses)
    chord = inside.sum(axis=0)  # (Y, Z)
    cells = np.arange(before.shape[0])[:, None, None]
    position = np.where(before > 0, cells + inside, cells + 1 - inside)
    first = np.where(crosses, position, np.inf).min(axis=0)
    last = np.where(crosses, position, -np.inf).max(axis=0)
    solidity = np.full(soft.shape[2], np.nan)
    for k in range(soft.shape[2]):
        rows = np.flatnonzero(chord[:, k] > 0)
        if rows.size:
            hull = _hull_chords(rows, last[rows, k]) + _hull_chords(rows, -first[rows, k])
            solidity[k] = min(1.0, chord[rows, k].sum() / hull)
    return solidity


def _hull_chords(rows: np.ndarray, edge: np.ndarray) -> float:
    """Sum over all rows of the upper concave envelope of `edge`."""
    kept: list[tuple[int, float]] = []
    for point in zip(rows.tolist(), edge.tolist(), strict=True):
        while len(kept) > 1 and _turns_left(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    corners = np.array(kept)
    every = np.arange(rows[0], rows[-1] + 1)
    return float(np.interp(every, corners[:, 0], corners[:, 1]).sum())


def _turns_left(a: tuple[int, float], b: tuple[int, float], c: tuple[int, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]) >= 0
