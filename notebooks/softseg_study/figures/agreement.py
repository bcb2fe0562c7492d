"""Contrast against contrast: pairs grid and Bland–Altman plots."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from softseg_study.figures.style import (
    DARK,
    GREY,
    contrast_title,
    hide_spare,
    method_colors,
    new_figure,
)
from softseg_study.names import method_title
from softseg_study.sentences.common import say_number
from softseg_study.statistics.agreement import bland_altman


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
