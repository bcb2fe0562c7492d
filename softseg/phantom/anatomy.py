"""A person's spine as a continuous model in millimetres, sampled on any grid.

The truth is the area inside the cord's outline, which is where careful manual masks put the edge;
a thin rim of cord-like signal lies outside it, as on real images. Everything is a function of the
place relative to the centreline (`centreline.Centreline.locate`), so that any orientation,
obliquity and slice thickness gets its true partial volume.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from softseg.phantom.centreline import Centreline
from softseg.phantom.cross_section import Butterfly, Outline
from softseg.phantom.pathology import HEALTHY, Pathology, parse_pathology
from softseg.phantom.population import Person, random_person
from softseg.phantom.profiles import (
    Profiles,
    arc_lengths,
    build_profiles,
    disc_positions,
    level_coordinate,
    random_centreline,
)
from softseg.phantom.surroundings import Surroundings, random_surroundings


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One person's spine, in the subject frame (RAS+ millimetres, origin in the cord at C2-C3).

    Attributes:
        person: Sex, age, size.
        pathology: What is wrong with the cord.
        centreline: The curve that the cord follows.
        profiles: Diameters of cord and dural sac along it.
        outline: Shape of the cord's cross-section.
        butterfly: Shape of the grey matter.
        surroundings: Measures of everything around the dural sac.
    """

    person: Person
    pathology: Pathology
    centreline: Centreline = field(repr=False)
    profiles: Profiles = field(repr=False)
    outline: Outline = field(repr=False)
    surroundings: Surroundings = field(repr=False)
    butterfly: Butterfly = field(default_factory=Butterfly, repr=False)

    @cached_property
    def discs_mm(self) -> dict[int, np.ndarray]:
        """Posterior point of each disc, by the vertebra below it: 3 is C2-C3, 1 the top of C1."""
        line, found = self.centreline, {}
        for disc, s_mm in self.profiles.disc_mm.items():
            here = np.array([s_mm])
            row = line.look_up(self.profiles.table, here)[0]
            front = line.look_up(line.front, here)[0]
            found[disc] = line.point(s_mm) + front * float(row[3] + row[5] + 0.8)
        return found

    def level_at(self, s_mm: np.ndarray | float) -> np.ndarray:
        """Vertebral level (2 is C2, 8 is T1) at arc lengths along the cord; 0 beyond its ends."""
        s_mm = np.asarray(s_mm, dtype=float)
        level = np.floor(level_coordinate(np.atleast_1d(s_mm), self.profiles.disc_mm))
        level = np.clip(level, 1, 19).astype(int).reshape(s_mm.shape)
        inside = (s_mm <= self.profiles.top_mm) & (s_mm >= self.profiles.bottom_mm)
        return np.where(inside, level, 0)


def random_anatomy(
    rng: np.random.Generator,
    *,
    sex: str | None = None,
    pathology: Pathology | str | None = None,
    person: Person | None = None,
) -> Anatomy:
    """Draw a person.

    Args:
        rng: Source of randomness; the same generator state gives the same person.
        sex: `F` or `M`; by default either.
        pathology: What is wrong, as parameters or as a name for `parse_pathology`.
        person: Size, instead of drawing one.

    Raises:
        InputError: If the name of the pathology is unknown.

    Example:
        >>> anatomy = random_anatomy(np.random.default_rng(1))
        >>> anatomy.level_at([5.0, -5.0]).tolist()
        [2, 3]
    """
    if isinstance(pathology, str):
        pathology = parse_pathology(pathology, rng)
    person = person or random_person(rng, sex=sex)
    disc_mm = disc_positions(person)
    s_mm = arc_lengths(disc_mm)
    centreline = random_centreline(rng, s_mm, level_coordinate(s_mm, disc_mm))
    profiles = build_profiles(rng, person, pathology or HEALTHY, s_mm, disc_mm)
    return Anatomy(
        person=person,
        pathology=pathology or HEALTHY,
        centreline=centreline,
        profiles=profiles,
        outline=_random_outline(rng),
        surroundings=_random_surroundings(rng, person, s_mm, disc_mm),
    )


def _random_surroundings(rng, person: Person, s_mm, disc_mm) -> Surroundings:
    level = level_coordinate(s_mm, disc_mm)
    heights = person.vertebra_mm
    vertebra = np.array([heights[int(k)] for k in np.clip(np.floor(level), 1, max(heights))])
    return random_surroundings(rng, level, vertebra, person.height_cm / 171.5)


def _random_outline(rng: np.random.Generator) -> Outline:
    waves = tuple(
        (float(rng.normal(0, size)), float(rng.uniform(0, 2 * np.pi)))
        for size in (0.015, 0.02, 0.01, 0.007)
    )
    return Outline.build(
        exponent=float(rng.uniform(2.0, 2.3)),
        fissure=(float(rng.uniform(0.05, 0.16)), float(rng.uniform(0.09, 0.16))),
        sulcus=(float(rng.uniform(0.0, 0.05)), float(rng.uniform(0.12, 0.25))),
        harmonics=waves,
    )
