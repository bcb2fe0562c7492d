"""Figures of study sizes: what is drawn is what the table says, also where nothing is seen."""

import numpy as np
import pandas as pd
import pytest

from softseg_study.figures.atrophy import HANDLINGS, contrast_cost_plot
from softseg_study.statistics.studies import DESIGNS

METHODS = ("labels", "soft_all", "blind")


def sizes():
    rows = []
    for place, design in enumerate(DESIGNS):
        for method, n in zip(METHODS, (400.0, 90.0, np.inf), strict=True):
            for atrophy in (1, 2):
                many = n * (place + 1) / atrophy**2
                rows.append((design, method, atrophy, many, 0.7 * many, 2 * many))
    columns = ["design", "method", "atrophy_percent", "n_per_arm", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def points(ax):
    """Drawn positions of single marks."""
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 1]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines]


def test_every_handling_of_contrasts_is_drawn_at_its_number_of_people():
    table = sizes()
    figure = contrast_cost_plot(table, atrophy_percent=2)
    for panel, ax in enumerate(figure.axes):
        drawn = sorted(x for x, _ in points(ax) if np.isfinite(x))
        designs = [names[panel] for _, *names in HANDLINGS.values()]
        rows = table[table["design"].isin(designs) & (table["atrophy_percent"] == 2)]
        expected = sorted(rows["n_per_arm"][np.isfinite(rows["n_per_arm"])])
        assert drawn == pytest.approx(expected)
        low, high = ax.get_xlim()
        assert low < min(expected) <= max(expected) < high < 1e5
    figure.canvas.draw()
