"""Where the cord's centre lies in every slice of a mask."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

PARTIAL = 0.5
"""A slice with less than this share of its neighbours' area is partly covered: no centre."""


@dataclass(frozen=True, eq=False)
class Centreline:
    """In-plane centres of a mask's slices, in voxels.

    Attributes:
        segmented: `(K,)` whether the slice holds any of the mask.
        measured: `(K,)` whether its centre was measured; interpolated or extrapolated otherwise.
        centre: `(K + 2, 2)` in-plane centres of slices -1 to K.
        covariance: `(K, 2, 2)` spread of each slice in the plane; NaN if unmeasured.
    """

    segmented: np.ndarray
    measured: np.ndarray
    centre: np.ndarray
    covariance: np.ndarray

    def at(self, k: np.ndarray) -> np.ndarray:
        """Centres at fractional slices `k` (-1 to K), `(..., 2)`."""
        position = np.clip(np.asarray(k, dtype=float) + 1, 0, len(self.centre) - 1)
        below = np.minimum(position.astype(int), len(self.centre) - 2)
        share = (position - below)[..., None]
        return (1 - share) * self.centre[below] + share * self.centre[below + 1]


def find_centreline(mask: np.ndarray) -> Centreline:
    """Centre of mass of every slice of the cord in a binary mask.

    Centres come from the largest connected piece, gaps along the cord bridged, so that stray voxels
    do not pull them; slices with less than half their neighbours' area (partly covered ends) get
    theirs from the line through the neighbours.

    Args:
        mask: `(X, Y, Z)`, 0 and 1, not empty.
    """
    cord = _largest_piece(mask > 0)
    area = cord.sum(axis=(0, 1)).astype(float)
    span = slice(*(np.flatnonzero(area)[[0, -1]] + [0, 1]))
    around = np.zeros_like(area)
    around[span] = ndimage.median_filter(area[span], size=7, mode="mirror")
    measured = (area > 0) & (area >= PARTIAL * around)
    if not measured.any():
        measured = area > 0
    first, second = _moments(cord, np.flatnonzero(measured))
    slices = np.flatnonzero(measured)
    centre = interpolate(slices, first, np.arange(-1, mask.shape[2] + 1))
    covariance = np.full((mask.shape[2], 2, 2), np.nan)
    covariance[slices] = second
    return Centreline((mask > 0).any(axis=(0, 1)), measured, centre, covariance)


def interpolate(position: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Linear interpolation of `(N, C)` values; beyond the ends along the line of the end's slope.

    The end's slope is that of the last three points, so that one noisy end does not swing it.

    Example:
        >>> interpolate(np.array([0, 1, 2]), np.array([[0.0], [1.0], [2.0]]), np.array([3, 0.5]))
        array([[3. ],
               [0.5]])
    """
    position = np.asarray(position, dtype=float)
    wanted = np.asarray(wanted, dtype=float)
    columns = []
    for column in np.asarray(values, dtype=float).T:
        inside = np.interp(wanted, position, column)
        if len(position) > 1:
            for end, beyond in (
                (slice(0, 3), wanted < position[0]),
                (slice(-3, None), wanted > position[-1]),
            ):
                slope = np.polyfit(position[end], column[end], 1)[0]
                anchor = 0 if end.start == 0 else -1
                extended = column[anchor] + slope * (wanted - position[anchor])
                inside = np.where(beyond, extended, inside)
        columns.append(inside)
    return np.stack(columns, axis=-1)


def _largest_piece(mask: np.ndarray) -> np.ndarray:
    bridged = ndimage.binary_dilation(mask, np.ones((1, 1, 3)))
    labels, count = ndimage.label(bridged, np.ones((3, 3, 3)))
    if count <= 1:
        return mask
    sizes = np.bincount(labels[mask], minlength=count + 1)
    return mask & (labels == sizes.argmax())


def _moments(cord: np.ndarray, slices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres `(N, 2)` and covariances `(N, 2, 2)` of slices, in voxels."""
    voxels = np.argwhere(cord).astype(float)
    index = voxels[:, 2].astype(int)
    count = np.maximum(1, np.bincount(index, minlength=cord.shape[2]))

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(index, values, minlength=cord.shape[2]) / count

    centre = np.stack([mean(voxels[:, 0]), mean(voxels[:, 1])], axis=-1)
    apart = voxels[:, :2] - centre[index]
    second = np.stack(
        [mean(apart[:, a] * apart[:, b]) for a in (0, 1) for b in (0, 1)], axis=-1
    ).reshape(-1, 2, 2)
    return centre[slices], second[slices]
