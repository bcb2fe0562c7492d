"""The cord in a mask: which voxels, across which axis, in a frame of millimetres.

Which voxels are the cord is said in `softseg.masks`. Here a mask is read, checked, oriented with
its slices across the cord, and cropped.
"""

import math
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from softseg.errors import InputError
from softseg.masks import (
    FAINT,
    OVERSHOOT,
    RIM_MM,
    CordComponent,
    MaskWarning,
    as_fractions,
    bounding_box,
    cord_component,
    finite_range,
)
from softseg.volume import Volume

STEEPEST_DEG = 60.0
"""A cord further from the body's axis than this has a header that is wrong."""
_LEAST_ALONG = np.cos(np.radians(STEEPEST_DEG + 1))
_CLEAR = np.cos(np.radians(29.0))
_LONG_MM = 18.0
"""A cord is 10 to 15 mm wide; from this length on it shows where it runs."""
_ELONGATED = 1.5
_STEADY, _UNSTEADY = 0.05, 0.2
"""Spread over their mean of the areas of a tube's sections, across and along it: 0 and 0.28."""
_BACKGROUND, _TRACE = 0.02, 0.002
_SPARSE = 64
"""About so many voxels along each axis tell what most of a field holds."""
_FEW_NUMBERS = 29
"""No more whole numbers than this may be labels, of levels up to S5 for example."""


@dataclass(frozen=True)
class Region:
    """The cord in working orientation, cropped.

    Attributes:
        soft: `(X, Y, Z)` float64 in [0, 1]; 0 outside the cord.
        core: `(Z,)` whether a slice holds a value of at least 0.1.
        cut: `(Z,)` whether the cord touches the side of the field of view there.
        start: Index of the crop's first voxel in the oriented volume.
        affine: `(4, 4)` of the oriented, uncropped volume.
        other_components: Number of other objects of values of at least 0.1.
        other_volume_mm3: Their volume.
        name: For messages.
    """

    soft: np.ndarray
    core: np.ndarray
    cut: np.ndarray
    start: np.ndarray
    affine: np.ndarray
    other_components: int
    other_volume_mm3: float
    name: str
    frame: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        # Upper triangular: X along the first voxel axis, Y in the slice, Z perpendicular to it.
        upper = np.linalg.qr(self.affine[:3, :3], mode="r")
        object.__setattr__(self, "frame", upper * np.sign(np.diag(upper))[:, None])

    @property
    def slices(self) -> np.ndarray:
        """`(Z,)` slice numbers in the uncropped volume; 0 is the most inferior."""
        return self.start[2] + np.arange(self.soft.shape[2])

    @property
    def pixel_mm2(self) -> float:
        """Area of a voxel in its slice."""
        return float(self.frame[0, 0] * self.frame[1, 1])

    @property
    def thickness_mm(self) -> float:
        """Distance between slices, perpendicular to them."""
        return float(self.frame[2, 2])

    def to_world(self, points_mm: np.ndarray) -> np.ndarray:
        """From the region's frame, in which voxel `start` is the origin, to the scanner's."""
        index = np.linalg.solve(self.frame, np.asarray(points_mm, dtype=float).T).T + self.start
        return nib.affines.apply_affine(self.affine, index)

    def from_world(self, points_mm: np.ndarray) -> np.ndarray:
        """From the scanner's millimetres to the region's frame."""
        points = np.atleast_2d(np.asarray(points_mm, dtype=float))
        index = nib.affines.apply_affine(np.linalg.inv(self.affine), points) - self.start
        return index @ self.frame.T


def cord_region(
    mask: Volume | Path | str, *, threshold: float | None = None, full_value: float = 1.0
) -> Region:
    """Read, check and crop a mask.

    Args:
        mask: A soft or binary mask.
        threshold: Values above it become 1 and all others 0, whatever their range; None keeps the
            fractions.
        full_value: Value of a voxel wholly inside the cord, where that is not 1.

    Raises:
        InputError: If the file is unreadable, the mask not three-dimensional, its axes cannot be
            told, a value is not finite or outside [0, 1], no value reaches 0.1, or the field around
            the cord is not 0.

    Example:
        >>> data = np.zeros((8, 8, 3)); data[2:5, 2:5] = 1.0; data[7, 7] = 1.0
        >>> region = cord_region(Volume(data, np.diag([-1.0, 1.0, 5.0, 1.0])))
        >>> region.soft.sum(), region.other_components
        (np.float64(27.0), 1)
    """
    volume = mask if isinstance(mask, Volume) else Volume.load(mask)
    name = str(volume.path or "mask")
    _check_header(volume, name)
    given = volume.data
    volume = volume.like(cord_fractions(volume.data, name, threshold, full_value))
    volume, cord = _across_the_cord(volume, name)
    if cord is None:
        share = f"of at least {FAINT * full_value:g}"
        rule = f"above {threshold * full_value:g}" if threshold is not None else share
        if full_value != 1:
            named = f"{threshold:g}" if threshold is not None else f"{FAINT:g}"
            rule += f" ({named} of --full-value {full_value:g})"
        highest = float(given.max(initial=0))
        raise InputError(f"{name}: a mask needs voxels {rule}, found a maximum of {highest:.3g}")
    _check_background(volume.data, name)
    return _trimmed(cord, volume, name)


def cord_fractions(
    data: np.ndarray, name: str, threshold: float | None, full_value: float
) -> np.ndarray:
    """The values of a mask in [0, 1], of the same shape.

    Args:
        data: As stored.
        name: For messages.
        threshold, full_value: Of `cord_region`.

    Raises:
        InputError: If an option or a value is out of bounds.

    Example:
        >>> cord_fractions(np.array([0.0, 51.0, 255.0]), "mask", None, 255.0)
        array([0. , 0.2, 1. ])
    """
    if not (math.isfinite(full_value) and full_value > 0):
        raise InputError(f"--full-value must be above 0, found {full_value}")
    if threshold is None:
        scaled = data if full_value == 1 else data / np.float32(full_value)
        return as_fractions(scaled, name, advice=lambda: _advice(scaled, full_value))
    if not (math.isfinite(threshold) and threshold >= 0):
        raise InputError(f"--threshold must be 0 or above, found {threshold}")
    finite_range(data, name)
    return data > threshold * full_value


def _advice(scaled: np.ndarray, full_value: float) -> str:
    """What to do about values above 1: a few whole numbers are labels rather than fractions."""
    high = float(scaled.max(initial=0)) * full_value
    if high <= 0:
        return ", none above 0; turn their sign round if it is the cord that is below 0"
    if not 1 + OVERSHOOT < high / full_value < np.inf:
        return "; give --threshold 0.5 for a binary mask"
    # Where the lowest value is too low no scale brings it to [0, 1].
    if float(scaled.min(initial=0)) * full_value < -OVERSHOOT * high:
        scale = f"--full-value {high:g} " if high > 2 * full_value else ""
        return f"; give {scale}--threshold 0.5 for a binary mask, or interpolate it linearly"
    full = f"--full-value {high:g} if that is a voxel wholly inside the cord"
    numbers = np.unique(scaled[scaled > 0]) * full_value
    if 1 < numbers.size <= _FEW_NUMBERS and np.allclose(numbers, np.rint(numbers), atol=1e-3):
        return (
            f"; give --threshold 0.5 if its {numbers.size} numbers are labels, all of them cord, "
            f"or {full}"
        )
    return f"; give {full}, or --threshold for a binary mask of the values above it"


def _check_background(data: np.ndarray, name: str) -> None:
    """Refuse, or say of a faint one, a background over most of the field and most of its sides."""
    around = (data[0], data[-1], data[:, 0], data[:, -1])
    sides = np.concatenate([side.ravel() for side in around])
    if 2 * np.count_nonzero(sides > _TRACE) < sides.size:
        return
    sparse = data[tuple(slice(None, None, 1 + n // _SPARSE) for n in data.shape)]
    usual = min(float(np.median(sides)), float(np.median(sparse)))
    if _TRACE < usual <= _BACKGROUND:
        warnings.warn(
            f"{name}: a mask must be 0 outside the cord, found a background of {usual:.2g} over "
            f"its field; what lies within {RIM_MM:g} mm of the cord counts",
            MaskWarning,
            stacklevel=3,
        )
    if usual > _BACKGROUND:
        raise InputError(
            f"{name}: a mask must be 0 outside the cord, found a background of {usual:.2g} over "
            "its field; subtract it, or give --threshold 0.5"
        )


def _check_header(volume: Volume, name: str) -> None:
    if volume.data.ndim != 3:
        raise InputError(f"{name}: a mask has three dimensions, found {volume.data.ndim}")
    if not any(volume.codes):
        raise InputError(
            f"{name}: the header must say how the axes lie, found neither qform nor sform code; "
            "set one of them"
        )


def _across_the_cord(volume: Volume, name: str) -> tuple[Volume, CordComponent | None]:
    """The mask with slices across the cord, Z up and X and Y as in working orientation.

    Slices lie across the axis that runs along the body. In a stack tipped by about 45° and more
    that is not clear: of the axes along which the cord may run, it is then the one along which the
    areas of slices are steadiest.
    """
    directions = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    upright = np.abs(directions[2])
    axis = int(upright.argmax())
    turned = _oriented(volume, directions, axis)
    cord = cord_component(turned.data, turned.spacing_mm)
    if cord is None:
        return turned, None
    clear = upright[axis] > _CLEAR
    course = _course(cord, turned.affine)
    if course is not None and abs(course[2]) < _LEAST_ALONG:
        tilt = np.degrees(np.arccos(abs(course[2])))
        raise InputError(
            f"{name}: a cord runs within {STEEPEST_DEG:.0f}° of the body's axis, found {tilt:.0f}° "
            "by the header; correct how it says that the axes lie"
        )
    if course is None and clear:
        _check_short(cord.core, turned.affine, name)
    along = upright if course is None else np.abs(course @ directions)
    if clear and (course is None or along[axis] > _LEAST_ALONG):
        return turned, cord
    inside = volume.data >= FAINT
    spread = {int(k): _unsteadiness(inside, k) for k in np.flatnonzero(along > _LEAST_ALONG)}
    best = min(spread, key=spread.__getitem__)
    if course is None and sorted(spread.values())[:2] == [spread[best]] * 2:
        raise InputError(
            f"{name}: one axis must run along the body, found two equally oblique to it, and a "
            "cord too short to tell; resample"
        )
    if best != axis:
        turned = _oriented(volume, directions, best)
        cord = cord_component(turned.data, turned.spacing_mm)
    return turned, cord


def _check_short(inside: np.ndarray, affine: np.ndarray, name: str) -> None:
    """Refuse a cord too short to show its course whose sections lie across another axis."""
    spread = [_unsteadiness(inside, axis) for axis in range(3)]
    steadiest = int(np.argmin(spread))
    if spread[2] > _UNSTEADY and spread[steadiest] < _STEADY:
        direction = affine[:3, steadiest] / np.linalg.norm(affine[:3, steadiest])
        tilt = np.degrees(np.arccos(abs(direction[2])))
        raise InputError(
            f"{name}: a cord runs within {STEEPEST_DEG:.0f}° of the body's axis, found sections of "
            f"one size along an axis at {tilt:.0f}° by the header; correct how it says that the "
            "axes lie"
        )


def _unsteadiness(inside: np.ndarray, axis: int) -> float:
    """Spread of the areas of slices across an axis over their mean."""
    area = np.count_nonzero(inside, axis=tuple(k for k in range(3) if k != axis))
    area = area[area > 0]
    return float(area.std() / area.mean())


def _oriented(volume: Volume, directions: np.ndarray, axis: int) -> Volume:
    """The same voxels with `axis` as Z, running up; X runs to the left and Y forward."""
    first, second = (k for k in range(3) if k != axis)
    across = [first, second]
    if abs(directions[0, second]) > abs(directions[0, first]):
        across = [second, first]
    change = np.empty((3, 2))
    wanted = ((across[0], 0, -1), (across[1], 1, 1), (axis, 2, 1))
    for place, (source, row, sign) in enumerate(wanted):
        change[source] = place, sign if directions[row, source] >= 0 else -sign
    data = nib.orientations.apply_orientation(volume.data, change)
    affine = volume.affine @ nib.orientations.inv_ornt_aff(change, volume.data.shape)
    return replace(volume, data=data, affine=affine)


def _course(cord: CordComponent, affine: np.ndarray) -> np.ndarray | None:
    """The direction in which a cord of some length runs; None for a shorter one.

    Slices of more than twice the usual size, as of a brain on top, do not say where it does.
    """
    size = np.count_nonzero(cord.core, axis=(0, 1))
    usual = size <= 2 * np.median(size[size > 0])
    index = np.array(np.nonzero(cord.core & usual))
    if index.shape[1] < 2:
        return None
    size, direction = np.linalg.eigh(affine[:3, :3] @ np.cov(index) @ affine[:3, :3].T)
    if size[2] < _LONG_MM**2 / 12 or size[2] < _ELONGATED**2 * size[1]:
        return None
    return direction[:, 2]


def _trimmed(cord: CordComponent, volume: Volume, name: str) -> Region:
    """Cut away empty slices and margins, so that nothing depends on what was removed."""
    crop = bounding_box(cord.soft > 0)
    start = cord.start + [side.start for side in crop]
    stop = cord.start + [side.stop for side in crop]
    inside = cord.soft[crop]
    cut = np.zeros(inside.shape[2], dtype=bool)
    for axis in (0, 1):
        for end, at_edge in ((0, start[axis] == 0), (-1, stop[axis] == volume.data.shape[axis])):
            if at_edge:
                cut |= np.take(inside, end, axis=axis).max(axis=0) >= FAINT
    return Region(
        soft=np.ascontiguousarray(inside),
        core=cord.core[crop].any(axis=(0, 1)),
        cut=cut,
        start=start,
        affine=volume.affine,
        other_components=cord.other_components,
        other_volume_mm3=cord.other_voxels * abs(np.linalg.det(volume.affine[:3, :3])),
        name=name,
    )
