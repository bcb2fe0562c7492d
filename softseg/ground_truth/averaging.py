"""One soft value from several aligned masks."""

import numpy as np

from softseg.errors import InputError

AVERAGES = ("mean", "median", "staple")


def average_masks(
    values: np.ndarray, covered: np.ndarray, weights: np.ndarray, kind: str, heights: np.ndarray
) -> np.ndarray:
    """Combine masks point by point over those that cover the point.

    Args:
        values: `(C, N)` aligned masks in [0, 1].
        covered: `(C, N)` whether a mask says something about a point.
        weights: `(C,)`; a mask of weight 0 is left out of every average.
        kind: `mean` (weighted), `median`, or `staple` (Warfield et al. 2004,
            doi:10.1109/TMI.2004.828354; needs SimpleITK).
        heights: `(N,)` slice of each point.

    Returns:
        `(N,)` in [0, 1]; 0 where nothing covers.

    Example:
        >>> values = np.array([[1.0, 1.0], [0.0, 0.0]])
        >>> covered = np.array([[True, True], [True, False]])
        >>> average_masks(values, covered, np.ones(2), "mean", np.zeros(2))
        array([0.5, 1. ])
    """
    counted = covered & (weights > 0)[:, None]
    if kind == "mean":
        shares = weights[:, None] * counted
        total = shares.sum(axis=0)
        combined = (shares * values).sum(axis=0) / np.where(total > 0, total, 1)
    elif kind == "median":
        combined = _median(values, counted)
    else:
        combined = _staple(values, counted, heights)
    return np.clip(combined, 0, 1)


def _median(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    ordered = np.sort(np.where(counted, values, np.inf), axis=0)
    count = counted.sum(axis=0)
    columns = np.arange(values.shape[1])
    low = ordered[np.maximum(0, (count - 1) // 2), columns]
    high = ordered[np.minimum(count // 2, len(values) - 1), columns]
    some = count > 0
    return (np.where(some, low, 0) + np.where(some, high, 0)) / 2


def _staple(values: np.ndarray, counted: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """STAPLE over each stretch of slices that the same contrasts cover."""
    try:
        import SimpleITK
    except ImportError as error:
        raise InputError("average staple: SimpleITK is needed; pip install SimpleITK") from error
    combined = np.zeros(values.shape[1])
    for who, points in _stretches(counted, heights):
        masks = (values[who][:, points] >= 0.5).astype(np.uint8)
        if len(who) < 2 or not masks.any():
            combined[points] = masks[0] if len(who) else 0
            continue
        images = [SimpleITK.GetImageFromArray(mask[None]) for mask in masks]
        result = SimpleITK.GetArrayFromImage(SimpleITK.STAPLE(images, 1.0))
        combined[points] = np.nan_to_num(result[0])
    return combined


def _stretches(counted: np.ndarray, heights: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Points grouped by the set of masks that covers their slice."""
    levels, index = np.unique(heights, return_inverse=True)
    patterns = np.zeros((len(levels), len(counted)), dtype=bool)
    for c, row in enumerate(counted):
        patterns[:, c] = np.bincount(index, row, minlength=len(levels)) * 2 > np.bincount(index)
    groups = []
    for pattern in np.unique(patterns, axis=0):
        points = np.flatnonzero((patterns == pattern).all(axis=1)[index])
        groups.append((np.flatnonzero(pattern), points))
    return groups
