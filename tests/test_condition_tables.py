"""Tables and sentences of chapter 06 from numbers that are known."""

import numpy as np
import pandas as pd
import pytest

from softseg_study.evaluation.condition_tables import compare_conditions, summarise_conditions, wide
from softseg_study.evaluation.conditions import CONDITIONS, REFERENCE
from softseg_study.sentences.generalisation import say_conditions, say_slopes

PLAIN = CONDITIONS[REFERENCE].title
TRUE_MM2 = np.linspace(60, 82, 8)


def rows(condition, error_percent, *, method="unet", contrast="T1w", seed="1", failed=()):
    """One image a person whose area is off by a share; people in `failed` have none."""
    return [
        {
            "condition": condition,
            "method": method,
            "seed": seed,
            "subject": f"sub-{i}",
            "contrast": contrast,
            "dice": 0.1 if i in failed else 0.9,
            "failed": i in failed,
            "area_mm2": np.nan if i in failed else true * (1 + error / 100),
            "truth_mm2": true,
            "error_percent": np.nan if i in failed else error,
            "slice_error_percent": np.nan if i in failed else abs(error),
        }
        for i, (true, error) in enumerate(
            zip(TRUE_MM2, np.broadcast_to(error_percent, len(TRUE_MM2)), strict=True)
        )
    ]


def table(*parts):
    return pd.DataFrame([row for part in parts for row in part])


def test_means_are_over_people_and_signed_errors_keep_their_sign():
    both = table(rows(PLAIN, -4.0), rows(PLAIN, 2.0, contrast="T2star"))
    row = summarise_conditions(both).iloc[0]
    assert row["absolute_error_percent"] == pytest.approx(3)
    assert row["error_percent"] == pytest.approx(-1)
    assert row["people"] == len(TRUE_MM2)
    assert row["images"] == 2 * len(TRUE_MM2)


def test_failures_are_counted_and_left_out_of_the_means():
    row = summarise_conditions(table(rows(PLAIN, 5.0, failed=(0, 3)))).iloc[0]
    assert (row["failures"], row["people"]) == (2, 6)
    assert row["absolute_error_percent"] == pytest.approx(5)


def test_a_method_that_failed_everywhere_keeps_its_row():
    row = summarise_conditions(table(rows(PLAIN, 5.0, failed=range(8)))).iloc[0]
    assert row["failures"] == row["images"] == 8
    assert np.isnan(row["absolute_error_percent"])
    assert np.isnan(row["slope"])


def test_the_slope_is_that_of_the_area_on_the_truth():
    middle = TRUE_MM2.mean()
    halved = 100 * ((middle + (TRUE_MM2 - middle) / 2) / TRUE_MM2 - 1)
    summary = summarise_conditions(table(rows(PLAIN, halved), rows("GE", 3.0)))
    assert summary["slope"].tolist() == pytest.approx([0.5, 1.03])
    assert "0.50 mm², under: " + PLAIN in say_slopes(summary, "unet")


def test_spread_over_contrasts_is_that_of_the_errors():
    both = table(rows(PLAIN, 0.0), rows(PLAIN, 10.0, contrast="T2star"))
    found = summarise_conditions(both)["sd_mm2"].iloc[0]
    assert found == pytest.approx(np.mean(0.1 * TRUE_MM2 / np.sqrt(2)))
    assert np.isnan(summarise_conditions(table(rows(PLAIN, 1.0)))["sd_mm2"].iloc[0])


def test_a_condition_is_compared_with_the_reference_in_the_same_people():
    base = np.arange(8.0)
    both = table(rows(PLAIN, base), rows("GE", base + 4), rows("7 T", base + 1, failed=range(8)))
    tests = compare_conditions(both, "unet")
    assert tests["method_a"].tolist() == ["GE"], "nothing to compare where all failed"
    assert tests["median_difference"].iloc[0] == pytest.approx(4)
    assert tests["p"].iloc[0] == pytest.approx(2 / 2**8)


def test_tests_are_corrected_over_all_conditions():
    base = np.arange(8.0)
    parts = [rows(name, base + k) for k, name in enumerate([PLAIN, "GE", "7 T", "noise"])]
    tests = compare_conditions(table(*parts), "unet")
    assert tests["p_adjusted"].tolist() == pytest.approx([3 * 2 / 2**8] * 3)
    assert compare_conditions(table(*parts), "unet", correction="none")["p"].tolist() == (
        pytest.approx([2 / 2**8] * 3)
    )


def test_sentences_follow_the_numbers():
    base = np.arange(8.0)
    parts = table(rows(PLAIN, base), rows("GE", base + 4), rows("noise", base, failed=(1,)))
    said = say_conditions(summarise_conditions(parts), compare_conditions(parts, "unet"), "unet")
    assert "3.5 % off under the reference" in said
    assert "at worst 7.5 % (GE)" in said
    assert f"from +3.5 % ({PLAIN}) to +7.5 % (GE)" in said
    assert "adjusted p < 0.05) for: GE." in said
    assert "1 of 24 masks miss the cord, most of them for noise (1)." in said


def test_sentences_say_when_nothing_can_be_said():
    lost = table(rows(PLAIN, 1.0, failed=range(8)), rows("GE", 1.0, failed=range(8)))
    summary = summarise_conditions(lost)
    tests = compare_conditions(lost, "unet")
    assert tests.empty
    assert say_conditions(summary, tests, "unet").startswith("No mask of unet is usable")
    assert say_slopes(summary, "unet") == "Too few people to say whether areas follow them."
    few = table(rows(PLAIN, 1.0, failed=range(2, 8)), rows("GE", 2.0, failed=range(2, 8)))
    said = say_conditions(summarise_conditions(few), compare_conditions(few, "unet"), "unet")
    assert "With 2 people no test can tell a difference." in said


def test_a_table_for_reading_keeps_the_order_and_shows_gaps():
    both = table(rows(PLAIN, 1.0), rows("GE", 1.0, failed=range(8)), rows(PLAIN, 2.0, method="b"))
    found = wide(summarise_conditions(both), "error_percent", titles={"b": "B"})
    assert list(found.index) == [PLAIN, "GE"]
    assert list(found.columns) == ["unet", "B"]
    assert np.isnan(found.loc["GE", "unet"])
