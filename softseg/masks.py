"""What a mask must be, said once: its values, its grid, and which of its voxels are the cord.

The cord is the largest component of values of at least 0.1 and what lies within 2 mm of it. Pieces
that continue it along the body belong to it, whatever the gap: a mask may be drawn on every tenth
slice. Low values elsewhere therefore neither add area nor move a centre.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from softseg.errors import InputError
from softseg.rows import one_piece, within
from softseg.volume import Grid, Spacing, Volume

VALUE_TOLERANCE = 1e-3
"""How far values may leave [0, 1] by rounding; they are clipped."""
OVERSHOOT = 0.1
"""How far they may through interpolation; they are clipped with a warning."""
GRID_TOLERANCE_MM = 0.05
"""How far a mask's corners may lie from its image's: headers are rounded."""
FAINT = 0.1
"""Values from here on form components."""
RIM_MM = 2.0
"""How far around its component a value still counts."""
BRIDGE_MM = 5.0
"""Longest gap along the cord that is bridged without more ado; one slice is, however thick."""
SLOPE = 0.6
"""Millimetres that the cord moves in the slice per millimetre along the body where it is steep."""
OVERLAP_MM = 6.0
"""Sections this far apart in the slice still overlap."""
_LARGEST_RATIO = 5
"""The cord's area where it stops over that of a piece that continues it."""
_FAR_RATIO = 2.5
"""Beyond a bridge, a piece that continues the cord is neither thinner nor wider than this."""
_DIRECTION_MM = 5.0
"""From this length on a piece says where the cord is heading."""
_EPSILON_MM = 1e-6


class MaskWarning(UserWarning):
    """A mask could be used but holds something that the reader should know."""


def as_fractions(
    values: np.ndarray, name: str = "", *, advice: Callable[[], str] = str
) -> np.ndarray:
    """The values of a soft or binary mask, clipped to [0, 1] where they leave it by little.

    Args:
        values: Any shape; what lies within [0, 1] is returned as it is, not copied.
        name: Of the mask, for the message.
        advice: Says what to do about values beyond, for the message; called only then.

    Raises:
        InputError: If a value is not finite, or leaves [0, 1] by more than `OVERSHOOT`.

    Warns:
        MaskWarning: If one leaves it by more than `VALUE_TOLERANCE`.

    Example:
        >>> as_fractions(np.array([-1e-4, 0.3, 1.0]))
        array([0. , 0.3, 1. ])
    """
    if values.dtype == bool or not values.size:
        return values
    low, high = finite_range(values, name)
    who, found = f"{name}: " if name else "", f"found [{low:.4g}, {high:.4g}]"
    beyond = max(-low, high - 1)
    if beyond > OVERSHOOT + 1e-6:
        raise InputError(f"{who}a mask must lie in [0, 1], {found}{advice()}")
    if beyond > VALUE_TOLERANCE:
        warnings.warn(f"{who}a mask lies in [0, 1], {found}, clipped", MaskWarning, stacklevel=2)
    return values if low >= 0 and high <= 1 else values.clip(0, 1)


def finite_range(values: np.ndarray, name: str = "") -> tuple[float, float]:
    """Lowest and highest value of a mask, 0 included.

    Raises:
        InputError: If a value is not finite.
    """
    if values.dtype.kind == "f" and values.dtype.isnative and values.itemsize <= 8:
        # The bits of floats from 0 on are ordered as those are, and those of all others lie above.
        highest = values.view(f"u{values.itemsize}").max(initial=0).view(values.dtype)
        if np.isfinite(highest) and not np.signbit(highest):
            return 0.0, float(highest)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(np.count_nonzero(~np.isfinite(values)))
        who = f"{name}: " if name else ""
        raise InputError(f"{who}a mask must be finite, found {bad} NaN or infinite voxels")
    return low, high


def same_grid(first: Grid, second: Grid) -> bool:
    """Whether two grids are one but for the rounding of headers (`GRID_TOLERANCE_MM`)."""
    return first.matches(second, GRID_TOLERANCE_MM)


def check_grid(mask: Volume, image: Volume | Grid, image_name: str | None = None) -> None:
    """Refuse a mask that does not lie on its image's grid.

    Args:
        mask: The mask.
        image: The image or its grid, in the orientation that the mask has.
        image_name: For the message; by default the image's own.

    Raises:
        InputError: If their shapes differ, or a corner by more than `GRID_TOLERANCE_MM`.

    Example:
        >>> image, mask = (Volume(np.zeros((2, 2, 2)), np.diag([s, s, 5, 1])) for s in (1, 1.2))
        >>> check_grid(mask, image)
        Traceback (most recent call last):
        softseg.errors.InputError: volume: a mask must lie on the grid of volume, found its \
corners up to 0.20 mm away; resample it or copy the image's header
    """
    grid = image.grid if isinstance(image, Volume) else image
    if same_grid(mask.grid, grid):
        return
    if mask.grid.shape == grid.shape:
        found = f"its corners up to {mask.grid.apart_mm(grid):.2f} mm away"
    else:
        found = f"{_describe(mask.grid)} instead of {_describe(grid)}"
    image_name = image_name or (image.name if isinstance(image, Volume) else "its image")
    raise InputError(
        f"{mask.path or mask.name}: a mask must lie on the grid of {image_name}, found {found}; "
        "resample it or copy the image's header"
    )


def _describe(grid: Grid) -> str:
    size = " x ".join(str(n) for n in grid.shape)
    return f"{size} voxels of {' x '.join(f'{s:.2f}' for s in grid.spacing_mm)} mm"


@dataclass(frozen=True)
class CordComponent:
    """The cord in a mask, cropped to a box around it and its rim.

    Attributes:
        soft: `(x, y, z)` float64 values of the mask; 0 outside the cord and its rim.
        core: `(x, y, z)` the voxels of at least `FAINT` that form the cord.
        start: Index of the box's first voxel in the mask.
        other_components: Number of other components.
        other_voxels: Sum of their fractions.
    """

    soft: np.ndarray
    core: np.ndarray
    start: np.ndarray
    other_components: int
    other_voxels: float

    def restored(self, like: np.ndarray) -> np.ndarray:
        """The cord's values in an array of the whole mask's shape and type, 0 elsewhere."""
        whole = np.zeros_like(like)
        box = zip(self.start, self.soft.shape, strict=True)
        whole[tuple(slice(first, first + n) for first, n in box)] = self.soft
        return whole


def cord_component(
    fractions: np.ndarray, spacing_mm: Spacing, *, torn: bool = False
) -> CordComponent | None:
    """Which voxels of a mask are the cord: see the top of this module.

    Args:
        fractions: `(X, Y, Z)` in working orientation, values in [0, 1].
        spacing_mm: Voxel size.
        torn: Of a network's output, which may tear an oblique cord: pieces belong together that
            touch once they are grown up over the longest gap, and sideways by what a steep cord
            moves meanwhile, and the rim is cut at 2 mm sharp. By default pieces must continue the
            cord and be about as wide, and a neighbour in the slice always counts.

    Returns:
        None where no value reaches `FAINT`.

    Example:
        >>> fractions = np.zeros((9, 9, 6))
        >>> fractions[1:4, 1:4, [0, 1, 3, 4]] = 1.0
        >>> fractions[7, 7, :2] = 1.0
        >>> cord = cord_component(fractions, (1.0, 1.0, 2.0))
        >>> cord.restored(fractions).sum(axis=(0, 1)).tolist(), cord.other_components
        ([9.0, 9.0, 0.0, 9.0, 9.0, 0.0], 1)
    """
    box = bounding_box(fractions, FAINT)
    if box is None:
        return None
    spacing = np.array(spacing_mm)
    main, others, count = _largest(fractions[box] >= FAINT, fractions[box], spacing, torn)
    other_voxels = 0.0 if others is None else float(fractions[box][others].sum(dtype=float))
    # What is kept is as large as the cord, wherever in the field other pieces lie.
    own = bounding_box(main)
    margin = np.maximum(np.floor(RIM_MM / spacing + _EPSILON_MM).astype(int), (1, 1, 0))
    first = np.array([side.start for side in box])
    low = np.maximum(first + [side.start for side in own] - margin, 0)
    high = np.minimum(first + [side.stop for side in own] + margin, fractions.shape)
    crop = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    soft = fractions[crop].astype(np.float64)
    main = _moved(main, first - low, soft.shape)
    soft[~_with_rim(main, soft, (fractions[crop] >= FAINT) & ~main, spacing, torn)] = 0.0
    return CordComponent(soft, main, low, count, other_voxels)


def _moved(inside: np.ndarray, shift: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What is true in an array, in one of another shape whose first voxel lies elsewhere."""
    moved = np.zeros(shape, dtype=bool)
    here = [slice(max(s, 0), s + n) for s, n in zip(shift, inside.shape, strict=True)]
    there = [slice(max(-s, 0), n - s) for s, n in zip(shift, shape, strict=True)]
    moved[tuple(here)] = inside[tuple(there)]
    return moved


def bounding_box(values: np.ndarray, least: float = 1) -> tuple[slice, ...] | None:
    """The smallest box around what is true in an array of any dimension; None if nothing is.

    Args:
        values: Booleans, or finite numbers.
        least: From which number on they are inside; 1 for booleans.

    Example:
        >>> bounding_box(np.array([[False, True, True], [False, False, True]]))
        (slice(0, 2, None), slice(1, 3, None))
    """
    box = []
    for axis in range(values.ndim):
        others = tuple(a for a in range(values.ndim) if a != axis)
        filled = np.flatnonzero(values.max(axis=others, initial=0) >= least)
        if not filled.size:
            return None
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
        values = values[(slice(None),) * axis + (box[-1],)]  # what follows has less to look at
    return tuple(box)


def _largest(
    core: np.ndarray, soft: np.ndarray, spacing: np.ndarray, torn: bool
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """The largest component with what belongs to it, all others, and how many those are."""
    pieces = _grown(core, spacing) if torn else core
    if one_piece(pieces):
        return core, None, 0
    from scipy import ndimage  # 0.2 s at start-up

    labels, count = ndimage.label(pieces, structure=np.ones((3, 3, 3), dtype=bool))
    if count == 1:
        return core, None, 0
    weight = np.bincount(labels[core], weights=soft[core], minlength=count + 1)
    if torn:
        main = core & (labels == weight.argmax())
        return main, core & ~main, count - 1
    ends = _ends(labels, ndimage.find_objects(labels))
    chosen = [int(weight.argmax())]
    while (following := _continuation(ends, chosen, spacing)) is not None:
        chosen.append(following)
    main = np.isin(labels, chosen) if len(chosen) > 1 else labels == chosen[0]
    others = core & ~main
    return main, others if count > len(chosen) else None, count - len(chosen)


def _grown(core: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Up over the longest gap, and sideways by what a steep cord moves meanwhile."""
    missing = max(1, int(BRIDGE_MM / spacing[2] + _EPSILON_MM))
    grown = core.copy()
    for up in range(1, missing + 1):
        grown[:, :, up:] |= core[:, :, :-up]
    sideways_mm = max(SLOPE * (missing + 1) * spacing[2] - OVERLAP_MM, 0)
    x, y = (int(min(sideways_mm, BRIDGE_MM) / mm) for mm in spacing[:2])
    if x or y:
        from scipy import ndimage

        grown = ndimage.maximum_filter(grown, size=(2 * x + 1, 2 * y + 1, 1))
    return grown


@dataclass(frozen=True)
class _Ends:
    """Lowest and highest slice of each component: `(n, 2)` number, `(n, 2)` voxels, `(n, 2, 2)`
    centre in voxels."""

    slices: np.ndarray
    voxels: np.ndarray
    centre: np.ndarray


def _ends(labels: np.ndarray, boxes: list[tuple[slice, ...]]) -> _Ends:
    count = len(boxes)
    slices = np.array([(s[2].start, s[2].stop - 1) for s in boxes])
    where = np.argwhere(labels)
    number = labels[tuple(where.T)] - 1
    voxels, centre = np.empty((count, 2)), np.empty((count, 2, 2))
    for end in (0, 1):
        here = where[:, 2] == slices[number, end]
        voxels[:, end] = np.bincount(number[here], minlength=count)
        for axis in (0, 1):
            total = np.bincount(number[here], weights=where[here, axis], minlength=count)
            centre[:, end, axis] = total / voxels[:, end]
    return _Ends(slices, voxels, centre)


def _continuation(ends: _Ends, chosen: list[int], spacing: np.ndarray) -> int | None:
    """The nearest component beyond either end that continues the cord: its label."""
    ours = np.array(chosen) - 1
    low, high = ours[ends.slices[ours, 0].argmin()], ours[ends.slices[ours, 1].argmax()]
    start, stop = ends.slices[low, 0], ends.slices[high, 1]
    rise_mm = (stop - start) * spacing[2]
    slope = np.zeros(2)  # voxels of the slice per slice
    heading = rise_mm >= _DIRECTION_MM
    if heading:
        slope = (ends.centre[high, 1] - ends.centre[low, 0]) / (stop - start)
    missing = np.maximum(ends.slices[:, 0] - stop, start - ends.slices[:, 1]) - 1
    for index in np.argsort(missing, kind="stable"):
        if missing[index] < 0:
            continue
        above = ends.slices[index, 0] > stop
        our, side = (high, 1) if above else (low, 0)
        ratio = ends.voxels[our, side] / ends.voxels[index, 1 - side]
        shift = ends.centre[index, 1 - side] - ends.centre[our, side]
        gap_mm = missing[index] * spacing[2]
        near = missing[index] == 1 or gap_mm <= BRIDGE_MM + _EPSILON_MM
        if not near:
            shift = shift - slope * (missing[index] + 1) * (1 if above else -1)
        turn = SLOPE if heading and not near else 1.0
        apart_mm = float(np.linalg.norm(shift * spacing[:2]))
        close = apart_mm <= BRIDGE_MM + turn * gap_mm + spacing[2]
        alike = ratio <= _LARGEST_RATIO if near else 1 / _FAR_RATIO <= ratio <= _FAR_RATIO
        if close and alike:
            return int(index) + 1
    return None


def _with_rim(
    main: np.ndarray, soft: np.ndarray, others: np.ndarray, spacing: np.ndarray, torn: bool
) -> np.ndarray:
    """`main` and what lies within `RIM_MM` of it, without other components."""
    candidates = (soft > 0) & ~main & ~others
    if not candidates.any():
        return main
    near = main.copy() if torn else _neighbours(main, spacing)
    far = candidates & ~near
    if far.any():
        near |= within(main, far, spacing, RIM_MM + (0 if torn else _EPSILON_MM))
    return main | (candidates & near)


def _neighbours(main: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """`main` grown by a voxel, along Z only where that is within the rim.

    Most masks end within a voxel of their component: the distance is needed only beyond it. A
    neighbour in the slice always counts, even where voxels are wider than the rim.
    """
    near = main.copy()
    reach = 0.0
    for axis in (0, 1, 2):
        reach = float(np.hypot(reach, spacing[axis]))
        if axis < 2 or reach <= RIM_MM:
            rolled = np.moveaxis(near, axis, 0)
            previous = rolled.copy()
            rolled[1:] |= previous[:-1]
            rolled[:-1] |= previous[1:]
    return near
