"""What of a soft mask is one cord: its component, its gaps, its uncertain slices."""

from itertools import pairwise

import numpy as np
from scipy import ndimage

from softseg.masks import BRIDGE_MM, cord_component
from softseg.volume import Spacing

SMALLEST_MM2 = 12.0
"""A section this small is no cord: C1 to T12 measure 35 to 90 mm²."""
SHORTEST_MM = (8.0, 15.0)
"""Less of it is no cord in any image, or in one of 25 mm and more: a cervical vertebra and its disc
are 15 mm high."""
DRIFT_MM = 4.0
"""Distance along the body over which a mask's drift is judged."""
STEEPEST_DRIFT = 0.8
"""Millimetres a mask may move in the slice per millimetre along the body, in the median: real
cords move 0.02 to 0.42, what networks see in noise 0.9 to 3."""
UNSTEADY = 0.1
UNSTEADY_PER_MM = 0.04
"""No cord's area changes by more than both from slice to slice, in the median. Masks of real cords
change by 0.3 to 3 % between slices of 1 to 3 mm, and by 1 to 14 % between slices of 5 mm; what
networks see in a limb by 5 to 50 % over 3 mm."""
FEWEST_PAIRS = 5
"""Pairs of neighbouring slices below which a change of area says nothing."""


def largest_component(soft: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """The cord in a network's output (`softseg.masks.cord_component`), 0 elsewhere.

    A network that drops a single slice cuts the cord in two; without bridging the smaller half
    would be thrown away.

    Args:
        soft: `(X, Y, Z)` in working orientation, values in [0, 1].
        spacing_mm: Voxel size.

    Example:
        >>> soft = np.zeros((9, 9, 6), np.float32)
        >>> soft[1:4, 1:4, [0, 1, 3, 4]] = 1.0
        >>> soft[7, 7, :] = 1.0
        >>> kept = largest_component(soft, (1.0, 1.0, 2.0))
        >>> kept[2, 2].tolist(), kept[7, 7].sum().item()
        ([1.0, 1.0, 0.0, 1.0, 1.0, 0.0], 0.0)
    """
    cord = cord_component(soft, spacing_mm, torn=True)
    return np.zeros_like(soft) if cord is None else cord.restored(soft)


def is_cord(soft: np.ndarray, spacing_mm: Spacing) -> bool:
    """Whether a component is a cord.

    A cord has at least `SMALLEST_MM2` of values above one half in its section, neither jumps about
    nor swells and shrinks from slice to slice, and is at least as long as `shortest_mm`.

    Args:
        soft: `(X, Y, Z)` in working orientation.
        spacing_mm: Voxel size.

    Example:
        >>> soft = np.zeros((20, 20, 12), np.float32)
        >>> soft[5:13, 5:13] = 1.0
        >>> is_cord(soft, (1.0, 1.0, 1.0)), is_cord(soft, (0.2, 0.2, 1.0))
        (True, False)
    """
    areas, cord = _sections(soft, spacing_mm)
    if len(cord) * spacing_mm[2] < shortest_mm(soft.shape[2] * spacing_mm[2]) - 1e-6:
        return False
    return not (_jumps(soft, spacing_mm, cord) or _unsteady(areas, spacing_mm[2], cord))


def uncertain_slices(soft: np.ndarray, spacing_mm: Spacing) -> tuple[int, ...]:
    """Slices within a cord's extent that are empty, faint, or of a size unlike their neighbours'.

    Args:
        soft: `(X, Y, Z)` in working orientation, before gaps are filled.
        spacing_mm: Voxel size.

    Returns:
        Indices along Z, ascending.

    Example:
        >>> soft = np.zeros((20, 20, 12), np.float32)
        >>> soft[5:13, 5:13] = 1.0
        >>> soft[:, :, 4] = 0.0
        >>> uncertain_slices(soft, (1.0, 1.0, 1.0))
        (4,)
    """
    areas, cord = _sections(soft, spacing_mm)
    if not len(cord):
        return ()
    extent = np.arange(cord[0], cord[-1] + 1)
    width = max(3, 2 * round(10 / spacing_mm[2]) + 1)
    usual = ndimage.median_filter(areas[extent], size=min(width, len(extent)), mode="nearest")
    odd = ~np.isin(extent, cord) | (np.abs(areas[extent] - usual) > 0.35 * usual)
    return tuple(int(z) for z in extent[odd])


def shortest_mm(height_mm: float) -> float:
    """Less of it is no cord: 8 mm, or the whole of a lower image; 15 mm from 25 mm of image on.

    Args:
        height_mm: Of the image along the body.

    Example:
        >>> [shortest_mm(height) for height in (5.0, 10.0, 20.0, 200.0)]
        [5.0, 8.0, 12.0, 15.0]
    """
    return max(min(SHORTEST_MM[0], height_mm), min(SHORTEST_MM[1], 0.6 * height_mm))


def _sections(soft: np.ndarray, spacing_mm: Spacing) -> tuple[np.ndarray, np.ndarray]:
    """Area of each slice, and the slices that are surely cord; wide faint background is none."""
    pixel_mm2 = spacing_mm[0] * spacing_mm[1]
    sure_mm2 = (soft > 0.5).sum(axis=(0, 1)) * pixel_mm2
    return soft.sum(axis=(0, 1)) * pixel_mm2, np.flatnonzero(sure_mm2 >= SMALLEST_MM2)


def _jumps(soft: np.ndarray, spacing_mm: Spacing, cord: np.ndarray) -> bool:
    step = max(1, round(DRIFT_MM / spacing_mm[2]))
    first = cord[np.isin(cord + step, cord)]
    if not len(first):
        return False
    needed = np.union1d(first, first + step)
    chosen = soft[:, :, needed]
    weight = chosen.sum(axis=(0, 1))
    x, y = (np.arange(n) * mm for n, mm in zip(soft.shape[:2], spacing_mm[:2], strict=True))
    centre = np.stack([x @ chosen.sum(axis=1), y @ chosen.sum(axis=0)]) / weight
    before, after = (np.searchsorted(needed, z) for z in (first, first + step))
    moved_mm = np.hypot(*(centre[:, after] - centre[:, before]))
    return bool(np.median(moved_mm) > STEEPEST_DRIFT * step * spacing_mm[2])


def _unsteady(areas: np.ndarray, step_mm: float, cord: np.ndarray) -> bool:
    first = cord[np.isin(cord + 1, cord)]
    if len(first) < FEWEST_PAIRS:
        return False
    change = np.abs(areas[first + 1] - areas[first]) / ((areas[first + 1] + areas[first]) / 2)
    return bool(np.median(change) > max(UNSTEADY, UNSTEADY_PER_MM * step_mm))


def fill_gaps(soft: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """Slices that the network dropped inside the cord, interpolated between their neighbours.

    Gaps longer than `softseg.masks.BRIDGE_MM` stay empty.

    Args:
        soft: `(X, Y, Z)` in working orientation, one component.
        spacing_mm: Voxel size.

    Example:
        >>> soft = np.ones((5, 5, 3), np.float32)
        >>> soft[:, :, 1] = 0.0
        >>> fill_gaps(soft, (2.0, 2.0, 2.0))[2, 2].tolist()
        [1.0, 1.0, 1.0]
    """
    _, good = _sections(soft, spacing_mm)
    filled = soft
    for below, above in pairwise(good):
        gap = int(above - below - 1)
        if not 0 < gap * spacing_mm[2] <= BRIDGE_MM + 1e-6:
            continue
        if filled is soft:
            filled = soft.copy()
        for z in range(below + 1, above):
            share = (z - below) / (above - below)
            between = (1 - share) * soft[:, :, below] + share * soft[:, :, above]
            filled[:, :, z] = np.maximum(filled[:, :, z], between)
    return filled
