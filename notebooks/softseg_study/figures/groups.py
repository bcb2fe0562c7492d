"""A measure of every method within groups: vendors, sites, contrasts, ingredients."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from softseg_study.figures.style import (
    contrast_order,
    contrast_title,
    method_colors,
    method_markers,
    method_title,
    new_figure,
)
from softseg_study.statistics.variability import summarise


def intervals_by_group(
    table: pd.DataFrame,
    value: str,
    *,
    group: str,
    label: str,
    groups: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    unit: str = "subject",
) -> Figure:
    """Mean over participants and its 95 % interval, a row a group and a mark a method.

    Args:
        table: `method`, `group`, `unit` and `value`; rows of one participant are averaged first.
        value: Column drawn.
        group: Column of the rows, for example `vendor` or `contrast`.
        label: What `value` is, with unit.
        groups: Which rows, from the top; contrasts in the book's order, others as they appear.
        methods: Which methods.
        unit: Column of the participants.
    """
    known = table.dropna(subset=[value])
    methods = list(pd.unique(known["method"])) if methods is None else list(methods)
    if groups is None:
        names = pd.unique(known[group])
        groups = contrast_order(names) if group == "contrast" else list(names)
    summary = summarise(known, value, by=("method", group), unit=unit)
    summary = summary.set_index(["method", group])
    colors, markers = method_colors(methods), method_markers(methods)
    figure, axes = new_figure(
        height_in=1.2 + 0.16 * max(2, len(methods)) * len(groups), layout="constrained"
    )
    ax = axes[0, 0]
    for i, method in enumerate(methods):
        rows = summary.reindex([(method, g) for g in groups])
        y = np.arange(len(groups)) + 0.7 * ((i + 0.5) / len(methods) - 0.5)
        error = np.abs(rows[["ci_low", "ci_high"]].sub(rows["mean"], axis=0)).fillna(0).to_numpy().T
        ax.errorbar(
            rows["mean"], y, xerr=error, fmt=markers[method], color=colors[method], capsize=2,
            label=method_title(method),
        )  # fmt: skip
    n = summary["n"].groupby(level=1).max()
    names = [contrast_title(g) if group == "contrast" else str(g) for g in groups]
    ax.set_yticks(
        range(len(groups)),
        [f"{name} (n = {n[g]:.0f})" for name, g in zip(names, groups, strict=True)],
    )
    ax.set_ylim(len(groups) - 0.4, -0.6)
    for i in range(len(groups) - 1):
        ax.axhline(i + 0.5, color="#E6E6E6", linewidth=0.8)
    ax.set_xlabel(f"{label}, mean and 95 % interval")
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=min(4, len(methods)))
    return figure
