"""Methods against conditions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from softseg.figures.style import DARK, method_title, new_figure


def condition_heat_map(
    table: pd.DataFrame,
    value: str,
    *,
    label: str,
    condition: str = "condition",
    methods: Sequence[str] | None = None,
    better: str = "low",
    failures: str | None = "failures",
) -> Figure:
    """Mean of a metric for every condition (rows) and method (columns), with numbers in the cells.

    Dark cells are bad in either direction of the metric, so that a failure stands out; cells with
    failures say how many.

    Args:
        table: One row per condition and method: `value`, and optionally a count of failures.
        value: Column shown.
        label: What it is, with unit.
        condition: Column of the rows' names.
        methods: Which columns, in which order.
        better: `low` or `high`, which values are good.
        failures: Column with the number of failed images; None if there is none.
    """
    if better not in ("low", "high"):
        raise ValueError(f"better is low or high, found {better!r}")
    methods = list(pd.unique(table["method"])) if methods is None else list(methods)
    conditions = list(pd.unique(table[condition]))
    wide = table.pivot_table(index=condition, columns="method", values=value, sort=False)
    wide = wide.reindex(index=conditions, columns=methods)
    failed = None
    if failures and failures in table:
        failed = (
            table.pivot_table(
                index=condition, columns="method", values=failures, aggfunc="sum", sort=False
            )
            .reindex(index=conditions, columns=methods)
            .to_numpy(float)
        )
    figure, axes = new_figure(height_in=1.5 + 0.36 * len(conditions))
    ax = axes[0, 0]
    cmap = "cividis_r" if better == "low" else "cividis"
    numbers = wide.to_numpy(float)
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    decimals = int(np.clip(2 - np.floor(np.log10(max(abs(low), abs(high), 1e-3))), 0, 3))
    image = ax.imshow(wide, cmap=cmap, aspect="auto", vmin=low, vmax=high + 1e-9)
    ax.set_facecolor("white")
    for i, j in np.ndindex(wide.shape):
        number = numbers[i, j]
        text = "–" if np.isnan(number) else f"{number:.{decimals}f}"
        if failed is not None and failed[i, j] > 0:
            text += f"  ({failed[i, j]:.0f} failed)"
        ax.text(
            j, i, text, ha="center", va="center", fontsize=9,
            color=_readable(image.cmap(image.norm(number)) if not np.isnan(number) else None),
        )  # fmt: skip
    ax.set_xticks(range(len(methods)), [method_title(m) for m in methods], rotation=25, ha="right",
                  rotation_mode="anchor")  # fmt: skip
    ax.set_yticks(range(len(conditions)), conditions)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=ax, aspect=30, pad=0.02)
    bar.set_label(label)
    bar.outline.set_visible(False)
    return figure


def _readable(rgba: tuple[float, ...] | None) -> str:
    if rgba is None:
        return DARK
    red, green, blue = rgba[:3]
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else DARK
