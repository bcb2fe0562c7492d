"""Area per contrast and method, and its spread within each participant."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softseg_study.figures.style import (
    DARK,
    GREY,
    contrast_color,
    contrast_order,
    contrast_title,
    hide_spare,
    new_figure,
    spread_points,
)
from softseg_study.names import method_title


def csa_by_contrast(
    csa_table: pd.DataFrame,
    *,
    methods: Sequence[str] | None = None,
) -> Figure:
    """Violins and points of the area in every contrast, one panel a method.

    A method that does not depend on the contrast has six violins at one height. Values so far out
    that the rest could not be read are counted at the edge of their panel instead.

    Args:
        csa_table: `subject`, `contrast`, `method` and `value`; one row an image and method.
        methods: Which panels, in which order; as they appear by default.
    """
    table = csa_table.dropna(subset=["area_mm2"])
    methods = list(pd.unique(table["method"])) if methods is None else list(methods)
    contrasts = contrast_order(table["contrast"])
    rows = -(-len(methods) // 2)
    figure, axes = new_figure(
        rows, min(2, len(methods)), height_in=0.7 + 2.3 * rows, sharex=True, sharey=True
    )
    limits = readable_limits(table.loc[table["method"].isin(methods), "area_mm2"])
    for ax, method in zip(axes.flat, methods, strict=False):
        _violins(ax, table[table["method"] == method], contrasts, "area_mm2", limits)
        n = table.loc[table["method"] == method, "subject"].nunique()
        ax.set_title(f"{method_title(method)} (n = {n})")
    for ax in axes.flat[: len(methods)]:
        ax.set_xticks(range(len(contrasts)), [contrast_title(c) for c in contrasts], rotation=40)
        ax.tick_params(axis="x", labelbottom=True)
        for tick in ax.get_xticklabels():
            tick.set_ha("right")
            tick.set_rotation_mode("anchor")
        ax.grid(axis="y")
    hide_spare(axes.flat[len(methods) :])
    figure.supylabel("cross-sectional area (mm²)", fontsize=10)
    return figure


def readable_limits(values: Sequence[float], *, reach: float = 4.0) -> tuple[float, float]:
    """Ends of an axis that shows the bulk of the values, and all where none is far out.

    Args:
        values: What is drawn; `nan` is left out.
        reach: Times the distance of the quartiles from which a value counts as far out.

    Returns:
        Ends with a margin; those of the values themselves within the reach.

    Example:
        >>> low, high = readable_limits([1.0, 2.0, 3.0, 4.0, 5.0, 900.0])
        >>> high < 20, readable_limits([1.0, 2.0, 3.0])
        (True, (0.9, 3.1))
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return 0.0, 1.0
    first, third = np.percentile(known, [25, 75])
    far = reach * max(third - first, 0.05 * abs(third), 1e-9)
    inside = known[(known >= first - far) & (known <= third + far)]
    margin = 0.05 * max(np.ptp(inside), 1e-9)
    return float(inside.min() - margin), float(inside.max() + margin)


def _violins(
    ax: Axes,
    table: pd.DataFrame,
    contrasts: Sequence[str],
    value: str,
    limits: tuple[float, float],
) -> None:
    means = []
    low, high = limits
    ax.set_ylim(low, high)
    for i, contrast in enumerate(contrasts):
        values = table.loc[table["contrast"] == contrast, value].to_numpy()
        color = contrast_color(contrast)
        means.append(values.mean() if values.size else np.nan)
        for beyond, edge, mark in ((values > high, high, "▲"), (values < low, low, "▼")):
            if beyond.any():
                ax.annotate(
                    f"{mark}{beyond.sum()}", (i, edge), ha="center", color=DARK, fontsize=8,
                    va="top" if mark == "▲" else "bottom",
                )  # fmt: skip
        values = values[(values >= low) & (values <= high)]
        if values.size > 3 and np.ptp(values) > 0:
            body = ax.violinplot(values, [i], widths=0.85, showextrema=False)["bodies"][0]
            body.set(facecolor=color, alpha=0.3, linewidth=0)
        ax.plot(
            i + spread_points(values.size), values, "o", color=color, markersize=2.8, alpha=0.8,
            markeredgewidth=0,
        )  # fmt: skip
    means = [mean if low <= mean <= high else np.nan for mean in means]
    ax.plot(range(len(contrasts)), means, "_", color=DARK, markersize=15, markeredgewidth=2)
    if not np.isnan(means).all():
        ax.axhline(np.nanmean(means), color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0.5)


"""Colour, marker and name of the contrasts that `contrasts_learnt_curve` tells apart."""
