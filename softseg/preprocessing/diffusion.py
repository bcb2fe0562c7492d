"""The mean of a diffusion series, its volumes moved onto one another slice by slice."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from softseg.errors import InputError
from softseg.volume import WORKING, Volume

B0_MAX = 50.0
"""b-values up to this (s/mm²) count as not diffusion-weighted."""


@dataclass(frozen=True, eq=False)
class Diffusion:
    """The mean of diffusion-weighted volumes and how they were moved.

    Attributes:
        mean: In working orientation.
        shift_mm: `(volumes, slices, 2)` what was added to each slice's position in the plane.
        weighted: `(series,)` which volumes were averaged.
    """

    mean: Volume
    shift_mm: np.ndarray
    weighted: np.ndarray


def read_b_values(path: Path | str) -> np.ndarray:
    """b-values (s/mm²) of a diffusion series, from the `.bval` beside it.

    Raises:
        InputError: If there is none or it holds something else than numbers.
    """
    path = Path(path)
    file = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".bval")
    try:
        return np.array([float(word) for word in file.read_text().split()])
    except OSError as error:
        raise InputError(
            f"{file}: b-values are needed to tell b=0 from weighted volumes"
        ) from error
    except ValueError as error:
        raise InputError(f"{file}: b-values must be numbers ({error})") from error


def mean_diffusion(
    path: Path | str,
    *,
    b_values: Sequence[float] | None = None,
    motion_correction: bool = True,
    window_mm: float = 30.0,
    max_shift_mm: float = 4.0,
) -> Diffusion:
    """Mean of the diffusion-weighted volumes of a series, each slice moved onto the others first.

    Slices are registered in the plane by cross-correlation (Guizar-Sicairos et al. 2008,
    doi:10.1364/OL.33.000156) within a soft window around the cord, the brightest thing in such
    images, to the mean of all volumes; twice, since the first mean is blurred. Each volume is
    interpolated once.

    Args:
        path: Four-dimensional image.
        b_values: One a volume; by default those of the `.bval` beside `path`.
        motion_correction: Whether to register at all.
        window_mm: Diameter of the window.
        max_shift_mm: Larger shifts are taken for failures and not applied.

    Raises:
        InputError: If the file is no series, or its b-values are absent, of another number, or none
            exceeds 50.
    """
    series, affine, codes = _load_series(Path(path))
    values = np.asarray(read_b_values(path) if b_values is None else b_values, dtype=float)
    if len(values) != series.shape[3]:
        raise InputError(f"{path}: {series.shape[3]} volumes but {len(values)} b-values")
    weighted = values > B0_MAX
    if not weighted.any():
        raise InputError(f"{path}: no volume has b > {B0_MAX:g}, found at most {values.max():g}")
    chosen = series[..., weighted]
    spacing = np.array(Volume(chosen[..., 0], affine).spacing_mm[:2])
    shift = np.zeros((chosen.shape[3], chosen.shape[2], 2))
    if motion_correction:
        for _ in range(2):
            # A median: one torn slice must not draw the others to it.
            target = np.median(_moved(chosen, shift), axis=3)
            shift = _register(chosen, target, spacing, window_mm, max_shift_mm)
    mean = Volume(_moved(chosen, shift).mean(axis=3), affine, Path(path), codes)
    return Diffusion(mean, shift * spacing, weighted)


def _load_series(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    first = Volume.load(path, average="mean")  # checks the header and that voxels can be read
    image = nib.load(path)
    if len(image.shape) != 4 or image.shape[3] < 2:
        raise InputError(f"{path}: a series of volumes is needed, found shape {image.shape}")
    change = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(WORKING)
    )
    data = nib.orientations.apply_orientation(np.asarray(image.dataobj, dtype=np.float32), change)
    return data, first.oriented(WORKING).affine, first.codes


def _moved(series: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The series with each slice shifted in the plane; `shift` in voxels."""
    moved = series.copy()
    for t, z in zip(*np.nonzero(shift.any(axis=2)), strict=True):
        plane = series[..., z, t]
        found = ndimage.shift(plane, shift[t, z], order=3, mode="nearest")
        moved[..., z, t] = np.clip(found, plane.min(), plane.max())  # splines overshoot
    return moved


def _register(
    series: np.ndarray,
    target: np.ndarray,
    spacing: np.ndarray,
    window_mm: float,
    max_shift_mm: float,
) -> np.ndarray:
    from skimage.registration import phase_cross_correlation

    window = _window(target, spacing, window_mm)
    shift = np.zeros((series.shape[3], series.shape[2], 2))
    for z in range(series.shape[2]):
        fixed = _zero_mean(target[..., z], window[..., z])
        for t in range(series.shape[3]):
            moving = _zero_mean(series[..., z, t], window[..., z])
            if not (fixed.any() and moving.any()):
                continue
            found = phase_cross_correlation(fixed, moving, upsample_factor=20, normalization=None)
            if np.linalg.norm(found[0] * spacing) <= max_shift_mm:
                shift[t, z] = found[0]
    return shift


def _zero_mean(plane: np.ndarray, window: np.ndarray) -> np.ndarray:
    return (plane - np.average(plane, weights=window + 1e-12)) * window


def _window(target: np.ndarray, spacing: np.ndarray, window_mm: float) -> np.ndarray:
    """A Gaussian around the brightest place of each slice, which moves smoothly along the cord."""
    sigma = 3.0 / spacing  # about the cord's radius
    blurred = ndimage.gaussian_filter(target, (*sigma, 0))
    x, y = np.indices(target.shape[:2])
    # The middle of the image is likelier to hold the cord than its rim.
    middle = (np.array(target.shape[:2]) - 1) / 2
    prior = np.exp(
        -(((x - middle[0]) * spacing[0]) ** 2 + ((y - middle[1]) * spacing[1]) ** 2) / 800
    )
    flat = (blurred * prior[..., None]).reshape(-1, target.shape[2]).argmax(axis=0)
    centre = np.stack(np.unravel_index(flat, target.shape[:2]), axis=-1).astype(float)
    centre = ndimage.median_filter(centre, size=(5, 1), mode="nearest")
    dx = (x[..., None] - centre[:, 0]) * spacing[0]
    dy = (y[..., None] - centre[:, 1]) * spacing[1]
    return np.exp(-(dx**2 + dy**2) / (2 * (window_mm / 3) ** 2))
