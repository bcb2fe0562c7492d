"""Putting structures over one another so that their fractions add up to 1."""

import numpy as np

from softseg.phantom.tissues import INDEX


def coverage(distance_mm: np.ndarray, extent_mm: float) -> np.ndarray:
    """Fraction of a point of some extent that lies inside an edge at a signed distance.

    Example:
        >>> coverage(np.array([-1.0, 0.0, 0.25, 2.0]), 1.0)
        array([1. , 0.5 , 0.25, 0. ])
    """
    return np.clip(0.5 - distance_mm / extent_mm, 0, 1)


class Composite:
    """Voxels that are filled from the front: what comes first hides what comes later."""

    def __init__(self, fractions: np.ndarray) -> None:
        """Start with empty voxels.

        Args:
            fractions: `(T, V)` where the result is written.
        """
        fractions[:] = 0
        self.fractions = fractions
        self.left = np.ones(fractions.shape[1], np.float32)

    def add(self, tissue: str, fraction: np.ndarray, index: np.ndarray) -> None:
        """Put a fraction of the whole voxel, not of what is left, into the voxels of `index`."""
        left = self.left[index]
        fraction = np.minimum(fraction, left)
        self.fractions[INDEX[tissue], index] += fraction
        self.left[index] = left - fraction

    def put(self, tissue: str, covered: np.ndarray, index: np.ndarray) -> None:
        """Cover part of what is left of the voxels of `index`."""
        hit = np.flatnonzero(covered)
        if len(hit):
            index = index[hit]
            self.add(tissue, covered[hit].astype(np.float32) * self.left[index], index)

    def finish(self, background: str) -> None:
        """What is left is `background`."""
        self.fractions[INDEX[background]] += self.left
