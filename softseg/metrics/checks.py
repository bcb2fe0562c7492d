"""What every metric asks of its arrays."""

import numpy as np

from softseg.masks import as_fractions


def as_binary(mask: np.ndarray) -> np.ndarray:
    """The mask as booleans; refuses values other than 0 and 1."""
    mask = np.asarray(mask)
    if mask.dtype == bool:
        return mask
    hard = mask > 0.5
    if not (hard == mask).all():
        raise ValueError(
            f"a binary mask of 0 and 1 is needed, found [{mask.min():.3g}, {mask.max():.3g}]; "
            "threshold a soft mask first"
        )
    return hard


def as_soft(mask: np.ndarray) -> np.ndarray:
    """The mask as fractions; refuses `nan` and values outside [0, 1]."""
    mask = np.asarray(mask)
    return as_fractions(mask).astype(np.float32 if mask.dtype == bool else float, copy=False)


def check_same_shape(a: np.ndarray, b: np.ndarray) -> None:
    """Refuse arrays of two shapes."""
    if a.shape != b.shape:
        raise ValueError(f"masks must have one shape, found {a.shape} and {b.shape}")
