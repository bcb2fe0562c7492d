"""Contrasts that stand for one another, in numbers and in words."""

import numpy as np
import pandas as pd
import pytest

from softseg_study.sentences.comparison import say_distance, say_reliability
from softseg_study.sentences.ground_truth import say_published, say_registration
from softseg_study.statistics.agreement import contrast_reliability, icc
from softseg_study.statistics.variability import csa_error

CONTRASTS = ("DWI", "T1w", "T2w")


def areas(noise_mm2=1.0, shift_mm2=0.0, n=30, method="hard"):
    rng = np.random.default_rng(3)
    rows = []
    for subject in range(n):
        true = rng.normal(72, 6)
        rows += [
            (f"sub-{subject:02d}", c, method, true + i * shift_mm2 + rng.normal(0, noise_mm2))
            for i, c in enumerate(CONTRASTS)
        ]
    return pd.DataFrame(rows, columns=["subject", "contrast", "method", "area_mm2"])


def test_a_shift_between_contrasts_lowers_the_agreement_and_not_the_consistency():
    straight = contrast_reliability(areas()).loc[0]
    shifted = contrast_reliability(areas(shift_mm2=5.0)).loc[0]
    assert shifted["icc"] < straight["icc"] - 0.2
    assert shifted["consistency"] == pytest.approx(straight["consistency"])
    assert shifted["widest_gap_mm2"] == pytest.approx(10, abs=0.6)
    assert (shifted["smallest_in"], shifted["largest_in"]) == ("DWI", "T2w")


def test_the_coefficients_are_those_of_the_variances_that_made_the_areas():
    found = contrast_reliability(areas(noise_mm2=3.0, n=2000)).loc[0]
    assert found["icc"] == pytest.approx(36 / (36 + 9), abs=0.02)


def test_it_is_the_icc_of_the_same_table():
    table = areas(shift_mm2=2.0)
    expected = icc(table).set_index("kind")["icc"]
    found = contrast_reliability(table).loc[0]
    assert found["icc"] == pytest.approx(expected["ICC(2,1)"])
    assert found["consistency"] == pytest.approx(expected["ICC(3,1)"])


def test_people_who_lack_a_contrast_are_left_out_and_n_says_so():
    table = pd.concat([areas(), areas(method="soft")])
    gap = (table["subject"] == "sub-03") & (table["contrast"] == "DWI")
    found = contrast_reliability(table[~gap]).set_index("method")
    assert found["n"].tolist() == [29, 29]
    assert found["n_contrasts"].tolist() == [3, 3]


@pytest.mark.filterwarnings("error")
def test_too_few_people_give_no_number_and_words_that_say_why():
    table = areas(n=1)
    found = contrast_reliability(table)
    assert np.isnan(found.loc[0, "icc"])
    assert "Too few people" in say_reliability(found, "hard", "soft")
    scattered = areas(n=3)
    kept = scattered.groupby("subject").nth([0])  # one contrast a person
    assert np.isnan(contrast_reliability(kept).loc[0, "icc"])


@pytest.mark.filterwarnings("error")
def test_areas_that_agree_exactly_are_no_error():
    assert contrast_reliability(areas(noise_mm2=0.0)).loc[0, "icc"] == pytest.approx(1)


def test_the_sentence_of_distance_follows_the_numbers_and_a_missing_truth():
    truth = areas(noise_mm2=0.0)
    low = truth.assign(area_mm2=truth["area_mm2"] - 2)
    said = say_distance(csa_error(low, truth), {"hard": "these"})
    assert said == (
        "From the true area, these are off by 2.0 mm² (mean absolute error; mean error −2.0)."
    )
    exact = say_distance(csa_error(truth, truth), {"hard": "these"})
    assert "0.0 mm² (mean absolute error; mean error 0.0)" in exact
    assert "not known" in say_distance(None, {"hard": "these"})


def test_the_sentence_of_registration_counts_flags_and_leaves_the_reference_out():
    report = pd.DataFrame(
        {
            "contrast": ["T2w", "T1w", "DWI"],
            "median_shift_mm": [0.0, 1.0, 3.0],
            "max_shift_mm": [0.0, 2.0, 5.0],
            "flags": [None, "shift", "shift, dice"],
        }
    )
    said = say_registration(report)
    assert "by 2.0 mm or more" in said
    assert "one slice by 5.0 mm" in said
    assert "2 of 3 masks are flagged" in said
    assert "none of 3 masks are flagged" in say_registration(report.assign(flags=None))
    assert say_registration(report[report["contrast"] == "T2w"]) == "No mask had to be moved."


def test_without_published_masks_the_sentence_says_that_there_is_nothing_to_compare():
    assert "nothing to compare" in say_published(pd.DataFrame(columns=["dice", "difference"]))
