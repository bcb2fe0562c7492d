"""Which voxels of a mask are the cord: validated, cropped, freed from haze and other objects.

The area of a soft mask counts the largest component of values of at least 0.1, dilated by 2 mm.
Interruptions of up to 5 mm along the cord are bridged. A haze of small values elsewhere, a halo or
a constant background therefore neither adds area nor moves the centre.
"""

from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from softseg.errors import InputError
from softseg.volume import Volume

CORE = 0.1
"""Values from here on form components."""
DILATION_MM = 2.0
"""How far around its component a value still counts."""
BRIDGE_MM = 5.0
"""Longest interruption along the cord."""
ROUNDING = 1e-4
"""How far values may leave [0, 1] through storage."""

_AMBIGUOUS = 1e-3


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


def cord_region(mask: Volume | Path | str, *, threshold: float | None = None) -> Region:
    """Read, check and crop a mask.

    Args:
        mask: A soft or binary mask.
        threshold: Values above it become 1 and all others 0; None keeps the fractions.

    Raises:
        InputError: If the file is unreadable, the mask not three-dimensional, its axes cannot be
            told, a value is not finite or outside [0, 1], or no value reaches 0.1.

    Example:
        >>> data = np.zeros((8, 8, 3)); data[2:5, 2:5] = 1.0; data[7, 7] = 1.0
        >>> region = cord_region(Volume(data, np.diag([-1.0, 1.0, 5.0, 1.0])))
        >>> region.soft.sum(), region.other_components
        (np.float64(27.0), 1)
    """
    volume = mask if isinstance(mask, Volume) else Volume.load(mask)
    name = str(volume.path or "mask")
    volume = oriented(volume, name)
    data = _checked_values(volume.data, name)
    if threshold is not None:
        if not 0 <= threshold < 1:
            raise InputError(f"a threshold must lie in [0, 1), found {threshold}")
        data = data > threshold
    core = data >= CORE
    box = _bounding_box(core)
    if box is None:
        rule = f"above {threshold}" if threshold is not None else f"of at least {CORE}"
        highest = float(volume.data.max()) if volume.data.size else 0.0
        raise InputError(f"{name}: a mask needs voxels {rule}, found a maximum of {highest:.3g}")
    spacing = np.array(volume.spacing_mm)
    pad = np.maximum(np.floor(DILATION_MM / spacing + 1e-6).astype(int), (1, 1, 0))
    low = np.maximum(box[0] - pad, 0)
    high = np.minimum(box[1] + pad, data.shape)
    crop = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    soft = np.clip(data[crop], 0.0, 1.0, dtype=np.float64)
    main, others, counted = _largest(core[crop], soft, spacing)
    soft[~_within(main, soft, others, spacing)] = 0.0
    return _trimmed(
        soft,
        main,
        low,
        volume,
        counted,
        float(soft_volume(data[crop], others, volume.affine)),
        name,
    )


def soft_volume(data: np.ndarray, where: np.ndarray | None, affine: np.ndarray) -> float:
    """Volume in mm³ of the fractions at `where`."""
    if where is None:
        return 0.0
    return float(data[where].sum(dtype=float) * abs(np.linalg.det(affine[:3, :3])))


def oriented(volume: Volume, name: str) -> Volume:
    """`volume` in working orientation.

    Raises:
        InputError: If it is not three-dimensional or its axes cannot be told.
    """
    if volume.data.ndim != 3:
        raise InputError(f"{name}: a mask has three dimensions, found {volume.data.ndim}")
    if not any(volume.codes):
        raise InputError(
            f"{name}: the header must say how the axes lie, found neither qform nor sform code; "
            "set one of them"
        )
    directions = np.abs(volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0))
    ranked = np.sort(directions[2])
    if not np.isfinite(ranked).all() or ranked[2] - ranked[1] < _AMBIGUOUS:
        raise InputError(
            f"{name}: one axis must run along the body, found two equally oblique to it; resample"
        )
    return volume.oriented()


def _checked_values(data: np.ndarray, name: str) -> np.ndarray:
    low, high = (float(data.min()), float(data.max())) if data.size else (0.0, 0.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(np.count_nonzero(~np.isfinite(data)))
        raise InputError(f"{name}: a mask must be finite, found {bad} NaN or infinite voxels")
    if low < -ROUNDING or high > 1 + ROUNDING:
        raise InputError(f"{name}: a mask must lie in [0, 1], found [{low:.4g}, {high:.4g}]")
    return data


def _bounding_box(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    low, high = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
    plane = inside.any(axis=2)
    along_z = inside.any(axis=(0, 1)) if plane.any() else np.zeros(0, dtype=bool)
    for axis, line in enumerate((plane.any(axis=1), plane.any(axis=0), along_z)):
        occupied = np.flatnonzero(line)
        if occupied.size == 0:
            return None
        low[axis], high[axis] = occupied[0], occupied[-1] + 1
    return low, high


def _largest(
    core: np.ndarray, soft: np.ndarray, spacing: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """The largest component with what continues it, all others, and how many those are."""
    labels, count = ndimage.label(core, structure=np.ones((3, 3, 3), dtype=bool))
    if count == 1:
        return core, None, 0
    weight = np.bincount(labels.ravel(), weights=soft.ravel(), minlength=count + 1)
    weight[0] = 0.0
    spans = np.array([(s[2].start, s[2].stop) for s in ndimage.find_objects(labels)])
    chosen = [int(weight.argmax())]
    while (following := _continuation(labels, spans, chosen, spacing)) is not None:
        chosen.append(following)
    main = np.isin(labels, chosen) if len(chosen) > 1 else labels == chosen[0]
    others = core & ~main
    return main, others if count > len(chosen) else None, count - len(chosen)


def _continuation(
    labels: np.ndarray, spans: np.ndarray, chosen: list[int], spacing: np.ndarray
) -> int | None:
    """The nearest component beyond either end that is as wide as a cord and close enough."""
    start, stop = spans[[c - 1 for c in chosen]].min(), spans[[c - 1 for c in chosen]].max()
    gap = np.maximum(spans[:, 0] - stop, start - spans[:, 1]) * spacing[2]
    for index in np.argsort(gap, kind="stable"):
        if gap[index] < 0 or index + 1 in chosen:
            continue
        if gap[index] > BRIDGE_MM + 1e-6:
            return None
        above = spans[index, 0] >= stop
        ours = np.isin(labels[:, :, stop - 1 if above else start], chosen)
        theirs = labels[:, :, spans[index, 0] if above else spans[index, 1] - 1] == index + 1
        shift = np.subtract(ndimage.center_of_mass(ours), ndimage.center_of_mass(theirs))
        apart_mm = float(np.linalg.norm(shift * spacing[:2]))
        if apart_mm <= BRIDGE_MM + gap[index] + spacing[2] and 5 * theirs.sum() >= ours.sum():
            return int(index) + 1
    return None


def _within(
    main: np.ndarray, soft: np.ndarray, others: np.ndarray | None, spacing: np.ndarray
) -> np.ndarray:
    """`main` dilated by 2 mm, without other components."""
    candidates = (soft > 0) & ~main
    if others is not None:
        candidates &= ~others
    if not candidates.any():
        return main
    # Most masks end within a voxel of their component: the distance is needed only beyond it. A
    # neighbour in the slice always counts, even where voxels are wider than the dilation.
    near = main.copy()
    reach = 0.0
    for axis in (0, 1, 2):
        reach = float(np.hypot(reach, spacing[axis]))
        if axis < 2 or reach <= DILATION_MM:
            rolled = np.moveaxis(near, axis, 0)
            previous = rolled.copy()
            rolled[1:] |= previous[:-1]
            rolled[:-1] |= previous[1:]
    if (candidates & ~near).any():
        distance = ndimage.distance_transform_edt(~main, sampling=tuple(spacing))
        near |= distance <= DILATION_MM + 1e-6
    return main | (candidates & near)


def _trimmed(
    soft: np.ndarray,
    main: np.ndarray,
    low: np.ndarray,
    volume: Volume,
    other_components: int,
    other_volume_mm3: float,
    name: str,
) -> Region:
    """Cut away empty slices and margins, so that nothing depends on what was removed."""
    box = _bounding_box(soft > 0)
    crop = tuple(slice(a, b) for a, b in zip(*box, strict=True))
    start = low + box[0]
    inside = soft[crop]
    cut = np.zeros(inside.shape[2], dtype=bool)
    for axis in (0, 1):
        for end, edge in ((0, 0), (-1, volume.data.shape[axis] - 1)):
            if (start[axis] if end == 0 else low[axis] + box[1][axis] - 1) == edge:
                cut |= np.take(inside, end, axis=axis).max(axis=0) >= CORE
    return Region(
        soft=np.ascontiguousarray(inside),
        core=main[crop].any(axis=(0, 1)),
        cut=cut,
        start=start,
        affine=volume.affine,
        other_components=other_components,
        other_volume_mm3=other_volume_mm3,
        name=name,
    )
