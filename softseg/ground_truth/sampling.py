"""Reading a mask at points between its voxels, along the cord rather than straight up."""

import numpy as np
from scipy import ndimage

from softseg.ground_truth.centreline import Centreline


def sample(
    data: np.ndarray, line: Centreline, coordinates: np.ndarray, usable: np.ndarray | None = None
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


def subpoints(matrix: np.ndarray) -> np.ndarray:
    """Where within a target voxel to read the source, so that thicker voxels average it.

    As many points along each axis of the target as source voxels fit into its voxel.

    Args:
        matrix: `(3, 3)` source voxels per target voxel.

    Returns:
        `(P, 3)` offsets from the target voxel's centre, in target voxels.

    Example:
        >>> subpoints(np.diag([1.0, 1.0, 2.0]))
        array([[ 0.  ,  0.  , -0.25],
               [ 0.  ,  0.  ,  0.25]])
    """
    step = np.abs(matrix).max(axis=0)
    counts = np.maximum(1, np.ceil(step - 1e-3)).astype(int)
    axes = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
