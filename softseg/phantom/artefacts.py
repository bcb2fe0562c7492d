"""What the scanner adds to the object: k-space, slices, coil, noise, flow, distortion; how much.

Each function takes arrays in working orientation (X right to left, Y posterior to anterior, Z
inferior to superior) and has no hidden state; random ones take a generator.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import fft, ndimage

from softseg.errors import InputError
from softseg.volume import Grid, Spacing


@dataclass(frozen=True)
class ArtefactOptions:
    """How hard the scanner makes it.

    Attributes:
        noise: Factor on the protocol's noise; 0 leaves out tissue's texture, too.
        bias: Strength of the coil's uneven brightness.
        texture: Unevenness of muscle and marrow.
        flow_depth: Signal that pulsation takes from the CSF at most.
        distortion_mm, jitter_mm: Displacement in echo-planar scans, smooth and slice by slice.
        dropout: Signal lost beside discs in gradient-echo EPI (half of it in DWI).
        ghost: Brightness of the ghost, relative to the image.
        rotation_deg: Deviation of the participant's turn between contrasts.
        spread: Variation of relaxation from participant to participant.
        refine: Fine voxels per voxel within axial slices.
        stretch: How much an uneven field stretches slices of echo-planar scans along the phase axis
            or compresses them, as standard deviation. The truth follows the image, its table of
            areas keeps the participant's.
        metal_mm: Radius in which an implant behind the cord leaves no signal, 0 for none: in spin
            echoes; 1.5 times as far in gradient echoes and echo-planar scans.
        fluid: Brightness of the fluid over the cord's, 0 for that of the sequence.
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
    stretch: float = 0.0
    metal_mm: float = 0.0
    fluid: float = 0.0


SEVERITIES = {
    "mild": ArtefactOptions(
        noise=1.0, bias=0.6, texture=0.10, flow_depth=0.25, distortion_mm=0.5, jitter_mm=0.1,
        dropout=0.15, ghost=0.0, rotation_deg=0.0, spread=0.03, refine=1,
    ),
    "realistic": ArtefactOptions(
        noise=1.3, bias=0.75, texture=0.18, flow_depth=0.65, distortion_mm=1.8, jitter_mm=0.35,
        dropout=0.45, ghost=0.06, rotation_deg=1.5, spread=0.06, refine=2,
    ),
}  # fmt: skip
"""`mild` is for demonstrations on a small machine, `realistic` for generalisation."""


def get_severity(severity: str | ArtefactOptions) -> ArtefactOptions:
    """The settings called `mild` or `realistic`, or the given ones.

    Raises:
        InputError: If the name is unknown.
    """
    if isinstance(severity, ArtefactOptions):
        return severity
    if severity not in SEVERITIES:
        raise InputError(f"unknown severity {severity!r}; known are {', '.join(SEVERITIES)}")
    return SEVERITIES[severity]


def with_options(severity: str | ArtefactOptions, **changes: float) -> ArtefactOptions:
    """A severity with some settings changed, for experiments.

    Raises:
        InputError: If a setting is unknown.

    Example:
        >>> with_options("mild", noise=0.0).noise
        0.0
    """
    known = {f.name for f in fields(ArtefactOptions)}
    unknown = sorted(set(changes) - known)
    if unknown:
        raise InputError(f"unknown severity setting {unknown[0]!r}; known are {sorted(known)}")
    return replace(get_severity(severity), **changes)


PHASE_AXIS = 1
"""Phase encoding runs from the back to the front, as in the protocol's axial scans."""


def truncate_k_space(
    fine: np.ndarray,
    shape: tuple[int, ...],
    *,
    axes: tuple[int, ...],
    acquired: float = 1.0,
    apodisation: float = 0.2,
) -> np.ndarray:
    """Keep only the spatial frequencies that a scan of `shape` samples: Gibbs ringing at edges.

    The fine samples are averages over small voxels; that average's damping is undone first, so that
    what remains is the object's own spectrum, cut off. The cosine transform stands for the Fourier
    transform because its mirrored borders do not ring.

    Args:
        fine: `(…, X, Y, Z)` averages over voxels that divide the wanted ones.
        shape: Wanted size of the last three axes; equal to the fine size along axes left alone.
        axes: Which of the last three axes (0, 1, 2) are encoded.
        acquired: Fraction of the highest frequency that was acquired along each axis.
        apodisation: Strength of the cosine filter that vendors put on k-space, 0 to 1.

    Returns:
        `(…, *shape)`, with the mean of `fine`.

    Example:
        >>> flat = np.ones((8, 8, 1))
        >>> truncate_k_space(flat, (4, 4, 1), axes=(0, 1)).round(6).max()
        np.float64(1.0)
    """
    result = fine
    for axis in axes:
        along = fine.ndim - 3 + axis
        count, kept = fine.shape[along], shape[axis]
        spectrum = fft.dct(result, type=2, axis=along, norm="ortho")
        spectrum = np.take(spectrum, np.arange(kept), axis=along)
        frequency = np.arange(kept)
        relative = frequency / (kept * acquired)
        weight = np.where(relative <= 1, 1 - apodisation * (1 - np.cos(np.pi * relative)) / 2, 0)
        weight = weight / np.sinc(frequency / (2 * count)) * np.sqrt(kept / count)
        shaped = weight.reshape([-1 if i == along else 1 for i in range(fine.ndim)])
        result = fft.idct(spectrum * shaped.astype(fine.dtype), type=2, axis=along, norm="ortho")
    return result


def encode_phase(parts: list[np.ndarray], modulations: list[np.ndarray]) -> np.ndarray:
    """Blur along the phase axis as k-space was read, and take the magnitude (with its sign).

    What differs between the two halves of k-space makes an imaginary part, which a magnitude
    picture shows beside edges.

    Args:
        parts: Of the object, each `(…, X, Y, Z)`; the image is of their sum.
        modulations: For each part `(2 Y - 1,)` factors from one end of k-space to the other.

    Example:
        >>> flat = np.ones((1, 8, 1))
        >>> decay = np.exp(np.linspace(1, -1, 15))
        >>> encode_phase([flat, flat], [np.ones(15), decay])[0, 3, 0].round(6)
        np.float64(2.0)
    """
    axis = parts[0].ndim - 3 + PHASE_AXIS
    count = parts[0].shape[axis]
    even = odd = 0
    for part, modulation in zip(parts, modulations, strict=True):
        spectrum = np.moveaxis(fft.dct(part, type=2, axis=axis, norm="ortho"), axis, -1)
        forward, backward = modulation[count - 1 :], modulation[count - 1 :: -1]
        even = even + spectrum * ((forward + backward) / 2).astype(part.dtype)
        odd = odd + spectrum * ((forward - backward) / 2).astype(part.dtype)
    real = fft.idct(even, type=2, axis=-1, norm="ortho")
    # The sine transform's first term is the cosine transform's second.
    odd = np.concatenate([odd[..., 1:], np.zeros_like(odd[..., :1])], axis=-1)
    imaginary = fft.idst(odd, type=2, axis=-1, norm="ortho")
    return np.moveaxis(np.copysign(np.hypot(real, imaginary), real), -1, axis)


def rolled(array: np.ndarray, voxels: float, axis: int) -> np.ndarray:
    """Move an array along an axis by a fraction of voxels; what leaves comes in again."""
    whole = int(np.floor(voxels))
    part = array.dtype.type(voxels - whole)
    return (1 - part) * np.roll(array, whole, axis) + part * np.roll(array, whole + 1, axis)


def slice_profile(fine: np.ndarray, factor: int, spill: float = 0.08) -> np.ndarray:
    """Sum thin slices into thick ones whose edges are soft, as selective pulses make them.

    Of `(…, X, Y, Z·factor + 2)` thin slices, one more at each end; the thin slice at each edge of a
    thick one gives a share `spill` to the neighbour.
    """
    count = (fine.shape[-1] - 2) // factor
    thin = np.moveaxis(fine, -1, 0)
    inner = thin[1:-1].reshape(count, factor, *thin.shape[1:])
    weights = np.ones(factor)
    weights[[0, -1]] -= spill
    thick = np.tensordot(weights, inner, axes=(0, 1)).astype(fine.dtype)
    thick += spill * (thin[0 : count * factor : factor] + thin[factor + 1 :: factor])
    return np.moveaxis(thick / factor, 0, -1)


def smooth_field(
    shape: Sequence[int], spacing_mm: Spacing, scale_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """`(X, Y, Z)` float32 random field, mean 0, deviation about 1, varying over `scale_mm`."""
    extent = np.array(shape) * np.array(spacing_mm)
    coarse = np.maximum(2, np.ceil(extent / scale_mm).astype(int) + 2)
    knots = rng.standard_normal(coarse).astype(np.float32)
    places = [np.linspace(0.5, n - 1.5, m) for n, m in zip(coarse, shape, strict=True)]
    for axis, place in enumerate(places):  # linear interpolation, one axis after the other
        low = np.clip(place.astype(int), 0, coarse[axis] - 2)
        weight = (place - low).reshape([-1 if i == axis else 1 for i in range(3)])
        weight = weight.astype(np.float32)
        knots = np.take(knots, low, axis) * (1 - weight) + np.take(knots, low + 1, axis) * weight
    return knots * np.float32(1.5**1.5)  # linear interpolation leaves (2/3)^3 of the variance


def from_middle(shape: Sequence[int], spacing_mm: Sequence[float]) -> list[np.ndarray]:
    """Millimetres from a grid's middle along each axis, of shapes that multiply to the grid's."""
    axes = [(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, spacing_mm, strict=True)]
    return np.meshgrid(*axes, indexing="ij", sparse=True)


def coil_profile(grid: Grid, strength: float, rng: np.random.Generator) -> np.ndarray:
    """`(X, Y, Z)` smooth positive brightness: the neck coil lies behind, and fades up and down.

    With a strength of 0.5 muscle behind the cord is twice as bright as muscle 6 cm further in
    front, as on real gradient echoes, and the cord varies by a tenth from C1 to T2 as on real T2w.
    """
    x, y, z = (places_mm / 100 for places_mm in from_middle(grid.shape, grid.spacing_mm))
    a, b, c, d = rng.normal(0, 0.5, 4)
    exponent = -(2.3 + 0.5 * a) * y + 0.5 * b * x + 0.7 * c * z - (0.7 + 0.4 * d) * z**2
    return np.exp(strength * exponent).astype(np.float32)


def add_noise(channels: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Complex Gaussian noise of a standard deviation in both parts: the magnitude is Rician."""
    noise = rng.standard_normal((2, *channels.shape), dtype=np.float32) * np.float32(deviation)
    return (channels + noise[0]) + 1j * noise[1]


def flow_void(grid: Grid, depth: float, rng: np.random.Generator) -> np.ndarray:
    """`(X, Y, Z)` factor on the CSF: pulsating streaks lose up to `depth` of their signal."""
    streaks = smooth_field(grid.shape, grid.spacing_mm, 9.0, rng)
    return 1 - depth / (1 + np.exp(-2.5 * (streaks - 0.6)))


def add_ghost(channels: np.ndarray, strength: float, shift_fraction: float) -> np.ndarray:
    """A faint copy displaced along the phase-encoding axis, from periodic motion."""
    axis = channels.ndim - 3 + PHASE_AXIS
    shift = round(shift_fraction * channels.shape[axis])
    return channels + strength * np.roll(channels, shift, axis=axis)


def displacement_mm(
    grid: Grid, amplitude_mm: float, jitter_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """`(X, 1, Z)` shift along the phase axis from an uneven field, with a jump from slice to slice.

    It depends on X and Z alone, so that columns slide and areas within a slice stay true.
    """
    (x, _, z), (width, _, height) = grid.shape, grid.spacing_mm
    smooth = smooth_field((x, 2, z), (width, 30.0, height), 25.0, rng)
    jumps = rng.standard_normal((1, 1, z)).astype(np.float32)
    return amplitude_mm * 0.6 * smooth[:, :1] + jitter_mm * jumps


def slide(array: np.ndarray, shift_voxels: np.ndarray) -> np.ndarray:
    """Move each column along Y by a fraction of voxels; sums are kept away from the borders.

    Columns of a `(…, X, Y, Z)` array are moved by `(X, 1, Z)` voxels towards the front, or each
    voxel by its own of `(X, Y, Z)`.
    """
    y = np.arange(array.shape[-2]).reshape(1, -1, 1) - shift_voxels
    low = np.floor(y).astype(int)
    weight = (y - low).astype(array.dtype)
    low, last = low[(None,) * (array.ndim - 3)], array.shape[-2] - 1
    left, right = (
        np.take_along_axis(array, np.clip(low + step, 0, last), axis=-2) for step in (0, 1)
    )
    return left * (1 - weight) + right * weight


def metal_void(away_mm: np.ndarray, radius_mm: float) -> np.ndarray:
    """Factor at distances from an implant: no signal within the radius, piled up at its edge."""
    edge = (away_mm - radius_mm) / 2.0
    return np.clip(0.5 + edge, 0, 1) * (1 + 0.6 * np.exp(-((edge - 1) ** 2)))


def drop_out(heights_mm: np.ndarray, discs_mm: np.ndarray, depth: float) -> np.ndarray:
    """`(Z,)` factor: gradient echoes lose signal beside discs, where the field is uneven."""
    near = np.exp(-(((heights_mm[:, None] - discs_mm[None, :]) / 5.0) ** 2) / 2).max(axis=1)
    return 1 - depth * near


def texture(
    grid: Grid, strength: float, rng: np.random.Generator, scale_mm: float = 5.0
) -> np.ndarray:
    """`(X, Y, Z)` factor on tissue, uneven over some millimetres: muscle more than cord."""
    coarse = smooth_field(grid.shape, grid.spacing_mm, scale_mm, rng)
    return np.exp(np.float32(strength) * ndimage.uniform_filter(coarse, 2))
