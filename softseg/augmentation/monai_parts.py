"""MONAI's transforms in the form that one- or three-axis patches with soft masks need."""

from collections.abc import Mapping, Sequence
from math import pi, sqrt
from typing import Any

import torch
from monai import transforms as monai
from monai.config import KeysCollection

__all__ = ["Positive", "affine", "affine_bounds", "blur", "elastic", "low_resolution", "monai"]

RAW_SPREAD = 100.0
"""Spread of raw intensities, of the order that scanners write."""
BOTH = ("image", "soft")
SPLINE, LINEAR = 2, 1


class Positive(monai.MapTransform):
    """Brings prepared intensities back to what scanners write: from 0 up, spread of hundreds.

    The paper's transforms ran before its z-score, and a bias field or a gain acts on them as on
    raw intensities only when 0 is darkest.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Shift and scale each image."""
        changed = dict(data)
        for key in self.key_iterator(changed):
            changed[key] = (changed[key] - changed[key].min()) * RAW_SPREAD
        return changed


def affine_bounds(
    shape: Sequence[int], *, rotation: float, scale: float, shift: float
) -> dict[str, Any]:
    """Bounds for every axis: radians, relative size, share of the image's size."""
    axes = len(shape)
    return {
        "rotate_range": [rotation] * (3 if axes == 3 else 1),
        "scale_range": [scale] * axes,
        "translate_range": [shift * size for size in shape],
    }


def affine(probability: float, bounds: dict[str, Any]) -> Any:
    """Quadratic spline for the image, linear for the soft mask, which so stays in [0, 1]."""
    return monai.RandAffined(BOTH, prob=probability, mode=(SPLINE, LINEAR), **bounds)


def elastic(
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


def low_resolution(shape: Sequence[int], probability: float, *, zoom: tuple[float, float]) -> Any:
    """Down-sampling and interpolation back, of the image alone."""
    mode = "trilinear" if len(shape) == 3 else "bilinear"
    return monai.RandSimulateLowResolutiond(
        "image", prob=probability, zoom_range=zoom, upsample_mode=mode
    )


def blur(probability: float, sigma: tuple[float, float]) -> Any:
    """Gaussian smoothing with its own σ along every axis, in voxels."""
    return monai.RandGaussianSmoothd(
        "image", prob=probability, sigma_x=sigma, sigma_y=sigma, sigma_z=sigma
    )
