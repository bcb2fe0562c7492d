"""A mask from its grid to where masks are averaged, and the soft truth back.

One interpolation each way, along the cord rather than straight up.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from softseg.errors import InputError
from softseg.ground_truth.alignment import Placed, SliceCentres, centre_by_height, interpolate
from softseg.nifti_header import MAX_VOXELS
from softseg.volume import Volume, samples_within

CHUNK = 100_000
"""Points read at once: bounds the memory."""
REACH_MM = 30.0
"""No cord reaches further from its centreline; what a mask holds beyond is not averaged."""
MAX_POINTS = 6_000_000
"""Reference voxels near the cord, about 400 bytes each with six contrasts: 2.5 GB and a minute or
two. 1 m of a cord in voxels of 0.3 mm has fewer."""


@dataclass(frozen=True, eq=False)
class AveragingGrid:
    """Where masks are averaged: the reference's voxels near the cord, run on beyond its ends.

    Attributes:
        points: `(N, 3)` reference voxels.
        heights: Slices, consecutive.
        centre: `(H + 2, 2)` cord centre at `heights` and one beyond either end.
        first: Reference voxel at the corner of the box around `points`.
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
    def around(
        cls, placed: Mapping[str, Placed], reference: str, heights: np.ndarray
    ) -> "AveragingGrid":
        """The points around masks that were registered on `heights`.

        Raises:
            InputError: If there are more than memory is asked for, `MAX_POINTS`.
        """
        centre = _common_centre(placed, reference, heights)
        spacing = placed[reference].spacing_mm[:2]
        reach_mm = max(_reach_mm(p) for p in placed.values()) + 2 * spacing.max()
        reach = np.ceil(reach_mm / spacing).astype(int)
        _check_size(centre, heights, reach)
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

    def fill(self, values: np.ndarray, covered: np.ndarray) -> tuple[np.ndarray, SliceCentres]:
        """Dense box of `values`, and the centreline to read it along."""
        dense = np.zeros(self.shape, dtype=np.float64)
        dense[tuple((self.points - self.first).T)] = values
        usable = np.zeros(self.shape[2], dtype=bool)
        usable[self.points[covered, 2] - self.first[2]] = True
        line = SliceCentres(usable, usable, self.centre - self.first[:2], np.empty(0))
        return dense, line


def onto_reference(
    placed: Placed, grid: AveragingGrid, trim_mm: float, *, whole_field: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A mask at the points of the average, and which of them it covers after trimming.

    Args:
        placed: The mask, registered.
        grid: Where to read it.
        trim_mm: Left out at either end of the mask.
        whole_field: Slices without any of the mask say "no cord" instead of nothing.
    """
    usable = np.ones_like(placed.line.segmented) if whole_field else None
    offsets = _samples_within(placed.to_native[:3, :3])
    values, share = np.zeros(len(grid.points)), np.zeros(len(grid.points))
    for start in range(0, len(values), CHUNK):
        part = slice(start, start + CHUNK)
        for offset in offsets:
            points = placed.native(grid.points[part] + offset)
            found, inside = sample(placed.mask.data, placed.line, points, usable)
            values[part] += found
            share[part] += inside
    margin = trim_mm / placed.spacing_mm[2]
    low, high = placed.extent[0] + margin, placed.extent[1] - margin
    kept = (grid.points[:, 2] >= low - 1e-6) & (grid.points[:, 2] <= high + 1e-6)
    covered = (share >= len(offsets) / 2) & (kept | whole_field)
    return np.where(covered, values / np.maximum(share, 1), 0), covered


def onto_native(
    placed: Placed,
    grid: AveragingGrid,
    dense: np.ndarray,
    line: SliceCentres,
    mask: Volume,
    oriented: Volume,
    is_reference: bool,
) -> Volume:
    """The soft mask on a contrast's own grid, in its own orientation."""
    data = np.zeros(oriented.data.shape, dtype=np.float32)
    if is_reference:
        low = np.maximum(grid.first, 0)
        high = np.minimum(grid.first + grid.shape, data.shape)
        inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        box = tuple(slice(a - f, b - f) for a, b, f in zip(low, high, grid.first, strict=True))
        data[inside] = dense[box]
    else:
        voxels = _near(placed, grid)
        offsets = _samples_within(np.linalg.inv(placed.to_native)[:3, :3])
        for start in range(0, len(voxels), CHUNK):
            part = voxels[start : start + CHUNK]
            total, share = np.zeros(len(part)), np.zeros(len(part))
            for offset in offsets:
                points = placed.reference(part + offset) - grid.first
                found, inside = sample(dense, line, points)
                # Beside the box nothing is cord; above and below it nothing is known.
                total += found
                share += inside | _beside(points, line)
            known = share >= len(offsets) / 2
            data[tuple(part.T)] = np.where(known, total / np.maximum(share, 1), 0)
    soft = oriented.like(np.clip(data, 0, 1))
    return mask.like(np.ascontiguousarray(soft.oriented(mask.orientation).data))


def sample(
    data: np.ndarray, line: SliceCentres, coordinates: np.ndarray, usable: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolate a mask linearly in the plane, and from slice to slice along its centreline.

    Where the cord is tilted, the sections of two neighbouring thick slices lie millimetres apart;
    blending them straight up would smear the edge between them. Each is moved along the
    centreline to the wanted height first, which is still one interpolation.

    Args:
        data: `(X, Y, Z)`.
        line: Its centreline.
        coordinates: `(N, 3)` in voxels of `data`.
        usable: `(Z,)` slices that say something; by default those with any of the mask in them.

    Returns:
        Values `(N,)`, and whether a point is covered: it lies within the grid and its nearest slice
        is usable.
    """
    usable = line.segmented if usable is None else usable
    nx, ny, nz = data.shape
    i, j, k = coordinates.T
    below = np.floor(k).astype(int)
    centre_here = line.at(k)
    total = np.zeros(len(k))
    weight = np.zeros(len(k))
    for layer in (below, below + 1):
        inside = (layer >= 0) & (layer < nz)
        share = np.where(inside & usable[np.clip(layer, 0, nz - 1)], 1 - np.abs(k - layer), 0)
        moved = line.centre[np.clip(layer, -1, nz) + 1] - centre_here
        points = np.stack([i + moved[:, 0], j + moved[:, 1], np.clip(layer, 0, nz - 1)])
        total += share * ndimage.map_coordinates(data, points, order=1, mode="nearest")
        weight += share
    nearest = np.floor(k + 0.5).astype(int)
    covered = (nearest >= 0) & (nearest < nz) & usable[np.clip(nearest, 0, nz - 1)]
    covered &= (i >= -0.5) & (i < nx - 0.5) & (j >= -0.5) & (j < ny - 0.5)
    covered &= weight > 0
    return np.where(covered, total / np.where(weight > 0, weight, 1), 0), covered


def _samples_within(matrix: np.ndarray) -> np.ndarray:
    """Where within a target voxel to read the source, `(P, 3)` from its centre in target voxels.

    Args:
        matrix: `(3, 3)` source voxels per target voxel.
    """
    axes = [samples_within(step) for step in np.abs(matrix).max(axis=0)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


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


def _check_size(centre: np.ndarray, heights: np.ndarray, reach: np.ndarray) -> None:
    """Refuse points, or a box around them, that would not fit into memory."""
    points = np.pi * float(reach[0]) * float(reach[1]) * len(heights)
    box = float((np.ptp(centre, axis=0) + 2 * reach + 1).prod()) * len(heights)
    if points > MAX_POINTS or box > MAX_VOXELS:
        raise InputError(
            f"the reference's voxels near the cord must be at most {MAX_POINTS:,}, in a box of "
            f"{MAX_VOXELS:,}, found {points:,.0f} and {box:,.0f}; take a coarser --reference"
        )


def beyond_reach(placed: Placed) -> int:
    """How many voxels of a mask lie too far from its centreline to be averaged."""
    return int((_from_centreline_mm(placed) > REACH_MM).sum())


def _from_centreline_mm(placed: Placed) -> np.ndarray:
    """Distance in the plane from the centreline to each voxel of the mask."""
    voxels = np.argwhere(placed.mask.data > 0)
    apart = (voxels[:, :2] - placed.line.at(voxels[:, 2])) * placed.mask.spacing_mm[:2]
    return np.linalg.norm(apart, axis=1)


def _reach_mm(placed: Placed) -> float:
    """Largest distance in the plane from the centreline to a voxel that may be cord."""
    apart_mm = _from_centreline_mm(placed)
    farthest_mm = apart_mm[apart_mm <= REACH_MM].max(initial=0.0)
    return float(farthest_mm + max(placed.mask.spacing_mm[:2]))


def _beside(points: np.ndarray, line: SliceCentres) -> np.ndarray:
    nearest = np.floor(points[:, 2] + 0.5).astype(int)
    return (
        (nearest >= 0)
        & (nearest < len(line.segmented))
        & line.segmented[np.clip(nearest, 0, len(line.segmented) - 1)]
    )


def _near(placed: Placed, grid: AveragingGrid) -> np.ndarray:
    """Native voxels `(M, 3)` that the box around the points may reach."""
    corners = np.stack(
        np.meshgrid(*zip(grid.first - 1, grid.first + grid.shape, strict=True)), axis=-1
    ).reshape(-1, 3)
    found = placed.native(corners.astype(float))
    # Shifts vary along the cord: the box is widened by their range.
    spread = np.abs(placed.to_native[:3, :2]).sum(axis=1) * np.ptp(placed.shift, axis=0).max()
    low = np.maximum(np.floor(found.min(axis=0) - spread - 1).astype(int), 0)
    high = np.minimum(np.ceil(found.max(axis=0) + spread + 2).astype(int), placed.mask.data.shape)
    axes = [np.arange(a, max(a, b)) for a, b in zip(low, high, strict=True)]
    # Within a thick voxel the cord may drift out of the plane of its centre.
    drift = np.abs(np.diff(grid.centre, axis=0) * placed.spacing_mm[:2]).max()
    thickness = placed.mask.spacing_mm[2] / placed.spacing_mm[2]
    margin_mm = drift * thickness + 2 * max(*placed.spacing_mm[:2], *placed.mask.spacing_mm[:2])
    near = [np.empty((0, 3), dtype=int)]
    rows = max(1, CHUNK // max(1, len(axes[1]) * len(axes[2])))
    for start in range(0, len(axes[0]), rows):
        part = [axes[0][start : start + rows], *axes[1:]]
        voxels = np.stack(np.meshgrid(*part, indexing="ij"), axis=-1).reshape(-1, 3)
        near.append(voxels[_apart_mm(placed, grid, voxels) <= grid.reach_mm + margin_mm])
    return np.concatenate(near)


def _apart_mm(placed: Placed, grid: AveragingGrid, voxels: np.ndarray) -> np.ndarray:
    """Distance in the plane from the common centreline to native voxels."""
    points = placed.reference(voxels.astype(float))
    heights = np.arange(grid.heights[0] - 1, grid.heights[-1] + 2)
    centre = np.stack([np.interp(points[:, 2], heights, c) for c in grid.centre.T], axis=-1)
    return np.linalg.norm((points[:, :2] - centre) * placed.spacing_mm[:2], axis=1)
