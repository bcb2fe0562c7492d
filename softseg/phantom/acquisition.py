"""A scanner: an anatomy in, the image of one contrast out, with its truth on the same grid.

The object is sampled finely and truly, mixed into the sequence's channels, and then meets the
scanner: pulsating CSF, slice profile, finite k-space, distortion, coil, noise. The truth is the
fraction of cord in each voxel of the nominal grid, displaced with the image where the scan is
distorted.
"""

from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from softseg.phantom import artefacts
from softseg.phantom.anatomy import Anatomy
from softseg.phantom.artefacts import PHASE_AXIS, ArtefactOptions, get_severity
from softseg.phantom.outline import SliceOutlines
from softseg.phantom.partial_volume import blend
from softseg.phantom.placement import ECHO_PLANAR, Placement, place, refined
from softseg.phantom.protocols import (
    TEXTURE_MM,
    Protocol,
    Shots,
    repeated,
    single,
    unsteady,
)
from softseg.phantom.signal import combine, phase_modulation, tissue_channels
from softseg.phantom.tissues import INDEX, TISSUES, tissue_properties
from softseg.phantom.true_areas import slice_levels, true_areas
from softseg.phantom.visible_edge import visible_outlines
from softseg.volume import Volume

CORD_LEVEL = 400.0
"""Brightness of the cord in the images that are written, in integers."""


@dataclass(frozen=True, eq=False)
class Acquired:
    """One image and what is true of it.

    Attributes:
        image: The picture, magnitude, in working orientation.
        truth: Fraction of cord in each voxel of the same grid.
        placement: Where the participant lay and what the scanner was set to.
        series: The volumes that the image was combined from, where asked for and there are any.
        clean: The picture without noise and tissue's texture, where asked for.
    """

    image: Volume
    truth: Volume
    placement: Placement
    series: Shots | None = None
    clean: Volume | None = None

    @property
    def protocol(self) -> Protocol:
        """Settings of the sequence."""
        return self.placement.protocol

    @cached_property
    def outlines(self) -> SliceOutlines:
        """The cord's true edge in each slice."""
        return self.placement.outlines()

    @cached_property
    def visible(self) -> SliceOutlines:
        """The edge that the image shows."""
        return visible_outlines(self.image, self.outlines)

    @cached_property
    def levels(self) -> np.ndarray:
        """`(Z,)` vertebral level of each slice, 0 outside the cord."""
        return slice_levels(self.placement.anatomy, self.placement.body_grid)

    @cached_property
    def areas(self) -> pd.DataFrame:
        """True area of each slice that the cord passes whole: `slice`, `level`, `area_mm2`."""
        return true_areas(self.placement.anatomy, self.placement.body_grid)

    @cached_property
    def discs(self) -> dict[int, tuple[int, int, int]]:
        """Voxel of each posterior disc point that lies in the image."""
        return self.placement.discs()


def acquire(
    anatomy: Anatomy,
    contrast: str,
    *,
    rng: np.random.Generator,
    vendor: str = "Siemens",
    severity: str | ArtefactOptions = "mild",
    field_of_view: str = "cord",
    field_t: float = 3.0,
    voxel_scale: float = 1.0,
    series: bool = False,
    protocol: Protocol | None = None,
) -> Acquired:
    """Image one contrast of a participant.

    Args:
        anatomy: The participant.
        contrast: Key of `softseg.contrasts`.
        rng: Source of randomness; the same state gives the same image.
        vendor: `Siemens`, `Philips` or `GE`.
        severity: `mild`, `realistic` or your own `ArtefactOptions`.
        field_of_view: One of `FIELDS_OF_VIEW` or `FIELDS_ELSEWHERE` of `placement`.
        field_t: Field strength: 1.5, 3 or 7 T.
        voxel_scale: Factor on every side of the contrast's nominal voxel, 0.25 to 4; a stack of
            slices keeps its height, and noise stays the same fraction of the signal.
        series: Make diffusion and functional scans volume by volume, and keep volumes and echoes.
        protocol: Settings of the sequence in place of the vendor's.

    Raises:
        InputError: If a name is unknown or the scale out of range.

    Example:
        >>> from softseg.phantom.anatomy import random_anatomy
        >>> rng = np.random.default_rng(1)
        >>> scan = acquire(random_anatomy(rng), "DWI", rng=rng)
        >>> scan.image.orientation, scan.image.grid.matches(scan.truth.grid)
        ('LAS', True)
    """
    placement = place(
        anatomy,
        contrast,
        rng=rng,
        vendor=vendor,
        severity=severity,
        field_of_view=field_of_view,
        voxel_scale=voxel_scale,
        protocol=protocol,
    )
    return picture(placement, rng=rng, severity=severity, field_t=field_t, series=series)


def picture(
    placement: Placement,
    *,
    rng: np.random.Generator,
    severity: str | ArtefactOptions = "mild",
    field_t: float = 3.0,
    series: bool = False,
    clean: bool = False,
) -> Acquired:
    """Image what has been placed, whole or cropped to a part.

    Arguments are those of `acquire`; with `clean` the same object is imaged without noise, too.
    """
    level, protocol = get_severity(severity), placement.protocol
    shots = repeated(placement.contrast.name, protocol) if series else single(protocol)
    truth = placement.truth()
    solid, fluid, spots = _object_channels(placement, shots, level, field_t, rng)
    parts, plain, again = [solid * spots, fluid], [solid, fluid] if clean else None, deepcopy(rng)
    del solid, fluid, spots

    def received(
        parts: list[np.ndarray], level: ArtefactOptions, rng: np.random.Generator
    ) -> tuple[np.ndarray, list[np.ndarray], float, Volume]:
        channels = _scan(parts, placement, level, field_t, rng)
        noisy = _receive(channels, truth.data, placement, shots, level, rng)
        pictures = [
            combine(part, protocol).astype(np.float32)
            for part, protocol in zip(noisy, shots.protocols, strict=True)
        ]
        mean = np.mean(np.array(pictures)[shots.averaged], axis=0)
        scale = CORD_LEVEL / max(float(mean[_inside(truth.data)].mean()), 1e-6)
        return noisy, pictures, scale, Volume(_integers(mean * scale), placement.grid.affine)

    noisy, pictures, scale, image = received(parts, level, rng)
    return Acquired(
        image=image,
        truth=truth,
        placement=placement,
        series=_series(noisy, pictures, shots, scale) if series else None,
        clean=received(plain, replace(level, noise=0.0), again)[-1] if clean else None,
    )


def _series(
    noisy: np.ndarray, pictures: list[np.ndarray], shots: Shots, scale: float
) -> Shots | None:
    """The volumes behind the image, at its scale; None where the scanner stores only one."""
    if len(pictures) > 1:
        data = np.stack(pictures, -1)
    elif len(shots.protocols[0].te_s) > 1:
        data = np.moveaxis(np.abs(noisy[0]), 0, -1)
    else:
        return None
    return replace(shots, data=_integers(data * scale))


def _object_channels(
    placement: Placement,
    shots: Shots,
    level: ArtefactOptions,
    field_t: float,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """`(V·C, X, Y, Z)` signal of all but fluid, and of fluid, finer than the scanner's grid.

    Third is the factor by which tissue is uneven beyond noise.
    """
    grid = placement.body_grid
    if placement.contrast.plane == "axial":
        grid = refined(grid, (level.refine, level.refine, 2), (0, 0, 1))
    body_seed = int(rng.integers(2**31))
    signals = [
        tissue_channels(
            TISSUES,
            protocol,
            field_t=field_t,
            rng=np.random.default_rng(body_seed),
            spread=level.spread,
        )
        for protocol in shots.protocols
    ]
    signals = np.concatenate(signals)
    void = artefacts.flow_void(grid, level.flow_depth, rng)
    void = void if not placement.protocol.inflow else 0.5 + 0.5 * void
    uneven = artefacts.texture(grid, level.texture, rng)
    flows = np.array([name == "csf" for name in TISSUES])
    if level.fluid:
        signals[:, flows] = level.fluid * signals[:, [INDEX["white_matter"]]]
    textured = np.isin(TISSUES, _UNEVEN)
    greasy = np.array([tissue_properties(name, field_t).fat for name in TISSUES])
    watery = 1 - greasy
    shares = (~flows & ~textured) * watery, flows, textured * watery, greasy
    rows = np.concatenate([signals * share for share in shares])
    plain, fluid, rough, fat = np.split(blend(placement.anatomy, grid, rows), 4)
    axis = placement.readout_axis
    shift = placement.protocol.fat_shift_mm * field_t / 3 / grid.spacing_mm[axis]
    solid = plain + rough * uneven + artefacts.rolled(fat * uneven, shift, axis - 3)
    strength = placement.protocol.texture if level.noise else 0.0
    spots = artefacts.texture(grid, strength, rng, TEXTURE_MM)
    return [solid, fluid * void, spots]


_UNEVEN = ("marrow", "muscle", "fat", "disc", "soft_tissue")


def _scan(
    parts: list[np.ndarray],
    placement: Placement,
    level: ArtefactOptions,
    field_t: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Slices, k-space, distortion and ghosts: `(C, X, Y, Z)` on the scanner's grid."""
    axial = placement.contrast.plane == "axial"
    protocol, shape = placement.protocol, placement.grid.shape
    blurred = protocol.train_s or protocol.readout_s
    if not blurred:
        parts = [sum(parts)]
    if axial:
        parts = [artefacts.slice_profile(part, 2) for part in parts]
    axes = (0, 1) if axial else (0, 1, 2)
    parts = [
        artefacts.truncate_k_space(p, shape, axes=axes, acquired=protocol.acquired) for p in parts
    ]
    channels = parts[0]
    if blurred:
        count = shape[PHASE_AXIS]
        frequency = np.arange(1 - count, count) / count
        channels = artefacts.encode_phase(parts, [
            phase_modulation(tissue_properties(name, field_t), protocol, frequency)
            for name in ("white_matter", "csf")
        ])  # fmt: skip
    if placement.slide_voxels is not None:
        shift = placement.slide_voxels.astype(np.float32)
        channels = artefacts.slide(channels, shift)
        if shift.shape[1] > 1:  # signal piles up where it is compressed
            channels = channels * (1 - np.gradient(shift, axis=1))
    if placement.contrast.name in ECHO_PLANAR:
        depth = level.dropout * (1.0 if placement.contrast.name == "EPI" else 0.5)
        channels = channels * _beside_discs(placement, depth).astype(np.float32)
    if level.metal_mm:
        channels = channels * _metal(placement, level.metal_mm, rng).astype(np.float32)
    if level.ghost:
        strength = level.ghost * rng.uniform(0, 1)
        channels = artefacts.add_ghost(channels, strength, rng.uniform(0.3, 0.7))
    return channels


def _metal(placement: Placement, radius_mm: float, rng: np.random.Generator) -> np.ndarray:
    """`(X, Y, Z)` factor of an implant in an arch between C3 and C7."""
    anatomy, grid = placement.anatomy, placement.body_grid
    at = np.array([anatomy.profiles.arc_length(rng.uniform(3.5, 7.5))])
    line, sac = anatomy.centreline, anatomy.profiles_at(at)["sac_ap"]
    point = line.point(at[0]) - line.look_up(line.front, at)[0] * (sac + 8.0)
    voxels = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    away = np.linalg.norm(voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3] - point, axis=-1)
    spin_echo = placement.protocol.sequence.endswith("turbo_spin_echo")
    return artefacts.metal_void(away, radius_mm * (1.0 if spin_echo else 1.5))


def _beside_discs(placement: Placement, depth: float) -> np.ndarray:
    step, first = placement.body_grid.affine[:3, 2:].T
    normal = step / np.linalg.norm(step)
    slices = first + np.outer(np.arange(placement.grid.shape[2]), step)
    discs = np.stack(list(placement.anatomy.discs_mm.values()))
    return artefacts.drop_out(slices @ normal, discs @ normal, depth)


def _receive(
    channels: np.ndarray,
    truth: np.ndarray,
    placement: Placement,
    shots: Shots,
    level: ArtefactOptions,
    rng: np.random.Generator,
) -> np.ndarray:
    """Coil, restlessness and noise: complex `(V, C, X, Y, Z)`."""
    volumes = channels.reshape(len(shots.protocols), -1, *channels.shape[1:])
    cord = np.abs(volumes[shots.averaged][..., _inside(truth)]).mean(axis=(0, 2)).max()
    shift, factor = unsteady(shots, placement.grid, level.jitter_mm, rng)
    if len(volumes) > 1:
        volumes = np.stack([artefacts.slide(v, s) for v, s in zip(volumes, shift, strict=True)])
    coil = artefacts.coil_profile(placement.grid, level.bias, rng)
    deviation = shots.protocols[0].noise * level.noise * rng.lognormal(0, 0.15)
    return artefacts.add_noise(volumes * factor * coil, deviation * float(cord), rng)


def _inside(truth: np.ndarray) -> np.ndarray:
    """Voxels full of cord, or the fullest ones."""
    inside = truth > 0.9
    return inside if inside.any() else truth >= truth.max()


def _integers(picture: np.ndarray) -> np.ndarray:
    """Whole numbers, as scanners store them."""
    return np.clip(np.round(picture), 0, 32000).astype(np.float32)
