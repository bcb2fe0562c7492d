"""An endless supply of images and true masks for training.

Every sample has a random anatomy, a random contrast and a random acquisition; it is a function of
the seed and its index alone, so that resumed, shuffled and distributed trainings see the same
samples. Neighbouring indices share an anatomy, which is kept while it is used.

The truth is the cord's physical surface, as a fraction of each voxel of the sample, whatever the
image's own voxels and sharpness are.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from softseg.errors import InputError
from softseg.phantom.anatomy import Anatomy, random_anatomy
from softseg.phantom.partial_volume import blend, cord_fraction
from softseg.phantom.profiles import TRAINED_PIA_MM
from softseg.phantom.random_acquisition import ObjectMaps, ScannerOptions, Unseen, degrade
from softseg.phantom.random_contrast import grain_strengths, hidden_contrast, random_contrast
from softseg.phantom.random_field import (
    FieldOptions,
    field_size,
    native_grid,
    repeated,
    resampled,
    stretched,
    working_grid,
)
from softseg.phantom.tissues import CORD_TISSUES, TISSUES
from softseg.volume import Grid

FLUID = np.array([name == "csf" for name in TISSUES], np.float32)
CORD = np.array([name in CORD_TISSUES for name in TISSUES], np.float32)
"""Which of the tissues are fluid, and which are cord."""


@dataclass(frozen=True)
class StreamOptions(FieldOptions, ScannerOptions):
    """How samples vary, beside where they lie (`FieldOptions`) and what the scanner does to them.

    Where no source is named the ranges are those that let a network's areas go of sharpness and
    size in a trial on real images, or hold what public images of necks hold.

    Attributes:
        pathological: Share of participants with a pathology.
        curved: Share of participants with a kyphosis or scoliosis of up to 45 degrees.
        mirrored: Share of samples with a wrong header: front and back swapped.
        families: Share of contrasts around those that scanners make.
        equal_fluid: Share of contrasts whose fluid is about as bright as the cord.
        hidden: Share of samples in which a cord cannot be seen, as in computed tomography; their
            truth is empty.
        resized: Share of samples whose whole picture is larger or smaller by `resizes`, so that no
            size is learnt as the usual one.
        resizes: Smallest and largest such factor.
        void: Share of samples with a void of signal of 10 to 44 mm about the cord; where it hides
            the cord the truth is empty.
        padded: Share of samples with a constant strip beyond the image's border.
        samples_per_anatomy: Neighbouring samples of one participant.
    """

    pathological: float = 0.3
    curved: float = 0.15
    mirrored: float = 0.03
    families: float = 0.55
    equal_fluid: float = 0.1
    hidden: float = 0.02
    resized: float = 0.7
    resizes: tuple[float, float] = (0.65, 1.5)
    void: float = 0.03
    padded: float = 0.05
    samples_per_anatomy: int = 6


@dataclass(frozen=True, eq=False)
class Scene:
    """Where a sample lies in whom: all that does not depend on how sharp its image is.

    Attributes:
        anatomy: The participant.
        working: The sample's grid, in the subject frame.
        field_mm: `(3,)` size of the image, at most the sample's.
        scale: How much larger than the participant the picture is.
        contrast: Brightness of each tissue.
        echo_planar: Whether it is read as an echo-planar train.
    """

    anatomy: Anatomy
    working: Grid
    field_mm: np.ndarray
    scale: np.ndarray
    contrast: np.ndarray
    echo_planar: bool

    def seen(self, grid: Grid) -> Grid:
        """Where in the participant the voxels of a grid about the same middle lie."""
        return stretched(grid, 1 / self.scale)


class PhantomStream:
    """Images and true soft masks of digital spinal cords, by index, without end.

    Works as a map-style data set: any index from 0 is a sample.

    Args:
        seed: Names the stream.
        size_mm: Field of view along each axis, right-left, posterior-anterior(, inferior-superior).
        spacing_mm: Voxel size of the samples.
        dimension: 2 for axial slices, 3 for volumes.
        options: How samples vary.

    Raises:
        InputError: If the sizes do not describe a field of view.

    Example:
        >>> stream = PhantomStream(1, size_mm=(32, 32), spacing_mm=(1, 1))
        >>> image, soft = stream.sample(3)
        >>> image.shape, soft.dtype, bool(0 <= soft.min() and soft.max() <= 1)
        ((32, 32), dtype('float32'), True)
    """

    def __init__(
        self,
        seed: int,
        *,
        size_mm: tuple[float, ...] = (51.2, 51.2),
        spacing_mm: tuple[float, ...] = (0.8, 0.8),
        dimension: int = 2,
        options: StreamOptions = StreamOptions(),
    ) -> None:
        if dimension not in (2, 3) or not len(size_mm) == len(spacing_mm) == dimension:
            raise InputError(
                f"stream: dimension must be 2 or 3 with as many sizes and spacings, found "
                f"{dimension}, {size_mm}, {spacing_mm}"
            )
        if min(*spacing_mm, *size_mm) <= 0:
            raise InputError(f"stream: sizes must be positive, found {size_mm}, {spacing_mm}")
        self.seed, self.dimension, self.options = seed, dimension, options
        self.spacing_mm = tuple(map(float, spacing_mm))
        self.shape = tuple(max(1, round(a / b)) for a, b in zip(size_mm, spacing_mm, strict=True))

    def __len__(self) -> int:
        return 2**20

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The same as `sample`."""
        return self.sample(int(index))

    def anatomy(self, index: int) -> Anatomy:
        """The participant of a sample."""
        number = index // self.options.samples_per_anatomy
        return _anatomy(self.seed, number, self.options.pathological, self.options.curved)

    def sample(self, index: int, *, look: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """One image and its true soft mask.

        Args:
            index: From 0.
            look: Another number is the same place of the same participant in the same contrast,
                with other voxels, sharpness and noise; within the image the truth is the same.

        Returns:
            `(X, Y)` or `(X, Y, Z)` float32 in working orientation: brightness in arbitrary units,
            and the fraction of cord.
        """
        if index < 0:
            raise IndexError(f"samples are numbered from 0, found {index}")
        rng = np.random.default_rng([self.seed, 1, index])
        scene, hidden = self._scene(rng, index)
        lent = self._lent(rng, scene)
        soft = self._truth(scene, lent)
        unseen = self._unseen(rng, soft, scene)
        soft = soft * (1 - unseen.hidden(soft.shape, scene.working.spacing_mm)) * (not hidden)
        flips = (rng.random() < 0.5, rng.random() < self.options.mirrored)

        rng = np.random.default_rng([self.seed, 5, index, look])
        native = native_grid(rng, scene.working, scene.field_mm, self.options)
        soft = repeated(soft, native, scene.working)
        maps = self._object_maps(scene, native, lent)
        image = degrade(
            rng,
            maps,
            np.array(native.spacing_mm),
            self.options,
            echo_planar=scene.echo_planar,
            unseen=unseen,
        )
        image = resampled(image, native, scene.working)
        axes = tuple(axis for axis, flipped in enumerate(flips) if flipped)
        image, soft = np.flip(image, axes), np.clip(np.flip(soft, axes), 0, 1)
        if self.dimension == 2:
            image, soft = image[:, :, 0], soft[:, :, 0]
        return np.ascontiguousarray(image), np.ascontiguousarray(soft, np.float32)

    def _scene(self, rng: np.random.Generator, index: int) -> tuple[Scene, bool]:
        """Where the sample lies, and whether its contrast hides the cord."""
        options, anatomy = self.options, self.anatomy(index)
        factor = np.exp(rng.uniform(*np.log(options.resizes)))
        scale = np.ones(3) * (factor if rng.random() < options.resized else 1)
        stretch = rng.uniform(*options.stretch)
        echo_planar = bool(rng.random() < options.echo_planar)
        scale[1] *= stretch if echo_planar else 1
        tight = bool(rng.random() < options.tight)
        working = working_grid(rng, anatomy, self.shape, self.spacing_mm, options, tight=tight)
        size = field_size(rng, working, options, tight=tight, scale=scale)
        hidden = bool(rng.random() < options.hidden)
        contrast = random_contrast(rng, families=options.families, equal=options.equal_fluid)
        contrast = hidden_contrast(rng) if hidden else contrast
        return Scene(anatomy, working, size, scale, contrast, echo_planar), hidden

    def _lent(self, rng: np.random.Generator, scene: Scene) -> Any:
        """What takes the place of the participant's own cord; nothing does."""
        return None

    def _truth(self, scene: Scene, lent: Any) -> np.ndarray:
        """`(X, Y, Z)` fraction of cord on the working grid."""
        return cord_fraction(scene.anatomy, scene.seen(scene.working))

    def _unseen(self, rng: np.random.Generator, soft: np.ndarray, scene: Scene) -> Unseen:
        """A void about the cord, if there is one, and padding."""
        spacing = np.array(scene.working.spacing_mm)
        total = float(soft.sum())
        places = [
            float(soft.sum(axis=tuple(a for a in range(3) if a != axis)) @ np.arange(n))
            / max(total, 1e-6)
            for axis, n in enumerate(soft.shape)
        ]
        centre_mm = (np.array(places) - (np.array(soft.shape) - 1) / 2) * spacing
        void = self.options.void if total * spacing.prod() > 10 else 0.0
        half_mm = np.minimum(scene.field_mm, spacing * soft.shape) / 2
        return Unseen.draw(rng, centre_mm, void=void, padded=self.options.padded, half_mm=half_mm)

    def _object_maps(self, scene: Scene, native: Grid, lent: Any) -> ObjectMaps:
        """What is in front of the scanner, where each tissue is as bright as the contrast says."""
        values = np.stack([scene.contrast, grain_strengths(), FLUID, CORD])
        return ObjectMaps(*blend(scene.anatomy, scene.seen(native), values))


@lru_cache(maxsize=16)
def _anatomy(seed: int, number: int, pathological: float, curved: float) -> Anatomy:
    rng = np.random.default_rng([seed, 0, number])
    name = None
    if rng.random() < pathological:
        name = str(
            rng.choice(["compression", "lesions", "injury", "atrophy"], p=[0.4, 0.3, 0.15, 0.15])
        )
    curvature_deg = (0.0, 0.0)
    if rng.random() < curved:
        curvature_deg = (float(rng.uniform(-45, 45)), float(rng.uniform(-20, 20)))
    return random_anatomy(rng, pathology=name, curvature_deg=curvature_deg, pia_mm=TRAINED_PIA_MM)
