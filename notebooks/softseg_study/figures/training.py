"""Does the network learn, and what does it cost?"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softseg_study.figures.style import (
    hide_spare,
    method_colors,
    method_markers,
    new_figure,
)
from softseg_study.names import method_title

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


DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)))
SCORES = {
    "soft_dice": "validation\nsoft Dice",
    "csa_error_mm2": "validation\narea error (mm²)",
}
"""Columns of a table of costs that `training_cost` knows, with their axis labels."""


def learning_curves(
    curves: Mapping[str, pd.DataFrame] | pd.DataFrame,
) -> Figure:
    """Training loss and validation scores against optimiser steps.

    The loss is a running mean over a fiftieth of the run, since single batches are noisy. Losses
    of different kinds are not comparable; the scores are.

    Args:
        curves: Model → its `history.csv`: `step`, `loss` and `validation_<score>`; one table for
            one model.
    """
    curves = {"model": curves} if isinstance(curves, pd.DataFrame) else curves
    colors, markers = method_colors(list(curves)), method_markers(list(curves))
    known = set().union(*(table.columns for table in curves.values()))
    panels = {"loss": "training loss"} | {
        f"validation_{k}": v for k, v in SCORES.items() if f"validation_{k}" in known
    }
    figure, axes = new_figure(1, len(panels), height_in=3.0 + 0.25 * (len(curves) > 1))
    for ax, (column, label) in zip(axes[0], panels.items(), strict=True):
        for i, (name, table) in enumerate(curves.items()):
            rows = table.reindex(columns=["step", column]).dropna()
            values = rows[column]
            if column == "loss":
                values = values.rolling(max(1, len(rows) // 50), min_periods=1).mean()
            ax.plot(
                rows["step"], values, color=colors[name], linestyle=DASHES[i % len(DASHES)],
                marker="" if column == "loss" else markers[name], markersize=4,
                label=method_title(name),
            )  # fmt: skip
        ax.set_title(label, fontsize=9.5)
        ax.grid()
    axes[0, 0].set_yscale("log")
    figure.supxlabel("optimiser step", fontsize=10)
    if len(curves) > 1:
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(), loc="outside upper center",
            ncols=min(4, len(curves)),
        )  # fmt: skip
    return figure


def say_amount(value: float) -> str:
    """A number of any size in three figures.

    Example:
        >>> say_amount(319027), say_amount(30_785_000), say_amount(1500), say_amount(0.0432)
        ('319 k', '30.8 M', '1500', '0.0432')
    """
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scaled = value / (1e3 if letter == "k" else size)
            return f"{scaled:.3g} {letter}" if scaled < 1000 else f"{scaled:.0f} {letter}"
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
