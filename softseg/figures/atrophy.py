"""How many people a study needs."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from softseg.figures.style import (
    GREY,
    method_colors,
    method_markers,
    method_title,
    new_figure,
)


def sample_size_curves(
    table: pd.DataFrame, *, designs: Sequence[str] | None = None, power_percent: float = 80
) -> Figure:
    """Participants per arm against the atrophy to be seen, one panel a design.

    Args:
        table: `design`, `method`, `atrophy_percent`, `n_per_arm`, and if known `ci_low`,
            `ci_high`.
        designs: Which panels, in which order.
        power_percent: For the label.
    """
    designs = list(pd.unique(table["design"])) if designs is None else list(designs)
    methods = list(pd.unique(table["method"]))
    colors, markers = method_colors(methods), method_markers(methods)
    columns = min(2, len(designs))
    rows = -(-len(designs) // columns)
    figure, axes = new_figure(rows, columns, height_in=0.9 + 2.6 * rows, sharex=True, sharey=True)
    for ax, design in zip(axes.flat, designs, strict=False):
        for method in methods:
            one = table[(table["design"] == design) & (table["method"] == method)]
            one = one.sort_values("atrophy_percent")
            if one.empty:
                continue
            ax.plot(one["atrophy_percent"], one["n_per_arm"], marker=markers[method],
                    color=colors[method], label=method_title(method))  # fmt: skip
            if {"ci_low", "ci_high"} <= set(one):
                ax.fill_between(one["atrophy_percent"], one["ci_low"], one["ci_high"],
                                color=colors[method], alpha=0.15, linewidth=0)  # fmt: skip
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(ScalarFormatter())
        ax.yaxis.set_minor_formatter(NullFormatter())
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
    methods = list(pd.unique(table["method"]))
    colors, markers = method_colors(methods), method_markers(methods)
    figure, axes = new_figure(height_in=4.0)
    ax = axes[0, 0]
    step = table["atrophy_percent"].drop_duplicates().sort_values().diff().min()
    for i, method in enumerate(methods):
        one = table[table["method"] == method].sort_values("atrophy_percent")
        aside = 0.12 * (0 if pd.isna(step) else step) * (i - (len(methods) - 1) / 2)
        error = [one["mean"] - one["ci_low"], one["ci_high"] - one["mean"]]
        ax.errorbar(
            one["atrophy_percent"] + aside, one["mean"], error, fmt=markers[method], capsize=3,
            color=colors[method], label=method_title(method),
        )  # fmt: skip
    ax.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    ax.set(
        xlabel=f"true atrophy (%), n = {int(table['n'].max())} participants",
        ylabel="measured atrophy (%), mean and 95 % interval",
    )
    ax.grid()
    ax.legend()
    return figure
