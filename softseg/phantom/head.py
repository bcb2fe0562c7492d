"""Above the atlas: cerebellum, the fluid around it, skull base and skull."""

import numpy as np

from softseg.phantom.composite import Composite, coverage
from softseg.phantom.cross_section import ellipse_distance
from softseg.phantom.places import Places

FORAMEN_LEVEL = 0.9
"""Level coordinate of the foramen magnum."""


def paint(places: Places, picture: Composite) -> None:
    """Put the posterior fossa where the field of view reaches it."""
    index = np.flatnonzero(places.here["level"] < FORAMEN_LEVEL + 0.1)
    if not len(index):
        return
    p = places.at(index)
    above = (FORAMEN_LEVEL - p.here["level"]) * 15  # mm
    grown = np.sqrt(np.clip(above / 40, 0.01, 1))
    here = coverage(-above, p.height)
    middle = -8 - 26 * grown
    fossa = ellipse_distance(p.x, p.y - middle, 6 + 46 * grown, 9 + 30 * grown)
    brain = ellipse_distance(p.x, p.y - middle + 3, 2 + 45 * grown, 2 + 27 * grown)
    folds = 0.5 + 0.5 * np.sin(1.3 * p.s + 0.9 * p.v + 4 * p.fast[0])
    inside = coverage(brain, p.width) * here
    picture.put("csf", inside * 0.25 * (folds > 0.8), index)
    picture.put("brain", inside, index)
    picture.put("csf", coverage(fossa, p.width) * here, index)
    picture.put("marrow", coverage(np.abs(fossa - 3.5) - 1.2, p.width) * here, index)
    picture.put("cortical_bone", coverage(fossa - 6, p.width) * here, index)
    clivus = ellipse_distance(p.x, p.y - p.wall - 8, 16.0, 6.0)
    picture.put("marrow", coverage(clivus + 1, p.width) * here, index)
    picture.put("cortical_bone", coverage(clivus, p.width) * here, index)
