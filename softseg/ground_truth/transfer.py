"""A mask from its grid to the lattice, and the soft truth back: one interpolation each way."""

import numpy as np

from softseg.ground_truth.alignment import Placed
from softseg.ground_truth.centreline import Centreline
from softseg.ground_truth.lattice import Lattice
from softseg.ground_truth.sampling import sample, subpoints
from softseg.volume import Volume

CHUNK = 100_000
"""Points read at once: bounds the memory."""


def onto_lattice(
    placed: Placed, lattice: Lattice, trim_mm: float, *, whole_field: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A mask at the lattice's points, and which of them it covers after trimming.

    Args:
        placed: The mask, registered.
        lattice: Where to read it.
        trim_mm: Left out at either end of the mask.
        whole_field: Slices without any of the mask say "no cord" instead of nothing.
    """
    usable = np.ones_like(placed.line.segmented) if whole_field else None
    offsets = subpoints(placed.to_native[:3, :3])
    values, share = np.zeros(len(lattice.points)), np.zeros(len(lattice.points))
    for start in range(0, len(values), CHUNK):
        part = slice(start, start + CHUNK)
        for offset in offsets:
            points = placed.native(lattice.points[part] + offset)
            found, inside = sample(placed.mask.data, placed.line, points, usable)
            values[part] += found
            share[part] += inside
    margin = trim_mm / placed.spacing_mm[2]
    low, high = placed.extent[0] + margin, placed.extent[1] - margin
    kept = (lattice.points[:, 2] >= low - 1e-6) & (lattice.points[:, 2] <= high + 1e-6)
    covered = (share >= len(offsets) / 2) & (kept | whole_field)
    return np.where(covered, values / np.maximum(share, 1), 0), covered


def onto_native(
    placed: Placed,
    lattice: Lattice,
    dense: np.ndarray,
    line: Centreline,
    mask: Volume,
    oriented: Volume,
    is_reference: bool,
) -> Volume:
    """The soft mask on a contrast's own grid, in its own orientation."""
    data = np.zeros(oriented.data.shape, dtype=np.float32)
    if is_reference:
        low = np.maximum(lattice.first, 0)
        high = np.minimum(lattice.first + lattice.shape, data.shape)
        inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        box = tuple(slice(a - f, b - f) for a, b, f in zip(low, high, lattice.first, strict=True))
        data[inside] = dense[box]
    else:
        voxels = _near(placed, lattice)
        offsets = subpoints(np.linalg.inv(placed.to_native)[:3, :3])
        for start in range(0, len(voxels), CHUNK):
            part = voxels[start : start + CHUNK]
            total, share = np.zeros(len(part)), np.zeros(len(part))
            for offset in offsets:
                points = placed.lattice(part + offset) - lattice.first
                found, inside = sample(dense, line, points)
                # Beside the box nothing is cord; above and below it nothing is known.
                total += found
                share += inside | _beside(points, line)
            known = share >= len(offsets) / 2
            data[tuple(part.T)] = np.where(known, total / np.maximum(share, 1), 0)
    soft = Volume(np.clip(data, 0, 1), oriented.affine, mask.path, mask.codes)
    return mask.like(np.ascontiguousarray(soft.oriented(mask.orientation).data))


def _beside(points: np.ndarray, line: Centreline) -> np.ndarray:
    nearest = np.floor(points[:, 2] + 0.5).astype(int)
    return (
        (nearest >= 0)
        & (nearest < len(line.segmented))
        & line.segmented[np.clip(nearest, 0, len(line.segmented) - 1)]
    )


def _near(placed: Placed, lattice: Lattice) -> np.ndarray:
    """Native voxels `(M, 3)` that the box around the lattice's points may reach."""
    corners = np.stack(
        np.meshgrid(*zip(lattice.first - 1, lattice.first + lattice.shape, strict=True)), axis=-1
    ).reshape(-1, 3)
    found = placed.native(corners.astype(float))
    # Shifts vary along the cord: the box is widened by their range.
    spread = np.abs(placed.to_native[:3, :2]).sum(axis=1) * np.ptp(placed.shift, axis=0).max()
    low = np.maximum(np.floor(found.min(axis=0) - spread - 1).astype(int), 0)
    high = np.minimum(np.ceil(found.max(axis=0) + spread + 2).astype(int), placed.mask.data.shape)
    axes = [np.arange(a, max(a, b)) for a, b in zip(low, high, strict=True)]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    points = placed.lattice(voxels.astype(float))
    heights = np.arange(lattice.heights[0] - 1, lattice.heights[-1] + 2)
    centre = np.stack([np.interp(points[:, 2], heights, c) for c in lattice.centre.T], axis=-1)
    apart = np.linalg.norm((points[:, :2] - centre) * placed.spacing_mm[:2], axis=1)
    # Within a thick voxel the cord may drift out of the plane of its centre.
    drift = np.abs(np.diff(lattice.centre, axis=0) * placed.spacing_mm[:2]).max()
    thickness = placed.mask.spacing_mm[2] / placed.spacing_mm[2]
    margin_mm = drift * thickness + 2 * max(*placed.spacing_mm[:2], *placed.mask.spacing_mm[:2])
    return voxels[apart <= lattice.reach_mm + margin_mm]
