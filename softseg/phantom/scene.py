"""A person placed in a scanner: where the voxels lie in the body, and what is true of them."""

from dataclasses import dataclass, replace

import numpy as np

from softseg.contrasts import Contrast, get_contrast
from softseg.errors import InputError
from softseg.phantom import artefacts
from softseg.phantom.anatomy import Anatomy
from softseg.phantom.geometry import Movement, plan, refined
from softseg.phantom.outline import Outlines, section
from softseg.phantom.partial_volume import cord_fraction
from softseg.phantom.protocols import Protocol, get_protocol
from softseg.phantom.severity import Severity, get_severity
from softseg.volume import Grid, Volume

ECHO_PLANAR = ("DWI", "b0", "EPI")
"""Contrasts read with an echo-planar train: distorted, and dark beside discs."""


VOXEL_SCALES = (0.25, 4.0)
"""How much smaller or larger than usual voxels may be."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A person placed in a scanner: everything of a contrast but its picture.

    Attributes:
        grid: The scanner's grid, as the header says.
        body_grid: The same voxels in the subject frame, after the movement.
        slide_voxels: `(X, 1, Z)` displacement along the phase axis, or None.
    """

    anatomy: Anatomy
    contrast: Contrast
    protocol: Protocol
    grid: Grid
    body_grid: Grid
    movement: Movement
    slide_voxels: np.ndarray | None

    def truth(self) -> Volume:
        """Fraction of cord in each voxel, where the image shows it."""
        if self.slide_voxels is None:
            data = cord_fraction(self.anatomy, self.body_grid)
        else:
            fine = refined(self.body_grid, (1, 3, 1), (0, 0, 0))
            data = artefacts.slide(cord_fraction(self.anatomy, fine), 3 * self.slide_voxels)
            data = data.reshape(data.shape[0], -1, 3, data.shape[2]).mean(axis=2)
        return Volume(np.clip(data, 0, 1).astype(np.float32), self.grid.affine)

    def outlines(self) -> Outlines:
        """The cord's edge in each slice, where the image shows it."""
        found = section(self.anatomy, self.body_grid)
        if self.slide_voxels is None:
            return found
        return found.slid(self.slide_voxels[:, 0] * self.grid.spacing_mm[artefacts.PHASE_AXIS])

    def cropped(self, box: tuple[slice, slice, slice]) -> "Scene":
        """The same scene with a smaller field of view, in voxels."""
        low = np.array([part.indices(n)[0] for part, n in zip(box, self.grid.shape, strict=True)])
        shape = tuple(len(range(n)[part]) for part, n in zip(box, self.grid.shape, strict=True))
        grids = {}
        for name in ("grid", "body_grid"):
            affine = getattr(self, name).affine.copy()
            affine[:3, 3] += affine[:3, :3] @ low
            grids[name] = Grid(shape, affine)
        shift = self.slide_voxels
        shift = None if shift is None else shift[box[0], :, box[2]]
        return replace(self, slide_voxels=shift, **grids)

    def discs(self) -> dict[int, tuple[int, int, int]]:
        """Voxel of each disc's posterior point that lies inside the image."""
        to_voxel = np.linalg.inv(self.body_grid.affine)
        found = {}
        for disc, point in self.anatomy.discs_mm.items():
            voxel = np.round(to_voxel[:3, :3] @ point + to_voxel[:3, 3]).astype(int)
            if (voxel >= 0).all() and (voxel < self.grid.shape).all():
                found[disc] = tuple(int(v) for v in voxel)
        return found


def place(
    anatomy: Anatomy,
    contrast: str,
    *,
    rng: np.random.Generator,
    vendor: str = "Siemens",
    severity: str | Severity = "mild",
    field_of_view: str = "cord",
    voxel_scale: float = 1.0,
) -> Scene:
    """Plan a contrast on a person who has moved since: what `acquire` then pictures.

    Args:
        anatomy: The person.
        contrast: Key of `softseg.contrasts`.
        rng: Source of randomness.
        vendor: `Siemens`, `Philips` or `GE`.
        severity: `mild`, `realistic` or your own `Severity`.
        field_of_view: `cord` or `full`.
        voxel_scale: Factor on every side of the contrast's nominal voxel, 0.25 to 4; a stack of
            slices keeps its height.

    Raises:
        InputError: If contrast, vendor, severity, field of view or scale is unknown.
    """
    protocol = get_protocol(contrast, vendor)
    kind = get_contrast(contrast)
    if voxel_scale != 1:
        kind, protocol = _rescaled(kind, protocol, voxel_scale)
    level = get_severity(severity)
    grid = plan(anatomy, kind, slices=protocol.slices, field_of_view=field_of_view, rng=rng)
    movement = Movement.draw(rng, rotation_deg=level.rotation_deg)
    shift = None
    if contrast in ECHO_PLANAR:
        shift = artefacts.displacement_mm(
            grid.shape, grid.spacing_mm, level.distortion_mm, level.jitter_mm, rng
        )
        shift = shift / grid.spacing_mm[artefacts.PHASE_AXIS]
    elif kind.plane == "axial":
        jumps = rng.standard_normal((1, 1, grid.shape[2])) * level.jitter_mm
        shift = np.broadcast_to(jumps, (grid.shape[0], 1, grid.shape[2])) / grid.spacing_mm[1]
        shift = shift if severity != "mild" else None
    return Scene(anatomy, kind, protocol, grid, movement.seen_from_body(grid), movement, shift)


def check_voxel_scale(scale: float) -> None:
    """Refuse voxels that no scan has.

    Raises:
        InputError: If the scale is outside `VOXEL_SCALES`.
    """
    low, high = VOXEL_SCALES
    if not low <= scale <= high:
        raise InputError(f"voxel_scale must lie in {low:g} to {high:g}, found {scale:g}")


def _rescaled(kind: Contrast, protocol: Protocol, scale: float) -> tuple[Contrast, Protocol]:
    check_voxel_scale(scale)
    kind = replace(kind, spacing_mm=tuple(scale * side for side in kind.spacing_mm))
    slices = protocol.slices and max(1, round(protocol.slices / scale))
    return kind, replace(protocol, slices=slices)
