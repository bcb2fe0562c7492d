"""What a rater's mask must be, checked before anything is computed or written."""

from pathlib import Path

import numpy as np

from softseg.errors import InputError
from softseg.masks import check_grid
from softseg.nifti import read_geometry
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
    _check_header(path)
    check_mask(volume)
    if image_path is not None:
        image = read_geometry(image_path)
        check_grid(volume, Grid(image.shape, image.affine), image_path.name)
    return volume


def _check_header(path: Path) -> None:
    """Refuse a header in which sform and qform place the voxels differently, or neither is set."""
    geometry = read_geometry(path)
    qform, sform = geometry.qform, geometry.sform
    if qform is None and sform is None:
        raise InputError(
            f"{path}: sform or qform must place the mask in space, found both codes 0; "
            "copy the header of its image"
        )
    if qform is None or sform is None:
        return
    apart_mm = Grid(geometry.shape, qform).apart_mm(Grid(geometry.shape, sform))
    if apart_mm > HEADER_TOLERANCE_MM:
        raise InputError(
            f"{path}: sform and qform must place the voxels alike, found them {apart_mm:.2f} mm "
            "apart; set the wrong one to the right one"
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
