"""The slices of a cord: area, centre and spread, before any correction for obliquity."""

from dataclasses import dataclass

import numpy as np

from softseg.csa.region import Region

PARTIAL = 0.85
"""An end slice with less than this share of the area expected there is only partly covered."""
TRUSTED = 0.97
"""With less than this share its centre is not trusted to lie on the cord's course."""
_REACH_MM = 10.0
_INNER_MM = 8.0
_THICK_MM = 2.5


@dataclass(frozen=True)
class Sections:
    """What each slice of a region holds, in the region's frame.

    Attributes:
        area_mm2: `(Z,)` area in the slice's own plane.
        centre_mm: `(Z, 2)` centre of mass; NaN in an empty slice.
        covariance_mm2: `(Z, 2, 2)` second moments about it.
        partial: `(Z,)` True for partly covered slices at an end.
        trusted: `(Z,)` slices whose centre says where the cord runs.
        softness: Share of the edge that is soft: 0 for a binary mask, 1 for a soft one.
        pixel_mm2: Area of a voxel in its slice.
        thickness_mm: Distance between slices.
    """

    area_mm2: np.ndarray
    centre_mm: np.ndarray
    covariance_mm2: np.ndarray
    partial: np.ndarray
    trusted: np.ndarray
    softness: float
    pixel_mm2: float
    thickness_mm: float


def sections_of(region: Region) -> Sections:
    """Sums and moments of every slice of `region`, soft values weighing by their fraction."""
    soft = region.soft
    total, mean, spread = _moments(soft)
    plane = region.frame[:2, :2]
    steps = np.arange(soft.shape[2])[:, None] * region.frame[:2, 2]
    area = total * region.pixel_mm2
    partial = _short_ends(area, region.core, region.thickness_mm, PARTIAL)
    partial |= ~region.core & (area > 0)
    return Sections(
        area_mm2=area,
        centre_mm=mean @ plane.T + steps,
        covariance_mm2=plane @ spread @ plane.T,
        partial=partial,
        trusted=_trusted(area, region.core, partial, region.thickness_mm),
        softness=_softness(soft, region.core, np.median(total[region.core])),
        pixel_mm2=region.pixel_mm2,
        thickness_mm=region.thickness_mm,
    )


def _moments(soft: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum `(Z,)`, mean `(Z, 2)` and covariance `(Z, 2, 2)` in voxels of the slices."""
    along_x, along_y = soft.sum(axis=1), soft.sum(axis=0)
    i, j = np.arange(soft.shape[0], dtype=float), np.arange(soft.shape[1], dtype=float)
    total = along_x.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.stack([i @ along_x, j @ along_y], axis=-1) / total[:, None]
        spread = np.empty((total.size, 2, 2))
        spread[:, 0, 0] = (i**2) @ along_x / total - mean[:, 0] ** 2
        spread[:, 1, 1] = (j**2) @ along_y / total - mean[:, 1] ** 2
        mixed = i @ np.tensordot(soft, j, axes=(1, 0)) / total - mean[:, 0] * mean[:, 1]
    spread[:, 0, 1] = spread[:, 1, 0] = mixed
    return total, mean, np.where(np.isfinite(spread), spread, 0.0)


def _short_ends(
    area: np.ndarray, core: np.ndarray, thickness_mm: float, share: float
) -> np.ndarray:
    """Slices at either end that hold clearly less than those further in let expect.

    What is expected follows the trend of the next slices, since a cord may taper to its end.
    """
    short = np.zeros(area.size, dtype=bool)
    filled = np.flatnonzero(core)
    inner = max(3, round(_INNER_MM / thickness_mm))
    limit = min(max(1, round(_REACH_MM / thickness_mm)), (filled.size - 1) // 2)
    for order in (filled, filled[::-1]):
        for step in range(limit):
            next_area = area[order[step + 1 : step + 1 + inner]]
            expected = float(np.median(next_area))
            if next_area.size >= 3:
                place = np.arange(next_area.size) - (next_area.size - 1) / 2
                trend = (place @ next_area) / (place @ place)
                expected = min(expected, float(next_area.mean() - trend * (place[-1] + 1)))
            if area[order[step]] >= share * expected:
                break
            short[order[step]] = True
    return short


def _trusted(
    area: np.ndarray, core: np.ndarray, partial: np.ndarray, thickness_mm: float
) -> np.ndarray:
    whole = core & ~partial
    if not whole.any():
        return area > 0
    if thickness_mm > _THICK_MM:
        return whole
    # A mask cut across a tilted cord loses one side of its last slices first.
    trusted = whole & ~_short_ends(area, core, thickness_mm, TRUSTED)
    return trusted if trusted.sum() > whole.sum() / 2 else whole


def _softness(soft: np.ndarray, core: np.ndarray, voxels: float) -> float:
    edge = ((soft > 0.05) & (soft < 0.95)).sum() / max(int(core.sum()), 1)
    return float(min(1.0, edge / max(2 * np.sqrt(np.pi * voxels), 1.0)))
