"""What a scanner may do to a picture, drawn at random: for training.

The effects are rough, for training and not for measuring: each is a function from an image to an
image with its own strength, and `degrade` draws which ones happen. The truth is never touched; what
an image does not show at all (`Unseen`) is told to whoever holds the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from softseg.phantom.artefacts import from_middle


@dataclass(frozen=True)
class ScannerOptions:
    """How often and how strongly a scanner spoils samples; shares are of all samples.

    Attributes:
        blurred: Share with a blur in the plane of `blur_mm`, beside the size of voxels. Real series
            are 0.3 to 2 mm sharp; with less a network takes sharpness for size.
        blur_mm: Standard deviation of that blur, from and to.
        echo_planar: Share read as an echo-planar train: blurred, stretched by `stretch` and with
            patches of lost signal (Farzaneh et al. 1990, doi:10.1002/mrm.1910140112).
        phase_blur_mm: Standard deviation of its blur along the phase, back to front.
        stretch: Its stretch along the phase.
        grain: Largest unevenness within tissues: real cords vary by 8 to 20 % of their brightness.
        fall_off: Largest fall of brightness per millimetre away from a coil behind; 0.045 is a
            fifth in 5 mm, as beside surface coils.
        speckled_air: Share whose darkest tissue is salt and pepper, as in quotients of two images
            (MP2RAGE: Marques et al. 2010, doi:10.1016/j.neuroimage.2009.10.002).
        outliers: Share with single voxels or a burned-in mark many times brighter than all else.
    """

    blurred: float = 0.4
    blur_mm: tuple[float, float] = (0.3, 1.5)
    echo_planar: float = 0.15
    phase_blur_mm: tuple[float, float] = (0.5, 1.8)
    stretch: tuple[float, float] = (0.82, 1.2)
    grain: float = 0.25
    fall_off: float = 0.045
    speckled_air: float = 0.04
    outliers: float = 0.05


@dataclass(frozen=True, eq=False)
class ObjectMaps:
    """What is in front of the scanner, each `(X, Y, Z)`.

    Attributes:
        clean: Brightness, about 0 to 1.
        grain: Strength of the grain.
        fluid: Fraction of cerebrospinal fluid.
        cord: Fraction of cord.
    """

    clean: np.ndarray
    grain: np.ndarray
    fluid: np.ndarray
    cord: np.ndarray


@dataclass(frozen=True)
class Unseen:
    """What an image does not show, in millimetres from its middle; no truth is asked for there.

    A void of signal, as around metal (Hargreaves et al. 2011, doi:10.2214/AJR.11.7364), of at least
    10 mm leaves no cord to be seen; what a smaller one hides can be told from what is around it, so
    that smaller ones are left to the patches of lost signal. Padding is what a stitched, turned or
    masked image has beyond its own border.

    Attributes:
        centre_mm, radii_mm: `(3,)` of the ellipsoid without signal; None for none.
        pile_up: Brightness of signal that has moved to the void's border.
        padding: Axis, side (-1 or 1) and place of the border; None for none.
        value: Of the padding, as a share of the brightest.
    """

    centre_mm: Sequence[float] | None = None
    radii_mm: Sequence[float] = (10.0, 10.0, 10.0)
    pile_up: float = 0.0
    padding: tuple[int, int, float] | None = None
    value: float = 0.0

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        centre_mm: np.ndarray,
        *,
        void: float,
        padded: float,
        half_mm: np.ndarray,
    ) -> "Unseen":
        """A void near `centre_mm` and padding in a field of `half_mm`, in so many of all cases."""
        drawn = {}
        if rng.random() < void:
            drawn = {
                "centre_mm": centre_mm + rng.normal(0, 4, 3),
                "radii_mm": rng.uniform(5, 22, 3),
                "pile_up": rng.uniform(0, 1.5) * rng.choice([0, 1]),
            }
        if rng.random() < padded:
            axis, side = int(rng.integers(2)), int(rng.choice([-1, 1]))
            drawn |= {
                "padding": (axis, side, half_mm[axis] * rng.uniform(0.1, 0.95)),
                "value": rng.choice([0.0, 0.0, rng.uniform(0, 1.2)]),
            }
        return cls(**drawn)

    def hidden(self, shape: Sequence[int], spacing_mm: Sequence[float]) -> np.ndarray:
        """`(X, Y, Z)` share of each voxel of a grid about the same middle that is not shown."""
        return np.maximum(self._void(shape, spacing_mm), self._beyond(shape, spacing_mm))

    def without_signal(self, image: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
        """The image with its void, and what has piled up around that."""
        if self.centre_mm is None:
            return image
        void = self._void(image.shape, spacing_mm)
        return image * (1 - void) + self.pile_up * float(image.max()) * 4 * void * (1 - void)

    def padded(self, image: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
        """The image with its padding."""
        if self.padding is None:
            return image
        beyond = self._beyond(image.shape, spacing_mm)
        return np.where(beyond, self.value * float(np.percentile(image, 99)), image)

    def _void(self, shape, spacing_mm) -> np.ndarray:
        if self.centre_mm is None:
            return np.zeros((1, 1, 1), np.float32)
        axes = from_middle(shape, spacing_mm)
        places = zip(axes, self.centre_mm, self.radii_mm, strict=True)
        away = [(along - centre) / radius for along, centre, radius in places]
        edge_mm = (np.sqrt(sum(a * a for a in away)) - 1) * min(self.radii_mm)
        return (1 / (1 + np.exp(np.clip(edge_mm / 0.4, -50, 50)))).astype(np.float32)

    def _beyond(self, shape, spacing_mm) -> np.ndarray:
        if self.padding is None:
            return np.zeros((1, 1, 1), bool)
        axis, side, border_mm = self.padding
        return np.broadcast_to(side * from_middle(shape, spacing_mm)[axis] > border_mm, shape)


def degrade(
    rng: np.random.Generator,
    maps: ObjectMaps,
    spacing_mm: np.ndarray,
    options: ScannerOptions = ScannerOptions(),
    *,
    echo_planar: bool = False,
    unseen: Unseen = Unseen(),
) -> np.ndarray:
    """Turn a clean image into what a scanner might have shown.

    Args:
        rng: Source of randomness.
        maps: The clean image and what it is made of.
        spacing_mm: `(3,)` voxel size.
        options: How often and how strongly each effect comes.
        echo_planar: Whether the image is read as an echo-planar train.
        unseen: What it does not show.

    Returns:
        `(X, Y, Z)` float32, not negative.
    """
    image = maps.clean * _grain(rng, maps.grain, spacing_mm, options.grain)
    if rng.random() < 0.35:
        image = _pulsation(rng, image, maps, spacing_mm)
    image = unseen.without_signal(image, spacing_mm)
    if echo_planar:
        image = image * _signal_loss(rng, image.shape, spacing_mm)
    if rng.random() < 0.85:
        image = image * _shading(rng, image.shape, spacing_mm, options.fall_off)
    image = _blurred(rng, image, spacing_mm, options, echo_planar)
    if rng.random() < (0.6 if echo_planar else 0.3):
        image = _truncated(rng, image)
    if rng.random() < (0.4 if echo_planar else 0.1):
        axis = 1 if echo_planar else int(rng.integers(2))
        image = image + rng.uniform(0.03, 0.15) * np.roll(image, image.shape[axis] // 2, axis)
    image = _noisy(rng, image, _reference(maps))
    if rng.random() < 0.4:
        top = max(float(image.max()), 1e-6)
        image = top * (image / top) ** np.exp(rng.uniform(-0.35, 0.35))
    if rng.random() < options.speckled_air:
        image = _speckled(rng, image, maps.clean)
    if rng.random() < options.outliers:
        image = _outliers(rng, image)
    return unseen.padded(image, spacing_mm).astype(np.float32, copy=False)


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, ...], spacing_mm: np.ndarray, length_mm: float
) -> np.ndarray:
    """A random field of unit standard deviation and a given correlation length."""
    # Drawn on a coarse grid of two points a length and interpolated: as smooth and much faster.
    coarse = [
        min(max(2, int(np.ceil(n * h / length_mm * 1.5)) + 2), n) if n > 1 else 1
        for n, h in zip(shape, spacing_mm, strict=True)
    ]
    field = rng.standard_normal(coarse, dtype=np.float32)
    for axis, (few, many) in enumerate(zip(coarse, shape, strict=True)):
        if few != many:
            at = np.linspace(0, few - 1, many)
            low = np.minimum(at.astype(int), few - 2)
            part = (at - low).reshape([-1 if a == axis else 1 for a in range(3)]).astype(np.float32)
            part = part * part * (3 - 2 * part)
            below, above = field.take(low, axis), field.take(low + 1, axis)
            field = below + (above - below) * part
    return field


def _grain(
    rng: np.random.Generator, strength: np.ndarray, spacing_mm: np.ndarray, most: float
) -> np.ndarray:
    amplitude = rng.uniform(0.02, most)
    field = smooth_field(rng, strength.shape, spacing_mm, rng.uniform(1.2, 3.0))
    field = field + 0.7 * smooth_field(rng, strength.shape, spacing_mm, rng.uniform(6, 20))
    return np.clip(1 + amplitude * strength * field, 0.2, 2)


def _pulsation(
    rng: np.random.Generator, image: np.ndarray, maps: ObjectMaps, spacing_mm: np.ndarray
) -> np.ndarray:
    """Flowing fluid loses signal in patches, or shines."""
    field = smooth_field(rng, image.shape, spacing_mm, rng.uniform(4, 15))
    loss = np.clip(field, 0, 1) * rng.uniform(0.1, 0.7) * rng.choice([1, 1, -0.5])
    brightness = float((maps.clean * maps.fluid).sum() / max(float(maps.fluid.sum()), 1e-6))
    return np.maximum(image - loss * maps.fluid * brightness, 0)


def _shading(rng, shape, spacing_mm, fall_off: float) -> np.ndarray:
    """Coil sensitivity: a slope, a falling off from a coil behind, and slow waves."""
    axes = from_middle(shape, spacing_mm)
    slope = sum(a * g for a, g in zip(axes, rng.normal(0, 0.008, 3), strict=True))
    behind = -axes[1] * rng.choice([0.0, 1.0]) * rng.uniform(0.0, fall_off)
    waves = rng.uniform(0, 0.4) * smooth_field(rng, shape, spacing_mm, rng.uniform(30, 80))
    return np.exp(np.clip(slope + behind + waves, -2.2, 2.2)).astype(np.float32)


def _signal_loss(rng, shape, spacing_mm) -> np.ndarray:
    """Patches of a centimetre or two in which the field is uneven and signal is lost."""
    field = smooth_field(rng, shape, spacing_mm, rng.uniform(8, 25))
    lost = 1 / (1 + np.exp((rng.uniform(0.2, 1.2) - field) / 0.2))
    return 1 - rng.uniform(0.2, 0.95) * lost


def _blurred(rng, image, spacing_mm, options: ScannerOptions, echo_planar: bool) -> np.ndarray:
    """Blur in the plane by millimetres or some of a voxel; echo-planar trains along the phase."""
    voxels = np.zeros(3)
    if rng.random() < options.blurred:
        voxels[:2] = rng.uniform(*options.blur_mm) / spacing_mm[:2]
    elif rng.random() < 0.6:
        voxels[:] = rng.uniform(0.2, 0.8)
    if echo_planar:
        voxels[1] = np.hypot(voxels[1], rng.uniform(*options.phase_blur_mm) / spacing_mm[1])
    if not voxels.any():
        return image
    return ndimage.gaussian_filter(image, voxels * (np.array(image.shape) > 1))


def _truncated(rng, image: np.ndarray) -> np.ndarray:
    """Cut the image's highest frequencies along one or both axes, as a small matrix does."""
    for axis in range(2):
        size = image.shape[axis]
        if size < 8 or rng.random() < 0.4:
            continue
        spectrum = np.fft.rfft(image, axis=axis)
        keep = int(spectrum.shape[axis] * rng.uniform(0.55, 0.95))
        spectrum[(slice(None),) * axis + (slice(keep, None),)] = 0
        image = np.fft.irfft(spectrum, size, axis=axis)
    return np.maximum(image, 0).astype(np.float32)


def _reference(maps: ObjectMaps) -> float:
    """Brightness that noise is measured by: the cord's where there is one."""
    bright = float(np.percentile(maps.clean, 90))
    if float(maps.cord.sum()) < 10:
        return bright
    return min(bright, 1.3 * float((maps.clean * maps.cord).sum() / maps.cord.sum()))


def _noisy(rng, image: np.ndarray, reference: float) -> np.ndarray:
    """Rician noise, sometimes correlated between neighbours by interpolation."""
    scale = reference * rng.choice([0.02, 0.05, 0.1, 0.15]) * rng.uniform(0.2, 1.6)
    real, imaginary = rng.standard_normal((2, *image.shape), dtype=np.float32) * scale
    if rng.random() < 0.4:
        wide = rng.uniform(0.3, 0.7) * (np.array(image.shape) > 1)
        real = ndimage.gaussian_filter(real, wide) * 1.6
        imaginary = ndimage.gaussian_filter(imaginary, wide) * 1.6
    return np.sqrt((image + real) ** 2 + imaginary**2)


def _speckled(rng, image: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Any value where there is next to no signal, as the quotient of two noises has."""
    top = float(np.percentile(clean, 98))
    dark = clean < rng.uniform(0.03, 0.12) * top
    return np.where(dark, rng.uniform(0, rng.uniform(0.8, 1.6) * top, image.shape), image)


def _outliers(rng, image: np.ndarray) -> np.ndarray:
    """Some voxels, or a mark burned into a corner, up to thirty times as bright as all else."""
    bright = float(np.percentile(image, 99)) * np.exp(rng.uniform(0.5, 3.4))
    if rng.random() < 0.7:
        return np.where(rng.random(image.shape) < rng.uniform(2e-4, 6e-3), bright, image)
    size = (np.array(image.shape) * rng.uniform(0.05, 0.3, 3)).astype(int) + 1
    corner = tuple(slice(0, n) if rng.random() < 0.5 else slice(-n, None) for n in size)
    marked = image.copy()
    marked[corner] = bright
    return marked
