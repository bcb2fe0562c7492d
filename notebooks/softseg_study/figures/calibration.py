"""What soft values mean: reliability, thresholds, resolutions, and the effect of the loss."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from softseg_study.figures.style import (
    DARK,
    GREY,
    contrast_color,
    contrast_order,
    contrast_title,
    method_colors,
    method_markers,
    new_figure,
)
from softseg_study.names import method_title
from softseg_study.statistics.calibration import calibration_error
from softseg_study.statistics.summary import summarise


def reliability_curve(calibration: pd.DataFrame, *, band: str | None = None) -> Figure:
    """Mean true fraction against predicted fraction, with the number of voxels below.

    On the diagonal a value of 0.3 is 30 % cord. The shaded band is the SD of the truth among
    voxels of one predicted value, of one method.

    Args:
        calibration: From `pool_calibration(…, by=("method",))`.
        band: Which method; the first where it is None or not there.
    """
    calibration = calibration[calibration["n_voxels"] > 0]
    if calibration.empty:
        return _nothing("no true fractions of cord are known")
    methods = list(pd.unique(calibration["method"]))
    colors, markers = method_colors(methods), method_markers(methods)
    figure, axes = new_figure(
        2, 1, height_in=6.2, sharex=True, gridspec_kw={"height_ratios": [3.2, 1]}
    )
    top, bottom = axes[:, 0]
    top.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    banded = band if band in methods else methods[0]
    for method in methods:
        rows = calibration[calibration["method"] == method]
        error = calibration_error(rows)
        label = f"{method_title(method)}: error {error:.3f}, {rows['n_voxels'].sum():,} voxels"
        top.plot(
            rows["predicted"], rows["truth"], marker=markers[method], color=colors[method],
            label=label,
        )  # fmt: skip
        if method == banded:
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
        table: From `measure_areas`, one method: `subject`, `contrast`, `mask`, `threshold`,
            `area_mm2`.
        truth_mm2: Mean true area, drawn as a line.
    """
    kinds = {"soft": "fractions above the threshold kept", "binary": "made binary"}
    known = table.dropna(subset=["area_mm2"])
    if known.empty:
        return _nothing("no area could be measured")
    figure, axes = new_figure(1, 2, height_in=3.9, sharey=True)
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


def area_against_resolution(table: pd.DataFrame, *, label: str = "area (mm²)") -> Figure:
    """Area (or its error) of the same people at several resolutions.

    Args:
        table: `subject`, `method`, `resolution` (text such as `1×1×1 mm`, in order) and `value`;
            with a column `mask`, `soft` is drawn full and every other kind hollow and dashed.
        label: Axis label with unit.
    """
    resolutions = list(pd.unique(table["resolution"]))
    if "mask" not in table:
        table = table.assign(mask="soft")
    table = table.dropna(subset=["area_mm2"])
    if table.empty:
        return _nothing("no area could be measured")
    kinds = list(table[["method", "mask"]].drop_duplicates().itertuples(index=False))
    methods, masks = list(pd.unique(table["method"])), set(table["mask"])
    colors, markers = method_colors(methods), method_markers(methods)
    summary = summarise(table, "area_mm2", by=("method", "mask", "resolution"))
    figure, axes = new_figure(height_in=4.0)
    ax = axes[0, 0]
    for i, (method, mask) in enumerate(kinds):
        rows = summary[(summary["method"] == method) & (summary["mask"] == mask)]
        rows = rows.set_index("resolution").reindex(resolutions)
        x = np.arange(len(resolutions)) + 0.1 * (i - (len(kinds) - 1) / 2)
        error = np.abs(rows[["ci_low", "ci_high"]].sub(rows["mean"], axis=0)).to_numpy().T
        title = method_title(method)
        ax.errorbar(
            x, rows["mean"], error, fmt=markers[method], color=colors[method], capsize=3,
            linestyle="-" if mask == "soft" else (0, (4, 2)), linewidth=1,
            markerfacecolor=colors[method] if mask == "soft" else "white",
            label=title if len(masks) == 1 else f"{title}, {mask}",
        )  # fmt: skip
    ax.set_xticks(range(len(resolutions)), resolutions)
    ax.set(xlabel="voxel size", ylabel=f"{label}, mean and 95 % interval")
    ax.set_title(f"n = {table['subject'].nunique()} participants")
    ax.grid(axis="y")
    figure.legend(loc="outside lower center", ncols=min(4, -(-len(kinds) // 2)))
    return figure


def prediction_by_probability(
    curves: Mapping[str, Sequence[float]],
    probability: Sequence[float],
    *,
    measured: pd.DataFrame | None = None,
) -> Figure:
    """The value that is best for each loss where a voxel is cord with a given probability.

    Args:
        curves: Loss → best prediction at each probability.
        probability: `(n,)`, 0 to 1.
        measured: `loss`, `probability`, `prediction` of trained models, drawn as points; a loss
            may have points without a curve.
    """
    seen = [] if measured is None else list(pd.unique(measured["loss"]))
    names = list(dict.fromkeys([*curves, *seen]))
    # `adaptive_wing, …` is another curve of the same loss.
    losses = list(dict.fromkeys(name.split(", ")[0] for name in names))
    colors, markers = method_colors(losses), method_markers(losses)
    figure, axes = new_figure(height_in=5.4)
    ax = axes[0, 0]
    styles = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)))
    for i, name in enumerate(names):
        loss = name.split(", ")[0]
        if name in curves:
            ax.plot(
                probability, curves[name], color=colors[loss], linestyle=styles[i % 4],
                label=_answer_title(name),
            )  # fmt: skip
        if name in seen:
            points = measured[measured["loss"] == name]
            ax.plot(
                points["probability"], points["prediction"], markers[loss], color=colors[loss],
                label=f"{method_title(name)}, measured", markersize=4.5,
            )  # fmt: skip
    _square(ax)
    ax.set(xlabel="probability that the voxel is cord", ylabel="prediction")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _answer_title(name: str) -> str:
    """`adaptive_wing` and `adaptive_wing, measured uncertainty` as a legend writes them."""
    loss, _, source = name.partition(", ")
    return f"{method_title(loss)}, {f'expected from {source}' if source else 'theory'}"


def _nothing(why: str) -> Figure:
    """A figure that says why it is empty, for data that lack what it shows."""
    figure, axes = new_figure(height_in=1.2)
    axes[0, 0].text(0.5, 0.5, why, ha="center", va="center", color=GREY)
    axes[0, 0].set_axis_off()
    return figure


def _square(ax: Axes) -> None:
    ax.set(xlim=(0, 1), ylim=(-0.02, 1.04))
    ax.grid()
    ax.axline((0, 0), slope=1, color=DARK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
