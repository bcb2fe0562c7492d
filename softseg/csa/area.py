"""Area perpendicular to the cord from area in the slice.

A slab of a tube holds area × length of centreline, so the perpendicular area is the slab's volume
over the length of centreline inside it. For a tilt by a and b that is the slice's area over
√(1 + tan²a + tan²b), not the product of two cosines.
"""

import numpy as np

from softseg.csa.centreline import Centreline

_LARGEST_SHARE = 0.1
"""A cord's bend changes the ratio by a hundredth at most; beyond this the line is not a cord's."""
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(3)


def secants(line: Centreline) -> np.ndarray:
    """Millimetres of centreline per millimetre of Z in each slice, `(n,)`."""
    speed = [np.sqrt(1 + (line.at_slices(node / 2)[1] ** 2).sum(-1)) for node in _NODES]
    return np.einsum("q,qn->n", _WEIGHTS / 2, np.array(speed))


def stretch(line: Centreline, covariance_mm2: np.ndarray) -> np.ndarray:
    """Ratio of a slice's area to the perpendicular area of a bent tube, `(n,)`.

    A tilted slice meets the tube at places whose tilt differs. To second order in the tube's size,
    with slope g, J² = 1 + |g|² and the slice's covariance S, the mean of J over the slice adds
    J' g·S(g' - g (g·g')/J²)/J⁴ + ½ J'' g·S g/J⁴ to J.
    """
    _, slope, second = line.at_slices()
    secant2 = 1 + (slope**2).sum(-1)
    secant = np.sqrt(secant2)
    bend = (slope * second).sum(-1)
    rise = bend / secant
    third = (line.at_slices(0.5)[2] - line.at_slices(-0.5)[2]) / line.thickness_mm
    curve = ((second**2).sum(-1) + (slope * third).sum(-1)) / secant - bend**2 / secant**3
    stretched = np.einsum("nij,nj->ni", covariance_mm2, slope)
    sideways = second - slope * (bend / secant2)[:, None]
    first_order = rise * (stretched * sideways).sum(-1)
    second_order = 0.5 * curve * (stretched * slope).sum(-1)
    plain = secants(line)
    limit = _LARGEST_SHARE * plain
    return plain + np.clip((first_order + second_order) / secant2**2, -limit, limit)
