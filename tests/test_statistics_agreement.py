"""The intraclass correlation against a published worked example."""

import numpy as np
import pandas as pd
import pytest

from softseg_study.statistics.agreement import icc

JUDGES = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)
"""Shrout and Fleiss 1979, table 2: six subjects, four judges."""


def tidy(x):
    subject, contrast = np.indices(x.shape).reshape(2, -1)
    return pd.DataFrame(
        {
            "subject": [f"s{i}" for i in subject],
            "contrast": [f"c{i}" for i in contrast],
            "area_mm2": x.ravel().astype(float),
        }
    )


def test_intraclass_correlations_are_those_that_shrout_and_fleiss_print():
    found = icc(tidy(JUDGES))
    assert found["icc"] == pytest.approx(0.29, abs=0.006)
    assert found["consistency"] == pytest.approx(0.71, abs=0.006)


def test_the_interval_of_the_intraclass_correlation_is_that_of_r():
    """Package psych, function ICC, on the same table."""
    found = icc(tidy(JUDGES))
    assert found["ci_low"] == pytest.approx(0.019, abs=0.006)
    assert found["ci_high"] == pytest.approx(0.76, abs=0.006)


def test_a_bias_between_contrasts_lowers_absolute_agreement_and_not_consistency():
    x = np.random.default_rng(0).normal(70, 7, (30, 1)) + np.array([0.0, 0.0, 8.0])
    x = x + np.random.default_rng(1).normal(0, 0.1, x.shape)
    found = icc(tidy(x))
    assert found["consistency"] > 0.99
    assert found["icc"] < 0.8


def test_a_participant_without_a_contrast_is_left_out_of_the_icc_and_n_says_so():
    table = tidy(JUDGES)
    table.loc[3, "area_mm2"] = np.nan
    found = icc(table)
    assert found["n"] == 5
    np.testing.assert_allclose(found, icc(tidy(JUDGES[1:])))


def test_double_rows_and_too_few_people_are_refused():
    with pytest.raises(ValueError, match="several"):
        icc(pd.concat([tidy(JUDGES), tidy(JUDGES)]))
    with pytest.raises(ValueError, match="found 1 and 4"):
        icc(tidy(JUDGES[:1]))
