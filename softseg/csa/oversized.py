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


def cord_sections(region: Region) -> Sections:
    """The slices of a region, those that are larger than any cord marked and not counted.

    Larger is a perpendicular area beyond what is plausible at any level and beyond `LARGEST_RATIO`
    times the median of the others, so a mask in wrong units, whose slices are all too large, has
    none. What is small, as a compressed cord or the conus, is never marked.

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
    return sections_of(region, oversized) if oversized.any() else sections
