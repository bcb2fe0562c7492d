"""Placing each contrast's mask on the reference: header first, then slice by slice in the plane.

Everything here is in *reference* voxels: those of the reference in working orientation, run on
beyond its ends where another contrast shows more of the cord. Only the relation between grids
enters, so that a common change of all headers changes nothing.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from softseg.masks import cord_component
from softseg.volume import Volume

MAX_ROTATION_DEG = 20.0
PARTIAL = 0.5
"""A slice with less than this share of its neighbours' area is partly covered: no centre."""


@dataclass(frozen=True, eq=False)
class SliceCentres:
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


@dataclass(frozen=True, eq=False)
class Placed:
    """One contrast's mask and how it comes to lie on the reference.

    Attributes:
        mask: In working orientation.
        line: Its centreline, in its own voxels.
        to_native: `(4, 4)` from reference voxels to the mask's voxels, by the headers.
        spacing_mm: In-plane and slice spacing of the reference.
        extent: Lowest and highest height of the segmented slabs.
        heights: `(H,)` reference slices on which `shift` is given.
        shift: `(H, 2)` what is added to a point of this contrast to reach the reference, in
            reference voxels.
        rotation_deg: `(H,)` turn in the plane about the centre, on top of the shift.
        centre: `(H, 2)` this mask's centre by header, in reference voxels.
        aligned: `(H,)` heights at which both masks have a centre; elsewhere the nearest such
            height's shift holds.
    """

    mask: Volume
    line: SliceCentres
    to_native: np.ndarray
    spacing_mm: np.ndarray
    extent: tuple[float, float]
    heights: np.ndarray
    shift: np.ndarray
    rotation_deg: np.ndarray
    centre: np.ndarray
    aligned: np.ndarray

    def native(self, points: np.ndarray) -> np.ndarray:
        """Reference voxels `(N, 3)` → voxels of the mask, through shift and header."""
        shift, angle, centre = self._at(points[:, 2])
        plane = points[:, :2] - shift
        plane = centre + self._turn(plane - centre, -angle)
        return _apply(self.to_native, np.column_stack([plane, points[:, 2]]))

    def reference(self, voxels: np.ndarray) -> np.ndarray:
        """Voxels of the mask `(N, 3)` → reference voxels, the inverse of `native`."""
        points = _apply(np.linalg.inv(self.to_native), voxels)
        shift, angle, centre = self._at(points[:, 2])
        plane = centre + self._turn(points[:, :2] - centre, angle) + shift
        return np.column_stack([plane, points[:, 2]])

    def _at(self, height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        columns = np.column_stack([self.shift, self.rotation_deg, self.centre])
        values = np.stack([np.interp(height, self.heights, c) for c in columns.T], axis=-1)
        return values[:, :2], values[:, 2], values[:, 3:]

    def _turn(self, plane: np.ndarray, angle_deg: np.ndarray) -> np.ndarray:
        if not self.rotation_deg.any():
            return plane
        x, y = (plane * self.spacing_mm[:2]).T
        angle = np.deg2rad(angle_deg)
        turned = [np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y]
        return np.stack(turned, axis=-1) / self.spacing_mm[:2]


def place(mask: Volume, reference: Volume) -> Placed:
    """Header placement of a mask (working orientation) on the reference, without any shift."""
    line = find_slice_centres(mask)
    to_native = np.linalg.inv(mask.affine) @ reference.affine
    slices = np.flatnonzero(line.segmented)
    edges = np.concatenate([slices - 0.5, slices + 0.5])
    heights = _apply(np.linalg.inv(to_native), np.column_stack([line.at(edges), edges]))[:, 2]
    none = np.zeros((1, 2))
    return Placed(
        mask, line, to_native, np.array(reference.spacing_mm),
        (float(heights.min()), float(heights.max())),
        np.zeros(1), none, np.zeros(1), none, np.zeros(1, dtype=bool),
    )  # fmt: skip


def centre_by_height(placed: Placed, heights: np.ndarray) -> np.ndarray:
    """A mask's in-plane centre at reference heights, by header; `(H, 2)`, reference voxels."""
    slices = np.flatnonzero(placed.line.measured)
    points = np.column_stack([placed.line.centre[slices + 1], slices])
    points = _apply(np.linalg.inv(placed.to_native), points)
    order = np.argsort(points[:, 2], kind="stable")
    return interpolate(points[order, 2], points[order, :2], heights)


def register(
    moving: Placed, fixed: Placed, heights: np.ndarray, *, kind: str, smoothing_mm: float = 0.0
) -> Placed:
    """Shift every slice of `moving` so that its centre of mass comes to lie on that of `fixed`.

    Args:
        moving: From `place`.
        fixed: The reference's.
        heights: Reference slices, consecutive.
        kind: `none`, `translation`, or `translation+rotation`.
        smoothing_mm: Standard deviation of a Gaussian along the cord over the shifts; 0 for none.
    """
    centre = centre_by_height(moving, heights)
    low, high = (
        np.maximum(moving.extent[0], fixed.extent[0]),
        np.minimum(moving.extent[1], fixed.extent[1]),
    )
    aligned = (heights >= low) & (heights <= high)
    shift = np.zeros((len(heights), 2))
    rotation = np.zeros(len(heights))
    if kind != "none" and moving is not fixed and aligned.any():
        shift = centre_by_height(fixed, heights) - centre
        shift = _hold(shift, aligned, smoothing_mm / fixed.spacing_mm[2])
        if kind == "translation+rotation":
            turn = _turn_between(moving, fixed, heights)
            rotation = _hold(turn[:, None], aligned, 10.0 / fixed.spacing_mm[2])[:, 0]
            rotation = np.clip(rotation, -MAX_ROTATION_DEG, MAX_ROTATION_DEG)
    return replace(
        moving, heights=heights.astype(float), shift=shift, rotation_deg=rotation, centre=centre,
        aligned=aligned,
    )  # fmt: skip


def find_slice_centres(mask: Volume) -> SliceCentres:
    """Centre of mass of every slice of the cord in a binary mask.

    Centres come from the cord's component, gaps along it bridged, so that stray voxels do not pull
    them; slices with less than half their neighbours' area (partly covered ends) get theirs from
    the line through the neighbours.

    Args:
        mask: `(X, Y, Z)` in working orientation, 0 and 1, not empty.
    """
    inside = mask.data > 0
    component = cord_component(inside, mask.spacing_mm)
    cord = component.restored(inside)
    area = cord.sum(axis=(0, 1)).astype(float)
    span = slice(*(np.flatnonzero(area)[[0, -1]] + [0, 1]))
    around = np.zeros_like(area)
    around[span] = ndimage.median_filter(area[span], size=7, mode="mirror")
    measured = (area > 0) & (area >= PARTIAL * around)
    if not measured.any():
        measured = area > 0
    first, second = _moments(cord, np.flatnonzero(measured))
    slices = np.flatnonzero(measured)
    centre = interpolate(slices, first, np.arange(-1, inside.shape[2] + 1))
    covariance = np.full((inside.shape[2], 2, 2), np.nan)
    covariance[slices] = second
    return SliceCentres(inside.any(axis=(0, 1)), measured, centre, covariance)


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


def _hold(values: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth where known, and carry the end values on where not."""
    inside = values[known]
    if sigma > 0:
        inside = ndimage.gaussian_filter1d(inside, sigma, axis=0, mode="nearest")
    where = np.flatnonzero(known)
    every = np.arange(len(values))
    return np.stack([np.interp(every, where, column) for column in inside.T], axis=-1)


def _turn_between(moving: Placed, fixed: Placed, heights: np.ndarray) -> np.ndarray:
    """Angle between the longer axes of two masks, in degrees, over height.

    Axes are averaged as vectors of twice the angle, long ones counting more, since the direction of
    an almost round section is noise.
    """
    angles = []
    for placed in (moving, fixed):
        slices = np.flatnonzero(placed.line.measured)
        linear = np.linalg.inv(placed.to_native)[:2, :2] * placed.spacing_mm[:2, None]
        spread = linear @ placed.line.covariance[slices] @ linear.T
        vectors = np.stack([spread[:, 0, 0] - spread[:, 1, 1], 2 * spread[:, 0, 1]], axis=-1)
        points = np.column_stack([placed.line.centre[slices + 1], slices])
        at = _apply(np.linalg.inv(placed.to_native), points)[:, 2]
        order = np.argsort(at, kind="stable")
        vectors = np.stack([np.interp(heights, at[order], v[order]) for v in vectors.T], axis=-1)
        vectors = ndimage.gaussian_filter1d(vectors, 10.0 / placed.spacing_mm[2], axis=0)
        angles.append(np.rad2deg(np.arctan2(vectors[:, 1], vectors[:, 0])) / 2)
    return (angles[1] - angles[0] + 90) % 180 - 90


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


def _apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ affine[:3, :3].T + affine[:3, 3]
