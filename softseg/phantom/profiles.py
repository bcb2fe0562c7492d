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
LAST_LEVEL = 26
"""Lowest vertebra of the model: S2 (L1 is 20, S1 is 25)."""
CONUS_LEVEL = (20.83, 0.43, 19.0, 22.2)
"""Level coordinate of the cord's tip: mean, standard deviation, limits. Lower third of L1, from the
middle of T12 to the upper third of L3 in 504 adults (Saifuddin et al. 1998,
doi:10.1097/00007632-199807010-00005)."""
SAC_END_LEVEL = (26.2, 0.5, 25.0, 27.0)
"""The same of the dural sac: upper third of S2, from L5-S1 to the upper third of S3 in 743 adults
(Binokay et al. 2006, doi:10.1080/02841850600557158); here at most the end of S2."""

FORWARD_DEG = {1: -5, 2: -4, 3: 0, 4: 4, 5: 6, 6: 8, 7: 12, 8: 17, 9: 21, 10: 22, 11: 18, 13: 6,
               15: -5, 19: -14, 21: -11, 22: -3, 23: 7, 24: 20, 25: 36, 26: 46}  # fmt: skip
"""Mean forward tilt of the upward tangent by level: fitted to 17 manually segmented cords; below
the cord a lordosis of 46° between L1 and S1 (doi:10.1155/2014/351769)."""

GREY_SHARE = {1: 0.159, 2: 0.154, 3: 0.171, 4: 0.191, 5: 0.193, 6: 0.200, 7: 0.180, 8: 0.164,
              9: 0.154, 11: 0.13, 15: 0.13, 17: 0.20, 19: 0.30}  # fmt: skip
"""Grey matter's mean share of the cord's area by level: group figures of the 367 manually segmented
slices of the Spinal Cord Toolbox (MIT), C1 to T2; below, typical figures."""

SAC_FRONT_MM = {0: -1.5, 1: 0.2, 2: 1.0, 3: 0.8, 4: 0.3, 5: 0.1, 6: 0.2, 7: 0.4, 9: 0.0, 11: -1.2,
                13: -2.0, 17: -1.0, 19: 0.5, 20: 1.6, 22: 2.0, 26: 0.0}  # fmt: skip
"""How far the middle of the dural sac lies in front of the cord's, by level: C1 to C6 measured on
seven participants with manual masks of cord and fluid; further down the cord lies in front, as it
bridges the thoracic curve, and its tip behind, as supine."""
LOWER_CANAL = {9: (1.0, 1.0), 16: (1.02, 1.02), 19: (1.15, 1.14), 21: (1.2, 1.16),
               23: (1.18, 1.1), 24: (1.22, 1.08), 25: (1.15, 0.95), 26: (0.9, 0.75)}  # fmt: skip
"""Width and depth of the canal's soft contents below T2, over those at T2: round figures."""

PIA_MM = (0.23, 0.02)
"""Thickness of the pia mater with its vessels, outside the truth: mean and SD between participants.

The human membrane has 0.010 to 0.015 mm of cells on 0.13 to 0.20 mm of collagen (Reina et al. 2004,
doi:10.1213/01.ane.0000113240.09354.e9): 0.18 mm in the middle of both ranges, and 0.02 the SD of
any thickness within them. Arteries on the human brain's pia are 0.06 to 0.2 mm wide (Hiroko et al.
2003, doi:10.1046/j.1440-1789.2003.00487.x); as many of 0.1 mm as cover half of the cord add 0.05 mm
(estimated: for the cord's own dense plexus only diameters of single vessels are published). One
thickness a participant, the same along and around the cord."""
TRAINED_PIA_MM = (0.23, 0.03)
"""The same where networks learn: a little wider than participants differ."""
CONE_MM = (16.0, 34.0)
"""Length over which the cord tapers to its end, smallest and largest."""

NAMES = (
    "half_rl",
    "half_ap",
    "sac_rl",
    "sac_ap",
    "sac_right",
    "sac_front",
    "twist",
    "pia",
    "grey",
    "level",
    "sac_share",
    "bulge",
)
"""Columns of the profiles: half diameters (mm) of cord and dural sac, the sac's middle seen from
the cord's (mm), the cord's torsion (radians), the pia's and the grey matter's thickness (mm), the
level coordinate, the part of its width that the sac still has (1 down to its tapered end), and how
far a disc bulges into the canal (mm)."""
BULGE_MM = (1.5, 0.5)
"""Shape and scale of the gamma distribution of a disc's bulge: 0.75 mm in the mean, over 1.9 mm in
one of twenty. Of 1211 people without symptoms 88 % had a bulging cervical disc and 5 % one that
pressed on the cord (Nakashima et al. 2015, doi:10.1097/BRS.0000000000000775)."""
MOST_FLATTENED = 0.1
"""Share of its depth that the cord loses where a disc of a healthy participant touches it."""
GREY_SPREAD = 0.12
"""Relative SD between participants of the grey matter's share of the cord: .12 in five people with
manual masks of both (.140 to .192)."""


@dataclass(frozen=True, eq=False)
class Profiles:
    """Tables over the arc length of a centreline, one column for each of `NAMES`.

    Attributes:
        table: `(N, len(NAMES))` float32.
        disc_mm: Arc length of each disc, by the number of the vertebra below it.
        top_mm, bottom_mm: Arc lengths at which the cord ends; the spine goes on below.
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


TIGHTEST_MM = 60.0
"""Smallest radius of a deformed spine's curve."""


def random_centreline(
    rng: np.random.Generator,
    s_mm: np.ndarray,
    level: np.ndarray,
    *,
    curvature_deg: tuple[float, float] = (0.0, 0.0),
) -> CordCurve:
    """Draw a curve: cervical lordosis, thoracic kyphosis, lateral sway.

    `s_mm` and `level` are `(N,)`. Kyphosis and scoliosis beyond the usual, at a random level, tilt
    the cord to the front (right) above their apex and to the back (left) below by `curvature_deg`.
    """
    lean, bend = rng.normal(0.0, 5.0), rng.normal(1.0, 0.35)
    knots = np.array(sorted(FORWARD_DEG))
    forward = np.array([FORWARD_DEG[k] for k in knots]) * bend + lean
    forward = forward + rng.normal(0.0, 2.0, len(knots))
    forward = PchipInterpolator(knots + 0.5, forward)(np.clip(level, 1.5, LAST_LEVEL + 0.5))
    sway_knots = np.arange(0.0, 29.0, 4.0)
    sway = rng.normal(0.0, 1.5) + rng.normal(0.0, 2.0, len(sway_knots))
    rightward = PchipInterpolator(sway_knots, sway)(np.clip(level, 0, 28))
    forward = forward + _bent(rng, s_mm, level, curvature_deg[0])
    rightward = rightward + _bent(rng, s_mm, level, curvature_deg[1])
    smooth, steepest = 6 / STEP_MM, np.where(level < 22, 45, 58)
    forward = ndimage.gaussian_filter1d(np.clip(forward, -45, steepest), smooth, mode="nearest")
    rightward = ndimage.gaussian_filter1d(np.clip(rightward, -45, 45), smooth, mode="nearest")
    return CordCurve.from_angles(s_mm, forward, rightward)


def _bent(rng: np.random.Generator, s_mm: np.ndarray, level: np.ndarray, angle_deg: float):
    """A curve to one side: tilt of up to an angle above the apex and of as much below it."""
    apex = np.interp(rng.uniform(3, 20), level[::-1], s_mm[::-1])
    # Of t exp((1 - t²) / 2), the largest value is 1 and the steepest slope √e.
    shortest_mm = np.sqrt(np.e) * np.radians(abs(angle_deg)) * TIGHTEST_MM
    along = (s_mm - apex) / max(30.0, shortest_mm * rng.uniform(1, 1.5))
    return angle_deg * along * np.exp((1 - along**2) / 2)


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
    butterfly: Butterfly,
    pia_mm: tuple[float, float] = PIA_MM,
) -> Profiles:
    """Put a participant's diameters and pathology along the cord, at arc lengths `s_mm` `(N,)`.

    `diameters_mm` are a `Participant`'s, `disc_mm` those of `Profiles`, `pia_mm` is mean and SD.
    """
    level = level_coordinate(s_mm, disc_mm)
    top_mm = disc_mm[TOP_LEVEL] + rng.uniform(2, 9)
    half = {k: _smooth(_along(v, level) / 2) for k, v in diameters_mm.items()}
    # The medulla widens upwards, from the end of the cord on.
    grow = 1 + 0.045 * 4 * np.logaddexp(0, (s_mm - top_mm) / 4)
    tip_mm, sac_end_mm = (
        _arc_length(np.clip(rng.normal(mean, spread), first, last), disc_mm)
        for mean, spread, first, last in (CONUS_LEVEL, SAC_END_LEVEL)
    )
    cone = np.sqrt(np.clip((s_mm - tip_mm) / rng.uniform(*CONE_MM), 0.005, 1))
    wider, deeper = (_along({k: v[i] for k, v in LOWER_CANAL.items()}, level) for i in (0, 1))
    rl, ap = half["RL"] * np.minimum(grow, 1.9), half["AP"] * np.minimum(grow, 2.0)
    rl, ap = _diseased(rl, ap, pathology, s_mm, disc_mm)
    rl, ap = rl * cone, ap * cone
    sac_rl = half["canal_RL"] * np.minimum(grow, 1.5) * wider
    sac_ap = half["canal_AP"] * np.minimum(grow, 1.6) * deeper
    effaced = _effacement(pathology, s_mm, disc_mm)
    twist, pia, grey = _inside(rng, s_mm, level, butterfly, pia_mm)
    bulge = _bulges(rng, s_mm, disc_mm) * (1 - effaced)
    sac_rl, sac_ap, right, front = _sac(rng, (rl + pia, ap + pia), (sac_rl, sac_ap), effaced, level)
    # A bulging disc moves the sac's front wall back, up to the cord and a little further.
    free = np.maximum(sac_ap + front - ap - pia, 0)
    bulge = np.minimum(bulge, free + MOST_FLATTENED * ap)
    sac_ap, front = sac_ap - bulge / 2, front - bulge / 2
    flatter = 1 - _smooth(np.maximum(bulge - free, 0) / ap)
    rl, ap = rl / flatter, ap * flatter  # the area stays
    sac = (np.maximum(sac_rl, rl + pia + 0.3), sac_ap, right, front)
    share = np.clip((s_mm - sac_end_mm) / rng.uniform(30, 90), 4e-4, 1) ** rng.uniform(0.4, 0.8)
    table = np.stack([rl, ap, *sac, twist, pia, grey, level, share, bulge], axis=1)
    return Profiles(table.astype(np.float32), disc_mm, top_mm, tip_mm)


def _sac(rng: np.random.Generator, cord, sac, effaced: np.ndarray, level: np.ndarray):
    """Half diameters of the dural sac, and its middle to the right and front of the cord's.

    `cord` is what can be seen of it, with the pia: nothing may tell how thick that is.
    """
    (rl, ap), (sac_rl, sac_ap) = cord, sac
    room = 0.7 * (1 - effaced) + 0.05 * effaced
    sac_ap = sac_ap * (1 - effaced) + (ap + room) * effaced
    sac_rl, sac_ap = np.maximum(sac_rl, rl + 1.0), np.maximum(sac_ap, ap + room)
    limit = np.maximum(sac_ap - ap - 0.05, 0.02)
    front = (_along(SAC_FRONT_MM, level) + rng.normal(0, 0.45)) * (1 - effaced)
    right = np.full_like(front, rng.normal(0, 0.3))
    return sac_rl, sac_ap, right, np.clip(front, -limit, limit)


def _bulges(rng: np.random.Generator, s_mm: np.ndarray, disc_mm: dict[int, float]) -> np.ndarray:
    """Millimetres by which the discs C2-C3 to L5-S1 bulge backwards."""
    found = np.zeros_like(s_mm)
    for disc in range(3, 26):
        away = (s_mm - disc_mm[disc]) / rng.uniform(2.5, 4.0)
        found += rng.gamma(*BULGE_MM) * np.exp(-0.5 * away**2)
    return found


def _inside(rng: np.random.Generator, s_mm, level, butterfly: Butterfly, pia_mm):
    """Torsion, thickness of the pia, thickness of the grey matter."""
    twist = np.radians(rng.normal(0, 2) + rng.normal(0, 2) * np.sin(s_mm / 60 + rng.uniform(0, 6)))
    mean, deviation = pia_mm
    pia = np.full(len(s_mm), mean + deviation * np.clip(rng.standard_normal(), -3, 3))
    share = _along(GREY_SHARE, level) * np.clip(rng.normal(1, GREY_SPREAD), 0.7, 1.35)
    return twist, pia, butterfly.thickness(share)


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
