"""From scanner output to the images that are labelled: orientation, grid, echoes, diffusion.

What the paper does before anybody draws a mask: structural images on an isotropic working grid,
echoes combined by their root mean square, diffusion-weighted volumes corrected for motion slice by
slice and averaged.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from softseg.contrasts import CONTRASTS, Contrast
from softseg.dataset import generated_by
from softseg.dataset.writing import BIDS_VERSION
from softseg.errors import InputError
from softseg.files import write_json
from softseg.volume import WORKING, Spacing, Volume

WORKING_SPACING_MM: dict[str, Spacing] = {"T1w": (1.0, 1.0, 1.0), "T2w": (0.8, 0.8, 0.8)}
"""Contrasts that are resampled; axial ones keep their voxels."""

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


def to_working_grid(volume: Volume, spacing_mm: Spacing | None = None) -> Volume:
    """Reorient, and resample linearly to other voxel sizes over the same field of view.

    Example:
        >>> image = Volume(np.ones((4, 4, 4)), np.eye(4))
        >>> to_working_grid(image, (0.5, 0.5, 0.5)).data.shape
        (8, 8, 8)
    """
    oriented = volume.oriented(WORKING)
    if spacing_mm is None or np.allclose(oriented.spacing_mm, spacing_mm, atol=1e-4):
        return oriented
    return oriented.resampled(oriented.respaced_grid(spacing_mm), mode="nearest")


def combine_echoes(paths: Path | str | Sequence[Path | str]) -> Volume:
    """Root mean square over echoes: of one series, or of one file an echo.

    Raises:
        InputError: If a file cannot be read or the echoes lie on different grids.
    """
    if isinstance(paths, str | Path):
        return Volume.load(paths, average="rms").oriented(WORKING)
    echoes = [Volume.load(path) for path in paths]
    for echo in echoes[1:]:
        if not echo.grid.matches(echoes[0].grid):
            raise InputError(f"{echo.path}: echoes lie on one grid, this one not on the first's")
    squares = np.mean([echo.data.astype(np.float64) ** 2 for echo in echoes], axis=0)
    return echoes[0].like(np.sqrt(squares).astype(np.float32)).oriented(WORKING)


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


def preprocess(
    raw: Path | str, out: Path | str, *, subjects: Iterable[str] | None = None
) -> list[Path]:
    """Make a BIDS data set of preprocessed images from one of raw scans.

    T1w and T2w go to their working grids, the echoes of T2star are combined, the mean of the
    diffusion-weighted volumes becomes `rec-average_dwi`; all are brought to working orientation.
    Images that are there already are kept, so that an interrupted run goes on.

    Args:
        raw: Data set of raw scans, `sourcedata` of Spine Generic for example.
        out: Data set to write.
        subjects: Only these.

    Returns:
        The images written.

    Raises:
        InputError: If `raw` holds no participants or an image cannot be read.
    """
    raw, out = Path(raw), Path(out)
    people = sorted(p.name for p in raw.glob("sub-*") if p.is_dir())
    chosen = people if subjects is None else sorted(subjects)
    unknown = [s for s in chosen if s not in people]
    if unknown or not people:
        raise InputError(f"{raw}: no participant {', '.join(unknown) or 'at all (sub-* folders)'}")
    write_json(
        out / "dataset_description.json",
        {
            "Name": f"{raw.name}, preprocessed",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "raw",
            "GeneratedBy": generated_by("preprocessing"),
        },
    )
    written = []
    for subject in chosen:
        sessions = sorted(p.name for p in (raw / subject).glob("ses-*")) or [None]
        for session in sessions:
            for contrast in CONTRASTS.values():
                path = _preprocess_one(raw, out, subject, session, contrast)
                written += [path] if path else []
    return written


def _preprocess_one(
    raw: Path, out: Path, subject: str, session: str | None, contrast: Contrast
) -> Path | None:
    target = out / f"{contrast.stem(subject, session)}.nii.gz"
    sources = _sources(raw, subject, session, contrast)
    if not sources or target.exists():
        return None
    if (
        contrast.name == "DWI"
        and sources[0].name.endswith("_dwi.nii.gz")
        and _is_series(sources[0])
    ):
        volume = mean_diffusion(sources[0]).mean
    elif len(sources) > 1:
        volume = combine_echoes(sources)
    else:
        volume = Volume.load(sources[0], average="rms" if contrast.name == "T2star" else "mean")
    volume = to_working_grid(volume, WORKING_SPACING_MM.get(contrast.name))
    beside = sources[0].with_name(
        sources[0].name.removesuffix(".gz").removesuffix(".nii") + ".json"
    )
    described = json.loads(beside.read_text("utf-8")) if beside.is_file() else {}
    names = [f"bids:raw:{path.relative_to(raw).as_posix()}" for path in sources]
    volume.save(target)
    write_json(
        target.with_name(target.name.removesuffix(".nii.gz") + ".json"),
        described | {"GeneratedBy": generated_by("preprocessing"), "Sources": names},
    )
    return target


def _is_series(path: Path) -> bool:
    shape = nib.load(path).shape
    return len(shape) > 3 and shape[3] > 1


def _sources(raw: Path, subject: str, session: str | None, contrast: Contrast) -> list[Path]:
    """The raw files of a contrast: its own name, an older one, its echoes, or the plain `dwi`."""
    parts = [subject] if session is None else [subject, session]
    folder = raw.joinpath(*parts, contrast.datatype)
    prefix = "_".join(parts)
    plain = ("dwi",) if contrast.name == "DWI" else ()
    for suffix in (contrast.suffix, *contrast.older_suffixes, *plain):
        for extension in (".nii.gz", ".nii"):
            path = folder / f"{prefix}_{suffix}{extension}"
            if path.is_file():
                return [path]
    return sorted(folder.glob(f"{prefix}_echo-*_{contrast.suffix}.nii*"))
