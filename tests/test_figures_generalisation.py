"""Figures of chapter 06: what they show follows the table, and an empty table is no error."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from softseg.volume import Volume
from softseg_study.figures.gallery import Case, case_gallery
from softseg_study.figures.generalisation import (
    condition_changes,
    condition_heat_map,
    scores_by_image,
)


def errors(*values):
    return pd.DataFrame(
        {
            "condition": ["GE", "7 T"] * (len(values) // 2),
            "method": [m for m in ("soft", "hard")[: len(values) // 2] for _ in range(2)],
            "error": values,
            "failures": 0,
        }
    )


def texts(figure):
    return [t.get_text() for t in figure.findobj(Text) if t.get_text()]


def changes():
    return pd.DataFrame(
        {
            "method_a": ["GE", "7 T"], "median_difference": [4.0, 0.5], "ci_low": [3.0, -1.0],
            "ci_high": [5.0, 2.0], "p_adjusted": [0.01, 0.4],
        }
    )  # fmt: skip


def test_a_signed_heat_map_has_its_middle_at_zero_and_writes_the_sign():
    figure = condition_heat_map(errors(-2.0, 6.0), "error", label="error (%)", signed=True)
    image = figure.axes[0].images[0]
    assert image.norm.vmin == pytest.approx(-image.norm.vmax, abs=1e-6)
    assert image.norm.vmax == pytest.approx(6, abs=1e-6)
    assert {"−2.00", "+6.00"} <= set(texts(figure))


def test_a_heat_map_of_failures_only_is_drawn_and_says_so():
    table = errors(np.nan, np.nan).assign(failures=3)
    figure = condition_heat_map(table, "error", label="error (%)")
    assert texts(figure).count("–  (3 failed)") == 2


def test_changes_that_are_significant_are_filled_and_others_are_not():
    ax = condition_changes({"soft": changes()}).axes[0]
    marks = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    faces = {line.get_xdata()[0]: line.get_markerfacecolor() for line in marks}
    assert faces[0.5] == "white"
    assert faces[4.0] == marks[0].get_color()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["GE", "7 T"]


def test_every_method_has_its_own_mark_in_every_row():
    ax = condition_changes({"soft": changes(), "hard": changes()}).axes[0]
    heights = [line.get_ydata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert len(set(heights)) == 4
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first condition is on top"


def test_an_image_has_one_mark_a_method_and_seeds_are_averaged():
    table = pd.DataFrame(
        {
            "image": ["sub-a_T2w"] * 3 + ["sub-b_T2w"], "method": ["net", "net", "tool", "net"],
            "dice": [0.9, 0.7, 0.6, np.nan],
        }
    )  # fmt: skip
    ax = scores_by_image(table, "dice", label="Dice", good=0.95).axes[0]
    shown = {line.get_label(): list(line.get_xdata()) for line in ax.lines[1:]}
    assert shown == {"net": [pytest.approx(0.8)], "tool": [0.6]}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a_T2w"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: condition_changes({}),
        lambda: scores_by_image(
            pd.DataFrame(columns=["image", "method", "dice"]), "dice", label=""
        ),
    ],
    ids=["changes", "scores"],
)
@pytest.mark.filterwarnings("error")
def test_an_empty_table_gives_a_figure_that_says_so(draw):
    figure = draw()
    figure.canvas.draw()
    assert any("no " in text for text in texts(figure))


def test_a_light_outline_is_edged_in_the_legend():
    soft = Volume(np.pad(np.ones((4, 4, 2), np.float32), ((3, 3), (3, 3), (0, 0))), np.eye(4))
    figure = case_gallery([Case("one", soft, {"truth": soft})])
    line = figure.legends[0].get_lines()[0]
    assert line.get_path_effects(), "white on white cannot be seen"
