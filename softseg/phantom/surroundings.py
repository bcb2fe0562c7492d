"""What lies around the cord, from the fluid out to the skin: one participant's measures, the voxels
that structures are painted into, and how structures hide one another.

Measures are round figures for adults, adjusted by eye on real images and spread at random between
participants: nothing outside the dural sac is part of any truth, it has to look and vary like a
neck.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from softseg.phantom.tissues import INDEX

KNOTS = np.array([-3.0, -1.0, 0.0, 1.0, 1.6, 2.2, 3.0, 5.0, 6.5, 8.0, 9.0, 11.0, 19.0,
                  22.0, 25.0, 27.0])  # fmt: skip
"""Level coordinates at which the measures below are given: skull base, atlas, dens, neck, chest,
loins, sacrum."""

MEASURES = {
    # Vertebral body: half width, half depth (mm). Above 2.2 it is the dens, above 1 the clivus.
    "body_width": [20, 18, 12, 5.5, 5.5, 9.0, 10.0, 11.0, 12.5, 14.0, 14.0, 15.0, 20.0, 22, 25, 34],
    "body_depth": [5, 5, 5.0, 5.5, 5.5, 7.0, 7.5, 8.0, 8.0, 8.5, 9.0, 11.0, 15.0, 16.5, 16, 9],
    # Distance of the skin from the cord: to the side, behind, in front (mm).
    "skin_side": [76, 76, 74, 70, 66, 62, 60, 60, 72, 130, 170, 175, 165, 160, 175, 180],
    "skin_back": [105, 95, 80, 66, 60, 57, 55, 56, 62, 68, 66, 58, 60, 70, 62, 50],
    "skin_front": [100, 105, 108, 105, 98, 88, 76, 64, 66, 84, 100, 125, 140, 125, 120, 130],
    # Airway: half width, half depth, and the gap between the body and its middle (mm).
    "airway_width": [1, 4, 14, 13, 12, 11, 12, 10, 8.5, 8.5, 8.5, 9, 1, 1, 1, 1],
    "airway_depth": [1, 3, 9, 8, 7, 6, 6, 7, 8.0, 8.0, 8.0, 8, 1, 1, 1, 1],
    "airway_gap": [14, 13, 12, 12, 12, 11, 12, 15, 20, 22, 24, 26, 30, 50, 50, 50],
    # The dural sac: how much wider in front than behind, and its dent behind the body (mm).
    "sac_taper": [0, 0, 0, 0.0, 0.04, 0.2, 0.28, 0.3, 0.3, 0.2, 0.12, 0.05, 0.05, 0.15, 0.2, 0.1],
    "sac_dent": [0, 0, 0, 0.0, 0.1, 0.5, 0.8, 0.9, 0.9, 0.5, 0.2, 0.1, 0.1, 0.4, 0.4, 0.2],
    # How far the spinous process reaches behind the canal (mm).
    "spinous": [1, 1, 1, 4, 8, 18, 14, 15, 20, 28, 28, 26, 26, 27, 12, 5],
    # Thickness of the epidural fat behind the sac, relative to `epidural`.
    "fat_behind": [0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.6, 1, 1.4, 1.4, 1.5, 3.0, 3.5, 3.0],
}


@dataclass(frozen=True, eq=False)
class Surroundings:
    """One participant's measures.

    Attributes:
        table: `(N, len(names))` float32 measures over the centreline's arc length.
        names: Columns of the table.
        waves: `(W, 4)` wave vector (rad/mm) and phase of the waves that bend soft tissue.
        bend: How far they bend it, as a fraction of 4 mm.
        strands: `(K, 6)` roots of the cauda equina: level coordinates at which each appears and
            leaves the sac, angle from the midline behind (radians), place between the sac's middle
            (0) and its wall (1), radius (mm) and phase of its slight waves.
        rootlets: `(4, 3)` dorsal and ventral roots of both sides: where on the cord's surface they
            begin (radians from the right to the front), radius (mm), phase of what varies along it.
        vessels: `(5, 3)` the same of arteries and veins on the cord's surface.
        choices: Single numbers, by name.
    """

    table: np.ndarray = field(repr=False)
    names: tuple[str, ...]
    waves: np.ndarray = field(repr=False)
    strands: np.ndarray = field(repr=False)
    rootlets: np.ndarray = field(repr=False)
    vessels: np.ndarray = field(repr=False)
    choices: dict[str, float]


def random_surroundings(
    rng: np.random.Generator, level: np.ndarray, vertebra_mm: np.ndarray, size: float
) -> Surroundings:
    """Draw the measures of a participant of a relative body size.

    `level` and `vertebra_mm` are `(N,)`: level coordinate and height of the vertebra at each row.
    """
    columns = {"vertebra": vertebra_mm}
    for name, values in MEASURES.items():
        own = np.array(values) * size * rng.normal(1, 0.07) * rng.normal(1, 0.03, len(values))
        if name.startswith("sac"):
            own = own * rng.uniform(0.2, 1.7)
        columns[name] = np.interp(level, KNOTS, own)
    weight = float(rng.lognormal(0, 0.25))
    for name, share in {"skin_side": 0.12, "skin_back": 0.2, "skin_front": 0.1}.items():
        columns[name] = columns[name] * (1 + share * (weight - 1))
    directions = rng.normal(size=(8, 3)) * ([[1, 1, 0.5]] * 4 + [[1, 1, 0.2]] * 4)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = rng.uniform([[35]] * 4 + [[9]] * 4, [[90]] * 4 + [[30]] * 4)
    phases = rng.uniform(0, 2 * np.pi, (8, 1))
    waves = np.concatenate([directions * 2 * np.pi / lengths, phases], axis=1)
    names = tuple(columns)
    table = np.stack(list(columns.values()), axis=1).astype(np.float32)
    threads = (_cauda_equina(rng), _on_the_cord(rng, _ROOTLETS), _on_the_cord(rng, _VESSELS))
    return Surroundings(table, names, waves.astype(np.float32), *threads, _choices(rng, weight))


# Angle on the cord (degrees from the right to the front), least and greatest radius (mm).
_ROOTLETS = ((-47, 0.2, 0.45), (50, 0.2, 0.4), (-133, 0.2, 0.45), (130, 0.2, 0.4))
_VESSELS = ((91, 0.3, 0.5), (84, 0.1, 0.4), (-90, 0.2, 0.5), (-42, 0.1, 0.3), (-138, 0.1, 0.3))
"""Anterior artery (0.7 to 0.8 mm wide) and vein, posterior vein, posterolateral arteries."""


def _on_the_cord(rng: np.random.Generator, threads: tuple) -> np.ndarray:
    """Draw each thread for itself: no side mirrors the other."""
    angle, least, greatest = np.array(threads, float).T
    turned = np.radians(angle + rng.normal(0, 5, len(angle)))
    columns = (turned, rng.uniform(least, greatest), rng.uniform(0, 2 * np.pi, len(angle)))
    return np.stack(columns, axis=1)


def _cauda_equina(rng: np.random.Generator) -> np.ndarray:
    """Dorsal and ventral roots of L2 to S5 on both sides: the lower a root leaves, the more medial.

    Supine, they lie behind in the sac, dorsal roots behind ventral ones.
    """
    pair, ventral, side = (a.ravel() for a in np.meshgrid(np.arange(9), [0, 1], [-1, 1]))
    count = len(pair)
    start = rng.uniform(17.3, 19.3, count)
    leaves = np.minimum(21.35 + pair, 26.5) + rng.normal(0, 0.1, count)
    spread = rng.uniform(0.55, 1.05)
    angle = side * (np.clip(1.5 - 0.16 * pair, 0.1, None) * spread + rng.normal(0, 0.12, count))
    depth = rng.uniform(0.72, 0.9) - 0.25 * ventral + rng.normal(0, 0.07, count)
    radius = np.where(pair < 6, 0.55, 0.35) * (1 - 0.2 * ventral) * rng.lognormal(0, 0.15, count)
    phase = rng.uniform(0, 2 * np.pi, count)
    columns = (start, leaves, angle, np.clip(depth, 0.3, 0.92), radius, phase)
    return np.stack(columns, axis=1).astype(np.float32)


def _choices(rng: np.random.Generator, weight: float) -> dict[str, float]:
    """Single numbers, in millimetres or shares."""
    return {
        "back_fat": float(rng.uniform(5, 20) * weight),
        "side_fat": float(rng.uniform(2, 6) * weight),
        "marbling": float(rng.uniform(0.0, 0.5)),
        "fascia": float(rng.uniform(0.3, 1.0)),
        "boxy": float(rng.uniform(0.0, 0.14)),
        "layers": float(rng.uniform(6, 14)),
        "dura": float(rng.uniform(0.25, 0.6)),
        "epidural": float(rng.uniform(0.3, 1.5)),
        "dura_seen": float(rng.uniform(-0.3, 1.0)),
        "ligament": float(rng.uniform(0.0, 0.14)),
        "artery_right": float(rng.uniform(1.2, 2.6)),
        "artery_left": float(rng.uniform(1.2, 2.6)),
        "aorta": float(rng.uniform(7.5, 11.0)),
        "cava": float(rng.uniform(6.0, 11.0)),
        "carotid": float(rng.uniform(2.8, 4.0)),
        "jugular": float(rng.uniform(3.0, 7.0)),
        "concave": float(rng.uniform(0.2, 1.1)),
        "disc_bulge": float(rng.uniform(0.2, 1.5)),
        "annulus": float(rng.uniform(0.1, 0.7)),
        "jugular_left": float(rng.uniform(0.6, 1.3)),
        "disc_height": float(rng.uniform(0.2, 0.32)),
        "shell": float(rng.uniform(0.5, 1.4)),
        "viscera_right": float(rng.normal(0, 2.5)),
    }


@dataclass(frozen=True, eq=False)
class VoxelBatch:
    """A batch of voxels, small enough to stay in the processor's cache.

    Attributes:
        s, u, v: `(P,)` along the cord, to the right, to the front, in millimetres.
        here: The profiles and surroundings at each place, by name, `(P,)` each.
        width, height: Extent of a voxel across the cord and along it, in millimetres.
        surroundings: The participant's measures.
    """

    s: np.ndarray
    u: np.ndarray
    v: np.ndarray
    here: dict[str, np.ndarray] = field(repr=False)
    width: float
    height: float
    surroundings: Surroundings = field(repr=False)

    @property
    def choices(self) -> dict[str, float]:
        """The participant's single numbers, by name."""
        return self.surroundings.choices

    @cached_property
    def x(self) -> np.ndarray:
        """To the right of the middle of the dural sac."""
        return self.u - self.here["sac_right"]

    @cached_property
    def y(self) -> np.ndarray:
        """To the front of the middle of the dural sac."""
        return self.v - self.here["sac_front"]

    @cached_property
    def across(self) -> np.ndarray:
        """Distance from the midline."""
        return np.abs(self.x)

    @cached_property
    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """Half diameters of the cord's visible surface, which the pia makes."""
        return self.here["half_rl"] + self.here["pia"], self.here["half_ap"] + self.here["pia"]

    @cached_property
    def wall(self) -> np.ndarray:
        """Where the vertebral body begins, in terms of `y`."""
        return self.here["sac_ap"] + 1.2

    @cached_property
    def phase_mm(self) -> np.ndarray:
        """Distance along the cord to the nearest disc: 0 at its middle."""
        phase = self.here["level"] % 1
        return np.minimum(phase, 1 - phase) * self.here["vertebra"]

    @cached_property
    def below_disc_mm(self) -> np.ndarray:
        """Distance along the cord below the disc above this place."""
        return (self.here["level"] % 1) * self.here["vertebra"]

    @cached_property
    def slow(self) -> tuple[np.ndarray, np.ndarray]:
        """Two fields of a few centimetres' wavelength, about -1 to 1."""
        return self._wave(0) + self._wave(1), self._wave(2) + self._wave(3)

    @cached_property
    def fast(self) -> tuple[np.ndarray, np.ndarray]:
        """Two fields of one to two centimetres' wavelength, long in the spine's direction."""
        first, second = self.slow
        return (
            self._wave(4, 2 * first) + self._wave(5, 2 * second),
            self._wave(6, 2 * second) + self._wave(7, 2 * first),
        )

    @cached_property
    def sheets(self) -> np.ndarray:
        """1 on thin winding sheets along the spine, as of fat between muscles, 0 between them."""
        return np.clip(1 - 5 * np.abs(self.fast[0]), 0, 1) * np.clip(0.7 + self.slow[1], 0, 1)

    def _wave(self, row: int, bent: np.ndarray | float = 0.0) -> np.ndarray:
        ku, kv, ks, phase = self.surroundings.waves[row]
        return 0.6 * np.sin(ku * self.u + kv * self.v + ks * self.s + phase + bent)

    def at(self, index: np.ndarray) -> "VoxelBatch":
        """Some of the places."""
        if len(index) == len(self.s):
            return self
        here = {name: values[index] for name, values in self.here.items()}
        return replace(self, s=self.s[index], u=self.u[index], v=self.v[index], here=here)


def coverage(distance_mm: np.ndarray, extent_mm: float) -> np.ndarray:
    """Fraction of a point of some extent that lies inside an edge at a signed distance.

    Example:
        >>> coverage(np.array([-1.0, 0.0, 0.25, 2.0]), 1.0)
        array([1. , 0.5 , 0.25, 0. ])
    """
    return np.clip(0.5 - distance_mm / extent_mm, 0, 1)


class Composite:
    """Voxels that are filled from the front: what comes first hides what comes later."""

    def __init__(self, fractions: np.ndarray) -> None:
        """Start with empty voxels, in `(T, V)` fractions where the result is written."""
        fractions[:] = 0
        self.fractions = fractions
        self.left = np.ones(fractions.shape[1], np.float32)

    def add(self, tissue: str, fraction: np.ndarray, index: np.ndarray) -> None:
        """Put a fraction of the whole voxel, not of what is left, into the voxels of `index`."""
        left = self.left[index]
        fraction = np.minimum(fraction, left)
        self.fractions[INDEX[tissue], index] += fraction
        self.left[index] = left - fraction

    def put(self, tissue: str, covered: np.ndarray, index: np.ndarray) -> None:
        """Cover part of what is left of the voxels of `index`."""
        hit = np.flatnonzero(covered)
        if len(hit):
            index = index[hit]
            self.add(tissue, covered[hit].astype(np.float32) * self.left[index], index)

    def finish(self, background: str) -> None:
        """What is left is `background`."""
        self.fractions[INDEX[background]] += self.left
