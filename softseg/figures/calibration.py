"""What soft values mean: reliability, thresholds, resolutions, and what a loss makes of doubt."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from softseg.figures.style import (
    DARK,
    GREY,
    contrast_color,
    contrast_order,
    contrast_title,
    method_colors,
    method_markers,
    method_title,
    new_figure,
)
from softseg.metrics import calibration_error
from softseg.statistics import summarise


def reliability_curve(calibration: pd.DataFrame) -> Figure:
    """Mean true fraction against predicted fraction, with the number of voxels below.

    On the diagonal a value of 0.3 is 30 % cord. The shaded band is the SD of the truth among
    voxels of one predicted value, of the first method.

    Args:
        calibration: From `pool_calibration(…, by=("method",))`.
    """
    methods = list(pd.unique(calibration["method"]))
    colors, markers = method_colors(methods), method_markers(methods)
    figure, axes = new_figure(
        2, 1, height_in=6.2, sharex=True, gridspec_kw={"height_ratios": [3.2, 1]}
    )
    top, bottom = axes[:, 0]
    top.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    for i, method in enumerate(methods):
        rows = calibration[(calibration["method"] == method) & (calibration["n_voxels"] > 0)]
        error = calibration_error(rows)
        label = f"{method_title(method)}: error {error:.3f}, {rows['n_voxels'].sum():,} voxels"
        top.plot(
            rows["predicted"], rows["truth"], marker=markers[method], color=colors[method],
            label=label,
        )  # fmt: skip
        if i == 0:
            low, high = rows["truth"] - rows["truth_sd"], rows["truth"] + rows["truth_sd"]
            top.fill_between(
                rows["predicted"], low.clip(0), high.clip(upper=1), color=colors[method],
                alpha=0.12, linewidth=0,
            )  # fmt: skip
        middle = (rows["low"] + rows["high"]) / 2
        bottom.plot(middle, rows["n_voxels"], marker=markers[method], color=colors[method])
    top.set(ylabel="true fraction of cord", ylim=(-0.02, 1.02), xlim=(-0.02, 1.02))
    top.legend(loc="upper left")
    top.grid()
    bottom.set(xlabel="predicted fraction of cord", ylabel="voxels", yscale="log")
    bottom.yaxis.set_minor_formatter(NullFormatter())
    bottom.yaxis.set_major_locator(LogLocator(numticks=5))
    low, high = bottom.get_ylim()
    bottom.set_ylim(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high)))
    bottom.grid(axis="y")
    return figure


def area_against_threshold(table: pd.DataFrame, *, truth_mm2: float | None = None) -> Figure:
    """Mean area against the threshold: values below it dropped, or the mask made binary.

    Args:
        table: From `evaluate_thresholds`, one method: `subject`, `contrast`, `mask`, `threshold`,
            `area_mm2`.
        truth_mm2: Mean true area, drawn as a line.
    """
    kinds = {"soft": "fractions above the threshold kept", "binary": "made binary"}
    figure, axes = new_figure(1, 2, height_in=3.9, sharey=True)
    known = table.dropna(subset=["area_mm2"])
    for ax, (kind, title) in zip(axes[0], kinds.items(), strict=True):
        part = known[known["mask"] == kind]
        for contrast in contrast_order(part["contrast"]):
            one = part[part["contrast"] == contrast].groupby("threshold")["area_mm2"].mean()
            ax.plot(
                one.index, one, marker="o", markersize=3.5, color=contrast_color(contrast),
                label=contrast_title(contrast),
            )  # fmt: skip
        if truth_mm2 is not None:
            ax.axhline(truth_mm2, color=GREY, linestyle=(0, (4, 3)), label="true area")
        ax.set(xlabel="threshold", title=title)
        ax.grid(axis="y")
    axes[0, 0].set_ylabel(f"mean area (mm²), n = {known['subject'].nunique()}")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=7,
        columnspacing=1.0, handlelength=1.3,
    )  # fmt: skip
    return figure


def area_against_resolution(
    table: pd.DataFrame, *, value: str = "area_mm2", label: str = "area (mm²)"
) -> Figure:
    """Area (or its error) of the same people at several resolutions.

    Args:
        table: `subject`, `method`, `resolution` (text such as `1×1×1 mm`, in order) and `value`.
        value: Column drawn.
        label: Axis label with unit.
    """
    methods = list(pd.unique(table["method"]))
    resolutions = list(pd.unique(table["resolution"]))
    colors, markers = method_colors(methods), method_markers(methods)
    summary = summarise(table, value, by=("method", "resolution"))
    figure, axes = new_figure(height_in=3.8)
    ax = axes[0, 0]
    for i, method in enumerate(methods):
        rows = summary[summary["method"] == method].set_index("resolution").reindex(resolutions)
        x = np.arange(len(resolutions)) + 0.12 * (i - (len(methods) - 1) / 2)
        error = np.abs(rows[["ci_low", "ci_high"]].sub(rows["mean"], axis=0)).to_numpy().T
        ax.errorbar(
            x, rows["mean"], error, fmt=markers[method], color=colors[method], capsize=3,
            linestyle="-", linewidth=1, label=method_title(method),
        )  # fmt: skip
    ax.set_xticks(range(len(resolutions)), resolutions)
    ax.set(xlabel="voxel size", ylabel=f"{label}, mean and 95 % interval")
    ax.grid(axis="y")
    ax.legend(title=f"n = {table['subject'].nunique()} participants", ncols=3)
    return figure


def prediction_under_doubt(
    curves: Mapping[str, Sequence[float]],
    probability: Sequence[float],
    *,
    measured: pd.DataFrame | None = None,
) -> Figure:
    """The value that is best for each loss where a voxel is cord with a given probability.

    Args:
        curves: Loss → best prediction at each probability.
        probability: `(n,)`, 0 to 1.
        measured: `loss`, `probability`, `prediction` of trained models, drawn as points.
    """
    colors, markers = method_colors(list(curves)), method_markers(list(curves))
    figure, axes = new_figure(height_in=4.2)
    ax = axes[0, 0]
    styles = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)))
    for i, (name, best) in enumerate(curves.items()):
        ax.plot(probability, best, color=colors[name], label=name, linestyle=styles[i % 4])
        if measured is not None:
            points = measured[measured["loss"] == name]
            ax.plot(points["probability"], points["prediction"], markers[name], color=colors[name])
    _square(ax)
    ax.set(xlabel="probability that the voxel is cord", ylabel="best prediction")
    ax.legend(loc="upper left")
    return figure


def _square(ax: Axes) -> None:
    ax.set(xlim=(0, 1), ylim=(-0.02, 1.04))
    ax.grid()
    ax.axline((0, 0), slope=1, color=DARK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
