"""Distance along the cord from a landmark, such as the pontomedullary junction.

Vertebrae move against the cord when the neck bends; a distance along the cord from where the cord
begins does not (Bédard and Cohen-Adad 2022, doi:10.3389/fnimg.2022.1031253).
"""

import math
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from softseg.csa.centreline import Centreline
from softseg.csa.levels import FAR_MM, along_cord
from softseg.csa.region import Region
from softseg.errors import InputError
from softseg.volume import Volume

AT_MM = 64.0
"""Where area is measured unless a distance is named: disc C2-C3 lies so far from the junction in
the mean of 804 participants of the UK Biobank (the same source)."""


def distance_from(landmark_mm: Sequence[float], region: Region, line: Centreline) -> np.ndarray:
    """How far down the cord each slice lies from the point of its centreline next to a landmark.

    Beyond its ends, up to 80 mm, the centreline goes on straight.

    Args:
        landmark_mm: `(3,)` scanner millimetres.
        region: The cord.
        line: Its centreline.

    Returns:
        `(Z,)` millimetres, negative above the landmark.

    Raises:
        InputError: If the landmark lies more than 40 mm beside the centreline or beyond its ends.
    """
    point = region.from_world(np.asarray(landmark_mm, dtype=float))
    heights, curve, lengths = along_cord(line)
    apart = np.linalg.norm(curve - point, axis=1)
    nearest = int(apart.argmin())
    if apart[nearest] > FAR_MM or nearest in (0, len(apart) - 1):
        raise InputError(
            f"{region.name}: the landmark must lie near the cord, found {apart[nearest]:.0f} mm "
            "beside it and what continues it for 80 mm"
        )
    return lengths[nearest] - np.interp(np.arange(line.n_slices), heights, lengths)


def read_landmark(text: str, option: str) -> tuple[float, float, float]:
    """A point in scanner millimetres, `X,Y,Z`, or the labelled point of an image.

    Args:
        text: The point, or the path of an image with one label.
        option: For messages.

    Raises:
        InputError: If it is neither, or the image holds several labels or an area.

    Example:
        >>> read_landmark("1.5,-20,33", "--pmj")
        (1.5, -20.0, 33.0)
    """
    if text.endswith((".nii", ".nii.gz")):
        volume = Volume.load(Path(text))
        where = np.argwhere(volume.data > 0)
        if not len(where) or np.ptp(where, axis=0).max() > 4:
            raise InputError(f"{option}: {text} must hold one labelled point, found {len(where)}")
        point = nib.affines.apply_affine(volume.affine, where).mean(axis=0)
        return tuple(point.tolist())
    try:
        point = tuple(float(part) for part in text.split(","))
    except ValueError:
        point = ()
    if len(point) != 3 or not all(map(math.isfinite, point)):
        raise InputError(
            f"{option} takes a point such as 1.5,-20,33 or an image of it, found {text!r}"
        )
    return point
