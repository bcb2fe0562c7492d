"""Where masks are averaged: the reference's voxels near the cord, run on beyond its ends."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from softseg.ground_truth.alignment import Placed, centre_by_height
from softseg.ground_truth.centreline import Centreline, interpolate


@dataclass(frozen=True, eq=False)
class Lattice:
    """Points near the cord.

    Attributes:
        points: `(N, 3)` lattice voxels.
        heights: Slices, consecutive.
        centre: `(H + 2, 2)` cord centre at `heights` and one beyond either end.
        first: Lattice voxel at the corner of the box around `points`.
        shape: Of that box.
        reach_mm: Distance from `centre` in the plane within which the points lie.
    """

    points: np.ndarray
    heights: np.ndarray
    centre: np.ndarray
    first: np.ndarray
    shape: tuple[int, int, int]
    reach_mm: float

    @classmethod
    def around(cls, placed: Mapping[str, Placed], reference: str, heights: np.ndarray) -> "Lattice":
        """The points around masks that were registered on `heights`."""
        centre = _common_centre(placed, reference, heights)
        spacing = placed[reference].spacing_mm[:2]
        reach_mm = max(_reach_mm(p) for p in placed.values()) + 2 * spacing.max()
        reach = np.ceil(reach_mm / spacing).astype(int)
        window = np.stack(
            np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1
        ).reshape(-1, 2)
        window = window[np.linalg.norm(window * spacing, axis=1) <= reach_mm]
        corner = np.round(centre).astype(int)  # (H, 2)
        plane = (corner[:, None] + window).reshape(-1, 2)
        points = np.column_stack([plane, np.repeat(heights, len(window))])
        first, last = points.min(axis=0), points.max(axis=0)
        beyond = np.concatenate([[heights[0] - 1], heights, [heights[-1] + 1]])
        line = interpolate(heights, centre, beyond)
        return cls(points, heights, line, first, tuple(last - first + 1), reach_mm)

    def fill(self, values: np.ndarray, covered: np.ndarray) -> tuple[np.ndarray, Centreline]:
        """Dense box of `values`, and the centreline to read it along."""
        dense = np.zeros(self.shape, dtype=np.float64)
        dense[tuple((self.points - self.first).T)] = values
        usable = np.zeros(self.shape[2], dtype=bool)
        usable[self.points[covered, 2] - self.first[2]] = True
        line = Centreline(usable, usable, self.centre - self.first[:2], np.empty(0))
        return dense, line


def _common_centre(placed: Mapping[str, Placed], reference: str, heights: np.ndarray) -> np.ndarray:
    """Centre of the reference's mask; beyond its ends that of the contrasts laid upon it."""
    fixed = placed[reference]
    centre = centre_by_height(fixed, heights)
    inside = (heights >= fixed.extent[0]) & (heights <= fixed.extent[1])
    others = np.full((len(placed), len(heights), 2), np.nan)
    for row, one in enumerate(placed.values()):
        there = (heights >= one.extent[0]) & (heights <= one.extent[1])
        others[row, there] = (one.centre + one.shift)[there]
    seen = ~np.isnan(others[..., 0])
    total = (
        np.where(seen[..., None], others, 0).sum(axis=0) / np.maximum(1, seen.sum(axis=0))[:, None]
    )
    use = ~inside & seen.any(axis=0)
    return np.where(use[:, None], total, centre)


def _reach_mm(placed: Placed) -> float:
    """Largest distance in the plane from the centreline to a voxel of the mask."""
    voxels = np.argwhere(placed.mask.data > 0)
    apart = (voxels[:, :2] - placed.line.at(voxels[:, 2])) * placed.mask.spacing_mm[:2]
    return float(np.linalg.norm(apart, axis=1).max() + max(placed.mask.spacing_mm[:2]))
