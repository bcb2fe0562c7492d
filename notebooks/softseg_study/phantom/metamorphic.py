"""Changes of an image after which the right mask is known from the mask before.

They need no drawn mask, so that weights can be judged on any image: what a voxel size in the header
does to areas, whether sharpness is taken for size, whether a border, a mark or noise in the air
moves a mask.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from softseg.segmentation.engine import Model, segment
from softseg.volume import Volume
from softseg_study.phantom.test_set_scores import LEAST_MM2, slice_areas_mm2

Change = Callable[[Volume, Volume], Volume]
"""From an image and its mask, both in working orientation, to another image."""


def resized(image: Volume, mask: Volume, *, factor: float) -> Volume:
    """The same voxels with a header that makes them larger within the slice."""
    return replace(image, affine=image.affine @ np.diag([factor, factor, 1.0, 1.0]))


def blurred(image: Volume, mask: Volume, *, sd_mm: float) -> Volume:
    """Gaussian blur within the slice."""
    sides = sd_mm / np.array([*image.spacing_mm[:2], np.inf])
    return image.like(ndimage.gaussian_filter(image.data.astype(np.float32), sides))


def respaced(image: Volume, mask: Volume, *, factor: float) -> Volume:
    """Resampled to voxels larger along every axis."""
    spacing = tuple(factor * side for side in image.spacing_mm)
    return image.resampled(image.respaced_grid(spacing), mode="nearest")


def sagittal(image: Volume, mask: Volume, *, thickness_mm: float) -> Volume:
    """Thick sagittal slices; an image that has them is left alone."""
    spacing = (max(thickness_mm, image.spacing_mm[0]), *image.spacing_mm[1:])
    return image.resampled(image.respaced_grid(spacing), mode="nearest")


def cropped(image: Volume, mask: Volume, *, margin_mm: float) -> Volume:
    """Cut to what lies within a margin of the mask, within the slice."""
    where = np.array(np.nonzero(mask.data >= 0.5)[:2])
    if not where.size:
        return image
    margin = np.ceil(margin_mm / np.array(image.spacing_mm[:2])).astype(int)
    low = np.maximum(where.min(axis=1) - margin, 0)
    high = where.max(axis=1) + margin + 1
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :2] @ low
    return replace(image, data=image.data[low[0] : high[0], low[1] : high[1]], affine=affine)


def with_outliers(image: Volume, mask: Volume, *, share: float) -> Volume:
    """Single voxels twenty times as bright as the 99th percentile."""
    here = np.random.default_rng(0).random(image.data.shape) < share
    return image.like(np.where(here, 20 * np.percentile(image.data, 99), image.data))


def with_mark(image: Volume, mask: Volume) -> Volume:
    """A bright mark burned into a corner."""
    data = image.data.copy()
    data[:16, :16, :16] = 20 * np.percentile(data, 99)
    return image.like(data)


def padded(image: Volume, mask: Volume, *, value: float) -> Volume:
    """A border of 15 voxels of one value around every slice."""
    data = np.pad(image.data, ((15, 15), (15, 15), (0, 0)), constant_values=value)
    affine = image.affine.copy()
    affine[:3, 3] -= affine[:3, :2] @ [15, 15]
    return replace(image, data=data, affine=affine)


def with_speckled_air(image: Volume, mask: Volume) -> Volume:
    """Any brightness wherever there is next to none, as in the quotient images of MP2RAGE."""
    bright = np.percentile(image.data, 98)
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 1.2 * bright, image.data.shape)
    return image.like(np.where(image.data < 0.08 * bright, noise, image.data))


def flipped(image: Volume, mask: Volume, *, axis: int) -> Volume:
    """The person's mirror image: voxels reversed along one axis, in the same place."""
    return image.like(np.flip(image.data, axis))


def rotated(image: Volume, mask: Volume, *, degrees: float) -> Volume:
    """Turned within the slice."""
    turned = ndimage.rotate(
        image.data, degrees, axes=(0, 1), reshape=False, order=1, mode="nearest"
    )
    return image.like(turned)


def brighter(image: Volume, mask: Volume, *, factor: float) -> Volume:
    """Other units of brightness."""
    return image.like(image.data * factor)


def noisy(image: Volume, mask: Volume, *, share: float) -> Volume:
    """Noise with an SD that is this share of the mean of what the mask holds."""
    inside = image.data[mask.data >= 0.5]
    sd = share * (inside if inside.size else image.data).mean()
    return image.like(image.data + np.random.default_rng(0).normal(0, sd, image.data.shape))


CHANGES: dict[str, tuple[Change, float]] = {
    **{f"size {f:g}": (partial(resized, factor=f), f**2) for f in (0.85, 0.9, 1.1, 1.15)},
    **{f"blur {sd:g} mm": (partial(blurred, sd_mm=sd), 1.0) for sd in (0.5, 1.0)},
    "voxels 1.25": (partial(respaced, factor=1.25), 1.0),
    "sagittal 3 mm": (partial(sagittal, thickness_mm=3.0), 1.0),
    "noise 10 %": (partial(noisy, share=0.1), 1.0),
    "rotation 10°": (partial(rotated, degrees=10.0), 1.0),
    "left–right": (partial(flipped, axis=0), 1.0),
    "front–back": (partial(flipped, axis=1), 1.0),
    "brightness × 7": (partial(brighter, factor=7.0), 1.0),
    "crop 3 mm": (partial(cropped, margin_mm=3.0), 1.0),
    "outliers": (partial(with_outliers, share=0.003), 1.0),
    "mark": (with_mark, 1.0),
    "padding": (partial(padded, value=-2000.0), 1.0),
    "air": (with_speckled_air, 1.0),
}
"""Name of a change, the change, and by what it multiplies every true area."""


def score_changes(
    images: Mapping[str, Volume],
    weights: Any,
    *,
    changes: Mapping[str, tuple[Change, float]] = CHANGES,
) -> pd.DataFrame:
    """How areas follow each change.

    Args:
        images: By name; any orientation.
        weights: As `softseg.segmentation.engine.segment` takes them.
        changes: From `CHANGES`.

    Returns:
        One row an image and change: `image`, `change`, `before_mm2` and `after_mm2` (mean over
        slices with a mask), `expected` (ratio), `deviation_percent` from it, `response` (logarithm
        of the ratio over that expected; nan where none is expected), `uncertain` (share of the
        slices with a mask that are flagged), `found`.
    """
    model, rows = Model.load(weights), []
    for name, image in images.items():
        image = image.oriented()
        before = segment(image, weights=model)
        area = _mean_area(before.soft)
        mask = before.soft.oriented()
        for change, (make, expected) in changes.items():
            after = segment(make(image, mask), weights=model)
            now = _mean_area(after.soft)
            ratio = now / area if area > 0 else np.nan
            rows.append(
                {
                    "image": name,
                    "change": change,
                    "before_mm2": area,
                    "after_mm2": now,
                    "expected": expected,
                    "deviation_percent": 100 * (ratio / expected - 1),
                    "response": np.log(ratio) / np.log(expected)
                    if expected != 1 and ratio > 0
                    else np.nan,
                    "uncertain": len(after.uncertain_slices) / max(1, _masked(after.soft).sum()),
                    "found": after.cord_found,
                }
            )
    return pd.DataFrame(rows)


def _masked(soft: Volume) -> np.ndarray:
    return slice_areas_mm2(soft) > LEAST_MM2


def _mean_area(soft: Volume) -> float:
    areas = slice_areas_mm2(soft)
    return float(areas[areas > LEAST_MM2].mean()) if (areas > LEAST_MM2).any() else 0.0
