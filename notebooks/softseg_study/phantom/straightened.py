"""Straightened pictures of digital spines in random contrasts, whose discs are known.

Only a slab about the midline is painted: a straightened picture (`softseg.csa.straighten`) shows no
more, and a whole neck takes a hundred times as long.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from softseg.csa.straighten import BEFORE_MM, BEHIND_MM, Band, straighten
from softseg.phantom.anatomy import Anatomy, random_anatomy
from softseg.phantom.partial_volume import blend
from softseg.phantom.random_acquisition import ObjectMaps, degrade
from softseg.phantom.random_contrast import grain_strengths, random_contrast
from softseg.phantom.stream import CORD, FLUID
from softseg.volume import Grid, Volume

SIDE_MM = 4.0
"""Half width of the slab."""
LENGTH_MM = (70.0, 240.0)
"""Shortest and longest field along the cord."""
NEAR_MM = 25.0
ABOVE_MM = 75.0
"""How far above the atlas the highest field begins."""


@dataclass(frozen=True, eq=False)
class Straightened:
    """One picture and where its discs are.

    Attributes:
        band: The picture.
        rows: Disc (3 is C2-C3) to its row, a fraction; one up to `NEAR_MM` beyond the picture's
            ends lies at a row that it does not have.
        before_mm: Disc to how far its posterior point lies before the centreline.
    """

    band: Band
    rows: dict[int, float]
    before_mm: dict[int, float]


def straightened(
    rng: np.random.Generator, *, contrasts: int = 4, lumbar: float = 0.15
) -> list[Straightened]:
    """One field of one participant in several contrasts.

    Args:
        rng: Source of randomness.
        contrasts: How many.
        lumbar: Share of fields below the chest's middle.
    """
    sick = rng.choice(["compression", "lesions", "atrophy"]) if rng.random() < 0.2 else None
    bent = rng.uniform([-40, -15], [40, 15]) if rng.random() < 0.2 else (0.0, 0.0)
    anatomy = random_anatomy(rng, pathology=sick, curvature_deg=tuple(map(float, bent)))
    low, high = _field(rng, anatomy, lumbar)
    grid = _slab(rng, anatomy, low, high)
    drawn = [random_contrast(rng, families=0.6, equal=0.1) for _ in range(contrasts)]
    *clean, grain, fluid, cord = blend(
        anatomy, grid, np.stack([*drawn, grain_strengths(), FLUID, CORD]), supersampling=1
    )
    course = _course(rng, anatomy, low, high)
    found = []
    for one in clean:
        maps = ObjectMaps(one, grain, fluid, cord)
        image = degrade(rng, maps, np.array(grid.spacing_mm), echo_planar=bool(rng.random() < 0.05))
        band = straighten(Volume(image, grid.affine), course)
        found.append(Straightened(band, *_discs(anatomy, band)))
    return found


def _field(rng, anatomy: Anatomy, lumbar: float) -> tuple[float, float]:
    """Arc lengths at which the field ends, below and above."""
    discs, length = anatomy.profiles.disc_mm, rng.uniform(*LENGTH_MM)
    kind = rng.random()
    if kind < lumbar:
        high = rng.uniform(discs[20], discs[14])
    elif kind < lumbar + 0.6 * (1 - lumbar):
        high = rng.uniform(discs[2], discs[1] + ABOVE_MM)
    else:
        high = rng.uniform(discs[9], discs[1] + ABOVE_MM)
    return max(high - length, anatomy.centreline.start_mm + 25), high


def _slab(rng, anatomy: Anatomy, low: float, high: float) -> Grid:
    """A grid about the midline, with the voxels of a volume or of a stack of slices."""
    at = np.arange(low, high, 2.0)
    points = anatomy.centreline.look_up(anatomy.centreline.position, at)
    first, last = points.min(axis=0), points.max(axis=0)
    first -= [SIDE_MM, BEHIND_MM + 6, 0]
    last += [SIDE_MM, BEFORE_MM + 6, 0]
    kind = rng.random()
    if kind < 0.6:
        spacing = np.full(3, rng.uniform(0.8, 1.3))
    elif kind < 0.85:
        spacing = np.array([rng.uniform(2.0, 4.5), *[rng.uniform(0.6, 1.0)] * 2])
    else:
        spacing = np.array([*[rng.uniform(0.6, 1.0)] * 2, rng.uniform(1.5, 3.5)])
    shape = np.maximum(2, np.ceil((last - first) / spacing)).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (first + last) / 2 - spacing * (shape - 1) / 2
    return Grid(tuple(int(n) for n in shape), affine)


def _course(rng, anatomy: Anatomy, low: float, high: float) -> np.ndarray:
    """A mask's centreline: it wavers, and ends somewhere about the cord's own ends."""
    profiles = anatomy.profiles
    high = min(high, profiles.top_mm + rng.uniform(-25, 20))
    low = max(low, profiles.bottom_mm + rng.uniform(-5, 25))
    high = max(high, low + 20)
    at = np.arange(low, high, 0.5)
    points = anatomy.centreline.look_up(anatomy.centreline.position, at)
    wave = ndimage.gaussian_filter1d(rng.normal(size=points.shape), 20, axis=0, mode="nearest")
    return points + wave / wave.std() * abs(rng.normal(0, 0.5))


def _discs(anatomy: Anatomy, band: Band) -> tuple[dict[int, float], dict[int, float]]:
    rows, before = {}, {}
    tangent = np.gradient(band.points_mm, axis=0)
    for disc, point in anatomy.discs_mm.items():
        row, apart = band.row_of(point)
        if apart > NEAR_MM:
            continue
        away = point - band.points_mm[row]
        rows[disc] = row + float(away @ tangent[row] / (tangent[row] @ tangent[row]))
        before[disc] = float(away @ band.front[row])
    return rows, before
