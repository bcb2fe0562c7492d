"""How many people a study needs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from softseg_study.figures.ablation import empty_figure
from softseg_study.figures.style import (
    GREY,
    method_colors,
    method_markers,
    method_title,
    new_figure,
)

KINDS = ("cross-sectional", "longitudinal")
MOST_SHOWN = 1e7
"""Where intervals without an upper end are cut, far above the axis."""

HANDLINGS = {
    "one contrast": ("o", "cross-sectional, one contrast", "longitudinal, same contrast"),
    "mixed": ("D", "cross-sectional, mixed contrasts", "longitudinal, different contrasts"),
    "mixed, adjusted": ("^", "cross-sectional, mixed, adjusted",
                        "longitudinal, different, adjusted"),
}  # fmt: skip
"""What a study does about contrasts → marker, and the designs of both kinds of study."""


def sample_size_curves(
    table: pd.DataFrame, *, designs: Sequence[str] | None = None, power_percent: float = 80
) -> Figure:
    """Participants per arm against the atrophy to be seen, one panel a design.

    Methods that show no atrophy need infinitely many people and have no curve.

    Args:
        table: `design`, `method`, `atrophy_percent`, `n_per_arm`, and if known `ci_low`,
            `ci_high`.
        designs: Which panels, in which order.
        power_percent: For the label.
    """
    if table.empty:
        return empty_figure("too few people with every contrast: no study can be sized")
    designs = list(pd.unique(table["design"])) if designs is None else list(designs)
    methods = list(pd.unique(table["method"]))
    colors, markers = method_colors(methods), method_markers(methods)
    columns = min(2, len(designs))
    rows = -(-len(designs) // columns)
    step = _step(table["atrophy_percent"])
    figure, axes = new_figure(rows, columns, height_in=0.9 + 2.6 * rows, sharex=True, sharey=True)
    for ax, design in zip(axes.flat, designs, strict=False):
        for i, method in enumerate(methods):
            one = table[(table["design"] == design) & (table["method"] == method)]
            one = one.sort_values("atrophy_percent")
            if one.empty:
                continue
            x = one["atrophy_percent"] + 0.05 * step * (i - (len(methods) - 1) / 2)
            ax.plot(x, _finite(one["n_per_arm"]), marker=markers[method], linewidth=0.8,
                    color=colors[method], label=method_title(method))  # fmt: skip
            if {"ci_low", "ci_high"} <= set(one):
                ends = (one[name].clip(upper=MOST_SHOWN) for name in ("ci_low", "ci_high"))
                ax.vlines(x, *ends, color=colors[method], linewidth=1.2)
        ax.set_yscale("log")
        _limit(ax, table["n_per_arm"])
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_xticks(sorted(table["atrophy_percent"].unique()))
        ax.set_title(design)
        ax.grid()
    for ax in axes.flat[len(designs) :]:
        ax.set_axis_off()
    handles = {}
    for ax in axes.flat:
        handles |= dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4)
    figure.supxlabel("atrophy (%)", fontsize=10)
    figure.supylabel(f"participants per arm for {power_percent:.0f} % power", fontsize=10)
    return figure


def atrophy_detected(table: pd.DataFrame) -> Figure:
    """Measured change of area against the true one, mean and 95 % interval, for every method.

    Args:
        table: `method`, `atrophy_percent` (true), `mean`, `ci_low`, `ci_high` (measured, %), `n`.
    """
    if table.empty:
        return empty_figure("no visits were made: nothing to compare")
    methods = list(pd.unique(table["method"]))
    colors, markers = method_colors(methods), method_markers(methods)
    figure, axes = new_figure(height_in=4.0)
    ax = axes[0, 0]
    step = _step(table["atrophy_percent"])
    for i, method in enumerate(methods):
        one = table[table["method"] == method].sort_values("atrophy_percent")
        aside = 0.05 * step * (i - (len(methods) - 1) / 2)
        error = [one["mean"] - one["ci_low"], one["ci_high"] - one["mean"]]
        ax.errorbar(
            one["atrophy_percent"] + aside, one["mean"], error, fmt=markers[method], capsize=3,
            color=colors[method], label=method_title(method),
        )  # fmt: skip
    ax.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    ax.set_xticks(sorted(table["atrophy_percent"].unique()))
    ax.set(
        xlabel=f"true atrophy (%), n = {int(table['n'].max())} participants",
        ylabel="measured atrophy (%), mean and 95 % interval",
    )
    ax.grid()
    ax.legend()
    return figure


def _step(atrophies: pd.Series) -> float:
    """The least distance between two atrophies; marks of several methods share a part of it."""
    steps = np.diff(np.sort(atrophies.unique()))
    return float(steps.min()) if steps.size else 1.0


def contrast_cost_plot(table: pd.DataFrame, *, atrophy_percent: float) -> Figure:
    """People per arm with one contrast, mixed ones, and mixed ones that are adjusted for.

    Args:
        table: `design`, `method`, `atrophy_percent`, `n_per_arm`, `ci_low`, `ci_high`.
        atrophy_percent: Whose rows are shown.
    """
    rows = table[table["atrophy_percent"] == atrophy_percent]
    if rows.empty:
        return empty_figure("too few people with every contrast: no study can be sized")
    methods = list(pd.unique(rows["method"]))
    colors = method_colors(methods)
    height = 1.4 + 0.42 * len(methods)
    figure, axes = new_figure(1, 2, height_in=height, sharey=True, sharex=True)
    for panel, (ax, title) in enumerate(zip(axes[0], KINDS, strict=True)):
        for place, (marker, *designs) in enumerate(HANDLINGS.values()):
            one = rows[rows["design"] == designs[panel]].set_index("method").reindex(methods)
            y = np.arange(len(methods)) + 0.22 * (place - 1)
            for at, method in zip(y, methods, strict=True):
                low, n, high = one.loc[method, ["ci_low", "n_per_arm", "ci_high"]].astype(float)
                ax.plot([low, min(high, MOST_SHOWN)], [at, at], color=colors[method], linewidth=1.2)
                ax.plot(n if np.isfinite(n) else np.nan, at, marker, color=colors[method],
                        markerfacecolor="white" if place == 2 else None)  # fmt: skip
        ax.set_xscale("log")
        _limit(ax, rows["n_per_arm"], along="x")
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        ax.set_title(title)
        ax.grid(axis="x")
    axes[0, 0].set_yticks(range(len(methods)), [method_title(m) for m in methods])
    axes[0, 0].invert_yaxis()
    for place, (name, (marker, *_)) in enumerate(HANDLINGS.items()):
        axes[0, 0].plot([], [], marker, color=GREY, label=name,
                        markerfacecolor="white" if place == 2 else None)  # fmt: skip
    figure.legend(loc="outside upper center", ncols=3)
    label = f"participants per arm to see {atrophy_percent:g} % atrophy"
    figure.supxlabel(label, fontsize=10)
    return figure


def _finite(values: pd.Series) -> pd.Series:
    return values.replace([np.inf, -np.inf], np.nan)


def _limit(ax: Axes, values: pd.Series, *, along: str = "y") -> None:
    """Keep the axis to the finite values, whatever their intervals do."""
    known = _finite(values).dropna()
    if len(known):
        (ax.set_ylim if along == "y" else ax.set_xlim)(known.min() / 2, known.max() * 3)
