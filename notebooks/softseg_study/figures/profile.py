"""Area along the cord."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from softseg.csa.aggregation import whole_slices
from softseg_study.figures.style import (
    GREY,
    contrast_color,
    contrast_order,
    contrast_title,
    hide_spare,
    new_figure,
)
from softseg_study.names import method_title

LEVEL_NAMES = {**{i: f"C{i}" for i in range(1, 8)}, **{7 + i: f"T{i}" for i in range(1, 13)}}
"""Names of the levels that tables number from 1 = C1."""
BINS_PER_LEVEL = 4


def area_profile(
    profile: pd.DataFrame, *, methods: Sequence[str] | None = None, columns: int = 2
) -> Figure:
    """Mean area along the cord in every contrast, one panel a method.

    Slices are placed by level and position within it, so that people of different lengths can be
    averaged; places that fewer than half of the people reach are left out.

    Args:
        profile: `subject`, `contrast`, `method`, `level`, `area_mm2` and, if known, `position`
            (0 at the top of a level, 1 at its bottom) or `slice`, as `measure_slices` gives it.
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
            one = part[part["contrast"] == contrast]
            enough = max(1, one["subject"].nunique() / 2)
            one = one.groupby("place")["area_mm2"].agg(["mean", "sem", "count"])
            one = one[one["count"] >= enough]  # the ends, where few people were imaged, jump
            mean, spread = one["mean"], one["sem"]
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
    """Every profile at the same places, quarters of levels, by interpolation between its slices.

    Thick slices fall at other places in every person: averaged as they fall, a mean would jump
    from one group of people to the next.

    Returns:
        `subject`, `contrast`, `method`, `place` (level + position in it), `area_mm2`.
    """
    table = profile.dropna(subset=["area_mm2", "level"])
    if "flag" in table:  # a slice without a whole section says nothing about the cord
        table = whole_slices(table.fillna({"flag": ""}))
    table = table.assign(place=table["level"].astype(float) + _positions(table))
    keys = ["subject", "contrast", "method"]
    found = []
    for key, one in table.groupby(keys, sort=False, observed=True):
        one = one.groupby("place")["area_mm2"].mean()
        ends = np.array([one.index[0], one.index[-1]]) * BINS_PER_LEVEL
        first, last = np.ceil(ends[0] - 0.5), np.floor(ends[1] + 0.5)
        places = np.arange(first, last + 1) / BINS_PER_LEVEL
        areas = np.interp(places, one.index, one)
        row = dict(zip(keys, key, strict=True))
        found.append(pd.DataFrame({**row, "place": places, "area_mm2": areas}))
    return pd.concat(found, ignore_index=True)


def _positions(table: pd.DataFrame) -> pd.Series:
    """Position in the level: given, that of the same slice under another method, or by counting."""
    position = pd.Series(np.nan, index=table.index)
    if "position" in table:
        position = table["position"].astype(float)
    if "slice" not in table:
        return position.fillna(0.5)
    of_slice = position.groupby([table["subject"], table["contrast"], table["slice"]])
    position = position.fillna(of_slice.transform("mean"))
    of_level = table.groupby(["subject", "contrast", "method", "level"])["slice"]
    counted = (of_level.rank(ascending=False) - 0.5) / of_level.transform("count")  # from the top
    return position.fillna(counted)
