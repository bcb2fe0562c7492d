"""Fields of digital spines with the cord's tip in them, below it and above it, segmented.

From them, and from pictures of something else, is learnt where a cord ends and whether there is
one (`notebooks/train_presence.py`).
"""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from softseg.phantom.anatomy import Anatomy, random_anatomy
from softseg.phantom.artefacts import from_middle
from softseg.phantom.distractors import distractor
from softseg.phantom.partial_volume import blend
from softseg.phantom.random_acquisition import ObjectMaps, degrade
from softseg.phantom.random_contrast import grain_strengths, random_contrast
from softseg.phantom.stream import CORD, FLUID
from softseg.phantom.tissues import TISSUES
from softseg.segmentation.along_cord import pictures
from softseg.segmentation.engine import Model, seen_mask
from softseg.segmentation.prepare import Prepared, prepare
from softseg.volume import Grid, Volume
from softseg_study.evaluation.presence_fit import Case, empty_case

KINDS = {"conus": 0.4, "cauda": 0.26, "neck": 0.13, "chest": 0.11, "beside": 0.1}
"""Where fields lie, and how often; those beside the spine hold no cord."""
ASIDE_MM = 38.0
"""How far off the spine such a field begins."""


def fields(rng: np.random.Generator) -> Iterator[tuple[Case, np.ndarray]]:
    """Two contrasts of one field of one participant, and where windows are laid on it: `(N, 3)`."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    sick = str(rng.choice(["compression", "lesions", "injury", "atrophy"]))
    bent = (0.0, 0.0)
    if rng.random() < 0.35:
        bent = tuple(map(float, rng.uniform([-45, -15], [45, 15])))
    sick = sick if rng.random() < 0.2 else None
    anatomy = random_anatomy(rng, pathology=sick, curvature_deg=bent)
    at = np.arange(*_ends(rng, anatomy, kind), 2.0)
    course = anatomy.centreline.look_up(anatomy.centreline.position, at)
    if kind == "beside":
        turn = rng.uniform(0, 2 * np.pi)
        away = ASIDE_MM * np.array([np.cos(turn), np.sin(turn), 0.0])
        course = course + away * rng.uniform(1.0, 1.6)
    grid = _grid(rng, course, 12.0 if kind == "beside" else 30.0)
    drawn = [_contrast(rng) for _ in range(2)]
    *clean, grain, fluid, cord = blend(
        anatomy, grid, np.stack([*drawn, grain_strengths(), FLUID, CORD]), supersampling=1
    )
    truth = Volume(np.clip(cord, 0, 1).astype(np.float32), grid.affine)
    for one in clean:
        if rng.random() < 0.4:
            one = one * (1 + fluid * (_flow(rng, grid) - 1))
        maps = ObjectMaps(one, grain, fluid, cord)
        image = degrade(rng, maps, np.array(grid.spacing_mm), echo_planar=bool(rng.random() < 0.35))
        beside = course + np.array([*rng.normal(0, 2, 2), 0.0])
        yield Case(kind, Volume(image, grid.affine), truth), beside


def elsewhere(rng: np.random.Generator) -> Case:
    """A picture without a cord; most of them bend and change along the third axis."""
    case = empty_case(rng, "empty")
    shape, spacing = case.image.data.shape, np.array(case.image.spacing_mm)
    data = case.image.data
    if rng.random() < 0.35:  # something else above a slanted plane
        other = distractor(rng, shape, tuple(spacing))
        x, y, z = from_middle(shape, spacing)
        right, front = rng.normal(0, 0.5, 2)
        height = right * x + front * y + z
        data = np.where(height > rng.uniform(-0.3, 0.3) * shape[2] * spacing[2], other, data)
    if rng.random() < 0.8:
        data = _bent(rng, data, spacing)
    return Case("empty", case.image.like(data.astype(np.float32)), None)


def _bent(rng: np.random.Generator, data: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Each slice shifted, turned and widened a little more than the one below it.

    Its parts lean each to its own side, too.
    """
    shape = np.array(data.shape)
    along = np.arange(shape[2]) * spacing[2]
    along -= along.mean()
    waves = np.sin(2 * np.pi * along / rng.uniform(40, 160) + rng.uniform(0, 2 * np.pi))
    shift = rng.normal(0, 0.25, (2, 1)) * along + rng.normal(0, 3, (2, 1)) * waves
    turn = rng.normal(0, 0.006) * along
    wider = np.exp(rng.normal(0, 0.004) * along + rng.normal(0, 0.05) * waves)
    apart = rng.uniform(15, 50)
    own = ndimage.gaussian_filter(rng.normal(size=(2, *shape[:2])), (0, *apart / spacing[:2]))
    own *= rng.uniform(0, 0.008) * apart / max(float(own.std()), 1e-9)
    mm, middle = spacing[:2, None, None], (shape[:2, None, None] - 1) / 2
    x, y = (np.indices(tuple(shape[:2])) - middle) * mm
    found = np.empty_like(data)
    for z in range(shape[2]):
        c, s = np.cos(turn[z]) * wider[z], np.sin(turn[z]) * wider[z]
        places = np.stack([c * x - s * y, s * x + c * y]) + own * along[z]
        places = (places + shift[:, z, None, None]) / mm + middle
        found[..., z] = ndimage.map_coordinates(data[..., z], places, order=1, mode="reflect")
    return found


def _contrast(rng: np.random.Generator) -> np.ndarray:
    """Any; roots look like the cord or, thin as they are in much fluid, hardly show in it."""
    drawn = random_contrast(rng, families=0.7, equal=0.1)
    if rng.random() < 0.6:
        cord, fluid = (drawn[TISSUES.index(name)] for name in ("white_matter", "csf"))
        drawn[TISSUES.index("roots")] = cord + min(1, rng.uniform(0, 1.4)) * (fluid - cord)
    return drawn


def _flow(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """Factors of the fluid's brightness, in which it pulsates: bright in places, void in others."""
    sizes = rng.uniform([2, 2, 4], [8, 8, 20]) / grid.spacing_mm
    waves = ndimage.gaussian_filter(rng.normal(size=grid.shape), sizes)
    waves /= max(float(waves.std()), 1e-9)
    return np.clip(1 + rng.uniform(0.2, 0.7) * waves, 0.05, 2)


def _ends(rng: np.random.Generator, anatomy: Anatomy, kind: str) -> tuple[float, float]:
    """Arc lengths at which a field ends, below and above."""
    discs, tip, top = anatomy.profiles.disc_mm, anatomy.profiles.bottom_mm, anatomy.profiles.top_mm
    lowest = anatomy.centreline.start_mm + 25
    if kind == "conus":
        low = rng.uniform(max(lowest, tip - 190), tip - 5)
        high = min(tip + rng.uniform(10, 170), low + 300)
    elif kind == "cauda":
        high = tip - rng.uniform(1, 90)
        low = max(lowest, high - rng.uniform(30, 180))
    elif kind == "neck":
        high = rng.uniform(discs[3], top + 60)
        low = high - rng.uniform(30, 190)
    else:
        high = rng.uniform(tip + 60, discs[4])
        low = max(high - rng.uniform(40, 190), tip + 3)
    return low, max(high, low + 25)


def _grid(rng: np.random.Generator, course_mm: np.ndarray, aside_mm: float) -> Grid:
    """A volume about a course, or a stack of sagittal or axial slices."""
    margin = rng.uniform([0.8, 0.8, 0], [1.2, 1.5, 0], (2, 3)) * aside_mm
    first, last = course_mm.min(axis=0) - margin[0], course_mm.max(axis=0) + margin[1]
    kind = rng.random()
    fine = rng.random() < 0.15
    most = 150 if fine else 70  # slices: each costs a hundredth of a second
    along = rng.uniform(*((0.7, 1.6) if fine else (1.6, 4)))
    along = max(along, (last[2] - first[2]) / most)
    if kind < 0.35:
        spacing = np.array([*[rng.uniform(0.8, 1.6)] * 2, along])
    elif kind < 0.65:
        spacing = np.array([rng.uniform(2.0, 5.0), rng.uniform(0.6, 1.4), along])
    else:
        thick = rng.uniform(7, 17) if rng.random() < 0.1 else rng.uniform(2.5, 8)
        spacing = np.array([*[rng.uniform(0.4, 1.1)] * 2, thick])
    shape = np.maximum(2, np.ceil((last - first) / spacing)).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (first + last) / 2 - spacing * (shape - 1) / 2
    return Grid(tuple(int(n) for n in shape), affine)


def along_mask(
    case: Case, model: Model, course_mm: np.ndarray | None
) -> dict[str, np.ndarray] | None:
    """What lies along the mask of a case, and where the cord is; None where there is no mask.

    Args:
        case: Image and truth.
        model: Segments it.
        course_mm: `(N, 3)` where windows are laid, instead of searching for the cord.
    """
    prepared = prepare(case.image, model.config)
    centres = None if course_mm is None else _centres(course_mm, prepared)
    seen = seen_mask(prepared, model, centres=centres)
    spacing = prepared.image.spacing_mm
    found = pictures(seen.soft, seen.image, spacing, seen.features)
    if found is None:
        return None
    cord = np.zeros_like(prepared.image.data)
    cord = cord if case.truth is None else case.truth.oriented().data
    voxel_mm2 = spacing[0] * spacing[1]
    shared = (seen.soft > 0.5) & (cord[seen.box] > 0.3)
    areas = {"cord": cord, "shared": shared, "mask": seen.soft > 0.5}
    return {
        "image": found.image.astype(np.float16),
        "soft": found.soft.astype(np.float16),
        "features": found.features,
        "rows": found.rows,
        **{name: each.sum(axis=(0, 1)) * voxel_mm2 for name, each in areas.items()},
    }


def _centres(course_mm: np.ndarray, prepared: Prepared) -> np.ndarray:
    """`(Z, 2)` working voxels of a course on each slice."""
    to_voxel = np.linalg.inv(prepared.image.affine)
    course = course_mm @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    course = course[np.argsort(course[:, 2])]
    z = np.arange(prepared.grid.shape[2])
    at = np.stack([np.interp(z, course[:, 2], course[:, axis]) for axis in range(2)], axis=1)
    ratio = np.array(prepared.image.spacing_mm[:2]) / prepared.grid.spacing_mm[:2]
    return (at + 0.5) * ratio - 0.5
