"""How many people a study needs."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from softseg_study.figures.style import (
    GREY,
    empty_figure,
    method_colors,
    new_figure,
)
from softseg_study.names import method_title

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
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.set_title(title)
        ax.grid(axis="x")
    axes[0, 0].set_yticks(range(len(methods)), [method_title(m) for m in methods])
    axes[0, 0].invert_yaxis()
    for place, (name, (marker, *_)) in enumerate(HANDLINGS.items()):
        axes[0, 0].plot([], [], marker, color=GREY, label=name,
                        markerfacecolor="white" if place == 2 else None)  # fmt: skip
    figure.legend(loc="outside upper center", ncols=3)
    label = f"participants per arm to detect {atrophy_percent:g} % atrophy"
    figure.supxlabel(label, fontsize=10)
    return figure


def _finite(values: pd.Series) -> pd.Series:
    return values.replace([np.inf, -np.inf], np.nan)


def _limit(ax: Axes, values: pd.Series, *, along: str = "y") -> None:
    """Keep the axis to the finite values, whatever their intervals do."""
    known = _finite(values).dropna()
    if len(known):
        (ax.set_ylim if along == "y" else ax.set_xlim)(known.min() / 2, known.max() * 3)
