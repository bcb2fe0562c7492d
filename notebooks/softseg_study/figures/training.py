"""Does the network learn, and what does it cost?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softseg_study.figures.style import (
    hide_spare,
    new_figure,
)

Pair = tuple[Any, Any]
ORIGINAL = "as it is"
NOW, BEFORE = "#E69F00", "#FFFFFF"


def augmentation_effects(
    effects: Mapping[str, Pair],
    *,
    original: Pair | None = None,
    columns: int = 4,
    same_grey: bool = False,
) -> Figure:
    """One picture a change, with the edge of the soft mask now and, where it moved, before.

    Args:
        effects: Change → image and soft mask, each `(1, X, Y)`, `(X, Y)` or with a third axis, of
            which the slice with most cord is drawn; arrays or tensors. X runs right to left, Y
            back to front. What `softseg_study.evaluation.augmentation_effects.effects` returns.
        original: Unchanged image and mask, drawn first; its edge appears dotted in the others.
        columns: Pictures side by side.
        same_grey: Whether all have the black and white of the first, so that a change of
            brightness shows; otherwise each has its own, which suits lists that standardise.

    Raises:
        ValueError: If there is nothing to draw.
    """
    pairs = ({} if original is None else {ORIGINAL: original}) | dict(effects)
    if not pairs:
        raise ValueError("effects: no change to draw, and no original")
    slices = {name: _slice(*pair) for name, pair in pairs.items()}
    limits = _limits(next(iter(slices.values()))[0]) if same_grey else None
    columns = min(columns, len(slices))
    rows = -(-len(slices) // columns)
    image = next(iter(slices.values()))[0]
    height_in = (7.0 / columns * image.shape[1] / image.shape[0] + 0.3) * rows
    figure, axes = new_figure(rows, columns, height_in=height_in)
    before = None if original is None else slices[ORIGINAL][1]
    for ax, (name, (image, soft)) in zip(axes.flat, slices.items(), strict=False):
        _draw(ax, image, limits or _limits(image))
        moved = before is not None and not np.allclose(before, soft, atol=1e-3)
        if moved:
            _edge(ax, before, BEFORE, "dotted")
        _edge(ax, soft, NOW, "solid")
        ax.set_title(name, loc="center", fontsize=10)
    hide_spare(axes.flat[len(slices) :])
    return figure


def _slice(image: Any, soft: Any) -> tuple[np.ndarray, np.ndarray]:
    """`(X, Y)` of both: channels and all slices but the one with most cord left out."""
    image, soft = (np.asarray(array, dtype=float) for array in (image, soft))
    if image.ndim > 2 and image.shape[0] == 1:
        image, soft = image[0], soft[0]
    if image.ndim == 3:
        z = int(soft.sum(axis=(0, 1)).argmax())
        image, soft = image[:, :, z], soft[:, :, z]
    return image, soft


def _limits(image: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(image, [1, 99.5])
    return float(low), float(high)


def _draw(ax: Axes, image: np.ndarray, limits: tuple[float, float]) -> None:
    ax.imshow(image.T, cmap="gray", origin="lower", vmin=limits[0], vmax=limits[1],
              interpolation="nearest")  # fmt: skip
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _edge(ax: Axes, soft: np.ndarray, color: str, style: str) -> None:
    if soft.max() > 0.5:
        ax.contour(soft.T, levels=[0.5], colors=[color], linestyles=[style], linewidths=1.6)


"""Columns of a table of costs that `training_cost` knows, with their axis labels."""
