"""How far the surfaces of two masks lie apart.

Two empty masks are 0 mm apart. One empty mask against one that is not has no distance: `nan`, never
a number that a mean could swallow.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from softseg.masks import bounding_box
from softseg.metrics.volumes import binary_pair, dice, relative_volume_error, soft_dice, soft_pair
from softseg.volume import Spacing


class SurfaceDistances(NamedTuple):
    """The surface of a mask, voxel by voxel, against another's.

    Attributes:
        distance_mm: `(N,)` to the nearest surface voxel of the other mask.
        area_mm2: `(N,)` surface that the voxel stands for; a length in mm for `(X, Y)`.
    """

    distance_mm: np.ndarray
    area_mm2: np.ndarray


def surface_distances(
    prediction: np.ndarray, reference: np.ndarray, spacing_mm: Spacing
) -> tuple[SurfaceDistances, SurfaceDistances]:
    """Distance of every surface voxel of each mask to the nearest surface voxel of the other.

    A surface voxel has a face on the outside (the edge of the image counts as outside); distances
    are between voxel centres. Only the box around both masks is looked at, so an empty field of
    view costs nothing.

    Voxels of 0.5 × 0.5 × 5 mm show 2.5 mm² to the side and 0.25 mm² to the top, so a voxel counts
    by the surface it stands for, √(Σ (open faces along an axis × area of such a face)²): of a face
    where the surface runs along the grid, of the slanted patch where it does not.

    Args:
        prediction: `(X, Y, Z)` or `(X, Y)`, binary.
        reference: Same shape.
        spacing_mm: Voxel size along each axis.

    Returns:
        The prediction's surface and the reference's; an empty mask has no voxel in its own and
        leaves `nan` as the other's distances.

    Raises:
        ValueError: If shapes differ, a mask is not binary or the spacing does not fit.
    """
    prediction, reference = binary_pair(prediction, reference)
    if len(spacing_mm) != prediction.ndim:
        raise ValueError(f"{prediction.ndim} spacings are needed, found {spacing_mm}")
    box = bounding_box(prediction | reference)
    if box is None:
        return SurfaceDistances(*np.empty((2, 0))), SurfaceDistances(*np.empty((2, 0)))
    areas = [_surface_areas(mask[box], spacing_mm) for mask in (prediction, reference)]
    surfaces = []
    for own, other in (areas, areas[::-1]):
        away = np.full(own.shape, np.nan)
        if other.any():
            away = ndimage.distance_transform_edt(other == 0, sampling=spacing_mm)
        surfaces.append(SurfaceDistances(away[own > 0], own[own > 0]))
    return surfaces[0], surfaces[1]


def _surface_areas(mask: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """What each voxel shows of the surface, 0 inside and outside; beyond the array is outside."""
    squares = np.zeros(mask.shape)
    for axis, length in enumerate(spacing_mm):
        steps = np.diff(mask.astype(np.int8), axis=axis, prepend=0, append=0)
        along = np.moveaxis(steps, axis, 0)
        open_faces = np.moveaxis((along[:-1] == 1).astype(np.int8) + (along[1:] == -1), 0, axis)
        squares += (open_faces * (np.prod(spacing_mm) / length)) ** 2
    return np.sqrt(squares)


def mean_surface_distance_mm(forth: SurfaceDistances, back: SurfaceDistances) -> float:
    """Average symmetric surface distance: the mean over both surfaces together, by their area.

    Heimann et al. 2009, doi:10.1109/TMI.2009.2013851.

    Returns:
        Millimetres; 0 when both masks are empty, `nan` when one is.

    Example:
        >>> a, b = np.zeros((5, 5), bool), np.zeros((5, 5), bool)
        >>> a[1, 1] = b[1, 3] = True
        >>> mean_surface_distance_mm(*surface_distances(a, b, (1.0, 0.5)))
        1.0
    """
    distance_mm, area_mm2 = np.concatenate([forth, back], axis=1)
    return float(np.average(distance_mm, weights=area_mm2)) if distance_mm.size else 0.0


def hausdorff95_mm(forth: SurfaceDistances, back: SurfaceDistances) -> float:
    """What 95 % of a surface's area lies within of the other, the larger of the two directions.

    The maximum itself hangs on one outlying voxel (Huttenlocher et al. 1993,
    doi:10.1109/34.232073).

    Returns:
        Millimetres; 0 when both masks are empty, `nan` when one is.
    """
    found = [
        float(np.quantile(way.distance_mm, 0.95, weights=way.area_mm2, method="inverted_cdf"))
        for way in (forth, back)
        if way.distance_mm.size
    ]
    return max(found, default=0.0)


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
    prediction, reference = soft_pair(prediction, reference)
    box = bounding_box((prediction > 0) | (reference > 0))
    if box is not None:
        prediction, reference = prediction[box], reference[box]
    hard, hard_reference = prediction > 0.5, reference > 0.5
    surfaces = surface_distances(hard, hard_reference, spacing_mm)
    return {
        "dice": dice(hard, hard_reference),
        "soft_dice": soft_dice(prediction, reference),
        "relative_volume_error_percent": relative_volume_error(hard, hard_reference),
        "soft_volume_error_percent": relative_volume_error(prediction, reference),
        "mean_surface_distance_mm": mean_surface_distance_mm(*surfaces),
        "hausdorff95_mm": hausdorff95_mm(*surfaces),
    }
