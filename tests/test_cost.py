"""What the book costs is counted from its scales, and two cores have the time for it."""

import pandas as pd
import pytest
from scripts import ROOT

MOST_CORE_HOURS = 4.2
"""Of an execution in one sitting: 130 minutes of two cores."""


@pytest.fixture(scope="module")
def cost():
    import sys

    sys.path.insert(0, str(ROOT / "notebooks"))
    import cost

    return cost


@pytest.fixture
def timed(cost) -> pd.DataFrame:
    return cost.read_times(cost.TABLE)


def test_the_committed_table_counts_what_the_scales_of_the_book_say(cost, timed, tmp_path):
    cost.cost_table(cost.read_scale(cost.BOOK), timed).to_csv(tmp_path / "cost.csv", index=False)
    assert (tmp_path / "cost.csv").read_text() == cost.TABLE.read_text(), "run notebooks/cost.py"


def test_the_book_can_be_executed_in_one_sitting(cost, timed):
    table = cost.cost_table(cost.read_scale(cost.BOOK), timed)
    assert table["core hours"].iloc[-1] < MOST_CORE_HOURS


@pytest.mark.parametrize("name", ["tiny", "demo", "book"])
def test_every_unit_of_a_scale_of_phantoms_was_timed(cost, timed, name):
    table = cost.cost_table(cost.read_scale([cost.BOOK[0].with_name(f"{name}.yml")]), timed)
    assert table["core hours"].iloc[-1] > 0


def test_a_unit_that_was_never_timed_is_named(cost, timed):
    scale = cost.read_scale(cost.BOOK)
    with pytest.raises(KeyError, match="03 step, volume"):
        cost.cost_table(scale, timed[~timed["unit"].str.contains("volume")])


def test_steps_people_and_masks_are_counted(cost):
    scale = cost.read_scale([cost.BOOK[0].with_name("demo.yml")])
    scale["dataset"]["subjects"] = 54
    scale["notebooks"]["03_training"] = {"steps": 10}
    scale["models"] = {
        "soft_all": {"seeds": [1, 2]},
        "hard_all": {"settings": {"steps": 3}},
        "soft_T1w": {"contrasts": ["T1w"]},
        "soft_all_volume": {"network": "volume", "contrasts": ["T1w"]},
        "synthseg": {"augmentation": "synthseg", "segmented": ["T1w", "T2w"]},
    }
    units = cost.count_units(scale)
    assert units["cohort", "image drawn"] == 54 * 6
    assert units["03", "training"] == 6
    assert units["03", "step, light augmentation"] == 2 * 10 + 3 + 10
    assert units["03", "step, volume"] == units["03", "step, synthseg augmentation"] == 10
    assert units["03", "mask"] == 24 * (2 * 6 + 6 + 1 + 1 + 2)
    assert units["04", "mask"] == units["03", "mask"] + 3 * 24 * 6
    assert units["08", "image drawn"] == 3 * 3 * 2
    assert units["08", "mask"] == 18 * 3 + 18 * (2 * 6 + 6 + 1) // 6
