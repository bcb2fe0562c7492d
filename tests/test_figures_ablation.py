"""Figures of chapters 04 and 05: what they draw is what the tables say."""

import numpy as np
import pandas as pd
import pytest

from softseg_study.figures.ablation import ablation_forest
from softseg_study.figures.variability import (
    contrasts_learnt_curve,
    csa_by_contrast,
    readable_limits,
)


def comparisons() -> pd.DataFrame:
    rows = [
        ("truth", "hard_all", "sd_mm2", 4.0, 3.0, 5.0, 0.001, 0.5),
        ("truth", "hard_all", "slope", -0.1, -0.3, 0.1, 0.4, np.nan),
        ("loss", "soft_all_dice", "sd_mm2", 0.2, -0.1, 0.5, 0.2, 0.5),
    ]
    columns = ["factor", "method_a", "measure", "difference", "ci_low", "ci_high", "p_adjusted"]
    return pd.DataFrame(rows, columns=[*columns, "seed_variability"]).assign(
        method_b="soft_all", n=24
    )


def test_the_forest_has_a_panel_a_measure_and_a_row_a_variant_under_its_factor():
    figure = ablation_forest(comparisons())
    assert len(figure.axes) == 2
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["truth", "hard_all − soft_all", "loss", "soft_all_dice − soft_all"]
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [4.0, 0.2]
    filled = [dot.get_markerfacecolor() != "white" for dot in dots]
    assert filled == [True, False]
    # Seed-to-seed variability is drawn where it is known.
    assert [len(ax.patches) for ax in figure.axes] == [2, 0]


@pytest.mark.parametrize("draw", [ablation_forest, contrasts_learnt_curve])
def test_a_run_without_anything_to_compare_keeps_a_figure_that_says_so(draw):
    columns = [*comparisons().columns, "part", "sd_mm2", "n_learnt"]
    figure = draw(pd.DataFrame(columns=columns))
    assert figure.axes[0].texts[0].get_text()


def test_contrasts_never_seen_stand_beside_those_learnt():
    rows = [
        (f"sub-{i}", method, part, n, 1.0 + i / 10, error)
        for i in range(5)
        for method, n in (("soft_2_contrasts", 2), ("soft_all", 6))
        for part, error in (("all", 2.0), ("learnt", 1.0), ("not learnt", 3.0))
        if (n, part) != (6, "not learnt")
    ]
    columns = ["subject", "method", "part", "n_learnt", "sd_mm2", "absolute_error_mm2"]
    figure = contrasts_learnt_curve(pd.DataFrame(rows, columns=columns))
    assert len(figure.axes) == 2
    ticks = figure.axes[1].get_xticks().tolist()
    assert ticks == [2, 6]
    assert "n = 5 people" in figure.legends[0].get_title().get_text()


def test_one_wild_value_does_not_flatten_the_violins_and_is_counted():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"subject": np.arange(60) % 30, "method": np.repeat(["a", "b"], 30),
         "contrast": "T2w", "area_mm2": rng.normal(70, 5, 60)}
    )  # fmt: skip
    table.loc[[3, 4], "area_mm2"] = 900.0
    figure = csa_by_contrast(table)
    assert figure.axes[0].get_ylim()[1] < 120
    assert [text.get_text() for text in figure.axes[0].texts] == ["▲2"]
    assert not figure.axes[1].texts


def test_values_near_one_another_are_all_within_the_axis():
    values = np.random.default_rng(1).normal(70, 6, 500)
    low, high = readable_limits(values)
    assert low < values.min()
    assert high > values.max()
    assert readable_limits([np.nan]) == (0.0, 1.0)
