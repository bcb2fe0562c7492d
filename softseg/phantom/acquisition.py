"""A scanner: an anatomy in, the image of one contrast out, with its truth on the same grid.

The object is sampled finely and truly, mixed into the sequence's channels, and then meets the
scanner: pulsating CSF, slice profile, finite k-space, distortion, coil, noise. The truth is the
fraction of cord in each voxel of the nominal grid, displaced with the image where the scan is
distorted.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from softseg.phantom import artefacts
from softseg.phantom.anatomy import TISSUES, Anatomy
from softseg.phantom.geometry import Movement, refined
from softseg.phantom.partial_volume import blend
from softseg.phantom.protocols import Protocol
from softseg.phantom.scene import ECHO_PLANAR, Scene, place
from softseg.phantom.severity import Severity, get_severity
from softseg.phantom.signal import combine, tissue_channels
from softseg.volume import Volume

CORD_LEVEL = 400.0
"""Brightness of the cord in the images that are written, in integers."""


@dataclass(frozen=True, eq=False)
class Acquired:
    """One image and what is true of it.

    Attributes:
        image: The picture, magnitude, in working orientation.
        truth: Fraction of cord in each voxel of the same grid.
        scene: Where the person lay and what the scanner was set to.
    """

    image: Volume
    truth: Volume
    scene: Scene

    @property
    def protocol(self) -> Protocol:
        """Settings of the sequence."""
        return self.scene.protocol

    @property
    def movement(self) -> Movement:
        """How the person lay, relative to the planning."""
        return self.scene.movement

    @cached_property
    def levels(self) -> np.ndarray:
        """`(Z,)` vertebral level of each slice, 0 outside the cord."""
        return self.scene.anatomy.levels(self.scene.body_grid)

    @cached_property
    def areas(self) -> pd.DataFrame:
        """True area of each slice that the cord passes whole: `slice`, `level`, `area_mm2`."""
        return self.scene.anatomy.areas(self.scene.body_grid)

    @cached_property
    def discs(self) -> dict[int, tuple[int, int, int]]:
        """Voxel of each posterior disc point that lies in the image."""
        return self.scene.discs()


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
        >>> scan.image.orientation, scan.image.grid.matches(scan.truth.grid)
        ('LAS', True)
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
    return Acquired(image=Volume(picture, scene.grid.affine), truth=truth, scene=scene)


def _object_channels(
    scene: Scene, level: Severity, field_t: float, rng: np.random.Generator
) -> np.ndarray:
    """`(C, X, Y, Z)` signal of the object on a grid finer than the scanner's."""
    axial = scene.contrast.plane == "axial"
    grid = scene.body_grid
    if axial:
        grid = refined(grid, (level.refine, level.refine, 2), (0, 0, 1))
    signals = tissue_channels(
        TISSUES, scene.protocol, field_t=field_t, rng=rng, spread=level.spread
    )
    void = artefacts.flow_void(grid.shape, grid.spacing_mm, level.flow_depth, rng)
    void = void if not scene.protocol.inflow else 0.5 + 0.5 * void
    uneven = artefacts.texture(grid.shape, grid.spacing_mm, level.texture, rng)
    flows = np.array([name == "csf" for name in TISSUES])
    textured = np.isin(TISSUES, _UNEVEN)
    rows = [signals * part for part in (~flows & ~textured, flows, textured)]
    plain, fluid, rough = np.split(blend(scene.anatomy, grid, np.concatenate(rows)), 3)
    return plain + fluid * void + rough * uneven


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
