"""What mattered: differences between methods with their intervals."""

import pandas as pd
from matplotlib.figure import Figure

from softseg.figures.style import DARK, GREY, method_title, new_figure
from softseg.statistics.wording import say_p


def difference_forest(
    comparisons: pd.DataFrame, *, label: str = "median difference (mm²)"
) -> Figure:
    """Median paired difference of each pair of methods with its bootstrap interval.

    Filled dots are differences with an adjusted p below 0.05; left of zero the first of the two
    has the smaller value.

    Args:
        comparisons: From `compare_methods`.
        label: Axis label with unit.
    """
    figure, axes = new_figure(height_in=1.0 + 0.38 * len(comparisons))
    ax = axes[0, 0]
    ax.axvline(0, color=GREY, linewidth=1, zorder=0)
    names = []
    for i, row in enumerate(comparisons.itertuples()):
        names.append(f"{method_title(row.method_a)} − {method_title(row.method_b)}")
        ax.plot([row.ci_low, row.ci_high], [i, i], color=DARK, linewidth=2)
        face = DARK if row.p_adjusted < 0.05 else "white"
        ax.plot(row.median_difference, i, "o", markersize=7, markerfacecolor=face,
                markeredgecolor=DARK)  # fmt: skip
        text = "n too small" if "too small" in row.note else say_p(row.p_adjusted)
        ax.annotate(
            f"{text}, n = {row.n}", (1.01, i), xycoords=("axes fraction", "data"), va="center",
            fontsize=9,
        )  # fmt: skip
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(f"{label}, 95 % interval")
    ax.grid(axis="x")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return figure
