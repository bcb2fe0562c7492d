"""Tests, models and powers against printed examples, and error rates counted under the null."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from softseg_study.statistics.agreement import bland_altman
from softseg_study.statistics.comparison import adjust, compare_methods, paired_test
from softseg_study.statistics.studies import power, sample_size

GIRLS = [
    [21, 20, 21.5, 23], [21, 21.5, 24, 25.5], [20.5, 24, 24.5, 26], [23.5, 24.5, 25, 26.5],
    [21.5, 23, 22.5, 23.5], [20, 21, 21, 22.5], [21.5, 22.5, 23, 25], [23, 23, 23.5, 24],
    [20, 21, 22, 21.5], [16.5, 19, 19, 19.5], [24.5, 25, 28, 28],
]  # fmt: skip
BOYS = [
    [26, 25, 29, 31], [21.5, 22.5, 23, 26.5], [23, 22.5, 24, 27.5], [25.5, 27.5, 26.5, 27],
    [20, 23.5, 22.5, 26], [24.5, 25.5, 27, 28.5], [22, 22, 24.5, 26.5], [24, 21.5, 24.5, 25.5],
    [23, 20.5, 31, 26], [27.5, 28, 31, 31.5], [23, 23, 23.5, 25], [21.5, 23.5, 24, 28],
    [17, 24.5, 26, 29.5], [22.5, 25.5, 25.5, 26], [23, 24.5, 26, 30], [22, 21.5, 23.5, 25],
]  # fmt: skip
"""R's nlme::Orthodont (Potthoff and Roy 1964, doi:10.2307/2334137): mm at 8, 10, 12, 14 years."""

BEFORE = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
AFTER = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
"""Hollander and Wolfe 1973, page 29: depression before and after therapy; R's wilcox.test."""


def orthodont():
    rows = [
        (f"{sex}{child}", sex, 8 + 2 * visit, value)
        for sex, children in (("girl", GIRLS), ("boy", BOYS))
        for child, values in enumerate(children)
        for visit, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["subject", "sex", "age", "area_mm2"])


def test_the_signed_rank_test_of_the_depressed_patients_is_the_one_that_r_prints():
    found = paired_test(np.array(BEFORE), np.array(AFTER))
    assert found["p"] == pytest.approx(0.0390625)
    # V = 40 of 45: the positive ranks' share minus the negative ones'.
    assert found["rank_biserial"] == pytest.approx((40 - 5) / 45)
    assert found["n"] == 9


def test_holms_correction_of_four_values_is_the_one_worked_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, and never falling.
    found = adjust([0.01, 0.04, 0.03, 0.005], "holm")
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, 0.02])
    found = adjust([0.01, 0.04, 0.03, 0.005], "bonferroni")
    np.testing.assert_allclose(found, [0.04, 0.16, 0.12, 0.02])


def test_power_and_sample_size_are_those_of_rs_power_t_test():
    """Examples of its help page: n = 20, delta = 1, sd = 1; and power = 0.90, delta = 1."""
    # By default R leaves out the chance to find the wrong sign, here 2e-7.
    assert power(20, 1.0) == pytest.approx(0.8689528, abs=5e-7)
    assert power(22.02110, 1.0) == pytest.approx(0.9, abs=1e-6)
    assert sample_size(1.0, target_power=0.9) == 23


def tidy(x):
    subject, contrast = np.indices(x.shape).reshape(2, -1)
    return pd.DataFrame({"subject": subject, "contrast": contrast, "area_mm2": x.ravel()})


def equal_methods(rng, n=14, methods=4):
    """Spread over contrasts of equally good methods on the same people, skewed as SDs are."""
    values = rng.chisquare(5, (n, methods)) * rng.lognormal(0, 0.3, (n, 1))
    subject, method = np.indices(values.shape).reshape(2, -1)
    table = {"subject": subject, "method": [f"m{i}" for i in method], "sd_mm2": values.ravel()}
    return pd.DataFrame(table)


def test_the_whole_comparison_of_equal_methods_seldom_finds_a_difference(monkeypatch):
    monkeypatch.setattr(  # intervals are not what is counted, and cost most of the time
        "softseg_study.statistics.comparison.bootstrap_interval", lambda *a, **k: (np.nan, np.nan)
    )
    rng = np.random.default_rng(2)
    # Holm's values are nowhere above Bonferroni's: what holds for them holds for both.
    found = [compare_methods(equal_methods(rng), "sd_mm2") for _ in range(80)]
    alarms = [table["p_adjusted"].min() < 0.05 for table in found]
    assert np.mean(alarms) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 80)


def test_holm_finds_whatever_bonferroni_finds():
    rng = np.random.default_rng(3)
    p = rng.uniform(0, 0.05, (200, 6))
    holm, bonferroni = (np.array([adjust(row, c) for row in p]) for c in ("holm", "bonferroni"))
    assert (holm <= bonferroni + 1e-12).all()
    assert (holm < 0.05).sum() > (bonferroni < 0.05).sum()


def test_bland_and_altmans_limits_hold_the_share_that_they_promise():
    rng = np.random.default_rng(5)
    found = bland_altman(rng.normal(1, 2, 20_000), np.zeros(20_000))
    inside = stats.norm.cdf(found["high"], 1, 2) - stats.norm.cdf(found["low"], 1, 2)
    assert inside == pytest.approx(0.95, abs=0.004)
