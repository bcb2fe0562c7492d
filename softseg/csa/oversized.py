"""Slices that hold more than any cord does: a brain on top of it, or a mask that leaks.

They are found before the course is fitted, since their centres would pull it away from the cord.
"""

import numpy as np

from softseg.csa.centreline import fit_centreline
from softseg.csa.norm import plausible_area_mm2
from softseg.csa.region import Region
from softseg.csa.sections import Sections, sections_of

LARGEST_RATIO = 1.5
"""Area of a slice over the median of its mask: beyond it, a slice that no cord has is no cord's."""
_ROUGH_RATIO = 2.0
"""The same in the slice's plane, in which a cord that turns has more."""
_FLANK_RATIO = 1.15
"""A slice beside an oversized one belongs to it while it holds so many times the cord beyond."""
_BEYOND_MM = 20.0
_FEWEST_BEYOND = 3


def cord_sections(region: Region) -> Sections:
    """The slices of a region, those that are larger than any cord marked and not counted.

    Larger is a perpendicular area beyond what is plausible at any level and beyond `LARGEST_RATIO`
    times the median of the others, so a mask in wrong units, whose slices are all too large, has
    none. The flanks of what is larger, where a brainstem narrows to the cord or a leak begins, are
    marked with it. What is small, as a compressed cord or the conus, is never marked.

    Args:
        region: The cord.
    """
    sections = sections_of(region)
    highest_mm2 = plausible_area_mm2()[1]
    area = sections.area_mm2
    if not (area > highest_mm2).any():
        return sections
    rough = area > _ROUGH_RATIO * np.median(area[region.core])
    without = sections_of(region, rough)
    slope = fit_centreline(without).at_slices()[1]
    area = area / np.sqrt(1 + (slope**2).sum(-1))
    usual = float(np.median(area[without.trusted]))
    oversized = area > max(highest_mm2, LARGEST_RATIO * usual)
    if not oversized.any():
        return sections
    reach = max(_FEWEST_BEYOND, round(_BEYOND_MM / region.thickness_mm))
    return sections_of(region, with_flanks(oversized, np.where(region.core, area, 0.0), reach))


def with_flanks(oversized: np.ndarray, area_mm2: np.ndarray, reach: int) -> np.ndarray:
    """Oversized slices and those beside them that are on the way from the cord to their size.

    Args:
        oversized: `(Z,)` slices that are larger than any cord.
        area_mm2: `(Z,)` their areas, 0 where there is no mask.
        reach: How many slices beyond one tell the size of the cord there.

    Example:
        >>> area = np.array([70.0, 71.0, 70.0, 70.0, 75.0, 90.0, 120.0])
        >>> with_flanks(area > 108, area, 3).tolist()
        [False, False, False, False, False, True, True]
    """
    marked = oversized.copy()
    for order in (np.arange(area_mm2.size), np.arange(area_mm2.size)[::-1]):
        for place, index in enumerate(order[1:], start=1):
            if not marked[order[place - 1]] or oversized[index]:
                continue
            next_ones = order[place + 1 : place + 1 + reach]
            beyond = area_mm2[next_ones][~oversized[next_ones] & (area_mm2[next_ones] > 0)]
            if beyond.size >= _FEWEST_BEYOND:
                marked[index] = area_mm2[index] > _FLANK_RATIO * np.median(beyond)
    return marked
