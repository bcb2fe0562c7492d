"""One picture: axial slices along the cord with outlines, and a sagittal strip that follows it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from softseg.csa.automatic import AutomaticDiscs
from softseg.csa.levels import level_name
from softseg.errors import InputError
from softseg.masks import bounding_box, same_grid
from softseg.quality_control.band import draw_band
from softseg.quality_control.lettering import level_of_slices, write_name
from softseg.volume import WORKING, Volume

COLORS = ("#D55E00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442")
"""Of the masks' outlines, in the order given."""
HALF_MM = 15.0
PIXELS_PER_MM = 4
SAGITTAL_PIXELS_PER_MM = 2

Source = Volume | Path | str | None


def draw(
    image: Source,
    masks: Mapping[str, Source],
    *,
    slices: int = 10,
    crop_mm: float | None = None,
    levels: pd.DataFrame | None = None,
    found: AutomaticDiscs | None = None,
) -> np.ndarray:
    """The picture of one item.

    Args:
        image: What is shown; None for black.
        masks: By name, whose outlines are drawn.
        slices: Axial slices.
        crop_mm: Black out what is farther than this from every mask, so that the picture shows
            nothing by which a participant could be known.
        levels: A table of `softseg.csa.measure.measure`, whose levels are written beside slices.
        found: Discs that were found in the image, drawn on the straightened midline unless the
            picture is cropped.

    Returns:
        `(rows, columns, 3)` uint8.

    Raises:
        InputError: If no mask is given or one cannot be read, or `crop_mm` is negative.
    """
    if crop_mm is not None and not 0 <= crop_mm < np.inf:
        raise InputError(f"quality control: crop to 0 mm or more of the cord, found {crop_mm:g}")
    if not masks:
        raise InputError("quality control: at least one mask is needed to find the cord")
    volumes = {name: _working(source) for name, source in masks.items()}
    first = next(iter(volumes.values()))
    back = _working(image) if image is not None else first.like(np.zeros_like(first.data))
    on_image = [_on(v, back) for v in volumes.values()]
    union = np.max(on_image, axis=0)
    heights = np.flatnonzero((union > 0).any(axis=(0, 1)))
    if not heights.size:
        if crop_mm is not None or image is None:  # nothing is near a mask that is empty
            return np.zeros((int(2 * HALF_MM * PIXELS_PER_MM),) * 2 + (3,), dtype=np.uint8)
        heights = np.arange(union.shape[2])
    centre = _centres(union, heights)
    gray = _window(back.data, union)
    if crop_mm is not None:
        gray = _near(gray, union > 0, back.spacing_mm, crop_mm)
    chosen = heights[
        np.round(np.linspace(0, len(heights) - 1, min(slices, len(heights)))).astype(int)
    ]
    level = level_of_slices(levels, back)
    rows = [
        np.concatenate(
            [_axial(gray, on_image if row else [], back, centre, z) for z in chosen], axis=1
        )
        for row in (0, 1)
    ]
    for place, z in enumerate(chosen):
        if level[z] > 0:
            corner = (4, 4 + place * rows[0].shape[1] // len(chosen))
            write_name(rows[0], level_name(level[z]), corner)
    for values in on_image:
        if ((values > 0) & (values < 1)).any():
            rows.append(np.concatenate([_map(values, back, centre, z) for z in chosen], axis=1))
    mosaic = np.concatenate(rows, axis=0)
    strip = _sagittal(gray, on_image, back, centre, heights, level)
    parts = [strip, mosaic]
    if found is not None and crop_mm is None:
        parts.insert(0, draw_band(found))
    height = max(map(len, parts))
    padded = [np.pad(p, ((0, height - len(p)), (0, 4), (0, 0))) for p in parts]
    return np.concatenate(padded, axis=1)


def _working(source: Source) -> Volume:
    volume = source if isinstance(source, Volume) else Volume.load(source, average="mean")
    return volume.oriented(WORKING)


def _on(mask: Volume, image: Volume) -> np.ndarray:
    return mask.data if same_grid(mask.grid, image.grid) else mask.resampled(image.grid).data


def _centres(union: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """In-plane centre on every slice `(Z, 2)`, carried on beyond the masks' ends.

    The image's own where the masks are empty.
    """
    if not union.any():
        return np.tile((np.array(union.shape[:2]) - 1) / 2, (union.shape[2], 1))
    x, y = np.indices(union.shape[:2])
    weight = union[..., heights].sum(axis=(0, 1))
    found = [(union[..., heights] * axis[..., None]).sum(axis=(0, 1)) / weight for axis in (x, y)]
    every = np.arange(union.shape[2])
    return np.stack([np.interp(every, heights, values) for values in found], axis=-1)


def _window(data: np.ndarray, union: np.ndarray) -> np.ndarray:
    """Grey values in [0, 1], set by what lies in and around the cord."""
    near = ndimage.binary_dilation(union > 0, iterations=8) if union.any() else slice(None)
    low, high = np.percentile(data[near], [1, 99.5])
    return np.clip((data - low) / max(float(high - low), 1e-6), 0, 1)


def _near(
    gray: np.ndarray, mask: np.ndarray, spacing_mm: Sequence[float], crop_mm: float
) -> np.ndarray:
    """Zero where the mask is farther than `crop_mm`; slices beyond its ends hold nothing at all."""
    reach = [int(np.ceil(crop_mm / mm)) + 1 for mm in spacing_mm]
    box = tuple(
        slice(max(0, side.start - r), side.stop + r)
        for side, r in zip(bounding_box(mask), reach, strict=True)
    )
    # Distances are needed in the box only, which is small against a whole body.
    distance_mm = ndimage.distance_transform_edt(~mask[box], sampling=spacing_mm)
    cropped = np.zeros_like(gray)
    cropped[box] = np.where(distance_mm <= crop_mm, gray[box], 0)
    return cropped


def _plane(
    values: np.ndarray, spacing: Sequence[float], centre: np.ndarray, order: int
) -> np.ndarray:
    """A slice around a point on the display's pixels: rows from front to back."""
    reach = (np.arange(2 * HALF_MM * PIXELS_PER_MM) + 0.5) / PIXELS_PER_MM - HALF_MM
    x = centre[0] + reach / spacing[0]
    y = centre[1] - reach / spacing[1]
    points = np.stack(np.meshgrid(y, x, indexing="ij"))[::-1]
    return ndimage.map_coordinates(values, points, order=order, mode="constant")


def _axial(
    gray: np.ndarray, masks: list[np.ndarray], image: Volume, centre: np.ndarray, z: int
) -> np.ndarray:
    plane = _plane(gray[..., z], image.spacing_mm, centre[z], 1)
    # Binary masks show their voxels; soft ones the line where half is cord.
    orders = [1 if ((mask > 0) & (mask < 1)).any() else 0 for mask in masks]
    planes = (
        _plane(mask[..., z], image.spacing_mm, centre[z], order)
        for mask, order in zip(masks, orders, strict=True)
    )
    return _outlined(plane, planes)


def _map(values: np.ndarray, image: Volume, centre: np.ndarray, z: int) -> np.ndarray:
    """Fractions from black over orange to white."""
    plane = _plane(values[..., z], image.spacing_mm, centre[z], 0)
    colors = np.clip(np.stack([2 * plane, 1.5 * plane - 0.25, 3 * plane - 2], axis=-1), 0, 1)
    return _bytes(colors)


def _sagittal(
    gray: np.ndarray,
    masks: list[np.ndarray],
    image: Volume,
    centre: np.ndarray,
    heights: np.ndarray,
    level: np.ndarray,
) -> np.ndarray:
    """A strip through the cord's middle on every slice, head up, front to the left."""
    scale = SAGITTAL_PIXELS_PER_MM
    spacing = image.spacing_mm
    low = max(heights[0] - 10 / spacing[2], -0.5)
    high = min(heights[-1] + 10 / spacing[2], gray.shape[2] - 0.5)
    rows = max(1, round((high - low) * spacing[2] * scale))
    z = high - (np.arange(rows) + 0.5) / (scale * spacing[2])
    here = np.stack([np.interp(z, np.arange(len(centre)), c) for c in centre.T], axis=-1)
    middle = (here[:, 1].min() + here[:, 1].max()) / 2
    half_mm = np.ceil(max(HALF_MM, np.ptp(here[:, 1]) * spacing[1] / 2 + 8))
    reach = (np.arange(2 * half_mm * scale) + 0.5) / scale - half_mm
    y = np.broadcast_to(middle - reach / spacing[1], (rows, len(reach)))
    points = np.stack(
        [np.repeat(here[:, :1], len(reach), axis=1), y, np.repeat(z[:, None], len(reach), axis=1)]
    )
    plane = ndimage.map_coordinates(gray, points, order=1, mode="nearest")
    planes = (ndimage.map_coordinates(mask, points, order=0, mode="nearest") for mask in masks)
    picture = _outlined(plane, planes)
    of_row = level[np.clip(np.round(z).astype(int), 0, len(level) - 1)]
    for number in np.unique(of_row[of_row > 0]):
        own = np.flatnonzero(of_row == number)
        picture[1 + own[0], 1:20] = 255  # the top of the level
        write_name(picture, level_name(number), (int(own.mean()) - 5, 4))
    return picture


def _outlined(gray: np.ndarray, masks: Iterable[np.ndarray]) -> np.ndarray:
    picture = np.repeat(gray[..., None], 3, axis=-1)
    for color, mask in zip(COLORS, masks, strict=False):
        inside = mask >= 0.5
        edge = inside & ~ndimage.binary_erosion(inside)
        picture[edge] = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return _bytes(picture)


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.round(255 * np.pad(picture, ((1, 1), (1, 1), (0, 0)))).astype(np.uint8)
