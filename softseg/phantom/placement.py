"""A participant in a scanner: where an operator puts the slices, how they have moved by then, and
what is true of the voxels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from softseg.contrasts import Contrast, get_contrast
from softseg.errors import InputError
from softseg.phantom.anatomy import Anatomy
from softseg.phantom.artefacts import (
    PHASE_AXIS,
    ArtefactOptions,
    displacement_mm,
    get_severity,
    slide,
)
from softseg.phantom.cord_geometry import CordCurve
from softseg.phantom.outline import SliceOutlines, cut_outlines
from softseg.phantom.partial_volume import cord_fraction
from softseg.phantom.protocols import Protocol, get_protocol
from softseg.volume import Grid, Volume

FIELDS_OF_VIEW = ("cord", "full")
"""`cord` keeps what lies around the cord, `full` is what the protocol images."""
FIELDS_ELSEWHERE = {
    "lumbar": lambda a: (a.profiles.disc_mm[25] - 20, a.profiles.disc_mm[18]),
    "cauda": lambda a: (a.profiles.disc_mm[25] - 20, a.profiles.bottom_mm - 12),
    "head": lambda a: (a.profiles.top_mm + 12, a.profiles.top_mm + 85),
}
"""Fields away from the neck by the arc lengths between which they lie: `lumbar` from the sacrum to
T11, `cauda` and `head` below and above the cord: no cord is in them, nor in every axial stack of
`lumbar`."""
_CORD_HALF_MM = 23.0
_ELSEWHERE_MM = (76.0, 120.0)  # right-left, posterior-anterior
_FULL_SAGITTAL_MM = {"T2w": (51.2, 256.0, 256.0), "T1w": (192.0, 256.0, 260.0)}
_FULL_SAGITTAL_DEFAULT_MM = (54.0, 240.0, 240.0)
_FULL_AXIAL_MM = {"T2star": 224.0, "DWI": 86.0, "b0": 86.0, "EPI": 128.0}
_FULL_AXIAL_DEFAULT_MM = 230.0
MAX_GRID_VOXELS = 40_000_000
"""Of one image; making it takes about 200 bytes a voxel. No protocol has half as many."""
_LOWEST_DISC, _HIGHEST_DISC = 10, 1  # lower end of T2, top of C1


def plan(
    anatomy: Anatomy, contrast: Contrast, slices: int, field_of_view: str, rng: np.random.Generator
) -> Grid:
    """The grid that an operator would prescribe, in the subject frame and working orientation.

    Sagittal contrasts are upright and reach from above C1 to T2. Axial stacks are centred near the
    disc C3-C4, perpendicular to the cord there, high enough to hold all of C2; one that holds no
    cord may have fewer than `slices`. Operators differ a little, by `rng`.

    Raises:
        InputError: If the field of view is unknown, or in voxels this small too large for memory.
    """
    if field_of_view in FIELDS_ELSEWHERE:
        ends_mm = FIELDS_ELSEWHERE[field_of_view](anatomy)
        return _elsewhere(anatomy, contrast, slices, ends_mm, rng)
    if field_of_view not in FIELDS_OF_VIEW:
        known = ", ".join([*FIELDS_OF_VIEW, *FIELDS_ELSEWHERE])
        raise InputError(f"unknown field of view {field_of_view!r}; known are {known}")
    full = field_of_view == "full"
    if contrast.plane == "axial":
        return _axial(anatomy, contrast, slices, full, rng)
    return _sagittal(anatomy, contrast, full, rng)


def _sagittal(anatomy: Anatomy, contrast: Contrast, full: bool, rng: np.random.Generator) -> Grid:
    s_mm = anatomy.centreline.s_mm
    low, high = (anatomy.profiles.disc_mm[k] for k in (_LOWEST_DISC, _HIGHEST_DISC))
    cord = anatomy.centreline.position[(s_mm >= low) & (s_mm <= high)]
    if full:
        size = np.array(_FULL_SAGITTAL_MM.get(contrast.name, _FULL_SAGITTAL_DEFAULT_MM))
        centre = (cord.min(axis=0) + cord.max(axis=0)) / 2 + np.array([0, 15.0, 0])
        centre[2] = cord[:, 2].max() + 55.0 - size[2] / 2
    else:
        first, last = cord.min(axis=0), cord.max(axis=0)
        size = last - first + 2 * _CORD_HALF_MM
        size[2] = last[2] - first[2] + 6.0
        centre = (first + last) / 2
    centre = centre + rng.uniform(-1, 1, 3)
    return _grid(centre, np.eye(3), size, contrast.spacing_mm)


def _elsewhere(
    anatomy: Anatomy,
    contrast: Contrast,
    slices: int,
    ends_mm: tuple[float, float],
    rng: np.random.Generator,
) -> Grid:
    """A stack between two places along the spine: upright, or square to the canal if axial."""
    line, (low, high) = anatomy.centreline, ends_mm
    width, depth = _ELSEWHERE_MM
    if contrast.plane == "axial":
        height = min(slices * contrast.spacing_mm[2], high - low)
        centre_s = rng.uniform(low + height / 2, high - height / 2)
        axes = _square_to_cord(line, centre_s, rng)
        return _grid(line.point(centre_s), axes, (width, width, height), contrast.spacing_mm)
    part = line.position[(line.s_mm >= low) & (line.s_mm <= high)]
    first, last = part.min(axis=0), part.max(axis=0)
    size = np.array([width * 0.7, depth + last[1] - first[1], last[2] - first[2]])
    centre = (first + last) / 2 + np.array([*rng.uniform(-3, 3, 2), 0.0])
    return _grid(centre, np.eye(3), size, contrast.spacing_mm)


def _square_to_cord(line: CordCurve, s_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Axes of slices perpendicular to the cord as seen from the side, as an operator tilts them."""
    up = line.look_up(line.tangent, np.array([s_mm]))[0]
    tilt_deg = np.rad2deg(np.arctan2(up[1], up[2])) + rng.normal(0, 1.5)
    return Rotation.from_euler("x", -tilt_deg, degrees=True).as_matrix()


def _axial(
    anatomy: Anatomy, contrast: Contrast, slices: int, full: bool, rng: np.random.Generator
) -> Grid:
    disc_mm, line = anatomy.profiles.disc_mm, anatomy.centreline
    height = slices * contrast.spacing_mm[2]
    centre_s = max(disc_mm[4], disc_mm[2] + 3.0 - height / 2) + rng.uniform(0, 2)
    centre = line.point(centre_s)
    axes = _square_to_cord(line, centre_s, rng)
    whole_mm = _FULL_AXIAL_MM.get(contrast.name, _FULL_AXIAL_DEFAULT_MM)
    # The field follows a curved cord: what it sways aside by more than the usual is added.
    reached = line.position[np.abs(line.s_mm - centre_s) < 0.65 * height] - line.point(centre_s)
    aside = np.abs(reached @ axes[:, :2]).max(initial=0.0)
    side = whole_mm if full else 2 * (_CORD_HALF_MM + max(0.0, aside - 10.0))
    shift = np.array([*rng.uniform(-1, 1, 2), 0.0])
    size = np.array([side, side, height])
    return _grid(centre + axes @ shift, axes, size, contrast.spacing_mm)


def _grid(
    centre: np.ndarray, axes: np.ndarray, size_mm: Sequence[float], spacing_mm: tuple
) -> Grid:
    shape = np.maximum(1, np.round(size_mm / np.array(spacing_mm))).astype(int)
    if shape.prod() > MAX_GRID_VOXELS:
        raise InputError(
            f"a phantom has at most {MAX_GRID_VOXELS:,} voxels, found "
            f"{' x '.join(map(str, shape))}; take a larger voxel_scale or the field of view `cord`"
        )
    return centred_grid(shape, axes @ np.diag(np.array([-1.0, 1.0, 1.0]) * spacing_mm), centre)


def centred_grid(shape: Sequence[int], sides: np.ndarray, centre: np.ndarray) -> Grid:
    """The grid of voxels with these sides, the columns of a matrix, about a point."""
    affine = np.eye(4)
    affine[:3, :3] = sides
    affine[:3, 3] = centre - sides @ ((np.array(shape) - 1) / 2)
    return Grid(tuple(int(n) for n in shape), affine)


def seen_after(grid: Grid, translation_mm: Sequence[float], rotation_deg: Sequence[float]) -> Grid:
    """Where the scanner's grid lies in the subject frame of a participant who has moved.

    Args:
        grid: As planned.
        translation_mm: `(3,)` right-anterior-superior.
        rotation_deg: `(3,)` about the same axes, around the cord at C2-C3.
    """
    moved = np.eye(4)
    moved[:3, :3] = Rotation.from_euler("xyz", rotation_deg, degrees=True).as_matrix()
    moved[:3, 3] = translation_mm
    return Grid(grid.shape, np.linalg.inv(moved) @ grid.affine)


def refined(grid: Grid, factors: tuple[int, int, int], margin: tuple[int, int, int]) -> Grid:
    """The grid with each voxel split into `factors`, and `margin` extra fine voxels at each end."""
    factors_, margin_ = np.array(factors), np.array(margin)
    affine = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, :3] / factors_
    first = (1 / factors_ - 1) / 2 - margin_ / factors_
    affine[:3, 3] = grid.affine[:3, 3] + grid.affine[:3, :3] @ first
    shape = np.array(grid.shape) * factors_ + 2 * margin_
    return Grid(tuple(int(n) for n in shape), affine)


ECHO_PLANAR = ("DWI", "b0", "EPI")
"""Contrasts read with an echo-planar train: distorted, and dark beside discs."""
_UNFELT_MM = 0.1
"""Axial slices of other scans that jump by less are left where they are, not blurred by moving."""
VOXEL_SCALES = (0.25, 4.0)
"""How much smaller or larger than usual voxels may be."""


@dataclass(frozen=True, eq=False)
class Placement:
    """A participant placed in a scanner: everything of a contrast but its picture.

    Attributes:
        grid: The scanner's grid, as the header says.
        body_grid: The same voxels in the subject frame, after the movement.
        slide_voxels: `(X, 1, Z)` displacement along the phase axis, `(X, Y, Z)` where slices are
            stretched, or None.
    """

    anatomy: Anatomy
    contrast: Contrast
    protocol: Protocol
    grid: Grid
    body_grid: Grid
    slide_voxels: np.ndarray | None

    @property
    def readout_axis(self) -> int:
        """Axis along which fat is displaced: echo-planar scans are slow along the phase axis."""
        if self.contrast.name in ECHO_PLANAR:
            return PHASE_AXIS
        return 0 if self.contrast.plane == "axial" else 2

    def truth(self) -> Volume:
        """Fraction of cord in each voxel, where the image shows it."""
        if self.slide_voxels is None:
            data = cord_fraction(self.anatomy, self.body_grid)
        else:
            fine = refined(self.body_grid, (1, 3, 1), (0, 0, 0))
            shift = self.slide_voxels
            shift = shift if shift.shape[1] == 1 else np.repeat(shift, 3, axis=1)
            data = slide(cord_fraction(self.anatomy, fine), 3 * shift)
            data = data.reshape(data.shape[0], -1, 3, data.shape[2]).mean(axis=2)
        return Volume(np.clip(data, 0, 1).astype(np.float32), self.grid.affine)

    def outlines(self) -> SliceOutlines:
        """The cord's edge in each slice, where the image shows it."""
        found = cut_outlines(self.anatomy, self.body_grid)
        if self.slide_voxels is None:
            return found
        return found.slid(self.slide_voxels * self.grid.spacing_mm[PHASE_AXIS])

    def cropped(self, box: tuple[slice, slice, slice]) -> "Placement":
        """The same scene with a smaller field of view, in voxels."""
        low = np.array([part.indices(n)[0] for part, n in zip(box, self.grid.shape, strict=True)])
        shape = tuple(len(range(n)[part]) for part, n in zip(box, self.grid.shape, strict=True))
        grids = {}
        for name in ("grid", "body_grid"):
            affine = getattr(self, name).affine.copy()
            affine[:3, 3] += affine[:3, :3] @ low
            grids[name] = Grid(shape, affine)
        shift = self.slide_voxels
        if shift is not None:
            shift = shift[box[0], box[1] if shift.shape[1] > 1 else slice(None), box[2]]
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
    severity: str | ArtefactOptions = "mild",
    field_of_view: str = "cord",
    voxel_scale: float = 1.0,
    protocol: Protocol | None = None,
) -> Placement:
    """Plan a contrast on a participant who has moved since: what `acquire` then pictures.

    Arguments are those of `acquire`.

    Raises:
        InputError: If contrast, vendor, severity, field of view or scale is unknown.
    """
    protocol = protocol or get_protocol(contrast, vendor)
    kind = get_contrast(contrast)
    if voxel_scale != 1:
        kind, protocol = _rescaled(kind, protocol, voxel_scale)
    level = get_severity(severity)
    grid = plan(anatomy, kind, protocol.slices or 15, field_of_view, rng)
    # One to three millimetres in any direction, half as much along the cord.
    direction = rng.standard_normal(3) * np.array([1.0, 1.0, 0.5])
    step = direction / np.linalg.norm(direction) * rng.uniform(1, 3)
    body_grid = seen_after(grid, step, rng.normal(0, 1, 3) * level.rotation_deg)
    shift = None
    if contrast in ECHO_PLANAR:
        shift = displacement_mm(grid, level.distortion_mm, level.jitter_mm, rng)
        shift = shift / grid.spacing_mm[PHASE_AXIS]
        if level.stretch:
            gain = level.stretch * rng.standard_normal(grid.shape[2])
            middle = np.arange(grid.shape[1])[:, None] - (grid.shape[1] - 1) / 2
            shift = shift + middle * np.clip(gain, -0.3, 0.3)
    elif kind.plane == "axial":
        jumps = rng.standard_normal((1, 1, grid.shape[2])) * level.jitter_mm
        shift = np.broadcast_to(jumps, (grid.shape[0], 1, grid.shape[2])) / grid.spacing_mm[1]
        shift = shift if level.jitter_mm > _UNFELT_MM else None
    return Placement(anatomy, kind, protocol, grid, body_grid, shift)


def _rescaled(kind: Contrast, protocol: Protocol, scale: float) -> tuple[Contrast, Protocol]:
    low, high = VOXEL_SCALES
    if not low <= scale <= high:
        raise InputError(f"voxel_scale must be {low:g} to {high:g}, found {scale:g}")
    kind = replace(kind, spacing_mm=tuple(scale * side for side in kind.spacing_mm))
    slices = protocol.slices and max(1, round(protocol.slices / scale))
    return kind, replace(protocol, slices=slices)
