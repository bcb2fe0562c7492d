"""Everything around the cord: fluid, dura, fat, spine, muscles, airway, skin."""

from typing import TYPE_CHECKING

import numpy as np

from softseg.phantom.composite import Composite, coverage
from softseg.phantom.cross_section import ellipse_distance

if TYPE_CHECKING:
    from softseg.phantom.partial_volume import Lattice


def paint(lattice: "Lattice", picture: Composite) -> None:
    """Fill what the cord leaves of every voxel."""
    everything = np.arange(len(lattice.s))
    here = lattice.profile(everything)
    u, v, width = lattice.u, lattice.v, lattice.width_mm
    x, y = u - here["sac_right"], v - here["sac_front"]
    sac = ellipse_distance(x, y, here["sac_rl"], here["sac_ap"])
    picture.put("csf", coverage(sac, width), everything)
    picture.put("dura", coverage(sac - 0.4, width), everything)
    picture.put("epidural_fat", coverage(sac - 1.4, width), everything)
    wall = here["sac_ap"] + 1.5
    phase = here["level"] % 1
    body = ellipse_distance(x, y - wall - 8, 11.0, 8.0)
    in_disc = np.clip(0.5 + (np.abs(phase - 0.5) - 0.36) * 17 / 2, 0, 1)
    picture.put("disc", coverage(body, width) * in_disc, everything)
    picture.put("marrow", coverage(body + 0.8, width), everything)
    picture.put("cortical_bone", coverage(body, width), everything)
    ring = np.abs(sac - 4) - 2
    picture.put("cortical_bone", coverage(ring, width) * 0.7, everything)
    airway = ellipse_distance(x, y - wall - 26, 8.0, 7.0)
    picture.put("air", coverage(airway, width), everything)
    neck = ellipse_distance(u, v - 8, 62.0, 62.0)
    picture.put("muscle", coverage(neck + 9, width), everything)
    picture.put("fat", coverage(neck + 2, width), everything)
    picture.put("skin", coverage(neck, width), everything)
