"""Methods against conditions."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softseg_study.figures.style import (
    DARK,
    GREY,
    method_colors,
    method_markers,
    new_figure,
    slanted,
)
from softseg_study.figures.variability import readable_limits
from softseg_study.names import method_title


def condition_heat_map(
    table: pd.DataFrame,
    value: str,
    *,
    label: str,
    methods: Sequence[str] | None = None,
    better: str = "low",
    signed: bool = False,
) -> Figure:
    """Mean of a metric for every condition (rows) and method (columns), with numbers in the cells.

    Dark cells are bad in either direction of the metric, so that a failure stands out; cells with
    failures say how many.

    Args:
        table: One row per condition and method: `value`, and optionally a count of failures.
        value: Column shown.
        label: What it is, with unit.
        methods: Which columns, in which order.
        better: `low` or `high`, which values are good.
        signed: Whether values have a sign: colours then tell too much from too little, and zero is
            white.
    """
    if better not in ("low", "high"):
        raise ValueError(f"better is low or high, found {better!r}")
    methods = list(pd.unique(table["method"])) if methods is None else list(methods)
    conditions = list(pd.unique(table["condition"]))

    def spread(column: str, how: str) -> np.ndarray:
        cells = table.pivot_table(index="condition", columns="method", values=column, aggfunc=how)
        return cells.reindex(index=conditions, columns=methods).to_numpy(float)

    numbers = spread(value, "mean")
    failed = spread("failures", "sum") if "failures" in table else np.zeros_like(numbers)
    low, high = _limits(numbers)
    largest = max(abs(low), abs(high), 1e-3)
    cmap = "cividis_r" if better == "low" else "cividis"
    if signed:
        cmap, low, high = "RdBu_r", -largest, largest
    figure, axes = new_figure(height_in=1.5 + 0.36 * len(conditions))
    ax = axes[0, 0]
    image = ax.imshow(numbers, cmap=cmap, aspect="auto", vmin=low, vmax=high + 1e-9)
    ax.set_facecolor("white")
    decimals = int(np.clip(2 - np.floor(np.log10(largest)), 0, 3))
    for i, j in np.ndindex(numbers.shape):
        text = _cell(numbers[i, j], failed[i, j], decimals, "+" if signed else "")
        filled = np.isfinite(numbers[i, j])
        color = _readable(image.cmap(image.norm(numbers[i, j]))) if filled else DARK
        ax.text(j, i, text, ha="center", va="center", fontsize=9, color=color)
    ax.set_xticks(range(len(methods)), [method_title(m) for m in methods], **slanted(len(methods)))
    ax.set_yticks(range(len(conditions)), conditions)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=ax, aspect=30, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)
    return figure


def _limits(numbers: np.ndarray) -> tuple[float, float]:
    """Smallest and largest value; 0 and 1 where every image has failed."""
    known = numbers[np.isfinite(numbers)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)


def scores_by_image(
    table: pd.DataFrame,
    value: str,
    *,
    label: str,
    good: float | None = None,
) -> Figure:
    """One row an image and one mark a method, so that no mean hides a failure.

    Args:
        table: Columns `method`, `image` and `value`.
        value: Column drawn.
        label: What it is, with unit.
        good: Where a line marks what would be good.
    """
    known = table.dropna(subset=[value])
    methods, images = list(pd.unique(known["method"])), list(pd.unique(known["image"]))
    colors, markers = method_colors(methods), method_markers(methods)
    figure, axes = new_figure(height_in=1.4 + 0.28 * len(images))
    ax = axes[0, 0]
    if good is not None:
        ax.axvline(good, color=GREY, linestyle=(0, (4, 2)), linewidth=1, zorder=0)
    for method in methods:
        part = known[known["method"] == method].groupby("image")[value].mean()
        rows = [images.index(name) for name in part.index]
        ax.plot(
            part, rows, markers[method], color=colors[method], markersize=6.5,
            markeredgecolor="white", markeredgewidth=0.6, label=method_title(method),
        )  # fmt: skip
    ax.set_yticks(range(len(images)), [str(name).removeprefix("sub-") for name in images])
    ax.set_ylim(max(len(images), 1) - 0.5, -0.5)
    if not images:
        _say_nothing(ax, "no image to score")
    ax.set_xlabel(label)
    ax.grid()
    ax.tick_params(axis="y", length=0)
    if methods:
        figure.legend(loc="outside upper center", ncols=min(4, len(methods)))
    return figure


def condition_changes(
    comparisons: Mapping[str, pd.DataFrame], *, label: str = "change of the area error (%)"
) -> Figure:
    """How much worse than under the reference: a row a condition, a mark a method.

    Filled marks are changes with an adjusted p below 0.05; right of zero the error is larger.
    Intervals so long that nothing else could be read run out of the figure.

    Args:
        comparisons: Method → `compare_conditions`'s table of it.
        label: Axis label with unit.
    """
    methods = list(comparisons)
    names = list(dict.fromkeys(c for table in comparisons.values() for c in table["method_a"]))
    colors, markers = method_colors(methods), method_markers(methods)
    figure, axes = new_figure(height_in=1.4 + 0.17 * max(2, len(methods)) * max(1, len(names)))
    ax = axes[0, 0]
    ax.axvline(0, color=GREY, linewidth=1, zorder=0)
    for i, (method, table) in enumerate(comparisons.items()):
        color = colors[method]
        ax.plot([], [], markers[method], color=color, label=method_title(method))
        for row in table.itertuples():
            y = names.index(row.method_a) + 0.6 * ((i + 0.5) / len(methods) - 0.5)
            ax.plot([row.ci_low, row.ci_high], [y, y], color=color, linewidth=1.4)
            face = color if row.p_adjusted < 0.05 else "white"
            ax.plot(row.median_difference, y, markers[method], color=color, markerfacecolor=face)
    _cut_long_intervals(ax, comparisons.values())
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(max(len(names), 1) - 0.4, -0.6)
    ax.set_xlabel(f"{label}, median and 95 % interval")
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    if not names:
        _say_nothing(ax, "no usable mask to compare")
    if methods:
        figure.legend(loc="outside upper center", ncols=min(4, len(methods)))
    return figure


def _cut_long_intervals(ax: Axes, tables: Iterable[pd.DataFrame]) -> None:
    """Limits that keep every median and most intervals whole."""
    tables = list(tables)
    ends = [table[name] for table in tables for name in ("ci_low", "ci_high")]
    low, high = readable_limits(pd.concat([*ends, pd.Series([0.0])]), reach=3.0)
    medians = pd.concat([*(table["median_difference"] for table in tables), pd.Series([0.0])])
    ax.set_xlim(min(low, medians.min() - 1), max(high, medians.max() + 1))


def _say_nothing(ax: Axes, text: str) -> None:
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color=DARK)


def _cell(number: float, failed: float, decimals: int, sign: str) -> str:
    """What a cell says: a dash where everything failed, and how much did."""
    text = "–" if np.isnan(number) else f"{number:{sign}.{decimals}f}".replace("-", "−")
    return f"{text}  ({failed:.0f} failed)" if failed > 0 else text


def _readable(rgba: tuple[float, ...]) -> str:
    """Dark or white, whichever can be read on a colour."""
    red, green, blue = rgba[:3]
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else DARK
