"""Numbers of vertebrae and discs in label images: this project's, and those of other tools.

Here C1 is 1, C2 is 2, T1 is 8, L1 is 20 and S5 is 29; disc k lies at the top of level k. An image
whose numbers cannot be such, or lie along the body in another order, is refused with what to do.
"""

import numpy as np

from softseg.errors import InputError
from softseg.masks import bounding_box
from softseg.volume import Volume

LEVEL_NAMES = ("softseg", "sct", "totalsegmentator", "totalspineseg")
"""Numberings that can be read."""
LAST_LEVEL = 29
"""S5."""
_ABOVE_THE_SPINE = (49, 50, 60)
"""Points at the pons and at the cord's end that tools put among the discs; they are ignored."""
_WHOLE = 0.05
"""A scaled header of 8 bits makes a level 2.012; its rounding is undone."""

_LEVELS = {
    "softseg": {k: k for k in range(1, LAST_LEVEL + 1)},
    # The Spinal Cord Toolbox counts alike; its labels above the spine are ignored.
    "sct": {k: k for k in range(1, LAST_LEVEL + 1)},
    # Descending, S1 is 26 and C1 is 50; organs and other bones have the other numbers.
    "totalsegmentator": {51 - k: k for k in range(1, 26)},
    # C1 is 11, T1 is 21, L1 is 41; the cord, the canal and the sacrum are 1, 2 and 50.
    "totalspineseg": {
        k + (10 if k < 8 else 13 if k < 20 else 21): k for k in range(1, 25)
    },
}  # fmt: skip
_VERTEBRAE_MR = {26 - k: k for k in range(1, 26)}
"""Of TotalSegmentator's task for magnetic resonance: the sacrum is 1 and C1 is 25."""
_DISCS = {
    "softseg": _LEVELS["softseg"],
    "sct": _LEVELS["sct"],
    "totalspineseg": {k + (60 if k < 8 else 63 if k < 20 else 71): k for k in range(3, 25)}
    | {100: 25},
}


def check_level_names(level_names: str) -> None:
    """Refuse a numbering that nobody knows.

    Raises:
        InputError: If it is none of `LEVEL_NAMES`.
    """
    if level_names not in LEVEL_NAMES:
        known = ", ".join(LEVEL_NAMES)
        raise InputError(f"--level-names must be one of {known}, found {level_names!r}")


def read_labels(
    source: Volume | str, *, level_names: str = "softseg", discs: bool = False
) -> Volume:
    """The numbers of levels or discs in an image, in this project's numbering, cropped to them.

    Args:
        source: The image.
        level_names: Numbering of the image, one of `LEVEL_NAMES`.
        discs: Whether it holds discs, not levels.

    Returns:
        `(X, Y, Z)` int16; 0 where there is no label, or one of something else.

    Raises:
        InputError: If it holds no labels, numbers that are not whole, or none of that numbering.

    Example:
        >>> labels = np.zeros((4, 4, 6)); labels[1:3, 1:3] = [49, 49, 49, 50, 50, 50]
        >>> found = read_labels(Volume(labels, np.eye(4)), level_names="totalsegmentator")
        >>> found.data[0, 0].tolist()
        [2, 2, 2, 1, 1, 1]
    """
    check_level_names(level_names)
    volume = source if isinstance(source, Volume) else Volume.load(source)
    name = str(volume.path or "labels")
    if volume.data.ndim != 3:
        raise InputError(f"{name}: labels have three dimensions, found {volume.data.ndim}")
    if not any(volume.codes):
        raise InputError(f"{name}: the header must say how the axes lie; set qform or sform")
    labels = _whole_numbers(volume, name)
    if discs and level_names not in _DISCS:
        raise InputError(f"{name}: {level_names} has no numbers for discs; give its --levels")
    found = set(np.unique(labels.data).tolist()) - {0}
    known = _numbers(level_names, found, discs)
    strange = found - set(known)
    if level_names in ("softseg", "sct") and strange - (set(_ABOVE_THE_SPINE) if discs else set()):
        what = "discs" if discs else "vertebrae C1 to S5"
        raise InputError(
            f"{name}: {what} are numbered 1 to {LAST_LEVEL}, found {_some(strange)}; "
            f"{_advice(labels, found, discs)}"
        )
    if not found & set(known):
        raise InputError(
            f"{name}: --level-names {level_names} reads {_some(known)}, found {_some(found)}"
        )
    table = np.zeros(max(found | set(known)) + 1, dtype=np.int16)
    table[list(known)] = list(known.values())
    return labels.like(table[labels.data])


def _numbers(level_names: str, found: set[int], discs: bool) -> dict[int, int]:
    """The numbering's numbers to this project's; two tools have another in another file."""
    if level_names == "totalsegmentator" and max(found) < 26:
        return _VERTEBRAE_MR
    if level_names == "totalspineseg" and discs and max(found) <= LAST_LEVEL:
        return _DISCS["softseg"]  # `step1_levels`, single points
    return (_DISCS if discs else _LEVELS)[level_names]


def like_totalspineseg(levels: set[int]) -> bool:
    """Whether numbers that this project has could be TotalSpineSeg's: C1 to C7, or T1 and below."""
    first = (*range(11, 18), *range(21, LAST_LEVEL + 1))
    return min(levels) in first and levels <= set(_LEVELS["totalspineseg"])


def _whole_numbers(volume: Volume, name: str) -> Volume:
    """Rounded labels, cropped to where they are; slice by slice, as images can be large."""
    box = bounding_box(volume.data != 0)
    data = volume.data[box] if box is not None else volume.data[:0]
    low, high = data.min(initial=0), data.max(initial=0)
    if not np.isfinite([low, high]).all() or high <= 0:
        raise InputError(f"{name}: labels are needed, found no value above 0")
    if low < -_WHOLE or high > np.iinfo(np.int16).max:
        raise InputError(f"{name}: labels are whole numbers from 0 on, found {low:g} to {high:g}")
    labels = np.rint(data).astype(np.int16)
    for k in range(data.shape[2]):
        apart = np.abs(data[..., k] - labels[..., k])
        if apart.max() > _WHOLE:
            worst = data[..., k].ravel()[apart.argmax()]
            raise InputError(f"{name}: labels must be whole numbers, found {worst:.4g}")
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    return Volume(labels, affine, volume.path, volume.codes)


def _advice(labels: Volume, found: set[int], discs: bool) -> str:
    """Which numbering it may be: TotalSegmentator's numbers grow upwards, all others downwards."""
    spine = found & set(_LEVELS["totalsegmentator"])
    if not discs and len(spine) > 1:
        place = {k: np.argwhere(labels.data == k).mean(axis=0) for k in (min(spine), max(spine))}
        up = labels.affine[2, :3] @ (place[max(spine)] - place[min(spine)]) > 0
        if up:
            return "TotalSegmentator's are read with --level-names totalsegmentator"
    theirs = set(_LEVELS["totalspineseg"]) | set(_DISCS["totalspineseg"])
    if len(found & theirs) * 2 > len(found):
        return "TotalSpineSeg's are read with --level-names totalspineseg"
    return f"is it another numbering (--level-names {' or '.join(LEVEL_NAMES[1:])}), or an image?"


def _some(numbers: set[int] | dict[int, int]) -> str:
    ends = min(numbers), max(numbers)
    return f"{ends[0]}" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
