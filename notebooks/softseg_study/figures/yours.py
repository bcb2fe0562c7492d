"""Figures of one image: its mask over its slices, and the area along its cord."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from softseg.volume import WORKING, Volume
from softseg_study.figures.gallery import middle_of, outline, show_slice
from softseg_study.figures.style import DARK, GREY, hide_spare, method_colors, new_figure


def mask_mosaic(
    image: Volume, masks: dict[str, Volume], *, slices: int = 8, size_mm: float = 40.0
) -> Figure:
    """Axial slices spread evenly along the cord, with the outline of each mask at 0.5.

    Args:
        image: Any orientation.
        masks: Name → mask on the image's grid, soft or binary; the first says where the cord is.
        slices: How many at most.
        size_mm: Side of each picture.
    """
    image = image.oriented(WORKING)
    oriented = {name: mask.oriented(WORKING) for name, mask in masks.items()}
    first = next(iter(oriented.values()))
    filled = np.flatnonzero(np.asarray(first.data).any(axis=(0, 1)))
    if not filled.size:
        filled = np.arange(image.data.shape[2])
    chosen = filled[np.linspace(0, filled.size - 1, min(slices, filled.size)).round().astype(int)]
    rows = -(-len(chosen) // 4)
    figure, axes = new_figure(rows, 4, height_in=0.4 + 1.9 * rows)
    colors = method_colors(list(masks))
    heights = first.affine[2, 2] * np.arange(image.data.shape[2]) + first.affine[2, 3]
    for ax, z in zip(axes.flat, chosen, strict=False):
        centre, _ = middle_of(first, heights[z])
        show_slice(ax, image, int(z), centre_mm=centre, size_mm=size_mm)
        for name, mask in oriented.items():
            outline(ax, mask, int(z), color=colors[name])
        ax.set_title(f"slice {z}", fontsize=9)
    hide_spare(axes.flat[len(chosen) :])
    return figure


def area_along_cord(areas: pd.DataFrame) -> Figure:
    """Area of every slice against its distance from the lowest; flagged slices are hollow.

    Args:
        areas: From `softseg.csa.measure`.
    """
    figure, axes = new_figure(height_in=3.0)
    ax = axes[0, 0]
    distance_mm = areas["length_mm"].cumsum() - areas["length_mm"] / 2
    sound = areas["flag"] == ""
    ax.plot(distance_mm, areas["area_mm2"], color=GREY, linewidth=1)
    ax.plot(distance_mm[sound], areas["area_mm2"][sound], "o", color=DARK, label="slice")
    if (~sound).any():
        ax.plot(
            distance_mm[~sound], areas["area_mm2"][~sound], "o", color=DARK,
            markerfacecolor="white", label="flagged (partly covered, bridged)",
        )  # fmt: skip
        ax.legend()
    ax.set(xlabel="distance from the lowest slice along the cord (mm)")
    ax.set(ylabel="cross-sectional area (mm²)", ylim=(0, None))
    ax.grid()
    return figure
