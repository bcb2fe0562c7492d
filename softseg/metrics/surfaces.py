"""How far the surfaces of two masks lie apart."""

import numpy as np
from scipy import ndimage

from softseg.masks import bounding_box
from softseg.metrics.checks import as_binary, as_soft, check_same_shape
from softseg.metrics.volumes import dice, relative_volume_error, soft_dice
from softseg.volume import Spacing


def surface_distances_mm(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Spacing
) -> tuple[np.ndarray, np.ndarray]:
    """Distance of every surface voxel of each mask to the nearest surface voxel of the other.

    A surface voxel has a face on the outside (the edge of the image counts as outside); distances
    are between voxel centres. Only the box around both masks is looked at, so an empty field of
    view costs nothing.

    Args:
        prediction: `(X, Y, Z)` or `(X, Y)`, binary.
        reference: Same shape.
        spacing_mm: Voxel size along each axis.

    Returns:
        Distances from the prediction's surface and from the reference's, in millimetres; both
        empty arrays when a mask is empty.

    Raises:
        ValueError: If shapes differ, a mask is not binary or the spacing does not fit.
    """
    prediction, reference = as_binary(prediction), as_binary(reference)
    check_same_shape(prediction, reference)
    if len(spacing_mm) != prediction.ndim:
        raise ValueError(f"{prediction.ndim} spacings are needed, found {spacing_mm}")
    if not (prediction.any() and reference.any()):
        return np.empty(0), np.empty(0)
    box = bounding_box(prediction | reference)
    surfaces = [_surface(prediction[box]), _surface(reference[box])]
    to_reference, to_prediction = (
        ndimage.distance_transform_edt(~surface, sampling=spacing_mm) for surface in surfaces[::-1]
    )
    return to_reference[surfaces[0]], to_prediction[surfaces[1]]


def mean_surface_distance_mm(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Spacing
) -> float:
    """Average symmetric surface distance: the mean over both surfaces' voxels together.

    Heimann et al. 2009, doi:10.1109/TMI.2009.2013851.

    Returns:
        Millimetres; 0 when both masks are empty, `nan` when one is.

    Example:
        >>> a, b = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
        >>> a[1, 1] = b[1, 3] = True
        >>> mean_surface_distance_mm(a, b, (1.0, 0.5))
        1.0
    """
    forth, back = surface_distances_mm(prediction, reference, spacing_mm)
    if not forth.size:
        return _distance_without_surface(prediction, reference)
    return float((forth.sum() + back.sum()) / (forth.size + back.size))


def hausdorff95_mm(prediction: np.ndarray, reference: np.ndarray, spacing_mm: Spacing) -> float:
    """The 95th percentile of surface distances, the larger of the two directions.

    The maximum itself hangs on one stray voxel (Huttenlocher et al. 1993, doi:10.1109/34.232073).

    Returns:
        Millimetres; 0 when both masks are empty, `nan` when one is.
    """
    forth, back = surface_distances_mm(prediction, reference, spacing_mm)
    if not forth.size:
        return _distance_without_surface(prediction, reference)
    return float(max(np.percentile(forth, 95), np.percentile(back, 95)))


def overlap(prediction: np.ndarray, reference: np.ndarray, spacing_mm: Spacing) -> dict[str, float]:
    """Every overlap metric of two masks that may be soft; hard metrics compare values > 0.5.

    Args:
        prediction: `(X, Y, Z)`, fractions in [0, 1].
        reference: Same shape.
        spacing_mm: Voxel size along each axis.

    Returns:
        `dice`, `soft_dice`, `relative_volume_error_percent` (of the halves above 0.5),
        `soft_volume_error_percent`, `mean_surface_distance_mm`, `hausdorff95_mm`.
    """
    prediction, reference = as_soft(prediction), as_soft(reference)
    check_same_shape(prediction, reference)
    if prediction.any() or reference.any():
        box = bounding_box((prediction > 0) | (reference > 0))
        prediction, reference = prediction[box], reference[box]
    hard, hard_reference = prediction > 0.5, reference > 0.5
    forth, back = surface_distances_mm(hard, hard_reference, spacing_mm)
    none = _distance_without_surface(hard, hard_reference)
    both = np.concatenate([forth, back])
    return {
        "dice": dice(hard, hard_reference),
        "soft_dice": soft_dice(prediction, reference),
        "relative_volume_error_percent": relative_volume_error(hard, hard_reference),
        "soft_volume_error_percent": relative_volume_error(prediction, reference),
        "mean_surface_distance_mm": float(both.mean()) if both.size else none,
        "hausdorff95_mm": (
            float(max(np.percentile(forth, 95), np.percentile(back, 95))) if both.size else none
        ),
    }


def _surface(mask: np.ndarray) -> np.ndarray:
    return mask & ~ndimage.binary_erosion(mask)  # beyond the box is outside


def _distance_without_surface(a: np.ndarray, b: np.ndarray) -> float:
    return float("nan") if np.any(a) or np.any(b) else 0.0
