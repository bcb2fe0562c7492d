"""Does the phantom's population of hard masks look like the published one?"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from softseg_study.figures.style import (
    DARK,
    GREY,
    contrast_color,
    contrast_order,
    contrast_title,
    new_figure,
    spread_points,
)


def raters_against_published(areas: pd.DataFrame, compared: pd.DataFrame) -> Figure:
    """Areas of the phantom's hard masks by contrast, beside mean ± SD of published ones.

    Args:
        areas: From `softseg_study.phantom.calibration.rated_areas`.
        compared: From `softseg_study.phantom.calibration.compare_with_published`.
    """
    figure, axes = new_figure(height_in=3.4)
    ax = axes[0, 0]
    first = areas[areas["scan"] == 0]
    names = contrast_order(first["contrast"])
    for x, name in enumerate(names):
        values = first.loc[first["contrast"] == name, "area_mm2"].dropna().to_numpy()
        ax.plot(
            x - 0.15 + spread_points(values.size, 0.12), values, "o", markersize=3,
            color=contrast_color(name), alpha=0.6, markeredgewidth=0,
        )  # fmt: skip
        ours, theirs = compared.loc[name, ["mean_mm2", "sd_mm2"]], compared.loc[name]
        ax.errorbar(x - 0.15, ours["mean_mm2"], ours["sd_mm2"], fmt="_", color=DARK, capsize=3)
        ax.errorbar(
            x + 0.2, theirs["published_mean_mm2"], theirs["published_sd_mm2"], fmt="D",
            markersize=5, color=GREY, capsize=3, label="published mean ± SD" if x == 0 else None,
        )  # fmt: skip
    truth = first.drop_duplicates("subject")["true_mm2"].mean()
    ax.axhline(truth, color=DARK, linestyle=(0, (4, 3)), linewidth=1, label="true mean (phantom)")
    ax.set_xticks(np.arange(len(names)), [contrast_title(name) for name in names])
    count = first["subject"].nunique()
    ax.set_ylabel(f"area of hard masks, C2–C3 (mm²), n = {count}")
    ax.legend(loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.16))
    ax.grid(axis="y")
    return figure
