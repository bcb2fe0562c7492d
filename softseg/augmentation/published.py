"""The published lists of random transforms, from MONAI, one sample at a time.

The paper's list exists twice: `paper_meant` is what its parameters say to a reader, `paper_ran`
what MONAI made of them. A pair given for three axes is one bound for each of the first two axes
and nothing for the third; a shift of 0.1 is a tenth of a voxel; noise of 0.1 on intensities of
hundreds is none; and the flip mirrors all axes together or none.

References: Bédard et al. 2025, doi:10.1016/j.media.2025.103473; BigAug: Zhang et al. 2020,
doi:10.1109/TMI.2020.2973595.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import pi, radians, sqrt
from typing import Any

import numpy as np
import torch
from monai import transforms as monai
from monai.data import get_track_meta, set_track_meta

BOTH = ("image", "soft")
RAW_SPREAD = 100.0
"""Spread of raw intensities, of the order that scanners write."""
SPLINE, LINEAR = 2, 1


def augment_as_published(
    images: torch.Tensor, softs: torch.Tensor, seeds: list[list[int]], name: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """`(B, 1, …)` images and soft masks, each sample changed by its own seed.

    Args:
        images: `(B, 1, …)` with two or three axes of space, about standardised.
        softs: The same shape, values in [0, 1].
        seeds: One per sample.
        name: `paper_meant`, `paper_ran` or `bigaug`.
    """
    composed = _composed(name, tuple(images.shape[2:]))
    samples = [run_transform(composed, *each) for each in zip(images, softs, seeds, strict=True)]
    return torch.stack([i for i, _ in samples]), torch.stack([s for _, s in samples])


@lru_cache(maxsize=8)
def _composed(name: str, shape: tuple[int, ...]) -> monai.Compose:
    return monai.Compose(list(transforms(name, shape).values()))


def transforms(name: str, shape: Sequence[int], *, always: bool = False) -> dict[str, Any]:
    """MONAI's dictionary transforms of a list, in order, for `image` and `soft`.

    Args:
        name: `paper_meant`, `paper_ran` or `bigaug`.
        shape: Voxels along the two or three axes of space.
        always: Each with probability one instead of its own.
    """
    certain = 1.0 if always else None
    if name == "bigaug":
        return _bigaug(shape, certain)
    return _paper(shape, certain, meant=name == "paper_meant")


def _paper(shape: Sequence[int], certain: float | None, *, meant: bool) -> dict:
    turn = radians(20)
    if meant:
        bounds = _affine_bounds(shape, rotation=turn, scale=0.2, shift=0.1)
    else:
        bounds = {
            "rotate_range": (-turn, turn), "scale_range": (-0.2, 0.2),
            "translate_range": (-0.1, 0.1),
        }  # fmt: skip
    noise = monai.RandGaussianNoised("image", prob=certain or 0.1, mean=0.0, std=0.1)
    if meant:
        # In units of the image's standard deviation, as 0.1 can only have been meant.
        noise = monai.Compose([monai.NormalizeIntensityd("image"), noise])
    flip = monai.RandAxisFlipd if meant else monai.RandFlipd
    return {
        "positive intensities": monai.Lambdad("image", _as_raw),
        "affine": _affine(certain or 0.9, bounds),
        "elastic": _elastic(shape, certain or 0.5, sigma=(3.5, 5.5), magnitude=(25, 35)),
        "low resolution": _low_resolution(shape, certain or 0.25, zoom=(0.5, 1.0)),
        "gamma": monai.RandAdjustContrastd("image", prob=certain or 0.5, gamma=(0.5, 3.0)),
        "bias field": monai.RandBiasFieldd(
            "image", prob=certain or 0.3, degree=3, coeff_range=(0.0, 0.5)
        ),
        "noise": noise,
        "blur": _blur(certain or 0.3, (0.0, 2.0)),
        "brightness": monai.RandScaleIntensityd(
            "image", prob=certain or 0.15, factors=(-0.25, 1.0)
        ),
        "flip": flip(BOTH, prob=certain or 0.3),
        "z-score": monai.NormalizeIntensityd("image"),
    }


def _bigaug(shape: Sequence[int], certain: float | None) -> dict[str, Any]:
    half = certain or 0.5
    bounds = _affine_bounds(shape, rotation=radians(20), scale=0.6, shift=0.1)
    return {
        "z-score": monai.NormalizeIntensityd("image"),
        "blur": _blur(half, (0.25, 1.5)),
        "noise": monai.RandGaussianNoised("image", prob=half, mean=0.0, std=1.0),
        "sharpen": monai.RandGaussianSharpend("image", prob=half, alpha=(10.0, 30.0)),
        "shift": monai.RandShiftIntensityd("image", prob=half, offsets=0.1),
        "scale": monai.RandScaleIntensityd("image", prob=half, factors=0.1),
        "gamma": monai.RandAdjustContrastd("image", prob=half, gamma=(0.5, 3.0)),
        "affine": _affine(half, bounds),
        "elastic": _elastic(shape, half, sigma=(10, 13), magnitude=(25, 35)),
    }


def _as_raw(image: torch.Tensor) -> torch.Tensor:
    """Brings prepared intensities back to what scanners write: from 0 up, spread of hundreds.

    The paper's transforms ran before its z-score, and a bias field or a gain acts on them as on
    raw intensities only when 0 is darkest.
    """
    return (image - image.min()) * RAW_SPREAD


def _affine_bounds(
    shape: Sequence[int], *, rotation: float, scale: float, shift: float
) -> dict[str, Any]:
    """Bounds for every axis: radians, relative size, share of the image's size."""
    axes = len(shape)
    return {
        "rotate_range": [rotation] * (3 if axes == 3 else 1),
        "scale_range": [scale] * axes,
        "translate_range": [shift * size for size in shape],
    }


def _affine(probability: float, bounds: dict[str, Any]) -> Any:
    """Quadratic spline for the image, linear for the soft mask, which so stays in [0, 1]."""
    return monai.RandAffined(BOTH, prob=probability, mode=(SPLINE, LINEAR), **bounds)


def _elastic(
    shape: Sequence[int],
    probability: float,
    *,
    sigma: tuple[float, float],
    magnitude: tuple[float, float],
) -> Any:
    """Random displacement smoothed by a Gaussian of `sigma` voxels, times `magnitude`.

    MONAI's two-dimensional transform takes control points instead. Their distance is twice the
    mean σ, and their displacements are as large as smoothing in three dimensions leaves them:
    white noise keeps `(2 √π σ)^(-3/2)` of its standard deviation.
    """
    if len(shape) == 3:
        return monai.Rand3DElasticd(
            BOTH, prob=probability, sigma_range=sigma, magnitude_range=magnitude, mode="bilinear"
        )
    mean = sum(sigma) / 2.0
    left = (2.0 * sqrt(pi) * mean) ** -1.5
    return monai.Rand2DElasticd(
        BOTH,
        prob=probability,
        spacing=(2.0 * mean, 2.0 * mean),
        magnitude_range=(magnitude[0] * left, magnitude[1] * left),
        mode="bilinear",
    )


def _low_resolution(shape: Sequence[int], probability: float, *, zoom: tuple[float, float]) -> Any:
    """Down-sampling and interpolation back, of the image alone."""
    mode = "trilinear" if len(shape) == 3 else "bilinear"
    return monai.RandSimulateLowResolutiond(
        "image", prob=probability, zoom_range=zoom, upsample_mode=mode
    )


def _blur(probability: float, sigma: tuple[float, float]) -> Any:
    """Gaussian smoothing with its own σ along every axis, in voxels."""
    return monai.RandGaussianSmoothd(
        "image", prob=probability, sigma_x=sigma, sigma_y=sigma, sigma_z=sigma
    )


def run_transform(
    transform: Any, image: torch.Tensor, soft: torch.Tensor, seed: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    tracked = get_track_meta()
    # Without MONAI's record of what was done to each array, everything is twice as fast.
    set_track_meta(False)
    try:
        transform.set_random_state(seed=number)
        changed = transform({"image": image, "soft": soft})
    finally:
        set_track_meta(tracked)
    return changed["image"].float(), changed["soft"].float().clamp(0.0, 1.0)
