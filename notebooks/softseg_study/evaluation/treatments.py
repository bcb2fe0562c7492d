"""What is done to a mask before its area is taken."""

from collections.abc import Callable

import numpy as np

from softseg.volume import Volume

MASKS = ("soft", "binary")
"""Values of tables' `mask` column: fractions as they are, or whether they exceed 0.5."""

Variant = tuple[dict, Callable[[Volume], Volume]]
"""Columns that name a way to treat a mask, and the treatment."""


def binarised(mask: Volume, threshold: float = 0.5) -> Volume:
    """1 where the fraction exceeds the threshold, else 0."""
    return mask.like((mask.data > threshold).astype("float32"))


def zeroed(mask: Volume, threshold: float) -> Volume:
    """Values below the threshold dropped, the rest kept as they are."""
    return mask.like(np.where(mask.data < threshold, 0, mask.data))


def slice_normalised(mask: Volume) -> Volume:
    """Every slice stretched to [0, 1], as the Spinal Cord Toolbox does before it sums.

    A slice whose largest value is 0.8 is measured as if it reached 1: faint slices come out too
    large.
    """
    low = mask.data.min(axis=(0, 1), keepdims=True)
    span = mask.data.max(axis=(0, 1), keepdims=True) - low
    return mask.like((mask.data - low) / np.where(span > 0, span, 1))


def _as_it_is(mask: Volume) -> Volume:
    return mask


VARIANTS: dict[str, Variant] = {
    "soft": ({"mask": "soft"}, _as_it_is),
    "binary": ({"mask": "binary"}, binarised),
    "slice-normalised": ({"mask": "slice-normalised"}, slice_normalised),
}
