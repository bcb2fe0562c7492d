"""Area along the cord."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from softseg.figures.style import (
    GREY,
    contrast_color,
    contrast_order,
    contrast_title,
    hide_spare,
    method_title,
    new_figure,
)

LEVEL_NAMES = {**{i: f"C{i}" for i in range(1, 8)}, **{7 + i: f"T{i}" for i in range(1, 13)}}
"""Names of the levels that tables number from 1 = C1."""

BINS_PER_LEVEL = 4


def area_profile(
    profile: pd.DataFrame, *, methods: Sequence[str] | None = None, columns: int = 2
) -> Figure:
    """Mean area along the cord in every contrast, one panel a method.

    Slices are placed by level and position within it, so that people of different lengths can be
    averaged; participants are averaged first within a bin, then over bins' participants.

    Args:
        profile: `subject`, `contrast`, `method`, `level`, `area_mm2` and, if known, `position`
            (0 at the top of a level, 1 at its bottom), as `evaluate_profile` gives it.
        methods: Which panels; a method called `truth` is drawn in all of them as a dashed line.
        columns: Panels side by side.
    """
    table = along_the_cord(profile)
    known = list(pd.unique(table["method"]))
    methods = [m for m in known if m != "truth"] if methods is None else list(methods)
    columns = min(columns, len(methods))
    rows = -(-len(methods) // columns)
    figure, axes = new_figure(rows, columns, height_in=1.1 + 2.3 * rows, sharex=True, sharey=True)
    for ax, method in zip(axes.flat, methods, strict=False):
        part = table[table["method"] == method]
        for contrast in contrast_order(part["contrast"]):
            one = part[part["contrast"] == contrast].groupby("place")["area_mm2"]
            mean, spread = one.mean(), one.sem()
            color = contrast_color(contrast)
            ax.plot(mean.index, mean, color=color, label=contrast_title(contrast))
            ax.fill_between(mean.index, mean - spread, mean + spread, color=color, alpha=0.15, lw=0)
        if "truth" in known:
            truth = table[table["method"] == "truth"].groupby("place")["area_mm2"].mean()
            ax.plot(truth.index, truth, color=GREY, linestyle=(0, (4, 2)), label="true area")
        ax.set_title(f"{method_title(method)} (n = {part['subject'].nunique()})")
        ax.grid(axis="y")
    levels = sorted({int(p) for p in table["place"]})
    for ax in axes.flat[: len(methods)]:
        ax.set_xticks([v + 0.5 for v in levels], [LEVEL_NAMES.get(v, str(v)) for v in levels])
    hide_spare(axes.flat[len(methods) :])
    figure.supxlabel("vertebral level, head to foot", fontsize=10)
    figure.supylabel("area (mm²), mean ± standard error", fontsize=10)
    handles = dict(zip(*axes.flat[0].get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=7,
                  columnspacing=1.0, handlelength=1.3)  # fmt: skip
    return figure


def along_the_cord(profile: pd.DataFrame) -> pd.DataFrame:
    """One row per participant, contrast, method and place (level + middle of a quarter of it)."""
    table = profile.dropna(subset=["area_mm2", "level"])
    if "position" in table and table["position"].notna().any():
        position = table["position"].fillna(0.5).to_numpy(float)
    else:
        position = np.full(len(table), 0.5)
    quarter = np.minimum(np.floor(position * BINS_PER_LEVEL), BINS_PER_LEVEL - 1)
    place = table["level"].to_numpy(float) + (quarter + 0.5) / BINS_PER_LEVEL
    keys = ["subject", "contrast", "method", "place"]
    return table.assign(place=place).groupby(keys, as_index=False)["area_mm2"].mean()
