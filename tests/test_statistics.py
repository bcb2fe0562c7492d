"""Variability, errors and corrected tests against closed forms, SciPy and counted outcomes."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from softseg_study.statistics.comparison import (
    adjust,
    compare_methods,
    paired_test,
    signed_rank_p,
)
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


def test_one_contrast_has_no_spread():
    table = cohort()
    found = contrast_variability(table, contrasts=["T2w"])
    assert found["sd_mm2"].isna().all()


def test_complete_keeps_only_people_who_lack_nothing_under_any_method():
    table = cohort()
    table = table.drop(
        table[(table["subject"] == "sub-004") & (table["method"] == "soft")].index[0]
    )
    found = contrast_variability(table, complete=True)
    assert "sub-004" not in set(found["subject"])
    assert found["subject"].nunique() == 11


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


@pytest.mark.parametrize("n", [3, 6, 9, 20, 50])
def test_p_without_ties_is_scipys_exact_one(n):
    difference = np.random.default_rng(n).normal(0.4, 1, n)
    expected = stats.wilcoxon(difference, method="exact").pvalue
    assert paired_test(difference, np.zeros(n))["p"] == pytest.approx(expected)


def test_p_with_ties_is_the_share_of_sign_flips_at_least_as_extreme():
    difference = np.array([1.0, 1, 2, -1, 2, 3, 3, 0])
    ranks = stats.rankdata(np.abs(difference[:-1]))
    observed = abs((ranks * np.sign(difference[:-1])).sum())
    sums = [abs((ranks * signs).sum()) for signs in product([-1, 1], repeat=7)]
    expected = np.mean(np.array(sums) >= observed - 1e-9)
    assert paired_test(difference, np.zeros(8))["p"] == pytest.approx(expected)


def test_p_of_many_pairs_is_scipys_normal_one():
    difference = np.random.default_rng(1).normal(0.1, 1, 80)
    expected = stats.wilcoxon(difference, method="asymptotic").pvalue
    assert paired_test(difference, np.zeros(80))["p"] == pytest.approx(expected)


def test_the_null_of_equal_methods_gives_p_one_and_no_effect():
    row = compare_methods(paired([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]), "sd_mm2")
    assert row.loc[0, ["p", "rank_biserial", "median_difference"]].tolist() == [1, 0, 0]


@pytest.mark.parametrize("n", [2, 4, 5])
def test_five_people_or_fewer_are_too_few_for_any_outcome(n):
    row = compare_methods(paired(np.arange(n) + 9.0, np.arange(n) * 0.5), "sd_mm2").loc[0]
    assert row["p"] == row["smallest_p"] == 2 / 2**n
    assert row["note"].startswith("n too small")


def test_six_people_suffice_for_one_comparison_but_not_for_three():
    table = paired(np.arange(6) + 9.0, np.arange(6) * 0.5)
    alone = compare_methods(table, "sd_mm2")
    assert alone.loc[0, "note"] == ""
    assert alone.loc[0, "p_adjusted"] < 0.05
    third = table[table["method"] == "a"].assign(method="c", sd_mm2=lambda t: t["sd_mm2"] ** 2)
    family = compare_methods(pd.concat([table, third]), "sd_mm2")
    assert family["p_adjusted"].min() > 0.05
    assert family["note"].str.startswith("n too small for 3 comparisons").all()


def test_rank_biserial_is_plus_one_where_a_is_always_larger_and_changes_sign_with_the_pair():
    table = paired(np.arange(8) + 5.0, np.arange(8) * 0.9)
    forth = compare_methods(table, "sd_mm2", pairs=[("a", "b")]).loc[0]
    back = compare_methods(table, "sd_mm2", pairs=[("b", "a")]).loc[0]
    assert forth["rank_biserial"] == 1
    assert back["rank_biserial"] == -1
    assert forth["p"] == back["p"]
    assert forth["median_difference"] == -back["median_difference"] > 0


def test_a_pair_with_a_missing_value_is_dropped_and_n_says_so():
    table = paired([3.0, 4, 5, 6], [1.0, 2, 3, np.nan])
    assert compare_methods(table, "sd_mm2").loc[0, "n"] == 3


def test_pooling_contrasts_multiplies_n_by_the_number_of_contrasts():
    errors = csa_error(cohort())
    by_participant = compare_methods(errors, "absolute_error_mm2")
    pooled = compare_methods(errors, "absolute_error_mm2", unit=("subject", "contrast"))
    assert (by_participant.loc[0, "n"], pooled.loc[0, "n"]) == (12, 72)


@pytest.mark.parametrize("correction", ["holm", "bonferroni"])
def test_corrections_are_those_of_statsmodels_over_the_family(correction):
    table = pd.concat([cohort(seed=s).replace({"hard": f"hard{s}"}).query("method != 'truth'")
                       .replace({"soft": f"soft{s}"}) for s in range(2)])  # fmt: skip
    spread = contrast_variability(table)
    found = compare_methods(spread, "sd_mm2", correction=correction)
    assert len(found) == 6
    expected = multipletests(found["p"], method=correction)[1]
    np.testing.assert_allclose(found["p_adjusted"], expected)


def test_an_unknown_method_or_correction_is_named():
    with pytest.raises(ValueError, match="'c'"):
        compare_methods(paired([1, 2], [2, 3]), "sd_mm2", pairs=[("a", "c")])
    with pytest.raises(ValueError, match="'bh'"):
        compare_methods(paired([1, 2], [2, 3]), "sd_mm2", correction="bh")


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


def test_the_bootstrap_agrees_with_scipys():
    values = np.random.default_rng(5).exponential(size=60)
    ours = bootstrap_interval(values, np.median)
    theirs = stats.bootstrap(
        (values,), np.median, method="percentile", n_resamples=4999, rng=np.random.default_rng(0)
    ).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.05)


def simulated_differences(n_people, n_contrasts, correlation, rng):
    """Differences of two equally good methods; those of one person's contrasts go together."""
    shared = rng.normal(size=(n_people, 1)) * np.sqrt(correlation)
    return shared + rng.normal(size=(n_people, n_contrasts)) * np.sqrt(1 - correlation)


def test_people_as_units_keep_the_error_rate_and_pooled_contrasts_do_not():
    rng = np.random.default_rng(0)
    runs = [simulated_differences(8, 6, 0.5, rng) for _ in range(400)]
    by_participant = np.mean([signed_rank_p(d.mean(axis=1)) < 0.05 for d in runs])
    pooled = np.mean([signed_rank_p(d.ravel()) < 0.05 for d in runs])
    assert by_participant < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert pooled > 0.15


def any_false_alarm(n_runs, correction):
    """Share of runs in which one of six comparisons of four equal methods is called different."""
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(n_runs):
        values = rng.normal(size=(15, 1)) + rng.normal(size=(15, 4))
        p = [signed_rank_p(values[:, a] - values[:, b]) for a in range(4) for b in range(a)]
        alarms += adjust(p, correction).min() < 0.05
    return alarms / n_runs


@pytest.mark.parametrize("correction", ["holm", "bonferroni"])
def test_a_correction_keeps_the_chance_of_any_false_alarm_below_five_per_cent(correction):
    assert any_false_alarm(200, "none") > 0.12
    assert any_false_alarm(200, correction) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.stress
@pytest.mark.parametrize("correction", ["holm", "bonferroni"])
def test_the_chance_of_a_false_alarm_stays_below_five_per_cent_over_thousands_of_runs(correction):
    assert any_false_alarm(5000, correction) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 5000)
