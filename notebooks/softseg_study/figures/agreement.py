"""Contrast against contrast: pairs grid and Bland–Altman plots."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from softseg_study.figures.style import (
    DARK,
    GREY,
    LIGHT,
    contrast_order,
    contrast_title,
    hide_spare,
    method_colors,
    method_markers,
    method_title,
    new_figure,
)
from softseg_study.sentences.common import say_number
from softseg_study.statistics.agreement import bland_altman

AREA = "area (mm²)"


def contrast_pairs(
    csa_table: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
    contrasts: Sequence[str] | None = None,
) -> Figure:
    """Area in one contrast against area in another, all pairs; on the diagonal line they agree.

    Args:
        csa_table: `subject`, `contrast`, `method` and `value`.
        methods: Up to about three in one figure can be told apart.
        contrasts: Which, in which order; the paper's order by default.
    """
    table = csa_table.dropna(subset=["area_mm2"])
    found = list(pd.unique(table["method"]))
    methods = found if methods is None else [m for m in methods if m in found]
    contrasts = contrast_order(table["contrast"]) if contrasts is None else list(contrasts)
    wide = table.pivot_table(index=["method", "subject"], columns="contrast", values="area_mm2")
    shown = wide.loc[methods, :]
    low, high = np.nanmin(shown[contrasts]) - 2, np.nanmax(shown[contrasts]) + 2
    size = len(contrasts) - 1
    figure, axes = new_figure(size, size, height_in=7.0, sharex=True, sharey=True)
    colors, markers = method_colors(methods), method_markers(methods)
    for i, j in np.ndindex(size, size):
        ax = axes[i, j]
        if j > i:
            ax.set_visible(False)
            continue
        ax.plot([low, high], [low, high], color=LIGHT, linewidth=1, zorder=0)
        for method in methods:
            pair = wide.loc[method][[contrasts[j], contrasts[i + 1]]].dropna().to_numpy().T
            ax.plot(*pair, markers[method], color=colors[method], markersize=3, alpha=0.7,
                    markeredgewidth=0, label=method_title(method))  # fmt: skip
        ax.set(xlim=(low, high), ylim=(low, high), aspect="equal", box_aspect=1)
        if i == size - 1:
            ax.set_xlabel(contrast_title(contrasts[j]))
        if j == 0:
            ax.set_ylabel(contrast_title(contrasts[i + 1]))
    n = shown.index.get_level_values("subject").nunique()
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="upper right", markerscale=2.5,
        title=f"{AREA}, n = {n} participants", title_fontsize=10, fontsize=10,
    )  # fmt: skip
    return figure


def bland_altman_plot(
    csa_table: pd.DataFrame,
    first: str = "T1w",
    second: str = "T2w",
    *,
    methods: Sequence[str] | None = None,
    columns: int | None = None,
) -> Figure:
    """Difference of two contrasts against their mean, with bias and limits of agreement.

    Bland and Altman 1986, doi:10.1016/S0140-6736(86)90837-8.
    """
    table = csa_table.dropna(subset=["area_mm2"])
    methods = list(pd.unique(table["method"])) if methods is None else list(methods)
    columns = columns or (2 if len(methods) in (2, 4) else min(3, len(methods)))
    rows = -(-len(methods) // columns)
    figure, axes = new_figure(rows, columns, height_in=0.7 + 2.4 * rows, sharex=True, sharey=True)
    colors = method_colors(methods)
    for ax, method in zip(axes.flat, methods, strict=False):
        part = table[table["method"] == method]
        pair = part.pivot_table(index="subject", columns="contrast", values="area_mm2")
        pair = pair.reindex(columns=[first, second]).dropna()
        found = bland_altman(pair[first], pair[second])
        ax.axhline(0, color=GREY, linewidth=0.8)
        ax.axhspan(found["low"], found["high"], color=colors[method], alpha=0.12, linewidth=0)
        ax.axhline(found["bias"], color=colors[method])
        ax.plot(
            pair.mean(axis=1), pair[first] - pair[second], "o", color=DARK, markersize=3.5,
            alpha=0.6, markeredgewidth=0,
        )  # fmt: skip
        bias, low, high = (say_number(found[k], signed=True) for k in ("bias", "low", "high"))
        ax.set_title(
            f"{method_title(method)}\n{bias} ({low} to {high}), n = {found['n']}",
            fontsize=9.5,
        )
    hide_spare(axes.flat[len(methods) :])
    figure.supxlabel("mean of both areas (mm²)", fontsize=10)
    figure.supylabel(f"{contrast_title(first)} − {contrast_title(second)} (mm²)", fontsize=10)
    return figure
