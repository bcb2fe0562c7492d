"""Does the network learn, and what does it cost?"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from softseg.figures.style import method_colors, method_markers, method_title, new_figure

DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1, 2)))


SCORES = {
    "soft_dice": "validation\nsoft Dice",
    "csa_error_mm2": "validation\narea error (mm²)",
}


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
        scores: Which validation scores, with their axis labels.
    """
    curves = {"model": curves} if isinstance(curves, pd.DataFrame) else curves
    colors, markers = method_colors(list(curves)), method_markers(list(curves))
    panels = {"loss": "training loss"} | {f"validation_{k}": v for k, v in scores.items()}
    figure, axes = new_figure(1, len(panels), height_in=3.0 + 0.25 * (len(curves) > 1))
    for ax, (column, label) in zip(axes[0], panels.items(), strict=True):
        for i, (name, table) in enumerate(curves.items()):
            rows = table.dropna(subset=[column])
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
