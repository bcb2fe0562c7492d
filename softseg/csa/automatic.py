"""Numbered discs from an image and the mask of its cord, or the reason why there are none."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import nibabel as nib
import numpy as np

from softseg.csa.centreline import fit_centreline
from softseg.csa.columns import Columns
from softseg.csa.disc_search import ABOVE_MM, NEAR_MM, FoundDisc, search_discs
from softseg.csa.level_network import disc_heat
from softseg.csa.levels import FAR_MM, disc_name
from softseg.csa.oversized import cord_sections
from softseg.csa.region import cord_region
from softseg.csa.straighten import STEP_MM, Band, cord_course, straighten
from softseg.csa.table import UNKNOWN, with_confidence, with_flags
from softseg.errors import InputError
from softseg.nifti import read_geometry
from softseg.nifti_header import HeaderWarning
from softseg.volume import Volume

THICKEST_MM = 4.0
"""Discs are 5 mm high: slices that are thicker along the cord cannot show them."""
LEAST_MM = 6.0
"""Between neighbouring discs; the lowest level of the population is twice as high."""
MOVED_MM = 5.0
FOLLOWED_MM = 5.0
"""So far beyond a mask's end a straight line still follows the cord. Beyond the masks of 20 to 100
mm of two real necks that ended at C5 to T2 it left the spine, and the first disc it met was taken
for C2-C3 at .93 to .98."""
_NAMED = "--disc of softseg levels and csa"


@dataclass(frozen=True, eq=False)
class AutomaticDiscs:
    """Discs that were found in an image.

    Attributes:
        points_mm: Disc (3 is C2-C3) to its posterior point in scanner millimetres, in the image;
            none where `reason` says why.
        confidence: Disc to the probability that the point is on it.
        reason: Why levels are unknown; empty where they are known.
        band: The straightened picture; None where the image could not be used.
        rows: Disc to its row in the picture.
        doubts: Discs that were given where the image shows another number, in words.
    """

    points_mm: dict[int, np.ndarray] = field(default_factory=dict)
    confidence: dict[int, float] = field(default_factory=dict)
    reason: str = ""
    band: Band | None = field(default=None, repr=False)
    rows: dict[int, float] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()

    def told_in(self, table: Columns) -> Columns:
        """The rows of slices with `level_confidence`, flagged where levels stayed unknown."""
        table = with_confidence(table, self.confidence)
        if not self.reason or not np.isnan(table["level"]).all():
            return table
        return with_flags(table, [UNKNOWN])

    def label_image(self, image: Volume) -> Volume:
        """The points on an image's grid, each as one voxel with its number."""
        labels = np.zeros(image.data.shape, np.int16)
        for disc, point in self.points_mm.items():
            voxel = nib.affines.apply_affine(np.linalg.inv(image.affine), point)
            place = np.clip(np.rint(voxel), 0, np.array(labels.shape) - 1).astype(int)
            labels[tuple(place)] = disc
        return image.like(labels)


def automatic_discs(
    image: Volume | Path | str,
    mask: Volume | Path | str,
    *,
    given: Mapping[int, Sequence[float]] | None = None,
    threshold: float | None = None,
    full_value: float = 1.0,
) -> AutomaticDiscs:
    """Find and number the discs beside a cord.

    The numbers are counted from what only the top of the spine has, or from discs that are given;
    where neither is in the field the answer is that levels are unknown.

    Args:
        image: The image, any contrast and orientation.
        mask: Soft or binary mask of the cord, on any grid.
        given: Discs and their points in scanner millimetres.
        threshold, full_value: Of `softseg.csa.region.cord_region`.

    Raises:
        InputError: If a file cannot be used, the mask lies outside the image, or a given disc is
            none or lies far from the cord.
    """
    image = image if isinstance(image, Volume) else read_image(image)
    if said := too_thick(image):
        return AutomaticDiscs(reason=said)
    region = cord_region(mask, threshold=threshold, full_value=full_value)
    course = cord_course(region, fit_centreline(cord_sections(region)))
    band = straighten(image, course)
    if not np.isfinite(image.data).any():
        raise InputError(f"{image.name}: an image must hold numbers, found none that is finite")
    if not np.isfinite(band.values).any():
        raise InputError(f"{region.name}: the mask must lie in {image.name}, found it outside")
    heat = disc_heat(band)
    known = _rows(given or {}, band, region.name)
    found = search_discs(heat, known)
    if found and not given and _above_mm(course, band, found[3]) < ABOVE_MM:
        return AutomaticDiscs(
            reason="levels unknown: the mask ends below the top of vertebra C2 though the image "
            f"goes on; one that reaches it is needed, or a disc can be named ({_NAMED})",
            band=band,
        )
    if not found:
        return AutomaticDiscs(
            reason="levels unknown: no sure sequence of discs with vertebra C2 and disc C2-C3 is "
            f"seen; one disc can be named, and the others are counted from it ({_NAMED})"
            if not given
            else "levels unknown: the discs given do not fit what is seen",
            band=band,
        )
    rows = {disc: one.row for disc, one in found.items() if disc > 1}
    before = {disc: np.interp(row, np.arange(len(band.values)), heat.before_mm)
              for disc, row in rows.items()}  # fmt: skip
    points = {disc: band.place(row, float(before[disc])) for disc, row in rows.items()}
    points = {
        disc: point for disc, point in points.items() if disc in known or _inside(image, point)
    }
    if not points:
        return AutomaticDiscs(reason="levels unknown: the discs lie outside the image", band=band)
    return AutomaticDiscs(
        points,
        {disc: found[disc].confidence for disc in points},
        band=band,
        rows={disc: rows[disc] for disc in points},
        doubts=_doubts(known, search_discs(heat) if known else {}),
    )


def read_image(path: Path | str) -> Volume:
    """An image to find discs in; of several volumes the mean, which a warning says."""
    image = Volume.load(path, average="mean")
    if (volumes := read_geometry(path).volumes) > 1:
        said = f"{path}: discs are looked for in the mean of its {volumes} volumes"
        warnings.warn(said, HeaderWarning, stacklevel=2)
    return image


def _inside(image: Volume, point_mm: np.ndarray) -> bool:
    """Whether a point lies in a voxel of an image."""
    voxel = np.rint(nib.affines.apply_affine(np.linalg.inv(image.affine), point_mm))
    return bool(((voxel >= 0) & (voxel < image.data.shape)).all())


def _above_mm(course: np.ndarray, band: Band, disc: FoundDisc) -> float:
    """How much of the cord above a disc the picture follows: the mask and a little beyond."""
    end, _ = band.row_of(course[-1])
    return (end - disc.row) * STEP_MM + FOLLOWED_MM


def _doubts(given: Mapping[int, float], seen: Mapping[int, FoundDisc]) -> tuple[str, ...]:
    """What the image alone says against discs that were given."""
    said = []
    for disc, row in given.items():
        for number, one in seen.items():
            if abs(one.row - row) * STEP_MM < MOVED_MM and number != disc:
                said.append(
                    f"disc {_called(disc)} is given where the image shows {_called(number)}"
                )
        if disc in seen and (away := abs(seen[disc].row - row) * STEP_MM) >= MOVED_MM:
            said.append(f"disc {_called(disc)} is given {away:.0f} mm from where it is seen")
    return tuple(said)


def _called(disc: int) -> str:
    return f"{disc} ({disc_name(disc)})"


def too_thick(image: Volume) -> str:
    """Why an image cannot show discs, told by its slices' distance along the body; else nothing."""
    upright = np.abs(image.affine[2, :3]) / np.array(image.spacing_mm)
    thickness = image.spacing_mm[int(upright.argmax())]
    if thickness <= THICKEST_MM:
        return ""
    return f"levels unknown: slices {thickness:.3g} mm apart along the body show no discs"


def _rows(given: Mapping[int, Sequence[float]], band: Band, name: str) -> dict[int, float]:
    rows = {}
    for disc, point in given.items():
        row, apart_mm = band.row_of(np.asarray(point, dtype=float))
        if apart_mm > FAR_MM or not 1 <= disc <= 21:
            raise InputError(
                f"{name}: a disc has a number from 1 to 21 and lies within {FAR_MM:g} mm of the "
                f"cord, found disc {disc} at {apart_mm:.0f} mm"
            )
        if (beyond_mm := band.beyond(np.asarray(point, dtype=float))) > NEAR_MM:
            raise InputError(
                f"{name}: a disc must lie beside the cord that its image shows, found disc {disc} "
                f"{beyond_mm:.0f} mm beyond its end; name one inside"
            )
        rows[disc] = float(row)
    ordered = [rows[disc] for disc in sorted(rows)]
    if any(above - below < LEAST_MM / STEP_MM for above, below in pairwise(ordered)):
        raise InputError(
            f"{name}: discs must descend along the cord in the order of their numbers, at least "
            f"{LEAST_MM:g} mm apart"
        )
    return rows
