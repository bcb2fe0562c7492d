"""What a NIfTI header says: the shape of a volume, and where its voxels lie, in millimetres.

Wrong geometry is refused rather than mended in silence."""

import logging
import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from softseg.errors import InputError, brief

MAX_VOXELS = 2**28
"""Of one volume; 512 x 512 x 1024. What claims more is broken, or wants cropping first."""
SPACING_MM = (1e-3, 1e2)
"""Voxel sizes that an image of a body can have."""
FIELD_OF_VIEW_MM = 2500.0
"""No scanner sees more of anybody; what is finer than the network's grid is bounded by it."""
LEAST_FIELD_MM = 1.0
"""No cord of any animal fits into less: metres or micrometres were taken for millimetres."""
SAME_FORM_MM = 1e-3
"""Up to here a qform and a sform are one, but for rounding."""
HEADER_TOLERANCE_MM = 0.1
"""Two descriptions of one place in a header may differ by this much (qforms hold no shears)."""
_UNITS = {1: ("metres", 1e3), 3: ("micrometres", 1e-3)}
"""By the code of `xyzt_units`; every other code, unknown among them, means millimetres."""
_SILENT = logging.Logger("softseg.nifti_header.silent", level=logging.CRITICAL + 1)


class HeaderWarning(UserWarning):
    """What a reader of the result should know of an image's header."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """Shape of one volume of a file, and where its header says that the voxels lie, in millimetres.

    Attributes:
        shape: `(X, Y, Z)`.
        affine: The one that counts: the sform where it is set, else the qform.
        qform: That one; None where it is not set.
        sform: That one; None where it is not set.
        codes: Of qform and sform.
        volumes: How many there are.
        remarks: What is to be said of the header, a line each: another unit than millimetres, or
            two places for one voxel.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    qform: np.ndarray | None
    sform: np.ndarray | None
    codes: tuple[int, int]
    volumes: int
    remarks: tuple[str, ...] = ()

    @property
    def forms_apart_mm(self) -> float:
        """Largest distance between where qform and sform put a corner; 0 where one is not set."""
        if self.qform is None or self.sform is None:
            return 0.0
        corners = np.stack(np.meshgrid(*[[0, n - 1] for n in self.shape]), axis=-1).reshape(-1, 3)
        moved = nib.affines.apply_affine(self.qform, corners)
        moved = moved - nib.affines.apply_affine(self.sform, corners)
        return float(np.linalg.norm(moved, axis=1).max())

    def warn(self, path: Path) -> None:
        """Say the remarks about the file at `path`."""
        for remark in self.remarks:
            warnings.warn(f"{path.name}: {remark}", HeaderWarning, stacklevel=3)


def volume_shape(
    path: Path, header: nib.Nifti1Header, average: str | None
) -> tuple[tuple[int, int, int], int]:
    """Shape of one volume, and how many there are."""
    _check_kind(path, header)
    n_dim = int(header["dim"][0])
    shape = tuple(int(n) for n in header["dim"][1 : n_dim + 1]) if 1 <= n_dim <= 7 else ()
    if len(shape) < 3 or min(shape) < 1:
        raise InputError(f"{path}: a three-dimensional image is needed, found shape {shape}")
    series = [n for n in shape[3:] if n > 1]
    if len(series) > 1:
        raise InputError(f"{path}: at most four dimensions are read, found shape {shape}")
    if math.prod(shape[:3]) > MAX_VOXELS:
        raise InputError(
            f"{path}: at most {MAX_VOXELS:,} voxels are read, found shape {shape}; crop the image"
        )
    if series and average is None:
        if shape[2] == 1:
            raise InputError(
                f"{path}: a three-dimensional image is needed, found shape {shape}, one slice and "
                f"{series[0]} volumes; if these are slices, store them along the third dimension"
            )
        raise InputError(
            f"{path}: a three-dimensional image is needed, found {series[0]} volumes; average them "
            "first (softseg segment does with --average mean, or rms for echoes)"
        )
    return shape[:3], math.prod(series)


def _check_kind(path: Path, header: nib.Nifti1Header) -> None:
    code = int(header["datatype"])
    try:
        kind = header.get_data_dtype()
    except (KeyError, ValueError, nib.spatialimages.HeaderDataError) as error:
        raise InputError(f"{path}: voxels must be numbers, found datatype code {code}") from error
    if kind.kind not in "iufb" or not kind.itemsize:
        raise InputError(f"{path}: voxels must be real numbers, found {_kind_name(kind)}")


def _kind_name(kind: np.dtype) -> str:
    if kind.names:
        return f"colours ({', '.join(kind.names)})"
    return str(kind) if kind.itemsize else "single bits"


def geometry_of(
    path: Path, header: nib.Nifti1Header, shape: tuple[int, int, int], volumes: int
) -> Geometry:
    spacing = [float(mm) for mm in header["pixdim"][1:4]]
    # The sform holds the voxel sizes itself; everything else is built from these.
    if header["sform_code"] == 0 and not all(math.isfinite(mm) and mm > 0 for mm in spacing):
        raise InputError(f"{path}: voxel sizes must be positive, found {_numbers(spacing)} mm")
    unit, scale = _UNITS.get(int(header["xyzt_units"]) & 7, ("", 1.0))
    remarks = [f"its header is in {unit}; read, and written, in millimetres"] if unit else []
    try:
        header.check_fix(logger=_SILENT, error_level=100)
        # Codes that NIfTI does not know have become 0 by now, as they must be to be written again.
        codes = tuple(int(header[key]) for key in ("qform_code", "sform_code"))
        affine = _in_mm(header.get_best_affine(), scale)
    except (ValueError, nib.spatialimages.HeaderDataError) as error:
        raise InputError(f"{path}: the affine cannot be read ({brief(error)})") from error
    _check_affine(path, affine, shape, unit)
    qform = _qform(header, scale) if codes[0] else None
    if codes[0] and qform is None:
        remarks.append("its qform cannot be read; the sform is used, and written for both")
    sform = affine if codes[1] else None
    found = Geometry(shape, affine, qform, sform, codes, volumes)
    if found.forms_apart_mm > HEADER_TOLERANCE_MM:
        remarks.append(
            f"its qform and sform place voxels up to {found.forms_apart_mm:.1f} mm apart; the "
            "sform is used"
        )
    return replace(found, remarks=tuple(remarks))


def _in_mm(affine: np.ndarray, scale: float) -> np.ndarray:
    affine = np.array(affine, dtype=float)
    affine[:3] *= scale
    return affine


def _qform(header: nib.Nifti1Header, scale: float) -> np.ndarray | None:
    """Where the qform puts the voxels, in millimetres; None if it cannot be read."""
    try:
        qform = _in_mm(header.get_qform(), scale)
    except (ValueError, nib.spatialimages.HeaderDataError):
        return None
    usable = np.isfinite(qform).all() and abs(np.linalg.det(qform[:3, :3])) > 0
    return qform if usable else None


def _check_affine(path: Path, affine: np.ndarray, shape: tuple[int, ...], unit: str) -> None:
    if not np.isfinite(affine).all():
        raise InputError(f"{path}: the affine must be finite, found NaN or infinity in it")
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        skew = abs(np.linalg.det(affine[:3, :3] / spacing)) if spacing.all() else 0.0
    if not skew > 1e-3:
        raise InputError(f"{path}: the affine must place voxels in space, found a singular one")
    doubt = f"its header says {unit}: are" if unit else "are"
    if spacing.min() < SPACING_MM[0] or spacing.max() > SPACING_MM[1]:
        raise InputError(
            f"{path}: voxel sizes must lie within {SPACING_MM[0]:g} and {SPACING_MM[1]:g} mm, "
            f"found {_numbers(spacing)}; {doubt} the units right?"
        )
    field_mm = spacing * shape
    if not LEAST_FIELD_MM <= field_mm.max() <= FIELD_OF_VIEW_MM:
        raise InputError(
            f"{path}: a field of view of {LEAST_FIELD_MM:g} to {FIELD_OF_VIEW_MM:g} mm is read, "
            f"found {_numbers(field_mm)}; {doubt} the units right?"
        )
    if np.abs(affine[:3, 3]).max() > 1e6:
        raise InputError(f"{path}: the affine puts the image a kilometre away; mend its offset")


def _numbers(values: np.ndarray | list[float]) -> str:
    return ", ".join(f"{float(value):g}" for value in values)
