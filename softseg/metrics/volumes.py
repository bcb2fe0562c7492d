"""How much of two masks is shared, and how much larger one is; what every metric asks of both."""

import numpy as np

from softseg.masks import as_fractions


def binary_pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two masks as booleans; refuses other values than 0 and 1, and two shapes."""
    a, b = _of_one_shape(a, b)
    for mask in (a, b):
        if not ((mask > 0.5) == mask).all():
            raise ValueError(
                f"a binary mask of 0 and 1 is needed, found [{mask.min():.3g}, {mask.max():.3g}]; "
                "threshold a soft mask first"
            )
    return a > 0.5, b > 0.5


def soft_pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two masks as fractions; refuses `nan`, values outside [0, 1], and two shapes."""
    a, b = (
        as_fractions(mask).astype(np.float32 if mask.dtype == bool else float, copy=False)
        for mask in _of_one_shape(a, b)
    )
    return a, b


def _of_one_shape(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"masks must have one shape, found {a.shape} and {b.shape}")
    return a, b


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Overlap of two binary masks, `2|A∩B| / (|A| + |B|)` (Dice 1945, doi:10.2307/1932409).

    Args:
        prediction: Any shape, boolean or 0 and 1.
        reference: Same shape.

    Returns:
        0 to 1; 1 when both are empty.

    Raises:
        ValueError: If shapes differ or a mask is not binary; `soft_dice` is for soft masks.

    Example:
        >>> dice(np.array([1, 1, 0]), np.array([1, 0, 0]))
        0.6666666666666666
    """
    prediction, reference = binary_pair(prediction, reference)
    total = prediction.sum() + reference.sum()
    return float(2 * (prediction & reference).sum() / total) if total else 1.0


def soft_dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Overlap of two soft masks, `2 Σ min(p, r) / (Σ p + Σ r)`.

    The product form `2 Σ p r / (Σ p + Σ r)` is below 1 for a perfect soft prediction; with the
    minimum, the volume that both masks claim, it is 1 exactly where they are equal and Dice on
    binary masks (Wang et al. 2023, doi:10.1007/978-3-031-43898-1_46, equivalent form).

    Args:
        prediction: Any shape, fractions in [0, 1].
        reference: Same shape.

    Returns:
        0 to 1; 1 when both are empty.

    Raises:
        ValueError: If shapes differ or values leave [0, 1].

    Example:
        >>> half = np.full(4, 0.5)
        >>> soft_dice(half, half)
        1.0
    """
    prediction, reference = soft_pair(prediction, reference)
    total = prediction.sum() + reference.sum()
    return float(2 * np.minimum(prediction, reference).sum() / total) if total else 1.0


def relative_volume_error(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Signed difference of volumes in per cent of the reference, `100 (V_p - V_r) / V_r`.

    Args:
        prediction: Binary or soft; a voxel counts by its fraction.
        reference: Same shape.

    Returns:
        Per cent, positive where the prediction is larger; 0 when both are empty, `nan` when only
        the reference is.

    Example:
        >>> relative_volume_error(np.array([1, 0.5, 0]), np.array([1, 0, 0]))
        50.0
    """
    prediction, reference = soft_pair(prediction, reference)
    volume, expected = prediction.sum(), reference.sum()
    if expected == 0:
        return 0.0 if volume == 0 else float("nan")
    return float(100 * (volume - expected) / expected)
