"""What a cord's slices hold: area, centre and spread, before any correction for obliquity."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from softseg.csa.region import Region
from softseg.masks import FAINT

PARTIAL = 0.85
"""An end slice with less than this share of the area expected there is only partly covered."""
TRUSTED = 0.97
"""With less than this share its centre is not trusted to lie on the cord's course."""
_REACH_MM = 10.0
_REACH_SLICES = 3
_SCRAP = 0.2
"""What holds less than this share of the next slice, and of the usual one, is no section."""
_FULL = 0.9
"""The mean value within a slice over that of the next ones: less is a slice in part covered."""
_TAPER_PER_MM = 0.01
"""How much smaller than the trend of the next slices a whole section may be, per mm."""
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
        oversized: `(Z,)` slices that hold more than any cord (`softseg.csa.oversized`).
        faint_share: Share of all area that values below 0.1 make.
        softness: Share of the edge that is soft: 0 for a binary mask, 1 for a soft one.
        pixel_mm2: Area of a voxel in its slice.
        thickness_mm: Distance between slices.
    """

    area_mm2: np.ndarray
    centre_mm: np.ndarray
    covariance_mm2: np.ndarray
    partial: np.ndarray
    trusted: np.ndarray
    oversized: np.ndarray
    faint_share: float
    softness: float
    pixel_mm2: float
    thickness_mm: float


def sections_of(region: Region, oversized: np.ndarray | None = None) -> Sections:
    """Sums and moments of every slice of `region`, soft values weighing by their fraction.

    Args:
        region: The cord.
        oversized: `(Z,)` slices that say nothing of the cord; all others are judged without them.
    """
    soft = region.soft
    oversized = np.zeros(soft.shape[2], dtype=bool) if oversized is None else oversized
    core = region.core & ~oversized
    total, mean, spread = _moments(soft)
    plane = region.frame[:2, :2]
    steps = np.arange(soft.shape[2])[:, None] * region.frame[:2, 2]
    area = total * region.pixel_mm2
    fill = np.einsum("ijk,ijk->k", soft, soft) / np.maximum(total, np.finfo(float).tiny)
    drawn = np.flatnonzero(core)
    step_mm = region.thickness_mm * (float(np.median(np.diff(drawn))) if drawn.size > 1 else 1)
    partial = _short_ends(area, core, fill, step_mm, PARTIAL)
    partial |= ~region.core & (area > 0)
    return Sections(
        area_mm2=area,
        centre_mm=mean @ plane.T + steps,
        covariance_mm2=plane @ spread @ plane.T,
        partial=partial,
        trusted=_trusted(area, core, fill, partial, step_mm),
        oversized=oversized,
        faint_share=float(soft[soft < FAINT].sum() / soft.sum()),
        softness=_softness(soft, core, np.median(total[core])),
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
    area: np.ndarray, core: np.ndarray, fill: np.ndarray, step_mm: float, share: float
) -> np.ndarray:
    """Slices at either end that hold clearly less than those further in let expect.

    What is expected follows the trend of the next slices that are not short themselves, since a
    cord may taper to its end; in thick ones it may do so between one slice and the next, and a
    slice that is as full as those (`fill`) is allowed more. Scraps beyond a sudden end are short,
    however many.
    """
    short = np.zeros(area.size, dtype=bool)
    filled = np.flatnonzero(core)
    inner = max(3, round(_INNER_MM / step_mm))
    reach = max(_REACH_SLICES, round(_REACH_MM / step_mm))
    half = (filled.size - 1) // 2
    scrap_mm2 = _SCRAP * np.median(area[filled])
    areas, fills = area.tolist(), fill.tolist()  # of few numbers NumPy is slower than Python
    for order in (filled, filled[::-1]):
        places = order.tolist()
        ends = np.flatnonzero(area[order[:half]] < _SCRAP * area[order[1 : half + 1]])
        scraps = [k + 1 for k in ends if (area[order[: k + 1]] < scrap_mm2).all()]
        first = max(scraps, default=0)
        last = min(half, first + reach) - 1
        further_in, until = places[last + 1 :], last + 1
        for step in range(last, first - 1, -1):
            below = _is_short(places[step], areas, fills, further_in[:inner], step_mm, share)
            until = until if below else step
            # A few per cent are noise: left out, they would make all others short that follow.
            if not below or share >= TRUSTED:
                further_in.insert(0, places[step])
        short[order[:until]] = True
    return short


def _is_short(
    index: int,
    area: Sequence[float],
    fill: Sequence[float],
    next_ones: Sequence[int],
    step_mm: float,
    share: float,
) -> bool:
    """Whether a slice holds less than the next ones, from the nearest on, let expect."""
    there, count = [area[k] for k in next_ones], len(next_ones)
    usual = expected = _median(there)
    if count >= 2:
        away = [abs(k - index) for k in next_ones]
        middle = sum(away) / count
        beside = [k - middle for k in away]  # a straight line through them, in closed form
        rise = sum(k * a for k, a in zip(beside, there, strict=True)) / sum(k * k for k in beside)
        expected = min(usual, max(sum(there) / count - rise * middle, _SCRAP * usual))
    if step_mm > _THICK_MM and fill[index] >= _FULL * _median([fill[k] for k in next_ones]):
        expected *= 1 - min(_TAPER_PER_MM * step_mm, 1 - _SCRAP)
    return area[index] < share * expected


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _trusted(
    area: np.ndarray,
    core: np.ndarray,
    fill: np.ndarray,
    partial: np.ndarray,
    step_mm: float,
) -> np.ndarray:
    whole = core & ~partial
    if not whole.any():
        return area > 0
    if step_mm > _THICK_MM:
        return whole
    # A mask cut across a tilted cord loses one side of its last slices first.
    trusted = whole & ~_short_ends(area, core, fill, step_mm, TRUSTED)
    return trusted if trusted.sum() > whole.sum() / 2 else whole


def _softness(soft: np.ndarray, core: np.ndarray, voxels: float) -> float:
    edge = ((soft > 0.05) & (soft < 0.95)).sum() / max(int(core.sum()), 1)
    return float(min(1.0, edge / max(2 * np.sqrt(np.pi * voxels), 1.0)))
