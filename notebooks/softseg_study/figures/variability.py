"""Area per contrast and method, and its spread within each participant."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softseg_study.figures.ablation import empty_figure
from softseg_study.figures.style import (
    DARK,
    GREY,
    LIGHT,
    contrast_color,
    contrast_order,
    contrast_title,
    hide_spare,
    method_colors,
    method_markers,
    method_title,
    new_figure,
    spread_points,
)
from softseg_study.statistics.summary import summarise


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


def spread_by_method(
    table: pd.DataFrame,
    *,
    label: str = "SD of area across contrasts (mm²)",
    methods: Sequence[str] | None = None,
    comparisons: pd.DataFrame | None = None,
) -> Figure:
    """One point a participant and method, with the mean and its 95 % interval.

    Args:
        table: `subject`, `method` and `value`, as `contrast_variability` gives it.
        label: Axis label with unit.
        methods: Which rows, from the top.
        comparisons: From `compare_methods`; differences to the first method with an adjusted
            p < 0.05 are marked with a star.
    """
    known = table.dropna(subset=["sd_mm2"])
    found = list(pd.unique(known["method"]))
    methods = found if methods is None else [m for m in methods if m in found]
    colors = method_colors(methods)
    summary = summarise(known, "sd_mm2").set_index("method")
    figure, axes = new_figure(height_in=0.9 + 0.48 * len(methods))
    ax = axes[0, 0]
    for i, method in enumerate(methods):
        values = known.loc[known["method"] == method, "sd_mm2"].to_numpy()
        ax.plot(
            values, i + spread_points(values.size, 0.22), "o", color=colors[method], alpha=0.45,
            markersize=4, markeredgewidth=0,
        )  # fmt: skip
        row = summary.loc[method]
        ax.plot([row["ci_low"], row["ci_high"]], [i, i], color=DARK, linewidth=3)
        ax.plot(row["mean"], i, "o", color="white", markeredgecolor=DARK, markersize=8)
        star = " *" if _differs(comparisons, methods[0], method) else ""
        ax.annotate(
            f"{row['mean']:.2f}{star}", (1.01, i), xycoords=("axes fraction", "data"),
            va="center", fontsize=9.5,
        )  # fmt: skip
    ax.set_yticks(range(len(methods)), [f"{method_title(m)}" for m in methods], fontsize=9.5)
    ax.set_ylim(len(methods) - 0.5, -0.5)
    ax.set_xlim(left=min(0, ax.get_xlim()[0]))
    ax.grid(axis="x")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.axvline(0, color=LIGHT, zorder=0)
    people = sorted({int(summary.loc[m, "n"]) for m in methods})
    n = f"n = {people[0]}" if len(people) == 1 else f"n = {people[0]}–{people[-1]}"
    ax.set_xlabel(f"{label}; {n} participants, mean and 95 % interval")
    return figure


PARTS = {"all": (DARK, "o", "all"), "learnt": ("#117733", "s", "learnt"),
         "not learnt": ("#CC6677", "^", "never seen")}  # fmt: skip
"""Colour, marker and name of the contrasts that `contrasts_learnt_curve` tells apart."""


def contrasts_learnt_curve(
    table: pd.DataFrame,
) -> Figure:
    """What each further contrast in the training is worth, in contrasts seen and never seen.

    Args:
        table: From `contrasts_learnt`.

    Returns:
        Says so where no column has a value.
    """
    shown = [
        (v, label)
        for v, label in (
            ("sd_mm2", "SD over contrasts (mm²)"),
            ("absolute_error_mm2", "absolute error (mm²)"),
        )
        if v in table and table[v].notna().any()
    ]
    if not shown:
        return empty_figure("no model of this run can be shown here")
    figure, axes = new_figure(1, len(shown), height_in=3.4)
    for ax, (value, label) in zip(axes[0], shown, strict=True):
        summary = summarise(table.dropna(subset=[value]), value, by=("method", "n_learnt", "part"))
        for shift, (part, (color, marker, name)) in enumerate(PARTS.items()):
            rows = summary[summary["part"] == part].sort_values("n_learnt", kind="stable")
            # Two sets of four contrasts stand side by side.
            beside = rows.groupby("n_learnt").cumcount() * 0.3
            x = rows["n_learnt"] + 0.1 * (shift - 1) + beside
            error = np.abs(rows[["ci_low", "ci_high"]].sub(rows["mean"], axis=0)).fillna(0).T
            ax.errorbar(
                x, rows["mean"], yerr=error.to_numpy(), fmt=marker, color=color, capsize=2,
                label=name,
            )  # fmt: skip
            first = rows[~rows["n_learnt"].duplicated()]
            ax.plot(x[first.index], first["mean"], color=color, linewidth=0.8, alpha=0.6)
        ax.set(xlabel="contrasts in the training", title=label)
        ax.set_xticks(sorted(table["n_learnt"].unique()))
        ax.set_ylim(bottom=0)
        ax.grid(axis="y")
    n = table["subject"].nunique()
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3,
        title=f"measured in contrasts (n = {n} people)",
    )  # fmt: skip
    return figure


def _differs(comparisons: pd.DataFrame | None, a: str, b: str, alpha: float = 0.05) -> bool:
    if comparisons is None:
        return False
    pair = comparisons[["method_a", "method_b"]].isin([a, b]).all(axis=1)
    return bool((comparisons.loc[pair, "p_adjusted"] < alpha).any()) and a != b


def intervals_by_group(
    table: pd.DataFrame,
    value: str,
    *,
    group: str,
    label: str,
    groups: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
) -> Figure:
    """Mean over participants and its 95 % interval, a row a group and a mark a method.

    Args:
        table: `method`, `group`, `unit` and `value`; rows of one participant are averaged first.
        value: Column drawn.
        group: Column of the rows, for example `vendor` or `contrast`.
        label: What `value` is, with unit.
        groups: Which rows, from the top; contrasts in the book's order, others as they appear.
        methods: Which methods.
    """
    known = table.dropna(subset=[value])
    methods = list(pd.unique(known["method"])) if methods is None else list(methods)
    if groups is None:
        names = pd.unique(known[group])
        groups = contrast_order(names) if group == "contrast" else list(names)
    summary = summarise(known, value, by=("method", group), unit="subject")
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
