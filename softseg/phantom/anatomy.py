"""A participant's spine as a continuous model in millimetres, sampled on any grid.

The truth is the cord's physical surface; a thin layer of pia with its vessels lies outside it.
Everything is a function of the place relative to the centreline (`CordCurve.locate`), so that any
orientation, obliquity and slice thickness gets its true partial volume.
"""

import json
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources

import numpy as np

from softseg.errors import InputError
from softseg.phantom.cord_geometry import GREY_STRETCH, Butterfly, CordCurve, UnitOutline
from softseg.phantom.pathology import HEALTHY, Pathology, parse_pathology
from softseg.phantom.profiles import (
    LAST_LEVEL,
    NAMES,
    PIA_MM,
    Profiles,
    arc_lengths,
    build_profiles,
    disc_positions,
    level_coordinate,
    random_centreline,
)
from softseg.phantom.surroundings import Surroundings, random_surroundings

VERTEBRA_MM = {1: 15.0, 2: 15.5, 3: 17.3, 4: 16.8, 5: 16.0, 6: 16.5, 7: 17.0, 8: 19.5, 9: 21.5,
               10: 22.5, 11: 23.5, 12: 23.5, 13: 25.0, 14: 26.5, 15: 27.0, 16: 27.0, 17: 28.0,
               18: 29.0, 19: 31.0, 20: 33.5, 21: 35.0, 22: 36.0, 23: 36.0, 24: 34.0, 25: 30.0,
               26: 25.0}  # fmt: skip
"""Distance between neighbouring discs along the cord: mean of the PAM50 and MNI-Poly-AMU templates
(De Leener et al. 2018, doi:10.1016/j.neuroimage.2017.10.041), below T12 round figures, in mm."""
HEIGHT_CM = {"F": (165.0, 6.5), "M": (178.0, 7.0)}
"""Mean and standard deviation of adults' height, in round figures."""
HEIGHT_WITH_CORD = 0.30
"""Correlation of height with the cord's thickness within a sex; .41 over both sexes."""
CORD_SPREAD = 0.70
"""Standard deviation of a participant's mean standardised cord diameter, from the correlations."""


@dataclass(frozen=True)
class Participant:
    """Sex, age and size of one participant.

    Attributes:
        sex: `F` or `M`.
        age: Years.
        height_cm: Body height.
        diameters_mm: `AP`, `RL`, `canal_AP`, `canal_RL`, each level number -> millimetres.
        vertebra_mm: Level number -> distance between the discs above and below it.
    """

    sex: str
    age: int
    height_cm: float
    diameters_mm: dict[str, dict[int, float]] = field(repr=False)
    vertebra_mm: dict[int, float] = field(repr=False)


@cache
def population() -> dict:
    """The group figures."""
    text = resources.files("softseg").joinpath("data/population_t2w.json").read_text()
    figures = json.loads(text)
    figures["root"] = np.linalg.cholesky(np.array(figures["correlation"]))
    return figures


def random_participant(rng: np.random.Generator, *, sex: str | None = None) -> Participant:
    """Draw a participant.

    Diameters are log-normal with the measured correlations between levels, directions and canal.

    Args:
        rng: Source of randomness.
        sex: `F` or `M`; by default either, evenly.

    Example:
        >>> participant = random_participant(np.random.default_rng(1), sex="F")
        >>> participant.sex, sorted(participant.diameters_mm)
        ('F', ['AP', 'RL', 'canal_AP', 'canal_RL'])
    """
    figures = population()
    sex = sex or str(rng.choice(["F", "M"]))
    deviation = figures["root"] @ rng.standard_normal(len(figures["root"]))
    sizes = deviation.reshape(len(figures["variables"]), -1)
    diameters = {}
    for name, row in zip(figures["variables"], sizes, strict=True):
        mean = np.array(figures["geometric_mean_mm"][sex][name])
        values = mean * np.exp(np.array(figures["log_sd"][name]) * np.clip(row, -3, 3))
        diameters[name] = dict(zip(figures["levels"], map(float, values), strict=True))
    lower = figures["lower_levels"]
    for name in ("AP", "RL"):
        last = diameters[name][figures["levels"][-1]]
        ratios = zip(lower["levels"], lower[name], strict=True)
        diameters[name] |= {level: last * ratio for level, ratio in ratios}
    mean_cm, spread_cm = HEIGHT_CM[sex]
    thick = sizes[:2].mean() / CORD_SPREAD  # a standard normal: how thick this cord is
    tall = HEIGHT_WITH_CORD * thick + np.sqrt(1 - HEIGHT_WITH_CORD**2) * rng.standard_normal()
    height_cm = float(mean_cm + spread_cm * tall)
    stature = (height_cm / 171.5) ** 0.7 * rng.normal(1.0, 0.03)
    vertebra = {
        level: float(mm * stature * rng.normal(1.0, 0.03)) for level, mm in VERTEBRA_MM.items()
    }
    age = int(np.clip(rng.gamma(6.0, 2.2) + 18, 19, 75))
    return Participant(sex, age, round(height_cm, 1), diameters, vertebra)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One participant's spine, in the subject frame: RAS+ millimetres, origin in the cord at C2-C3.

    Attributes:
        participant: Sex, age, size.
        pathology: What is wrong with the cord.
        centreline: The curve that the cord follows.
        profiles: Diameters of cord and dural sac along it.
        outline: Shape of the cord's cross-section.
        butterfly: Shape of the grey matter.
        surroundings: Measures of everything around the dural sac.
    """

    participant: Participant
    pathology: Pathology
    centreline: CordCurve = field(repr=False)
    profiles: Profiles = field(repr=False)
    outline: UnitOutline = field(repr=False)
    surroundings: Surroundings = field(repr=False)
    butterfly: Butterfly = field(default_factory=Butterfly, repr=False)

    @cached_property
    def discs_mm(self) -> dict[int, np.ndarray]:
        """Posterior point of each disc, by the vertebra below it: 3 is C2-C3, 1 the top of C1."""
        line, disc_mm = self.centreline, self.profiles.disc_mm
        at = np.array(list(disc_mm.values()))
        here = self.profiles_at(at)
        wall_mm = (here["sac_ap"] + here["sac_front"] + 0.8).astype(float)
        points = line.look_up(line.position, at) + line.look_up(line.front, at) * wall_mm[:, None]
        return dict(zip(disc_mm, points, strict=True))

    def profiles_at(self, s_mm: np.ndarray) -> dict[str, np.ndarray]:
        """The profiles at arc lengths, by name."""
        rows = self.centreline.look_up(self.profiles.table, s_mm)
        return {name: rows[:, i] for i, name in enumerate(NAMES)}

    def level_at(self, s_mm: np.ndarray | float) -> np.ndarray:
        """Vertebral level (2 is C2, 8 is T1) at arc lengths along the cord; 0 beyond its ends."""
        s_mm = np.asarray(s_mm, dtype=float)
        level = np.floor(level_coordinate(s_mm, self.profiles.disc_mm))
        level = np.clip(level, 1, LAST_LEVEL).astype(int)
        inside = (s_mm <= self.profiles.top_mm) & (s_mm >= self.profiles.bottom_mm)
        return np.where(inside, level, 0)


def random_anatomy(
    rng: np.random.Generator,
    *,
    pathology: Pathology | str | None = None,
    participant: Participant | None = None,
    curvature_deg: tuple[float, float] = (0.0, 0.0),
    pia_mm: tuple[float, float] = PIA_MM,
) -> Anatomy:
    """Draw a participant.

    Args:
        rng: Source of randomness; the same generator state gives the same participant.
        pathology: What is wrong, as parameters or as a name for `parse_pathology`.
        participant: Size, instead of drawing one.
        curvature_deg: Kyphosis and scoliosis beyond the usual, each -45 to 45: how far the cord
            leans to the front, and to the right, above an apex at a random level.
        pia_mm: Mean and SD of the pia's thickness, outside the truth.

    Raises:
        InputError: If the name of the pathology is unknown, or a curvature out of range.

    Example:
        >>> anatomy = random_anatomy(np.random.default_rng(1))
        >>> anatomy.level_at([5.0, -5.0]).tolist()
        [2, 3]
    """
    if isinstance(pathology, str):
        pathology = parse_pathology(pathology, rng)
    if max(map(abs, curvature_deg)) > 45:
        raise InputError(f"curvature_deg must lie in -45 to 45, found {curvature_deg}")
    participant = participant or random_participant(rng)
    disc_mm = disc_positions(participant.vertebra_mm)
    s_mm = arc_lengths(disc_mm)
    level = level_coordinate(s_mm, disc_mm)
    centreline = random_centreline(rng, s_mm, level, curvature_deg=curvature_deg)
    width, depth = np.exp(np.clip(rng.standard_normal(2), -2.5, 2.5) * GREY_STRETCH)
    butterfly = Butterfly(stretch=(float(width), float(depth)))
    sick = pathology or HEALTHY
    heights = participant.vertebra_mm
    vertebra = np.array([heights[int(k)] for k in np.clip(np.floor(level), 1, max(heights))])
    profiles = build_profiles(rng, participant.diameters_mm, sick, s_mm, disc_mm, butterfly, pia_mm)
    return Anatomy(
        participant=participant,
        pathology=sick,
        centreline=centreline,
        profiles=profiles,
        outline=_random_outline(rng),
        butterfly=butterfly,
        surroundings=random_surroundings(rng, level, vertebra, participant.height_cm / 171.5),
    )


def _random_outline(rng: np.random.Generator) -> UnitOutline:
    waves = tuple(
        (float(rng.normal(0, size)), float(rng.uniform(0, 2 * np.pi)))
        for size in (0.015, 0.02, 0.01, 0.007)
    )
    return UnitOutline.build(
        exponent=float(rng.uniform(2.0, 2.3)),
        fissure=(float(rng.uniform(0.05, 0.16)), float(rng.uniform(0.09, 0.16))),
        sulcus=(float(rng.uniform(0.0, 0.05)), float(rng.uniform(0.12, 0.25))),
        harmonics=waves,
    )
