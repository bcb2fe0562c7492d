"""Where a training sample lies in its participant, and the voxels that its image has: at random."""

from dataclasses import dataclass

import numpy as np

from softseg.phantom.anatomy import Anatomy
from softseg.phantom.placement import centred_grid
from softseg.volume import Grid, interpolation_matrix


@dataclass(frozen=True)
class FieldOptions:
    """Where samples lie and how fine their images are; shares are of all samples.

    Attributes:
        centred: Share of samples whose cord lies near the middle of the field.
        absent: Share of samples that are moved far from the cord.
        narrow: Share of samples whose image is narrower than the field; its edge is repeated, as
            inference does.
        sizes_mm: Narrowest field of view of such an image.
        tight: Share of samples cropped to the cord and 1 to 6 mm around it.
        coarse: Share of samples whose own voxels are 1.1 to 2 mm wide; others have 0.3 to 1.1.
        slices_mm: Thinnest and thickest slice.
        tilted: Share of slices that cut the cord at `tilts_deg`, as in a kyphosis.
        tilts_deg: From and to.
        above: Share of samples up to 85 mm above the first vertebra: medulla, brain, skull.
        below: Share of samples from 15 mm above the cord's end to L5: cone and cauda equina.
    """

    centred: float = 0.6
    absent: float = 0.1
    narrow: float = 0.15
    sizes_mm: tuple[float, float] = (22.0, 60.0)
    tight: float = 0.08
    coarse: float = 0.25
    slices_mm: tuple[float, float] = (0.5, 12.0)
    tilted: float = 0.1
    tilts_deg: tuple[float, float] = (15.0, 45.0)
    above: float = 0.1
    below: float = 0.1


def working_grid(
    rng: np.random.Generator,
    anatomy: Anatomy,
    shape: tuple[int, ...],
    spacing_mm: tuple[float, ...],
    options: FieldOptions,
    *,
    tight: bool,
) -> Grid:
    """Where a sample lies: on the cord, off its middle, or away from it; about axial or tilted."""
    if len(shape) == 2:
        shape, spacing_mm = (*shape, 1), (*spacing_mm, _thickness(rng, options))
    size = np.array(shape) * spacing_mm
    centre = anatomy.centreline.point(_random_height(rng, anatomy, options))
    kind = rng.random()
    if tight:
        away = rng.normal(0, 0.7, 2)
    elif kind < options.centred:
        away = rng.normal(0, 4, 2)
    elif kind < options.centred + options.absent:
        angle = rng.uniform(0, 2 * np.pi)
        distance = np.hypot(*size[:2]) / 2 + rng.uniform(10, 60)
        away = distance * np.array([np.cos(angle), np.sin(angle)])
    else:
        away = rng.uniform(-0.45, 0.45, 2) * size[:2]
    centre = centre + np.array([*away, 0.0])
    angles_deg = rng.normal(0, (4.0, 3.0, 4.0))
    tilt_deg = rng.choice([-1, 1]) * rng.uniform(*options.tilts_deg)
    angles_deg[0] += tilt_deg * (rng.random() < options.tilted)
    axes = _rotation(angles_deg) @ np.diag([-1.0, 1.0, 1.0])
    return centred_grid(shape, axes * np.array(spacing_mm), centre)


_CORD_MM = np.array([12.5, 7.7])
"""A usual cord, right-left and posterior-anterior."""


def field_size(
    rng: np.random.Generator,
    working: Grid,
    options: FieldOptions,
    *,
    tight: bool,
    scale: np.ndarray,
) -> np.ndarray:
    """`(3,)` millimetres that an image covers of a sample's grid, about its middle."""
    size = np.array(working.spacing_mm) * working.shape
    if tight:
        size[:2] = np.minimum(size[:2], (_CORD_MM + 2 * rng.uniform(1, 6)) * scale[:2])
    elif rng.random() < options.narrow:
        size[:2] = np.minimum(size[:2], rng.uniform(*options.sizes_mm, 2))
    return size


def _thickness(rng: np.random.Generator, options: FieldOptions) -> float:
    """Thin slices of volumes, usual ones of stacks, and very thick ones."""
    kind = rng.random()
    thin, thick = options.slices_mm
    ends = (thin, 1.5) if kind < 0.42 else (1.5, 6.0) if kind < 0.92 else (6.0, thick)
    return float(rng.uniform(*np.clip(ends, thin, thick)))


def _random_height(rng: np.random.Generator, anatomy: Anatomy, options: FieldOptions) -> float:
    """Above the cord, below it, or mostly in the neck and sometimes in the chest."""
    profiles = anatomy.profiles
    kind = rng.random()
    if kind < options.above:
        return profiles.disc_mm[1] + rng.uniform(0, 85)
    if kind < options.above + options.below:
        return rng.uniform(profiles.disc_mm[25], profiles.bottom_mm + 15)
    return profiles.arc_length(
        rng.uniform(1.0, 9.5) if rng.random() < 0.8 else rng.uniform(9.5, 20)
    )


def native_grid(
    rng: np.random.Generator, working: Grid, field_mm: np.ndarray, options: FieldOptions
) -> Grid:
    """The scanner's own voxels over a field about the middle of the sample's."""
    spacing = np.array(working.spacing_mm)
    native = spacing.copy()
    coarse = rng.random() < options.coarse
    native[:2] = rng.uniform(1.1, 2.0) if coarse else rng.uniform(0.3, 1.1)
    if working.shape[2] > 1:
        kind = rng.random()
        if kind < 0.5:
            native[:] = rng.uniform(1.1, 2.0) if coarse else rng.uniform(0.6, 1.2)
        elif kind < 0.85:
            native[2] = rng.uniform(1.5, options.slices_mm[1] * rng.uniform(0.4, 1))
        else:
            native[0], native[1:] = rng.uniform(1.5, 4.5), rng.uniform(0.6, 1.0)
    elif rng.random() < 0.12:
        native[0] = rng.uniform(1.5, 4.5)  # an axial cut through thick sagittal slices
    shape = np.maximum(np.round(field_mm / native), [4, 4, 1]).astype(int)
    shape = np.where(np.array(working.shape) == 1, 1, shape)
    directions = working.affine[:3, :3] / spacing
    return centred_grid(shape, directions * native, _middle(working))


def _middle(grid: Grid) -> np.ndarray:
    return grid.affine[:3, :3] @ ((np.array(grid.shape) - 1) / 2) + grid.affine[:3, 3]


def stretched(grid: Grid, factors: np.ndarray) -> Grid:
    """The grid stretched along its own axes about its own middle."""
    return centred_grid(grid.shape, grid.affine[:3, :3] * factors, _middle(grid))


def repeated(soft: np.ndarray, native: Grid, working: Grid) -> np.ndarray:
    """The truth of a narrower image: beyond its border the border is repeated."""
    for axis, (count, own) in enumerate(zip(working.shape, native.shape, strict=True)):
        half = own * native.spacing_mm[axis] / working.spacing_mm[axis] / 2  # working voxels
        first = max(0, int(np.ceil((count - 1) / 2 - half)))
        soft = soft.take(np.clip(np.arange(count), first, count - 1 - first), axis)
    return soft


def _rotation(angles_deg: np.ndarray) -> np.ndarray:
    turned = np.eye(3)
    for axis, angle in enumerate(np.radians(angles_deg)):
        first, second = [a for a in range(3) if a != axis]
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        turned = turned @ turn
    return turned


def resampled(data: np.ndarray, native: Grid, working: Grid) -> np.ndarray:
    """Linear along each axis in turn; beyond the native field the edge is repeated.

    Both grids share their middle and their axes, so that no interpolation crosses axes.
    """
    for axis, (few, many) in enumerate(zip(native.shape, working.shape, strict=True)):
        if few == 1 and many == 1:
            continue
        matrix = interpolation_matrix(few, native.spacing_mm[axis], many, working.spacing_mm[axis])
        data = np.moveaxis(np.tensordot(matrix, data, axes=(1, axis)), 0, axis)
    return data.astype(np.float32, copy=False)
