"""Variability, errors and corrected tests against closed forms, SciPy and counted outcomes."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from softseg_study.statistics.summary import bootstrap_interval, summarise
from softseg_study.statistics.variability import contrast_variability, csa_error

CONTRASTS = ["DWI", "MT-on", "GRE-T1w", "T1w", "T2star", "T2w"]


def cohort(n=12, methods=("hard", "soft"), spread=(3.0, 1.0), seed=0):
    rng = np.random.default_rng(seed)
    rows = []
    for subject in range(n):
        area = rng.normal(72, 7)
        for contrast in CONTRASTS:
            rows.append((f"sub-{subject:03d}", contrast, "truth", area))
            for method, sd in zip(methods, spread, strict=True):
                rows.append((f"sub-{subject:03d}", contrast, method, area + rng.normal(0, sd)))
    return pd.DataFrame(rows, columns=["subject", "contrast", "method", "area_mm2"])


def paired(a, b):
    n = len(a)
    return pd.DataFrame(
        {
            "subject": [*range(n), *range(n)],
            "method": ["a"] * n + ["b"] * n,
            "sd_mm2": [*a, *b],
        }
    )


def test_variability_is_the_sample_sd_over_contrasts_of_each_person():
    table = cohort()
    found = contrast_variability(table)
    one = table[(table["subject"] == "sub-003") & (table["method"] == "hard")]["area_mm2"]
    row = found[(found["subject"] == "sub-003") & (found["method"] == "hard")].iloc[0]
    assert row["sd_mm2"] == pytest.approx(np.std(one, ddof=1))
    assert row["cov_percent"] == pytest.approx(100 * stats.variation(one, ddof=1))
    assert row["n_contrasts"] == 6
    assert len(found) == 12 * 3


def test_a_constant_added_to_all_areas_leaves_the_sd_and_a_factor_leaves_the_cov():
    table = cohort()
    plain = contrast_variability(table)
    shifted = contrast_variability(table.assign(area_mm2=table["area_mm2"] + 5))
    scaled = contrast_variability(table.assign(area_mm2=table["area_mm2"] * 1.3))
    np.testing.assert_allclose(shifted["sd_mm2"], plain["sd_mm2"], atol=1e-9)
    np.testing.assert_allclose(scaled["cov_percent"], plain["cov_percent"], atol=1e-9)


def test_a_missing_contrast_is_left_out_and_counted():
    table = cohort()
    table.loc[(table["subject"] == "sub-000") & (table["contrast"] == "T1w"), "area_mm2"] = np.nan
    found = contrast_variability(table).set_index("subject")["n_contrasts"]
    assert set(found["sub-000"]) == {5}
    assert set(found["sub-001"]) == {6}


def test_two_rows_for_one_image_are_refused_and_told_apart_on_request():
    table = cohort()
    both = pd.concat([table.assign(mask="soft"), table.assign(mask="binary")])
    with pytest.raises(ValueError, match="columns left: mask"):
        contrast_variability(both)
    assert len(contrast_variability(both, by=("mask",))) == 2 * 12 * 3


def test_errors_are_signed_and_matched_to_the_truth_of_the_same_image():
    table = pd.DataFrame(
        {
            "subject": ["s1"] * 4,
            "contrast": ["T1w", "T2w"] * 2,
            "method": ["truth"] * 2 + ["hard"] * 2,
            "area_mm2": [70.0, 72.0, 66.5, 75.6],
        }
    )
    found = csa_error(table)
    assert found["error_mm2"].tolist() == pytest.approx([-3.5, 3.6])
    assert found["absolute_error_mm2"].tolist() == pytest.approx([3.5, 3.6])
    assert found["error_percent"].tolist() == pytest.approx([-5, 5])
    one_truth = pd.DataFrame({"subject": ["s1"], "area_mm2": [70.0]})
    found = csa_error(table[table["method"] == "hard"], one_truth)
    assert found["error_mm2"].tolist() == pytest.approx([-3.5, 5.6])


def test_a_table_without_truth_says_which_methods_it_has():
    with pytest.raises(ValueError, match="found hard, soft"):
        csa_error(cohort().query("method != 'truth'"))


def test_summary_is_over_participants_not_over_rows():
    table = pd.DataFrame(
        {"subject": ["a", "a", "a", "b"], "method": "m", "v": [1.0, 2.0, 3.0, 6.0]}
    )
    row = summarise(table, "v").iloc[0]
    assert (row["n"], row["mean"]) == (2, 4)
    assert row["sd"] == pytest.approx(np.std([2, 6], ddof=1))


def test_the_bootstrap_interval_of_a_mean_is_near_the_normal_one():
    values = np.random.default_rng(3).normal(10, 2, 200)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_bootstrap_is_a_function_of_values_and_seed():
    values = np.random.default_rng(3).normal(size=30)
    assert bootstrap_interval(values, seed=4) == bootstrap_interval(values, seed=4)
    assert bootstrap_interval(values, seed=4) != bootstrap_interval(values, seed=5)
