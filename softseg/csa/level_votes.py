"""Which label of an image a slice of the cord has: the one that most of its voxels have."""

import nibabel as nib
import numpy as np

from softseg.csa.centreline import Centreline
from softseg.csa.region import Region
from softseg.volume import Volume


def vote_inside(volume: Volume, region: Region) -> np.ndarray:
    """`(Z,)` most frequent label of the cord's voxels in each slice, 0 where none has any."""
    voxels = np.argwhere(region.soft >= 0.5)
    if voxels.size == 0:
        voxels = np.argwhere(region.soft > 0)
    world = nib.affines.apply_affine(region.affine, voxels + region.start)
    index = np.round(nib.affines.apply_affine(np.linalg.inv(volume.affine), world)).astype(int)
    inside = ((index >= 0) & (index < volume.data.shape)).all(axis=1)
    labels = np.zeros(len(voxels), dtype=int)
    labels[inside] = volume.data[tuple(index[inside].T)]
    return _mode(voxels[:, 2], labels, region.soft.shape[2])


def vote_beside(
    volume: Volume,
    where: np.ndarray,
    values: np.ndarray,
    region: Region,
    line: Centreline,
    *,
    within_mm: float,
) -> np.ndarray:
    """Most frequent label of each slice among voxels near the cord, such as those of a vertebra.

    Args:
        volume: The image of labels.
        where: `(n, 3)` its labelled voxels.
        values: `(n,)` their labels.
        region: The cord.
        line: Its centreline.
        within_mm: How far from it a voxel counts.

    Returns:
        `(Z,)` 0 where there is none.
    """
    points = region.from_world(nib.affines.apply_affine(volume.affine, where))
    slices = np.round(points[:, 2] / region.thickness_mm).astype(int)
    inside = (slices >= 0) & (slices < line.n_slices)
    centre = line.at(np.arange(line.n_slices))
    near = np.linalg.norm(points[inside] - centre[slices[inside]], axis=1) <= within_mm
    return _mode(slices[inside][near], values[inside][near], line.n_slices)


def _mode(slices: np.ndarray, labels: np.ndarray, n_slices: int) -> np.ndarray:
    votes = np.zeros((n_slices, int(labels.max(initial=0)) + 1))
    np.add.at(votes, (slices, labels), 1)
    votes[:, 0] = 0
    return votes.argmax(axis=1)
