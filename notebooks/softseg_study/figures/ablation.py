"""What mattered: differences between methods with their intervals."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from softseg_study.figures.style import DARK, GREY, LIGHT, new_figure
from softseg_study.names import method_title

ABLATION_MEASURES = {
    "sd_mm2": "SD over contrasts\n(mm²)",
    "absolute_error_mm2": "absolute error\n(mm²)",
    "slope": "slope on the\ntrue area",
}
"""Panels of `ablation_forest`: measure → axis label."""


def ablation_forest(comparisons: pd.DataFrame) -> Figure:
    """Every variant's difference to what it was changed from: a row each, a panel a measure.

    Filled dots have an adjusted p below 0.05. The grey band is what another seed would do to
    the pair: two trainings of one setting differ as much in one case of twenty.

    Args:
        comparisons: From `compare_factors`.

    Returns:
        Says so where there is nothing to draw.
    """
    found = set(comparisons.dropna(subset=["difference"])["measure"])
    shown = {measure: label for measure, label in ABLATION_MEASURES.items() if measure in found}
    if not shown:
        return empty_figure("no two models can be compared")
    places = _places(comparisons[comparisons["measure"].isin(shown)])
    height_in = 1.3 + 0.3 * (max(places.values()) + 1)
    figure, axes = new_figure(1, len(shown), height_in=height_in, sharey=True)
    for ax, (measure, label) in zip(axes[0], shown.items(), strict=True):
        _forest_panel(ax, comparisons[comparisons["measure"] == measure], places)
        ax.set_xlabel(label)
    axes[0, 0].set_yticks(
        list(places.values()), [name if not a else _pair_title(a, name) for a, name in places]
    )
    for tick, (a, _) in zip(axes[0, 0].get_yticklabels(), places, strict=True):
        tick.set_fontweight("normal" if a else "bold")
    axes[0, 0].set_ylim(max(places.values()) + 0.6, -0.6)
    figure.supxlabel("difference to the method after the minus, 95 % interval", fontsize=9.5)
    return figure


def empty_figure(why: str) -> Figure:
    """A figure that says why it shows nothing, so that a page keeps its place for it."""
    figure, axes = new_figure(height_in=1.0)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, why, ha="center", va="center", color=GREY)
    return figure


def _places(comparisons: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Row of each variant, (method, against), under a title for its factor, ("", factor)."""
    places: dict[tuple[str, str], float] = {}
    row = 0.0
    for factor, variants in comparisons.groupby("factor", sort=False):
        places["", str(factor)] = row
        pairs = variants[["method_a", "method_b"]].drop_duplicates()
        for pair in pairs.itertuples(index=False):
            row += 1.0
            places[tuple(pair)] = row
        row += 1.3
    return places


def _pair_title(method: str, against: str) -> str:
    return f"{method_title(method)} − {method_title(against)}"


def _forest_panel(ax: Axes, rows: pd.DataFrame, places: dict[tuple[str, str], float]) -> None:
    ax.axvline(0, color=GREY, linewidth=1, zorder=0)
    for row in rows.itertuples():
        y = places[row.method_a, row.method_b]
        if row.seed_variability == row.seed_variability:
            reach = row.seed_variability
            ax.barh(y, 2 * reach, left=-reach, height=0.7, color=LIGHT, alpha=0.6, zorder=0)
        ax.plot([row.ci_low, row.ci_high], [y, y], color=DARK, linewidth=2)
        face = DARK if row.p_adjusted < 0.05 else "white"
        ax.plot(row.difference, y, "o", markersize=6, markerfacecolor=face, markeredgecolor=DARK)
    # Bars would end the axis where they end, and cut marks that stand there in half.
    ax.use_sticky_edges = False
    ax.margins(x=0.08)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.grid(axis="x")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
