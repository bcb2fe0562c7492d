"""How sharp an image is at the edge of a mask.

A network takes blur for size. Where an image is smoothed by 1 mm and the cord is darker than the
fluid about it, areas come out 5 to 15 % too small, and no slice is unlike its neighbours; where it
is brighter, they hardly change. The image itself tells it.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from softseg.segmentation.components import SMALLEST_MM2
from softseg.volume import Spacing

BLURRED_MM = 0.7
"""Edges of a dark cord in images as they were taken are narrower (.23 to .65 mm in 48 of phantoms
and people); smoothed by 1 mm they are wider."""
BRIGHTER = 0.2
MOST_SLICES = 40
RAYS = 24
FURTHEST_MM, STEP_MM = 20.0, 0.1
"""The edge is looked for so far from a slice's centre, at such steps."""
AWAY_MM = np.arange(-15, 16) * 0.2
"""From the mask's edge outwards, where profiles are taken."""
INSIDE_MM, EDGE_MM, OUTSIDE_MM, BESIDE_MM = (-3.0, -1.6), (-1.0, 1.6), (0.4, 2.0), 2.2
"""Where the cord's own brightness is, where the edge can be, where what it borders on, and how far
beyond the edge."""


class Edge(NamedTuple):
    """The image at the edge of a mask.

    Attributes:
        width_mm: Standard deviation of its blur within slices, to a hundredth; nan without a mask.
        fluid: How much brighter than the cord the brightest is that it borders on, normalised.
    """

    width_mm: float = np.nan
    fluid: float = np.nan

    @property
    def dark_cord(self) -> bool:
        """Whether the cord borders on something brighter, so that what blurs makes it smaller."""
        return self.fluid > BRIGHTER

    @property
    def blurred(self) -> bool:
        """Whether areas are too small for it."""
        return self.width_mm > BLURRED_MM and self.dark_cord


UNSEEN = Edge()


def find_edge(soft: np.ndarray, image: np.ndarray, spacing_mm: Spacing) -> Edge:
    """How wide the edge is, and which of its sides is the brighter one.

    Profiles across the mask's edge, from its centre outwards, are averaged over slices in four
    quarters, since a cord borders on other things in front than behind. The width is the difference
    of brightness over the steepest slope, as of an edge that a Gaussian has blurred; quarters count
    by their difference.

    Args:
        soft: `(X, Y, Z)` in working orientation, one component, values in [0, 1].
        image: The same shape, normalised intensities.
        spacing_mm: Voxel size.

    Example:
        >>> from scipy.ndimage import gaussian_filter
        >>> x, y = np.mgrid[-20:20.5:0.5, -20:20.5:0.5]
        >>> disc = np.repeat((np.hypot(x, y) < 5)[..., None], 4, 2).astype(np.float32)
        >>> blurred = gaussian_filter(disc, (2, 2, 0))
        >>> edge = find_edge(disc, blurred, (0.5, 0.5, 5.0))
        >>> round(edge.width_mm, 1), edge.blurred
        (1.0, False)
        >>> find_edge(disc, -blurred, (0.5, 0.5, 5.0)).blurred
        True
    """
    sure_mm2 = (soft > 0.5).sum(axis=(0, 1)) * spacing_mm[0] * spacing_mm[1]
    slices = np.flatnonzero(sure_mm2 >= SMALLEST_MM2)
    slices = slices[:: -(-len(slices) // MOST_SLICES) or 1]
    found = [_profiles(soft[:, :, z], image[:, :, z], spacing_mm) for z in slices]
    if not found:
        return UNSEEN
    rays = len(found) - np.isnan(found).sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = np.nansum(found, axis=0) / rays
    quarters = mean.reshape(4, -1, len(AWAY_MM)).mean(axis=1)
    width_mm, step = np.transpose([_width_and_step(profile) for profile in quarters])
    known = np.isfinite(width_mm) & (step > 0)
    if not known.any():
        return UNSEEN
    inside, outside = (quarters[:, _between(part)] for part in (INSIDE_MM, OUTSIDE_MM))
    fluid = (outside.max(axis=1) - inside.mean(axis=1))[known].mean()
    width = np.average(width_mm[known], weights=step[known])
    return Edge(round(float(width), 2), float(fluid))


def _profiles(soft: np.ndarray, image: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """`(RAYS, len(AWAY_MM))` brightness across one slice's edge."""
    mm = np.array(spacing_mm[:2])
    soft = soft.astype(np.float64)
    centre = np.array(ndimage.center_of_mass(soft))
    angles = (np.arange(RAYS) + 0.5) * 2 * np.pi / RAYS
    outwards = np.stack([np.cos(angles), np.sin(angles)]) / mm[:, None]  # voxels a millimetre

    def along(values: np.ndarray, away_mm: np.ndarray) -> np.ndarray:
        places = centre[:, None, None] + outwards[:, :, None] * away_mm
        return ndimage.map_coordinates(values, places, order=1, mode="nearest")

    steps = np.arange(0, FURTHEST_MM, STEP_MM)
    inside = along(soft, np.broadcast_to(steps, (RAYS, steps.size))) >= 0.5
    edge_mm = steps[inside.argmin(axis=1)]
    values = along(image.astype(np.float64), edge_mm[:, None] + AWAY_MM)
    values[edge_mm == 0] = np.nan  # the centre is no cord, or the mask has no end
    return values


def _between(ends: tuple[float, float]) -> np.ndarray:
    return (ends[0] - 1e-6 <= AWAY_MM) & (ends[1] + 1e-6 >= AWAY_MM)


def _width_and_step(profile: np.ndarray) -> tuple[float, float]:
    """Standard deviation of the edge, and the difference of brightness across it."""
    slope = np.gradient(profile, AWAY_MM)
    steepest = int(np.where(_between(EDGE_MM), np.abs(slope), -1).argmax())
    beside = profile[(AWAY_MM[steepest] < AWAY_MM) & (AWAY_MM[steepest] + BESIDE_MM >= AWAY_MM)]
    furthest = beside.max() if slope[steepest] > 0 else beside.min()
    step = abs(furthest - profile[_between(INSIDE_MM)].mean())
    return step / max(abs(slope[steepest]), 1e-6) / np.sqrt(2 * np.pi), step
