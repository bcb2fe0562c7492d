"""What of a soft mask is one cord: its component, without gaps."""

from itertools import pairwise

import numpy as np

from softseg.masks import BRIDGE_MM, cord_component
from softseg.volume import Spacing

SMALLEST_MM2 = 12.0
"""A section this small is no cord: C1 to T12 measure 35 to 90 mm²."""


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
    sure_mm2 = (soft > 0.5).sum(axis=(0, 1)) * spacing_mm[0] * spacing_mm[1]
    good = np.flatnonzero(sure_mm2 >= SMALLEST_MM2)  # wide faint background is no section
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
