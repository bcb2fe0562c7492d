"""Does the network learn, and what does it cost?"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softseg_study.figures.style import (
    DARK,
    GREY,
    method_colors,
    method_markers,
    method_title,
    new_figure,
)

DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)))


SCORES = {
    "soft_dice": "validation\nsoft Dice",
    "csa_error_mm2": "validation\narea error (mm²)",
}

COSTS = {
    "parameters": "parameters",
    "multiply_adds": "multiply-adds\nper step",
    "steps": "optimiser steps",
    "samples": "patches seen",
    "seconds_per_step": "seconds per step",
    "minutes": "minutes",
    "memory_mb": "memory (MB)",
}
"""Columns of a table of costs that `training_cost` knows, with their axis labels."""


def learning_curves(
    curves: Mapping[str, pd.DataFrame] | pd.DataFrame,
    *,
    scores: Mapping[str, str] = SCORES,
) -> Figure:
    """Training loss and validation scores against optimiser steps.

    The loss is a running mean over a fiftieth of the run, since single batches are noisy. Losses
    of different kinds are not comparable; the scores are.

    Args:
        curves: Model → its `history.csv`: `step`, `loss` and `validation_<score>`; one table for
            one model.
        scores: Which validation scores, with their axis labels; those that no model has are left
            out, as where nothing was validated.
    """
    curves = {"model": curves} if isinstance(curves, pd.DataFrame) else curves
    colors, markers = method_colors(list(curves)), method_markers(list(curves))
    known = set().union(*(table.columns for table in curves.values()))
    panels = {"loss": "training loss"} | {
        f"validation_{k}": v for k, v in scores.items() if f"validation_{k}" in known
    }
    figure, axes = new_figure(1, len(panels), height_in=3.0 + 0.25 * (len(curves) > 1))
    for ax, (column, label) in zip(axes[0], panels.items(), strict=True):
        for i, (name, table) in enumerate(curves.items()):
            rows = table.reindex(columns=["step", column]).dropna()
            values = rows[column]
            if column == "loss":
                values = values.rolling(max(1, len(rows) // 50), min_periods=1).mean()
            ax.plot(
                rows["step"], values, color=colors[name], linestyle=DASHES[i % len(DASHES)],
                marker="" if column == "loss" else markers[name], markersize=4,
                label=method_title(name),
            )  # fmt: skip
        ax.set_title(label, fontsize=9.5)
        ax.grid()
    axes[0, 0].set_yscale("log")
    figure.supxlabel("optimiser step", fontsize=10)
    if len(curves) > 1:
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(), loc="outside upper center",
            ncols=min(4, len(curves)),
        )  # fmt: skip
    return figure


def training_cost(
    table: pd.DataFrame, *, by: str = "model", costs: Mapping[str, str] | None = None
) -> Figure:
    """What each model or network costs: a row each, a panel for each kind of cost.

    A scale is logarithmic where the dearest costs more than twenty times the cheapest.

    Args:
        table: One row a model: `by` and any of `costs`; missing values are left out.
        by: Column that names the rows, in the order of the table.
        costs: Column → label of its axis; those of `COSTS` that the table has by default.

    Raises:
        ValueError: If the table has none of the columns.
    """
    costs = {k: v for k, v in (COSTS if costs is None else costs).items() if k in table}
    if not costs:
        raise ValueError(f"table: no column of costs; expected one of {', '.join(COSTS)}")
    names = [method_title(name) for name in table[by]]
    rows = max(1.9, 0.9 + 0.32 * len(names))
    figure, axes = new_figure(1, len(costs), height_in=rows, sharey=True)
    for ax, (column, label) in zip(axes[0], costs.items(), strict=True):
        _cost_panel(ax, table[column].astype(float).tolist())
        ax.set_title(label, fontsize=9.5)
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    return figure


def _cost_panel(ax: Axes, values: list[float]) -> None:
    known = [(y, value) for y, value in enumerate(values) if value == value]
    positive = [value for _, value in known if value > 0]
    wide = len(positive) == len(known) > 1 and max(positive) > 20 * min(positive)
    largest = max((value for _, value in known), default=1.0) or 1.0
    start = min(positive) / 3 if wide else 0.0
    for y, value in known:
        ax.plot([start, value], [y, y], color=GREY, linewidth=2, zorder=1)
        ax.plot(value, y, "o", color=DARK, markersize=6, zorder=2)
        ax.annotate(say_amount(value), (value, y), xytext=(7, 0), textcoords="offset points",
                    va="center", fontsize=9)  # fmt: skip
    ax.set_xscale("log" if wide else "linear")
    ax.set_xlabel("logarithmic scale" if wide else "", fontsize=8, color=GREY)
    # Room for the number beside the dearest.
    ax.set_xlim(start or 0.0, largest * (largest / start) ** 0.75 if wide else largest * 1.75)
    ax.tick_params(axis="x", which="both", bottom=False, labelbottom=False)
    ax.tick_params(axis="y", length=0)
    for side in ("bottom", "left"):
        ax.spines[side].set_visible(side == "left" and not wide)


def say_amount(value: float) -> str:
    """A number of any size in three figures.

    Example:
        >>> say_amount(319027), say_amount(30_785_000), say_amount(1500), say_amount(0.0432)
        ('319 k', '30.8 M', '1500', '0.0432')
    """
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            scaled = value / (1e3 if letter == "k" else size)
            return f"{scaled:.3g} {letter}" if scaled < 1000 else f"{scaled:.0f} {letter}"
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
