"""People drawn from the measured population: diameters of cord and canal, heights of vertebrae.

Only group figures are used: means, standard deviations and correlations of
`softseg/data/population_t2w.json`, which names its sources.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

import numpy as np

LEVEL_NAMES = {k + 1: f"C{k + 1}" for k in range(7)} | {k + 8: f"T{k + 1}" for k in range(12)}
"""Number of a vertebral level in masks and tables, and its name."""

VERTEBRA_MM = {1: 15.0, 2: 15.5, 3: 17.3, 4: 16.8, 5: 16.0, 6: 16.5, 7: 17.0, 8: 19.5, 9: 21.5,
               10: 22.5, 11: 23.5, 12: 23.5, 13: 25.0, 14: 26.5, 15: 27.0, 16: 27.0, 17: 28.0,
               18: 29.0, 19: 31.0}  # fmt: skip
"""Distance between neighbouring discs along the cord: mean of the PAM50 and MNI-Poly-AMU templates
(De Leener et al. 2018, doi:10.1016/j.neuroimage.2017.10.041), in millimetres."""


HEIGHT_CM = {"F": (165.0, 6.5), "M": (178.0, 7.0)}
"""Mean and standard deviation of adults' height, in round figures."""
HEIGHT_WITH_CORD = 0.30
"""Correlation of height with the cord's thickness within a sex; .41 over both sexes."""
CORD_SPREAD = 0.70
"""Standard deviation of a person's mean standardised cord diameter, from the correlations."""


@dataclass(frozen=True)
class Person:
    """One person's size.

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
    correlation = np.array(figures["correlation"])
    figures["root"] = np.linalg.cholesky(correlation)
    return figures


def random_person(rng: np.random.Generator, *, sex: str | None = None) -> Person:
    """Draw a person.

    Diameters are log-normal with the measured correlations between levels, directions and canal.

    Args:
        rng: Source of randomness.
        sex: `F` or `M`; by default either, evenly.

    Example:
        >>> person = random_person(np.random.default_rng(1), sex="F")
        >>> person.sex, sorted(person.diameters_mm)
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
    return Person(sex, age, round(height_cm, 1), diameters, vertebra)
