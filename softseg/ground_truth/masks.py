"""What a rater's mask must be, checked before anything is computed or written."""

from pathlib import Path

import nibabel as nib
import numpy as np

from softseg.errors import InputError
from softseg.volume import Grid, Volume

HEADER_TOLERANCE_MM = 0.1
"""Two descriptions of one place in a header may differ by this much (qforms hold no shears)."""


def load_mask(path: Path, image_path: Path | None = None) -> Volume:
    """Read a hard mask and compare it with its image.

    Args:
        path: The mask.
        image_path: The image that it was drawn on; None if there is none.

    Raises:
        InputError: If the file is damaged, its header contradicts itself, it is not a binary mask
            of anything, or it lies on another grid than its image.
    """
    volume = Volume.load(path)
    check_header(path)
    check_mask(volume)
    if image_path is not None:
        image = read_grid(image_path)
        if not volume.grid.matches(image, tolerance_mm=1e-2):
            raise InputError(
                f"{path}: a mask lies on its image's grid, found {_describe(volume.grid)} against "
                f"{_describe(image)} of {image_path.name}; resample the mask or copy the header"
            )
    return volume


def read_grid(path: Path) -> Grid:
    """Shape and affine of an image, from its header alone.

    Raises:
        InputError: If the header cannot be read.
    """
    try:
        image = nib.load(path)
    except Exception as error:  # nibabel raises many kinds on damaged headers
        raise InputError(f"{path}: not a readable NIfTI image ({error})") from error
    return Grid(tuple(image.shape[:3]), image.affine)


def check_header(path: Path) -> None:
    """Refuse headers in which sform and qform place the voxels differently.

    Raises:
        InputError: If they disagree by more than a tenth of a millimetre, or neither is set.
    """
    header = nib.load(path).header
    qform, qcode = header.get_qform(coded=True)
    sform, scode = header.get_sform(coded=True)
    if not qcode and not scode:
        raise InputError(
            f"{path}: sform or qform must place the mask in space, found both codes 0; "
            "copy the header of its image"
        )
    if not qcode or not scode:
        return
    shape = tuple(header.get_data_shape()[:3])
    if not Grid(shape, qform).matches(Grid(shape, sform), HEADER_TOLERANCE_MM):
        raise InputError(
            f"{path}: sform and qform must place the voxels alike, found them apart by more than "
            f"{HEADER_TOLERANCE_MM} mm; set the wrong one to the right one"
        )


def check_mask(volume: Volume, name: str | None = None) -> None:
    """Refuse what is not a binary mask of something.

    Raises:
        InputError: If a value is not finite or not 0 or 1, or all are 0.
    """
    name = name or str(volume.path or volume.name)
    data = volume.data
    if data.ndim != 3:
        raise InputError(f"{name}: a mask has three dimensions, found shape {data.shape}")
    if not np.isfinite(data).all():
        raise InputError(f"{name}: a mask's values must be finite, found NaN or infinity")
    inside = data[data != 0]
    if not inside.size:
        raise InputError(f"{name}: the mask is empty; draw it or exclude the image")
    if (inside != 1).any():
        raise InputError(
            f"{name}: a hard mask holds 0 and 1 only, found values in "
            f"[{data.min():g}, {data.max():g}]; binarise it"
        )


def _describe(grid: Grid) -> str:
    size = "x".join(str(n) for n in grid.shape)
    return f"{size} of {' x '.join(f'{s:.2f}' for s in grid.spacing_mm)} mm"
