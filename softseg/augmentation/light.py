"""Cheap augmentation of a whole batch at once, for small networks on few cores.

One resampling carries rotation, scale, shift and mirroring together, for image and mask alike, so
that neither is interpolated twice; intensities change afterwards and leave the mask alone.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

TURNS = {2: ((0, 1),), 3: ((0, 1), (0, 2), (1, 2))}
"""Planes of rotation."""


@dataclass(frozen=True)
class LightOptions:
    """How far each change goes; every one is drawn anew for every sample.

    Attributes:
        rotation_deg: Largest rotation about each axis.
        scale: Largest relative change of size along each axis.
        shift_voxels: Largest shift along each axis.
        gamma: Largest |log γ| of a power applied to the intensities' own range.
        gain: Largest relative change of contrast.
        offset: Largest shift of intensities, in units of the image's standard deviation.
        noise: Largest standard deviation of Gaussian noise, in the same unit.
        blur_voxels: Largest standard deviation of Gaussian smoothing.
        probability: Share of the samples that each change of intensity touches.
    """

    rotation_deg: float = 12.0
    scale: float = 0.12
    shift_voxels: float = 1.0
    gamma: float = 0.5
    gain: float = 0.25
    offset: float = 0.25
    noise: float = 0.25
    blur_voxels: float = 0.8
    probability: float = 0.35


def augment_lightly(
    images: torch.Tensor,
    softs: torch.Tensor,
    seeds: list[list[int]],
    options: LightOptions,
    *,
    mirror: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Change each sample by its own seed.

    Args:
        images: `(B, 1, …)` with two or three axes of space, about standardised.
        softs: The same shape, values in [0, 1].
        seeds: One per sample; a sample's result depends on nothing else of the batch.
        options: How far.
        mirror: Whether right and left may be exchanged.

    Returns:
        Images and soft masks of the same shapes; masks interpolated linearly, never binarised.
    """
    generators = [np.random.default_rng(seed) for seed in seeds]
    both = torch.cat([images, softs], dim=1)  # (B, 2, …)
    both = _resample(both, [_affine(g, images.shape[2:], options, mirror) for g in generators])
    images, softs = both[:, :1], both[:, 1:].clamp(0.0, 1.0)
    changes = torch.tensor([_intensity(g, options) for g in generators], dtype=torch.float32)
    images = _blur(images, changes[:, 0])
    images = _recolour(images, *changes[:, 1:4].T)
    strengths = changes[:, 4]
    for index in torch.nonzero(strengths).flatten().tolist():
        noise = generators[index].standard_normal(images.shape[2:], dtype=np.float32)
        images[index, 0] += strengths[index] * torch.from_numpy(noise)
    return images, softs


def _affine(
    rng: np.random.Generator, shape: torch.Size, options: LightOptions, mirror: bool
) -> np.ndarray:
    """`(D, D + 1)` from output to input, in `grid_sample`'s units of half an image."""
    axes = len(shape)
    limit = np.deg2rad(options.rotation_deg)
    drawn = rng.random(10)
    spread = 2.0 * drawn - 1.0
    matrix = np.eye(axes)
    for number, (first, second) in enumerate(TURNS[axes]):
        turn = np.eye(axes)
        sine, cosine = math.sin(limit * spread[number]), math.cos(limit * spread[number])
        turn[first, first] = turn[second, second] = cosine
        turn[first, second], turn[second, first] = -sine, sine
        matrix = matrix @ turn
    matrix /= 1.0 + options.scale * spread[3 : 3 + axes]
    # The cord is nearly symmetric from right to left, the first axis, and in no other.
    if mirror and drawn[9] < 0.5:
        matrix[:, 0] *= -1.0
    half = np.array(shape) / 2.0
    shift = options.shift_voxels * spread[6 : 6 + axes] / half
    matrix = matrix * half[None, :] / half[:, None]
    # grid_sample counts axes from the last.
    return np.concatenate([matrix[::-1, ::-1], shift[::-1, None]], axis=1)


def _resample(both: torch.Tensor, affines: list[np.ndarray]) -> torch.Tensor:
    theta = torch.from_numpy(np.stack(affines).astype(np.float32))
    grid = functional.affine_grid(theta, list(both.shape), align_corners=False)
    # Mirrored at the border: a corner of zeros would teach the network an edge that is none.
    return functional.grid_sample(both, grid, padding_mode="reflection", align_corners=False)


def _intensity(rng: np.random.Generator, options: LightOptions) -> tuple[float, ...]:
    """Blur, log gamma, gain, offset and noise of one sample; what is not drawn is neutral."""
    drawn = rng.random(10).tolist()
    strength = drawn[5:]
    values = (
        (0.3 + 0.7 * strength[0]) * options.blur_voxels,
        (2 * strength[1] - 1) * options.gamma,
        (2 * strength[2] - 1) * options.gain,
        (2 * strength[3] - 1) * options.offset,
        strength[4] * options.noise,
    )
    return tuple(
        value if chance < options.probability else 0.0
        for value, chance in zip(values, drawn, strict=False)
    )


def _blur(images: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    chosen = torch.nonzero(sigmas > 0).flatten()
    if not len(chosen):
        return images
    images = images.clone()
    blurred = images[chosen, 0][None]  # (1, b, …): one group of the convolution per sample
    reach = 3
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernels = torch.exp(-0.5 * (offsets / sigmas[chosen, None]) ** 2)
    kernels = kernels / kernels.sum(dim=1, keepdim=True)
    axes = blurred.ndim - 2
    convolve = functional.conv2d if axes == 2 else functional.conv3d
    for axis in range(axes):
        shape = [len(chosen), 1] + [1] * axes
        shape[2 + axis] = 2 * reach + 1
        padding = [0, 0] * axes
        padding[2 * (axes - 1 - axis)] = padding[2 * (axes - 1 - axis) + 1] = reach
        padded = functional.pad(blurred, padding, mode="replicate")
        blurred = convolve(padded, kernels.reshape(shape), groups=len(chosen))
    images[chosen, 0] = blurred[0]
    return images


def _recolour(
    images: torch.Tensor, log_gamma: torch.Tensor, gain: torch.Tensor, offset: torch.Tensor
) -> torch.Tensor:
    per_sample = (-1,) + (1,) * (images.ndim - 1)
    low = images.flatten(1).amin(dim=1).view(per_sample)
    span = (images.flatten(1).amax(dim=1).view(per_sample) - low).clamp_min(1e-6)
    power = log_gamma.exp().view(per_sample)
    changed = ((images - low) / span).clamp_min(0.0) ** power * span + low
    return changed * (1.0 + gain.view(per_sample)) + offset.view(per_sample)
