"""How far the contrasts had to be moved before they were averaged."""

import pandas as pd
from matplotlib.figure import Figure

from softseg_study.figures.style import (
    GREY,
    contrast_color,
    contrast_order,
    contrast_title,
    new_figure,
    spread_points,
)


def registration_shifts(slices: pd.DataFrame) -> Figure:
    """Shift of every slice along the cord, right-left and back-front, and its size per contrast.

    Args:
        slices: Slice-wise report of the soft truth: `contrast`, `z_mm`, `shift_x_mm`,
            `shift_y_mm`, `registered`, and `subject` where there are several people.
    """
    known = slices[slices["registered"].astype(bool)] if "registered" in slices else slices
    if "subject" not in known:
        known = known.assign(subject="one")
    contrasts = contrast_order(known["contrast"])
    figure, axes = new_figure(1, 3, height_in=3.9, gridspec_kw={"width_ratios": [1, 1, 1.5]})
    for ax, column, title in zip(
        axes[0], ("shift_x_mm", "shift_y_mm"), ("right–left", "back–front"), strict=False
    ):
        for (contrast, _), part in known.groupby(["contrast", "subject"], sort=False):
            part = part.sort_values("z_mm")
            z = part["z_mm"] - slices["z_mm"].min()
            ax.plot(part[column], z, color=contrast_color(contrast), linewidth=1, alpha=0.7)
        ax.axvline(0, color=GREY, linewidth=0.8, zorder=0)
        ax.set(xlabel="shift (mm)", title=title)
        ax.grid()
    axes[0, 0].set_ylabel("height along the cord (mm)")
    axes[0, 1].sharey(axes[0, 0])
    axes[0, 1].tick_params(labelleft=False)
    size = (known["shift_x_mm"] ** 2 + known["shift_y_mm"] ** 2) ** 0.5
    of_people = size.groupby([known["contrast"], known["subject"]]).median()
    ax = axes[0, 2]
    for i, contrast in enumerate(contrasts):
        values = of_people[contrast].to_numpy()
        ax.plot(
            values, i + spread_points(values.size, 0.25), "o", color=contrast_color(contrast),
            markersize=5, alpha=0.8, markeredgewidth=0,
        )  # fmt: skip
    ax.set_yticks(range(len(contrasts)), [contrast_title(c) for c in contrasts])
    ax.set(ylim=(len(contrasts) - 0.5, -0.5), xlabel="median distance moved (mm)")
    ax.set_xlim(left=0)
    ax.set_title(f"per person (n = {known['subject'].nunique()})")
    ax.grid(axis="x")
    return figure
