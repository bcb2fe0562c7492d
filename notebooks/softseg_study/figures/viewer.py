"""A viewer of slices that lives in the page: no network, no library, and it works from a file.

Slices of every contrast lie side by side in one picture (a sprite), written into the page as text;
thirty lines of JavaScript show one of them. Controls are the browser's own, so that a keyboard and
a screen reader reach them.
"""

import hashlib
import io
import json
import math
import warnings
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

import numpy as np

from softseg.csa.levels import level_name
from softseg.csa.measure import MeasurementWarning, measure
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.volume import WORKING, Volume
from softseg_study.evaluation.participant import read_participant
from softseg_study.figures.style import contrast_color, contrast_order, contrast_title

SOFT, HARD = (0x44, 0xDD, 0x77), (0xEE, 0x88, 0x66)
OPACITY = 0.7
GREYS = 64
"""Shades of grey; the eye sees no more, and the picture takes half the room."""
DESCRIPTION = (
    "One cord in several contrasts, slice by slice, with the mask drawn on each contrast and "
    "the soft mask that is the average of them all; below, the areas that each mask gives there."
)


@dataclass(frozen=True)
class SliceViewer:
    """A fragment of HTML that a notebook shows as it is.

    Attributes:
        html: A `<figure>` with its style, data and script.
    """

    html: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return "SliceViewer: open the page in a browser"


def slice_viewer(
    images: Mapping[str, Volume],
    hard: Mapping[str, Volume],
    soft: Mapping[str, Volume],
    *,
    levels: Volume | None = None,
    description: str = DESCRIPTION,
) -> SliceViewer:
    """Slices of one person in several contrasts, with hard and soft masks and their areas.

    Args:
        images: Contrast → image.
        hard: Contrast → binary mask on that image's grid.
        soft: The same, values in [0, 1].
        levels: Vertebral level inside the cord (2 = C2), on any of the grids.
        description: Caption, and what is read to those who do not see the picture.

    Returns:
        The same bytes for the same arrays.

    Raises:
        InputError: If no height is covered by the soft masks of all contrasts.
    """
    contrasts = contrast_order(c for c in images if c in hard and c in soft)
    masks = {c: soft[c].oriented(WORKING) for c in contrasts}
    heights = _shared_heights(masks, 1.6)
    shown = [
        _contrast(c, images[c].oriented(WORKING), hard[c].oriented(WORKING), masks[c],
                  heights, 30.0)
        for c in contrasts
    ]  # fmt: skip
    areas = [a for one in shown for kind in one["areas_mm2"].values() for a in kind if a]
    low, high = math.floor(min(areas)), math.ceil(max(areas))
    data = {
        "size_mm": 30.0,
        "first": contrasts.index("T2w") if "T2w" in contrasts else 0,
        "heights_mm": (heights - heights[0]).round(1).tolist(),
        "levels": _level_names(levels, heights),
        "range_mm2": [low, high],
        "ticks_mm2": [t for t in range(0, high + 1, 10) if t >= low],
        "contrasts": shown,
    }
    return SliceViewer(_fill(data, description))


def view_participant(
    dataset: Dataset,
    subject: str,
    *,
    soft: str = "labels_softseg",
    levels: tuple[str, str] = ("labels", "label-vertebrae_dseg"),
) -> SliceViewer:
    """The viewer of one person of a data set.

    Args:
        dataset: Its contrasts are shown.
        subject: Who.
        soft: Folder of the soft masks.
        levels: Folder and ending of the vertebral levels; without such a file levels are not named.

    Raises:
        InputError: If nobody is called so, or no height is covered in all contrasts.
    """
    images, masks = read_participant(dataset, subject, {"hard": "labels", "soft": soft})
    paths = (dataset.existing(levels[0], subject, c, levels[1]) for c in reversed(list(images)))
    path = next((p for p in paths if p is not None), None)
    known = Volume.load(path) if path else None
    return slice_viewer(images, masks["hard"], masks["soft"], levels=known)


def _shared_heights(masks: Mapping[str, Volume], step_mm: float) -> np.ndarray:
    """Heights in scanner millimetres that every mask covers, lowest first."""
    ends = []
    for mask in masks.values():
        filled = np.flatnonzero(np.asarray(mask.data).any(axis=(0, 1)))
        ends.append(_heights(mask)[filled[[0, -1]]] if filled.size else (np.inf, -np.inf))
    low = max((e[0] for e in ends), default=np.inf)
    high = min((e[1] for e in ends), default=-np.inf)
    if low > high:
        raise InputError("soft masks: some height must be covered in all contrasts, found none")
    return np.arange(low, high + 1e-6, step_mm)


def _heights(volume: Volume) -> np.ndarray:
    """`(Z,)` scanner millimetres of each slice's centre."""
    return volume.affine[2, 3] + volume.affine[2, 2] * np.arange(volume.data.shape[2])


def _contrast(
    name: str, image: Volume, hard: Volume, soft: Volume, heights: np.ndarray, size_mm: float
) -> dict[str, Any]:
    """What the script needs of one contrast: sprites, where each height is in them, areas."""
    nearest = np.abs(_heights(image)[:, None] - heights).argmin(axis=0)
    slices = np.unique(nearest)
    spacing = np.array(image.spacing_mm[:2])
    cell = np.ceil(size_mm / spacing).astype(int) + 1
    starts, offsets = _windows(soft, slices, cell, size_mm)
    columns = math.ceil(math.sqrt(len(slices)))
    cells = np.searchsorted(slices, nearest)

    def tiles(volume: Volume) -> np.ndarray:
        return _sprite(np.asarray(volume.data, dtype=float), slices, starts, cell, columns)

    return {
        "title": contrast_title(name),
        "color": contrast_color(name),
        "columns": columns,
        "cell": cell.tolist(),
        "spacing_mm": spacing.round(4).tolist(),
        "cells": cells.tolist(),
        "offsets_mm": offsets[cells].round(3).tolist(),
        "areas_mm2": {"hard": _areas(hard, nearest), "soft": _areas(soft, nearest)},
        "image": _grey(tiles(image)),
        "hard": _colored(tiles(hard), HARD),
        "soft": _colored(tiles(soft), SOFT),
    }


def _windows(
    mask: Volume, slices: np.ndarray, cell: np.ndarray, size_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """First voxel of each slice's window, and where its corner lies in the picture (mm)."""
    data = np.asarray(mask.data, dtype=float)
    spacing = np.array(mask.spacing_mm[:2])
    x, y = np.indices(data.shape[:2])
    filled = np.flatnonzero(data.any(axis=(0, 1)))
    starts, offsets = [], []
    for z in slices:
        weight = data[:, :, filled[np.abs(filled - z).argmin()]]
        centre = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum() + 0.5  # voxels
        start = np.floor(centre - size_mm / spacing / 2).astype(int)
        left, below = (start - centre) * spacing + size_mm / 2
        starts.append(start)
        offsets.append((left, size_mm - below - cell[1] * spacing[1]))
    return np.array(starts), np.array(offsets)


def _sprite(
    data: np.ndarray, slices: np.ndarray, starts: np.ndarray, cell: np.ndarray, columns: int
) -> np.ndarray:
    """Windows row by row, the anterior side up; what lies outside the image is 0."""
    width, height = cell
    rows = -(-len(slices) // columns)
    sprite = np.zeros((rows * height, columns * width))
    padded = np.pad(data, ((width, width), (height, height), (0, 0)))
    for i, (z, (x, y)) in enumerate(zip(slices, starts, strict=True)):
        x, y = np.clip((x + width, y + height), 0, np.subtract(padded.shape[:2], cell))
        window = padded[x : x + width, y : y + height, z]
        row, column = divmod(i, columns)
        sprite[row * height : (row + 1) * height, column * width : (column + 1) * width] = window.T[
            ::-1
        ]
    return sprite


def _areas(mask: Volume, nearest: np.ndarray) -> list[float | None]:
    """Area of the mask in each of the slices, None where it is empty or left out."""
    with warnings.catch_warnings():
        # A mask in pieces has no area where only the smaller one is, and the viewer shows that.
        warnings.simplefilter("ignore", MeasurementWarning)
        table = measure(mask, shape=False).set_index("slice")["area_mm2"]
    found = table.reindex(nearest).to_numpy(dtype=float)
    return [round(float(a), 1) if np.isfinite(a) and a > 0 else None for a in found]


def _level_names(levels: Volume | None, heights: np.ndarray) -> list[str]:
    """Name of the vertebra at each height, empty where unknown."""
    if levels is None:
        return [""] * len(heights)
    levels = levels.oriented(WORKING)
    nearest = np.abs(_heights(levels)[:, None] - heights).argmin(axis=0)
    names = []
    for z in nearest:
        inside = np.asarray(levels.data[:, :, z], dtype=int)
        inside = inside[inside > 0]
        names.append(level_name(int(np.bincount(inside).argmax())) if inside.size else "")
    return names


def _grey(sprite: np.ndarray) -> str:
    low, high = np.percentile(sprite[sprite != 0], [1, 99.7]) if sprite.any() else (0.0, 1.0)
    scaled = np.clip((sprite - low) / max(high - low, 1e-9), 0, 1)
    shades = np.arange(GREYS) * 255 // (GREYS - 1)
    palette = np.repeat(shades, 3).astype(np.uint8)
    return _png((scaled * (GREYS - 1)).round().astype(np.uint8), palette.tobytes())


def _colored(sprite: np.ndarray, color: tuple[int, int, int]) -> str:
    """A mask as one colour whose opacity is the fraction of cord."""
    values = (np.clip(sprite, 0, 1) * (GREYS - 1)).round().astype(np.uint8)
    alpha = (np.arange(GREYS) / (GREYS - 1) * OPACITY * 255).round().astype(np.uint8)
    return _png(values, bytes(color) * GREYS, alpha.tobytes())


def _png(values: np.ndarray, palette: bytes, alpha: bytes = b"") -> str:
    from PIL import Image

    picture = Image.fromarray(values)
    picture.putpalette(palette)
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, **({"transparency": alpha} if alpha else {}))
    return "data:image/png;base64," + b64encode(file.getvalue()).decode()


def _fill(data: dict[str, Any], description: str) -> str:
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    template = (resources.files("softseg") / "data" / "viewer.html").read_text(encoding="utf-8")
    name = "viewer-" + hashlib.sha256(text.encode()).hexdigest()[:8]
    filled = template.replace("@ID@", name).replace("@DESCRIPTION@", escape(description))
    return filled.replace("@DATA@", text)
