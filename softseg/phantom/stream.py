"""An endless supply of images and true masks for training.

Every sample has a random anatomy, a random contrast and a random acquisition; it is a function of
the seed and its index alone, so that resumed, shuffled and distributed trainings see the same
samples. Neighbouring indices share an anatomy, which is kept while it is used.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from softseg.errors import InputError
from softseg.phantom.anatomy import Anatomy, random_anatomy
from softseg.phantom.partial_volume import blend
from softseg.phantom.random_acquisition import ObjectMaps, degrade, grain_strengths, random_contrast
from softseg.phantom.tissues import CORD_TISSUES, TISSUES
from softseg.volume import Grid, samples_within

FLUID = np.array([name == "csf" for name in TISSUES], np.float32)
CORD = np.array([name in CORD_TISSUES for name in TISSUES], np.float32)
"""Which of the tissues are fluid, and which are cord."""


@dataclass(frozen=True)
class StreamOptions:
    """How samples vary.

    Attributes:
        centred: Share of samples whose cord lies near the middle of the field.
        absent: Share of samples that are moved far from the cord.
        narrow: Share of samples whose image is narrower than the field; its edge is repeated, as
            inference does.
        sizes_mm: Narrowest field of view of such an image.
        pathological: Share of participants with a pathology.
        mirrored: Share of samples with a wrong header: front and back swapped.
        families: Share of contrasts around those that scanners make.
        samples_per_anatomy: Neighbouring samples of one participant.
    """

    centred: float = 0.6
    absent: float = 0.12
    narrow: float = 0.15
    sizes_mm: tuple[float, float] = (22.0, 60.0)
    pathological: float = 0.3
    mirrored: float = 0.03
    families: float = 0.55
    samples_per_anatomy: int = 6


class PhantomStream:
    """Images and true soft masks of digital spinal cords, by index, without end.

    Works as a map-style data set: any index from 0 is a sample.

    Args:
        seed: Names the stream.
        size_mm: Field of view along each axis, right-left, posterior-anterior(, inferior-superior).
        spacing_mm: Voxel size of the samples.
        dimension: 2 for axial slices, 3 for volumes.
        options: How samples vary.
        length: What `len` says, for samplers that ask.

    Raises:
        InputError: If the sizes do not describe a field of view.

    Example:
        >>> stream = PhantomStream(1, size_mm=(32, 32), spacing_mm=(1, 1))
        >>> image, soft = stream.sample(3)
        >>> image.shape, soft.dtype, bool(0 <= soft.min() and soft.max() <= 1)
        ((32, 32), dtype('float32'), True)
    """

    def __init__(
        self,
        seed: int,
        *,
        size_mm: tuple[float, ...] = (51.2, 51.2),
        spacing_mm: tuple[float, ...] = (0.8, 0.8),
        dimension: int = 2,
        options: StreamOptions = StreamOptions(),
        length: int = 2**20,
    ) -> None:
        if dimension not in (2, 3) or not len(size_mm) == len(spacing_mm) == dimension:
            raise InputError(
                f"stream: dimension must be 2 or 3 with as many sizes and spacings, found "
                f"{dimension}, {size_mm}, {spacing_mm}"
            )
        if min(*spacing_mm, *size_mm) <= 0:
            raise InputError(f"stream: sizes must be positive, found {size_mm}, {spacing_mm}")
        self.seed, self.dimension, self.options, self.length = seed, dimension, options, length
        self.spacing_mm = tuple(map(float, spacing_mm))
        self.shape = tuple(max(1, round(a / b)) for a, b in zip(size_mm, spacing_mm, strict=True))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The same as `sample`."""
        return self.sample(int(index))

    def anatomy(self, index: int) -> Anatomy:
        """The participant of a sample."""
        number = index // self.options.samples_per_anatomy
        return _anatomy(self.seed, number, self.options.pathological)

    def sample(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """One image and its true soft mask.

        Args:
            index: From 0.

        Returns:
            `(X, Y)` or `(X, Y, Z)` float32 in working orientation: brightness in arbitrary units,
            and the fraction of cord.
        """
        if index < 0:
            raise IndexError(f"samples are numbered from 0, found {index}")
        rng = np.random.default_rng([self.seed, 1, index])
        anatomy = self.anatomy(index)
        working = _working_grid(rng, anatomy, self.shape, self.spacing_mm, self.options)
        native = _native_grid(rng, working, self.options)
        # Body sizes beyond the population's: the same anatomy at another scale.
        body_scale = rng.uniform(0.8, 1.25) if rng.random() < 0.4 else 1.0
        contrast = random_contrast(rng, families=self.options.families)
        maps = self._object_maps(rng, anatomy, _scaled(native, body_scale), contrast)
        image = degrade(rng, maps, np.array(native.spacing_mm))
        image, soft = (_resampled(array, native, working) for array in (image, maps.cord))
        flips = (rng.random() < 0.5, rng.random() < self.options.mirrored)
        axes = tuple(axis for axis, flipped in enumerate(flips) if flipped)
        image, soft = np.flip(image, axes), np.clip(np.flip(soft, axes), 0, 1)
        if self.dimension == 2:
            image, soft = image[:, :, 0], soft[:, :, 0]
        return np.ascontiguousarray(image), np.ascontiguousarray(soft)

    def _object_maps(
        self, rng: np.random.Generator, anatomy: Anatomy, grid: Grid, contrast: np.ndarray
    ) -> ObjectMaps:
        """What is in front of the scanner, where each tissue is as bright as `contrast` says."""
        return ObjectMaps(
            *blend(anatomy, grid, np.stack([contrast, grain_strengths(), FLUID, CORD]))
        )


@lru_cache(maxsize=16)
def _anatomy(seed: int, number: int, pathological: float) -> Anatomy:
    rng = np.random.default_rng([seed, 0, number])
    name = None
    if rng.random() < pathological:
        name = str(
            rng.choice(["compression", "lesions", "injury", "atrophy"], p=[0.4, 0.3, 0.15, 0.15])
        )
    return random_anatomy(rng, pathology=name)


def _working_grid(
    rng: np.random.Generator,
    anatomy: Anatomy,
    shape: tuple[int, ...],
    spacing_mm: tuple[float, ...],
    options: StreamOptions,
) -> Grid:
    """Where a sample lies: on the cord, off its middle, or away from it; about axial."""
    if len(shape) == 2:
        thickness = rng.uniform(0.6, 1.4) if rng.random() < 0.45 else rng.uniform(2.0, 6.0)
        shape, spacing_mm = (*shape, 1), (*spacing_mm, thickness)
    size = np.array(shape) * spacing_mm
    centre = anatomy.centreline.point(_random_height(rng, anatomy))
    kind = rng.random()
    if kind < options.centred:
        away = rng.normal(0, 4, 2)
    elif kind < options.centred + options.absent:
        angle = rng.uniform(0, 2 * np.pi)
        distance = np.hypot(*size[:2]) / 2 + rng.uniform(10, 60)
        away = distance * np.array([np.cos(angle), np.sin(angle)])
    else:
        away = rng.uniform(-0.45, 0.45, 2) * size[:2]
    centre = centre + np.array([*away, 0.0])
    axes = _rotation(rng.normal(0, (4.0, 3.0, 4.0))) @ np.diag([-1.0, 1.0, 1.0])
    return _centred_grid(shape, axes * np.array(spacing_mm), centre)


def _random_height(rng: np.random.Generator, anatomy: Anatomy) -> float:
    """Mostly the neck, sometimes the chest, the brainstem or the cauda equina."""
    disc_mm = anatomy.profiles.disc_mm
    kind = rng.random()
    if kind < 0.68:
        return anatomy.profiles.arc_length(rng.uniform(1.0, 9.5))
    if kind < 0.85:
        return anatomy.profiles.arc_length(rng.uniform(9.5, 19.0))
    if kind < 0.95:
        return disc_mm[1] + rng.uniform(0, 30)
    return rng.uniform(disc_mm[25], anatomy.profiles.bottom_mm)


def _native_grid(rng: np.random.Generator, working: Grid, options: StreamOptions) -> Grid:
    """The scanner's own voxels over the same field, or over a narrower one."""
    spacing = np.array(working.spacing_mm)
    size = spacing * working.shape
    native = spacing.copy()
    native[:2] = rng.uniform(0.35, 1.1)
    if working.shape[2] > 1:
        kind = rng.random()
        if kind < 0.5:
            native[:] = rng.uniform(0.7, 1.3)
        elif kind < 0.85:
            native[:2], native[2] = rng.uniform(0.45, 1.1), rng.uniform(2.0, 6.0)
        else:
            native[0], native[1:] = rng.uniform(1.5, 3.5), rng.uniform(0.6, 1.0)
    elif rng.random() < 0.1:
        native[0] = rng.uniform(1.5, 3.5)  # an axial cut through thick sagittal slices
    if rng.random() < options.narrow:
        limit = rng.uniform(*options.sizes_mm, 2)
        size[:2] = np.minimum(size[:2], limit)
    shape = np.maximum(np.round(size / native), [8, 8, 1]).astype(int)
    shape = np.where(np.array(working.shape) == 1, 1, shape)
    directions = working.affine[:3, :3] / spacing
    centre = working.affine[:3, :3] @ ((np.array(working.shape) - 1) / 2) + working.affine[:3, 3]
    return _centred_grid(tuple(int(n) for n in shape), directions * native, centre)


def _centred_grid(shape: tuple[int, ...], axes: np.ndarray, centre: np.ndarray) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = centre - axes @ ((np.array(shape) - 1) / 2)
    return Grid(tuple(shape), affine)


def _scaled(grid: Grid, factor: float) -> Grid:
    """The grid stretched about its own middle."""
    middle = grid.affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2) + grid.affine[:3, 3]
    return _centred_grid(grid.shape, grid.affine[:3, :3] * factor, middle)


def _rotation(angles_deg: np.ndarray) -> np.ndarray:
    turned = np.eye(3)
    for axis, angle in enumerate(np.radians(angles_deg)):
        first, second = [a for a in range(3) if a != axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        turned = turned @ turn
    return turned


def _resampled(data: np.ndarray, native: Grid, working: Grid) -> np.ndarray:
    """Linear along each axis in turn; beyond the native field the edge is repeated.

    Both grids share their middle and their axes, so that no interpolation crosses axes.
    """
    for axis, (few, many) in enumerate(zip(native.shape, working.shape, strict=True)):
        if few == 1 and many == 1:
            continue
        ratio = working.spacing_mm[axis] / native.spacing_mm[axis]
        inside = samples_within(ratio)
        at = (np.arange(many)[:, None] - (many - 1) / 2 + inside) * ratio + (few - 1) / 2
        at = np.clip(at, 0, few - 1)
        low = np.minimum(at.astype(int), max(few - 2, 0))
        weight = (at - low).astype(np.float32) / len(inside)
        matrix = np.zeros((many, few), np.float32)
        rows = np.broadcast_to(np.arange(many)[:, None], low.shape)
        np.add.at(matrix, (rows, low), 1 / len(inside) - weight)
        np.add.at(matrix, (rows, np.minimum(low + 1, few - 1)), weight)
        data = np.moveaxis(np.tensordot(matrix, data, axes=(1, axis)), 0, axis)
    return data.astype(np.float32, copy=False)
