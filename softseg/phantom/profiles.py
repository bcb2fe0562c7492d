"""How one participant's cord, dural sac and canal change along the cord."""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from softseg.phantom.cord_geometry import STEP_MM, Butterfly, CordCurve
from softseg.phantom.pathology import Pathology

TOP_LEVEL = 1
ABOVE_MM = 110.0
"""How far the model reaches above C1: brainstem and skull."""
LAST_LEVEL = 19
"""Level (L1 = 20 is the next) at whose end the cord ends."""

FORWARD_DEG = {1: -5, 2: -4, 3: 0, 4: 4, 5: 6, 6: 8, 7: 12, 8: 17, 9: 21, 10: 22, 11: 18, 13: 6,
               15: -5, 19: -14}  # fmt: skip
"""Mean forward tilt of the upward tangent by level: fitted to 17 manually segmented cords."""

GREY_SHARE = {1: 0.159, 2: 0.154, 3: 0.171, 4: 0.191, 5: 0.193, 6: 0.200, 7: 0.180, 8: 0.164,
              9: 0.154, 11: 0.13, 15: 0.13, 17: 0.20, 19: 0.30}  # fmt: skip
"""Grey matter's mean share of the cord's area by level: group figures of the 367 manually segmented
slices of the Spinal Cord Toolbox (MIT), C1 to T2; below, typical figures."""

SAC_FRONT_MM = {0: -1.5, 1: 0.2, 2: 1.0, 3: 0.8, 4: 0.3, 5: 0.1, 6: 0.2, 7: 0.4, 9: 0.0, 11: -1.2,
                13: -2.0, 17: -1.0, 19: 0.0}  # fmt: skip
"""How far the middle of the dural sac lies in front of the cord's, by level: C1 to C6 measured on
seven participants with manual masks of cord and fluid; further down the cord lies in front, as it
bridges the thoracic curve."""

RIM_MM = (0.05, 0.5)
"""Thickness of the cord-like rim outside the truth."""
CONE_MM = 22.0
"""Length over which the cord tapers to its end."""

NAMES = (
    "half_rl",
    "half_ap",
    "sac_rl",
    "sac_ap",
    "sac_right",
    "sac_front",
    "twist",
    "rim",
    "grey",
    "level",
)
"""Columns of the profiles: half diameters (mm) of cord and dural sac, the sac's middle seen from
the cord's (mm), the cord's torsion (radians), the rim's and the grey matter's thickness (mm), the
level coordinate."""


@dataclass(frozen=True, eq=False)
class Profiles:
    """Tables over the arc length of a centreline, one column for each of `NAMES`.

    Attributes:
        table: `(N, len(NAMES))` float32.
        disc_mm: Arc length of each disc, by the number of the vertebra below it.
        top_mm, bottom_mm: Arc lengths at which the cord ends.
    """

    table: np.ndarray = field(repr=False)
    disc_mm: dict[int, float]
    top_mm: float
    bottom_mm: float

    def column(self, name: str) -> np.ndarray:
        """`(N,)` one quantity along the cord."""
        return self.table[:, NAMES.index(name)]

    def arc_length(self, level: float) -> float:
        """Arc length at a level coordinate: 5.0 is the disc above C5."""
        return _arc_length(level, self.disc_mm)


def disc_positions(vertebra_mm: dict[int, float]) -> dict[int, float]:
    """Arc length of the disc above each vertebra (1 is the top of C1), 0 above C3."""
    found = {3: 0.0}
    for level in (2, 1):
        found[level] = found[level + 1] + vertebra_mm[level]
    for level in range(3, LAST_LEVEL + 1):
        found[level + 1] = found[level] - vertebra_mm[level]
    return found


def arc_lengths(disc_mm: dict[int, float]) -> np.ndarray:
    """Arc lengths of the tables' rows."""
    low = np.floor(min(disc_mm.values())) - 20
    high = np.ceil(disc_mm[TOP_LEVEL]) + ABOVE_MM
    return np.arange(low, high + STEP_MM / 2, STEP_MM)


def random_centreline(rng: np.random.Generator, s_mm: np.ndarray, level: np.ndarray) -> CordCurve:
    """Draw a curve: cervical lordosis, thoracic kyphosis, lateral sway."""
    lean, bend = rng.normal(0.0, 5.0), rng.normal(1.0, 0.35)
    knots = np.array(sorted(FORWARD_DEG))
    forward = np.array([FORWARD_DEG[k] for k in knots]) * bend + lean
    forward = forward + rng.normal(0.0, 2.0, len(knots))
    forward = PchipInterpolator(knots + 0.5, forward)(np.clip(level, 1.5, 19.5))
    sway_knots = np.arange(0.0, 25.0, 4.0)
    sway = rng.normal(0.0, 1.5) + rng.normal(0.0, 2.0, len(sway_knots))
    rightward = PchipInterpolator(sway_knots, sway)(np.clip(level, 0, 24))
    smooth = 6 / STEP_MM
    forward = ndimage.gaussian_filter1d(np.clip(forward, -30, 35), smooth, mode="nearest")
    rightward = ndimage.gaussian_filter1d(rightward, smooth, mode="nearest")
    return CordCurve.from_angles(s_mm, forward, rightward)


def level_coordinate(s_mm: np.ndarray, disc_mm: dict[int, float]) -> np.ndarray:
    """Continuous level: 5.0 at the disc above C5, 6.0 at the disc below it."""
    levels = np.array(sorted(disc_mm))
    at = np.array([disc_mm[k] for k in levels])
    inside = np.interp(-s_mm, -at, levels)
    per_mm = 1 / 15.0
    above = np.maximum(0, s_mm - at[0]) * per_mm
    below = np.maximum(0, at[-1] - s_mm) * per_mm / 2
    return inside - above + below


def build_profiles(
    rng: np.random.Generator,
    diameters_mm: dict[str, dict[int, float]],
    pathology: Pathology,
    s_mm: np.ndarray,
    disc_mm: dict[int, float],
) -> Profiles:
    """Put a participant's diameters and pathology along the cord.

    Args:
        rng: Source of randomness for what the population leaves open.
        diameters_mm: `AP`, `RL`, `canal_AP`, `canal_RL`, each level number -> millimetres.
        pathology: What changes them.
        s_mm: `(N,)` arc lengths of the rows.
        disc_mm: Arc length of each disc.
    """
    level = level_coordinate(s_mm, disc_mm)
    top_mm = disc_mm[TOP_LEVEL] + rng.uniform(2, 9)
    half = {k: _smooth(_along(v, level) / 2) for k, v in diameters_mm.items()}
    # The medulla widens upwards, from the end of the cord on.
    grow = 1 + 0.045 * 4 * np.logaddexp(0, (s_mm - top_mm) / 4)
    cone = np.sqrt(np.clip((s_mm - disc_mm[LAST_LEVEL + 1]) / CONE_MM, 0.005, 1))
    rl, ap = half["RL"] * np.minimum(grow, 1.9), half["AP"] * np.minimum(grow, 2.0)
    rl, ap = _diseased(rl, ap, pathology, s_mm, disc_mm)
    rl, ap = rl * cone, ap * cone
    sac_rl = half["canal_RL"] * np.minimum(grow, 1.5)
    sac_ap = half["canal_AP"] * np.minimum(grow, 1.6)
    effaced = _effacement(pathology, s_mm, disc_mm)
    sac = _sac(rng, (rl, ap), (sac_rl, sac_ap), effaced, level)
    table = np.stack([rl, ap, *sac, *_inside(rng, s_mm, level), level], axis=1)
    return Profiles(table.astype(np.float32), disc_mm, top_mm, disc_mm[LAST_LEVEL + 1])


def _sac(rng: np.random.Generator, cord, sac, effaced: np.ndarray, level: np.ndarray):
    """Half diameters of the dural sac, and its middle to the right and front of the cord's."""
    (rl, ap), (sac_rl, sac_ap) = cord, sac
    room = 0.9 * (1 - effaced) + 0.25 * effaced
    sac_ap = sac_ap * (1 - effaced) + (ap + room) * effaced
    sac_rl, sac_ap = np.maximum(sac_rl, rl + 1.2), np.maximum(sac_ap, ap + room)
    limit = np.maximum(sac_ap - ap - 0.2, 0.05)
    front = (_along(SAC_FRONT_MM, level) + rng.normal(0, 0.45)) * (1 - effaced)
    right = np.full_like(front, rng.normal(0, 0.3))
    return sac_rl, sac_ap, right, np.clip(front, -limit, limit)


def _inside(rng: np.random.Generator, s_mm: np.ndarray, level: np.ndarray):
    """Torsion, thickness of the rim, thickness of the grey matter."""
    twist = np.radians(rng.normal(0, 2) + rng.normal(0, 2) * np.sin(s_mm / 60 + rng.uniform(0, 6)))
    wave = 0.12 * np.sin(s_mm / rng.uniform(8, 30) + rng.uniform(0, 6))
    rim = np.clip(rng.uniform(*RIM_MM) + wave, *RIM_MM)
    share = _along(GREY_SHARE, level) * np.clip(rng.normal(1, 0.12), 0.7, 1.35)
    return twist, rim, Butterfly().thickness(share)


def _along(by_level: dict[int, float], level: np.ndarray) -> np.ndarray:
    """Values at the middle of each level, smoothly between, constant beyond."""
    knots = np.array(sorted(by_level), dtype=float)
    values = np.array([by_level[int(k)] for k in knots])
    middles = knots + 0.5
    return PchipInterpolator(middles, values)(np.clip(level, middles[0], middles[-1]))


def _smooth(values: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter1d(values, 3 / STEP_MM, mode="nearest")


def _arc_length(coordinate: float, disc_mm: dict[int, float]) -> float:
    levels = sorted(disc_mm)
    return float(np.interp(coordinate, levels, [disc_mm[k] for k in levels]))


def _bumps(pathology: Pathology, s_mm, disc_mm) -> list[tuple[float, float, np.ndarray]]:
    found = []
    for c in pathology.compressions:
        away = s_mm - _arc_length(c.level, disc_mm)
        found.append((c.flattening, c.widening, np.exp(-0.5 * (away / c.length_mm) ** 2)))
    return found


def _effacement(pathology: Pathology, s_mm, disc_mm) -> np.ndarray:
    """1 where a compression leaves no fluid in front of and behind the cord."""
    left = np.ones_like(s_mm)
    for flattening, _, bump in _bumps(pathology, s_mm, disc_mm):
        left = left * (1 - np.minimum(1, 0.5 + 2 * flattening) * bump**0.5)
    return 1 - left


def _diseased(rl, ap, pathology: Pathology, s_mm, disc_mm):
    """Half diameters after atrophy, swelling and compression; atrophy is exact in area."""
    area = np.full_like(s_mm, 1 - pathology.atrophy_percent / 100)
    if pathology.local_atrophy is not None:
        first, last, percent = pathology.local_atrophy
        high, low = _arc_length(first, disc_mm), _arc_length(last, disc_mm)
        inside = _step((high - s_mm) / 8) * _step((s_mm - low) / 8)
        area = area * (1 - percent / 100 * inside)
    if pathology.injury is not None:
        away = s_mm - _arc_length(pathology.injury.level, disc_mm)
        spread = np.exp(-0.5 * (away / (pathology.injury.oedema_mm / 2)) ** 2)
        area = area * (1 + pathology.injury.swelling * spread)
    rl, ap = rl * np.sqrt(area), ap * np.sqrt(area)
    for flattening, widening, bump in _bumps(pathology, s_mm, disc_mm):
        ap = ap * (1 - flattening * bump)
        rl = rl * (1 + widening * flattening * bump)
    return rl, ap


def _step(x: np.ndarray) -> np.ndarray:
    """0 below -1, 1 above 0, smooth between."""
    x = np.clip(x + 1, 0, 1)
    return x * x * (3 - 2 * x)
