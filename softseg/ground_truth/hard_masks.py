"""What a rater's mask must be, checked before anything is computed or written."""

from pathlib import Path

import numpy as np

from softseg.errors import InputError
from softseg.masks import check_grid, same_grid
from softseg.nifti import read_geometry
from softseg.nifti_header import HEADER_TOLERANCE_MM
from softseg.volume import Grid, Volume

MAX_CORD_VOXELS = 2**25
"""A whole cord in voxels of 0.12 mm; what has more is no cord, and would want memory for it."""


def load_mask(path: Path, image_path: Path | None = None) -> Volume:
    """Read a hard mask and compare it with its image.

    Args:
        path: The mask.
        image_path: The image that it was drawn on; None if there is none.

    Raises:
        InputError: If the file is damaged, its header contradicts itself, it is not a binary mask
            of anything, or it lies on another grid than its image.
    """
    _check_header(path)
    volume = Volume.load(path)
    check_mask(volume)
    if image_path is not None:
        _check_image(volume, image_path)
    return volume


def _check_image(mask: Volume, path: Path) -> None:
    """Refuse a mask that lies elsewhere than its image; say where the image is in two places."""
    image = read_geometry(path)
    image.warn(path)
    if image.forms_apart_mm > HEADER_TOLERANCE_MM and same_grid(
        mask.grid, Grid(image.shape, image.qform)
    ):
        raise InputError(
            f"{mask.path}: a mask must lie where the sform of {path.name} puts it, found it "
            f"where the qform does, {image.forms_apart_mm:.2f} mm away; set the wrong one to the "
            "right one"
        )
    check_grid(mask, Grid(image.shape, image.affine), path.name)


def _check_header(path: Path) -> None:
    """Refuse a header in which sform and qform place the voxels differently, or neither is set."""
    geometry = read_geometry(path)
    if geometry.qform is None and geometry.sform is None:
        raise InputError(
            f"{path}: sform or qform must place the mask in space, found both codes 0; "
            "copy the header of its image"
        )
    apart_mm = geometry.forms_apart_mm
    if apart_mm > HEADER_TOLERANCE_MM:
        raise InputError(
            f"{path}: sform and qform must place the voxels alike, found them {apart_mm:.2f} mm "
            "apart; set the wrong one to the right one"
        )


def check_mask(volume: Volume, name: str | None = None) -> None:
    """Refuse what is not a binary mask of something.

    Raises:
        InputError: If a value is not finite or not 0 or 1, all are 0, or there is more of it
            than of any cord.
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
    if inside.size > MAX_CORD_VOXELS:
        raise InputError(
            f"{name}: a mask of a cord has at most {MAX_CORD_VOXELS:,} voxels, found "
            f"{inside.size:,}; is it one? if so, crop or resample it"
        )
    if (inside != 1).any():
        raise InputError(
            f"{name}: a hard mask holds 0 and 1 only, found values in "
            f"[{data.min():g}, {data.max():g}]; binarise it"
        )
