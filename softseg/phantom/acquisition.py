"""A scanner: an anatomy in, the image of one contrast out, with its truth on the same grid.

The object is sampled finely and truly, mixed into the sequence's channels, and then meets the
scanner: pulsating CSF, slice profile, finite k-space, distortion, coil, noise. The truth is the
fraction of cord in each voxel of the nominal grid, displaced with the image where the scan is
distorted.
"""

from dataclasses import dataclass, field, fields, replace

import numpy as np
import pandas as pd

from softseg.contrasts import Contrast, get_contrast
from softseg.errors import InputError
from softseg.phantom import artefacts
from softseg.phantom.anatomy import TISSUES, Anatomy
from softseg.phantom.geometry import Movement, plan, refined
from softseg.phantom.protocols import Protocol, get_protocol
from softseg.phantom.signal import combine, tissue_channels
from softseg.volume import Grid, Volume

CORD_LEVEL = 400.0
"""Brightness of the cord in the images that are written, in integers."""

ECHO_PLANAR = ("DWI", "b0", "EPI")
"""Contrasts read with an echo-planar train: distorted, and dark beside discs."""


@dataclass(frozen=True)
class Severity:
    """How hard the scanner makes it.

    Attributes:
        noise: Factor on the protocol's noise.
        bias: Strength of the coil's uneven brightness.
        texture: Unevenness of muscle and marrow.
        flow_depth: Signal that pulsation takes from the CSF at most.
        distortion_mm, jitter_mm: Displacement in echo-planar scans, smooth and slice by slice.
        dropout: Signal lost beside discs in gradient-echo EPI (half of it in DWI).
        ghost: Brightness of the ghost, relative to the image.
        rotation_deg: Deviation of the person's turn between contrasts.
        spread: Variation of relaxation from person to person.
        refine: Fine voxels per voxel within axial slices.
    """

    noise: float
    bias: float
    texture: float
    flow_depth: float
    distortion_mm: float
    jitter_mm: float
    dropout: float
    ghost: float
    rotation_deg: float
    spread: float
    refine: int


SEVERITIES = {
    "mild": Severity(
        noise=0.8, bias=0.25, texture=0.10, flow_depth=0.35, distortion_mm=0.5, jitter_mm=0.1,
        dropout=0.15, ghost=0.0, rotation_deg=0.0, spread=0.03, refine=1,
    ),
    "realistic": Severity(
        noise=1.3, bias=0.8, texture=0.18, flow_depth=0.65, distortion_mm=1.8, jitter_mm=0.35,
        dropout=0.45, ghost=0.06, rotation_deg=1.5, spread=0.06, refine=2,
    ),
}  # fmt: skip
"""`mild` is for demonstrations on a small machine, `realistic` for generalisation."""


@dataclass(frozen=True, eq=False)
class Acquired:
    """One image and what is true of it.

    Attributes:
        image: The picture, magnitude, in working orientation.
        truth: Fraction of cord in each voxel of the same grid.
        protocol: Settings of the sequence, for the sidecar.
        levels: `(Z,)` vertebral level of each slice, 0 outside the cord.
        areas: True area of each slice (`slice`, `level`, `area_mm2`).
        discs: Voxel of each posterior disc point that lies in the image.
        movement: How the person lay, relative to the planning.
    """

    image: Volume
    truth: Volume
    protocol: Protocol
    levels: np.ndarray
    areas: pd.DataFrame
    discs: dict[int, tuple[int, int, int]]
    movement: Movement = field(default_factory=lambda: Movement((0.0, 0.0, 0.0)))


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
            data = self.anatomy.cord_fraction(self.body_grid)
        else:
            fine = refined(self.body_grid, (1, 3, 1), (0, 0, 0))
            data = artefacts.slide(self.anatomy.cord_fraction(fine), 3 * self.slide_voxels)
            data = data.reshape(data.shape[0], -1, 3, data.shape[2]).mean(axis=2)
        return Volume(np.clip(data, 0, 1).astype(np.float32), self.grid.affine)

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
) -> Scene:
    """Plan a contrast on a person who has moved since: what `acquire` then pictures.

    Raises:
        InputError: If contrast, vendor, severity or field of view is unknown.
    """
    protocol = get_protocol(contrast, vendor)
    kind = get_contrast(contrast)
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


def get_severity(severity: str | Severity) -> Severity:
    """The settings called `mild` or `realistic`, or the given ones.

    Raises:
        InputError: If the name is unknown.
    """
    if isinstance(severity, Severity):
        return severity
    if severity not in SEVERITIES:
        raise InputError(f"unknown severity {severity!r}; known are {', '.join(SEVERITIES)}")
    return SEVERITIES[severity]


def acquire(
    anatomy: Anatomy,
    contrast: str,
    *,
    rng: np.random.Generator,
    vendor: str = "Siemens",
    severity: str | Severity = "mild",
    field_of_view: str = "cord",
    field_t: float = 3.0,
) -> Acquired:
    """Image one contrast of a person.

    Args:
        anatomy: The person.
        contrast: Key of `softseg.contrasts`.
        rng: Source of randomness; the same state gives the same image.
        vendor: `Siemens`, `Philips` or `GE`.
        severity: `mild`, `realistic` or your own `Severity`.
        field_of_view: `cord` or `full`.
        field_t: Field strength: 1.5, 3 or 7 T.

    Raises:
        InputError: If a name is unknown.

    Example:
        >>> from softseg.phantom.anatomy import random_anatomy
        >>> rng = np.random.default_rng(1)
        >>> scan = acquire(random_anatomy(rng), "DWI", rng=rng)
        >>> scan.image.spacing_mm, scan.image.grid.matches(scan.truth.grid)
        ((0.9, 0.9, 5.0), True)
    """
    scene = place(
        anatomy, contrast, rng=rng, vendor=vendor, severity=severity, field_of_view=field_of_view
    )
    level = get_severity(severity)
    truth = scene.truth()
    channels = _object_channels(scene, level, field_t, rng)
    channels = _scan(channels, scene, level, rng)
    cord = _cord_level(channels, truth.data)
    noisy = _receive(channels, cord, scene, level, rng)
    picture = combine(noisy, scene.protocol).astype(np.float32)
    picture = _to_integers(picture, truth.data)
    return Acquired(
        image=Volume(picture, scene.grid.affine),
        truth=truth,
        protocol=scene.protocol,
        levels=anatomy.levels(scene.body_grid),
        areas=anatomy.areas(scene.body_grid),
        discs=scene.discs(),
        movement=scene.movement,
    )


def _object_channels(
    scene: Scene, level: Severity, field_t: float, rng: np.random.Generator
) -> np.ndarray:
    """`(C, X, Y, Z)` signal of the object on a grid finer than the scanner's."""
    axial = scene.contrast.plane == "axial"
    grid = scene.body_grid
    if axial:
        grid = refined(grid, (level.refine, level.refine, 2), (0, 0, 1))
    fractions = scene.anatomy.tissue_fractions(grid)
    signals = tissue_channels(
        TISSUES, scene.protocol, field_t=field_t, rng=rng, spread=level.spread
    ).astype(np.float32)
    void = artefacts.flow_void(grid.shape, grid.spacing_mm, level.flow_depth, rng)
    fractions[TISSUES.index("csf")] *= void if not scene.protocol.inflow else 0.5 + 0.5 * void
    uneven = artefacts.texture(grid.shape, grid.spacing_mm, level.texture, rng)
    for name in _UNEVEN:
        fractions[TISSUES.index(name)] *= uneven
    return np.tensordot(signals, fractions, axes=1)


_UNEVEN = ("marrow", "muscle", "fat", "disc", "soft_tissue")


def _scan(
    channels: np.ndarray, scene: Scene, level: Severity, rng: np.random.Generator
) -> np.ndarray:
    """Slices, k-space, distortion and ghosts: `(C, X, Y, Z)` on the scanner's grid."""
    axial = scene.contrast.plane == "axial"
    if axial:
        channels = artefacts.slice_profile(channels, 2)
    channels = artefacts.truncate_k_space(
        channels,
        scene.grid.shape,
        axes=(0, 1) if axial else (0, 1, 2),
        acquired=scene.protocol.acquired,
    )
    if scene.slide_voxels is not None:
        channels = artefacts.slide(channels, scene.slide_voxels.astype(np.float32))
    if scene.contrast.name in ECHO_PLANAR:
        depth = level.dropout * (1.0 if scene.contrast.name == "EPI" else 0.5)
        channels = channels * _beside_discs(scene, depth).astype(np.float32)
    if level.ghost:
        strength = level.ghost * rng.uniform(0, 1)
        channels = artefacts.add_ghost(channels, strength, rng.uniform(0.3, 0.7))
    return channels


def _beside_discs(scene: Scene, depth: float) -> np.ndarray:
    normal = scene.body_grid.affine[:3, 2] / np.linalg.norm(scene.body_grid.affine[:3, 2])
    slices = scene.body_grid.affine[:3, 3] + np.outer(
        np.arange(scene.grid.shape[2]), scene.body_grid.affine[:3, 2]
    )
    discs = np.stack(list(scene.anatomy.discs_mm.values()))
    return artefacts.drop_out(slices @ normal, discs @ normal, depth)


def _cord_level(channels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """`(C,)` mean absolute signal inside the cord."""
    inside = truth > 0.9
    inside = inside if inside.any() else truth >= truth.max()
    return np.abs(channels[:, inside]).mean(axis=1)


def _receive(
    channels: np.ndarray,
    cord: np.ndarray,
    scene: Scene,
    level: Severity,
    rng: np.random.Generator,
) -> np.ndarray:
    """Coil brightness and noise: complex `(C, X, Y, Z)`."""
    coil = artefacts.coil_profile(scene.grid.shape, scene.grid.spacing_mm, level.bias, rng)
    deviation = scene.protocol.noise * level.noise * rng.lognormal(0, 0.15)
    return artefacts.add_noise(channels * coil, deviation * float(cord.max()), rng)


def _to_integers(picture: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whole numbers with the cord at `CORD_LEVEL`, as scanners store them."""
    inside = truth > 0.9
    inside = inside if inside.any() else truth >= truth.max()
    scaled = picture * (CORD_LEVEL / max(float(picture[inside].mean()), 1e-6))
    return np.clip(np.round(scaled), 0, 32000).astype(np.float32)


def sidecar(protocol: Protocol, *, vendor: str, field_t: float = 3.0) -> dict:
    """A protocol in the words of BIDS, for the JSON file beside an image."""
    content = {
        "Manufacturer": vendor,
        "MagneticFieldStrength": field_t,
        "EchoTime": protocol.te_s[0] if len(protocol.te_s) == 1 else float(np.mean(protocol.te_s)),
        "FlipAngle": protocol.flip_deg[0],
        "RepetitionTime": protocol.tr_s,
        "PulseSequenceType": protocol.sequence.replace("_", " "),
        "MTState": protocol.mt,
    }
    if protocol.ti_s:
        content["InversionTime"] = protocol.ti_s[0]
    return content


def with_settings(severity: str | Severity, **changes: float) -> Severity:
    """A severity with some settings changed, for experiments.

    Raises:
        InputError: If a setting is unknown.

    Example:
        >>> with_settings("mild", noise=0.0).noise
        0.0
    """
    known = {f.name for f in fields(Severity)}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise InputError(f"unknown severity setting {unknown[0]!r}; known are {sorted(known)}")
    return replace(get_severity(severity), **changes)
