"""How the soft ground truth comes about: raters, registration, six masks and their average."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from softseg.volume import WORKING, Volume
from softseg_study.figures.gallery import middle_of, outline, shared_height_mm, show_slice
from softseg_study.figures.style import (
    DARK,
    GREY,
    contrast_color,
    contrast_order,
    contrast_title,
    new_figure,
    spread_points,
)


def raters_against_published(areas: pd.DataFrame, compared: pd.DataFrame) -> Figure:
    """Areas of the phantom's hard masks by contrast, beside mean ± SD of published ones.

    Args:
        areas: From `softseg_study.phantom.cervical_areas.cervical_areas`.
        compared: From `softseg_study.phantom.calibration.compare_with_published`.
    """
    figure, axes = new_figure(height_in=3.4)
    ax = axes[0, 0]
    first = areas[(areas["scan"] == 0) & (areas["lost_percent"] == 0)]
    names = contrast_order(first["contrast"])
    for x, name in enumerate(names):
        values = first.loc[first["contrast"] == name, "area_mm2"].dropna().to_numpy()
        ax.plot(
            x - 0.15 + spread_points(values.size, 0.12), values, "o", markersize=3,
            color=contrast_color(name), alpha=0.6, markeredgewidth=0,
        )  # fmt: skip
        ours, theirs = compared.loc[name, ["mean_mm2", "sd_mm2"]], compared.loc[name]
        ax.errorbar(x - 0.15, ours["mean_mm2"], ours["sd_mm2"], fmt="_", color=DARK, capsize=3)
        ax.plot(
            x - 0.15, theirs["one_rule_mean_mm2"], "o", markersize=6, color=DARK, fillstyle="none",
            label="mean by one rule" if x == 0 else None,
        )  # fmt: skip
        ax.errorbar(
            x + 0.2, theirs["published_mean_mm2"], theirs["published_sd_mm2"], fmt="D",
            markersize=5, color=GREY, capsize=3, label="published mean ± SD" if x == 0 else None,
        )  # fmt: skip
    truth = first.drop_duplicates("subject")["true_mm2"].mean()
    ax.axhline(truth, color=DARK, linestyle=(0, (4, 3)), linewidth=1, label="true mean (phantom)")
    ax.set_xticks(np.arange(len(names)), [contrast_title(name) for name in names])
    count = first["subject"].nunique()
    ax.set_ylabel(f"area of drawn masks, C2–C3 (mm²), n = {count}")
    ax.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, 1.16))
    ax.grid(axis="y")
    return figure


SIZE_MM = 22.0


def soft_truth_explained(
    images: Mapping[str, Volume],
    hard: Mapping[str, Volume],
    soft: Volume,
    hard_areas_mm2: Mapping[str, float],
    soft_areas_mm2: Mapping[str, float],
    *,
    true_area_mm2: float | None = None,
    z_mm: float | None = None,
) -> Figure:
    """Six images of one cord, the area that each hard mask gives, and the soft mask of them all.

    Args:
        images: Contrast → image; contrasts without mask or area are left out.
        hard: Contrast → binary mask on the image's grid.
        soft: Their average, on one of the grids.
        hard_areas_mm2: Contrast → area of the hard mask.
        soft_areas_mm2: Contrast → area of the soft mask on that contrast's grid.
        true_area_mm2: Known for a phantom.
        z_mm: Height of the slice in scanner millimetres; the middle of what all masks cover by
            default.
    """
    known = set(images) & set(hard) & set(hard_areas_mm2) & set(soft_areas_mm2)
    contrasts = contrast_order(known)
    if z_mm is None:
        z_mm = shared_height_mm(m.oriented(WORKING) for m in (*map(hard.get, contrasts), soft))
    figure, spare = new_figure(height_in=4.6)
    spare[0, 0].remove()
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.0, 1.75])
    pictures = top.subplots(1, len(contrasts), squeeze=False)[0]
    for ax, contrast in zip(pictures, contrasts, strict=True):
        _picture(ax, images[contrast], hard[contrast], contrast, z_mm)
        ax.set_xlabel(f"{hard_areas_mm2[contrast]:.1f} mm²", fontsize=10, fontweight="bold")
    left, right = bottom.subplots(1, 2, width_ratios=[2.0, 1.0])
    _areas(left, contrasts, hard_areas_mm2, soft_areas_mm2, true_area_mm2)
    _soft_picture(bottom, right, soft, z_mm)
    return figure


def _picture(ax: Axes, image: Volume, mask: Volume, contrast: str, z_mm: float | None) -> None:
    image, mask = image.oriented(WORKING), mask.oriented(WORKING)
    centre, z = middle_of(mask, z_mm)
    show_slice(ax, image, z, centre_mm=centre, size_mm=SIZE_MM)
    outline(ax, mask, z, color=contrast_color(contrast), width=2.2)
    ax.set_title(contrast_title(contrast), loc="center", fontsize=10)


def _soft_picture(figure: FigureBase, ax: Axes, soft: Volume, z_mm: float | None) -> None:
    soft = soft.oriented(WORKING)
    centre, z = middle_of(soft, z_mm)
    show_slice(ax, soft, z, centre_mm=centre, size_mm=SIZE_MM * 0.8, cmap="magma", limits=(0, 1))
    ax.set_title("one soft mask", loc="center")
    bar = figure.colorbar(ax.images[0], ax=ax, shrink=0.85, aspect=14, ticks=[0, 0.5, 1])
    bar.set_label("share of the contrasts", fontsize=9)
    bar.outline.set_visible(False)


def _areas(
    ax: Axes,
    contrasts: list[str],
    hard: Mapping[str, float],
    soft: Mapping[str, float],
    truth: float | None,
) -> None:
    """Both rows on one axis of area: spread out above, together below."""
    if truth is not None:
        ax.axvline(truth, color=GREY, linestyle=(0, (4, 3)), linewidth=1.2, zorder=0)
        ax.annotate(f"true area {truth:.1f}", (truth, 1.52), ha="center", va="bottom", fontsize=9,
                    color=DARK, annotation_clip=False)  # fmt: skip
    for y, areas in ((1, hard), (0, soft)):
        values = np.array([areas[c] for c in contrasts])
        for contrast, area in zip(contrasts, values, strict=True):
            ax.plot([area, area], [y - 0.24, y + 0.24], color=contrast_color(contrast), linewidth=4)
        spread = values.std(ddof=1) if values.size > 1 else 0.0
        ax.annotate(
            f"SD {spread:.{1 if spread >= 0.1 else 2}f} mm²", (values.max(), y), xytext=(10, 0),
            textcoords="offset points", va="center", fontsize=10, fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    count = {6: "six", 5: "five", 4: "four", 3: "three", 2: "two"}.get(len(contrasts), "all")
    ax.set_yticks([1, 0], [f"{count} drawn\nmasks", "one soft\nmask"], fontsize=10)
    ax.set_ylim(-0.5, 1.5)
    every = [areas[c] for areas in (hard, soft) for c in contrasts] + (
        [truth] if truth is not None else []
    )
    width = max(every) - min(every)
    ax.set_xlim(min(every) - 0.08 * width - 0.5, max(every) + 0.36 * width + 0.5)
    ax.set_xlabel("cross-sectional area (mm²)")
    ax.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
