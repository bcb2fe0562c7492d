"""Agreement and models against published worked examples and statsmodels."""

import numpy as np
import pandas as pd
import pytest

from softseg.paths import SHARED
from softseg_study.statistics.agreement import icc

JUDGES = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)
"""Shrout and Fleiss 1979, table 2: six subjects, four judges."""

WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
"""Bland and Altman 1986, table 1: peak expiratory flow of 17 people, first measurements, l/min."""

CHILDREN = np.array(
    [
        [108, 96, 110, 122], [103, 117, 127, 133], [96, 107, 106, 107], [84, 85, 92, 99],
        [118, 125, 125, 116], [110, 107, 96, 91], [129, 128, 123, 128], [90, 84, 101, 113],
        [84, 104, 100, 88], [96, 100, 103, 105], [105, 114, 105, 112], [113, 117, 132, 130],
    ]
)  # fmt: skip
"""Maxwell and Delaney, Designing Experiments, table 11.5: 12 children at four ages."""

DYESTUFF = np.array(
    [
        [1545, 1440, 1440, 1520, 1580], [1540, 1555, 1490, 1560, 1495],
        [1595, 1550, 1605, 1510, 1560], [1445, 1440, 1595, 1465, 1545],
        [1595, 1630, 1515, 1635, 1625], [1520, 1455, 1450, 1480, 1445],
    ]
)  # fmt: skip
"""R's lme4::Dyestuff (Davies and Goldsmith): yield of six batches, five preparations each."""


def tidy(x):
    subject, contrast = np.indices(x.shape).reshape(2, -1)
    return pd.DataFrame(
        {
            "subject": [f"s{i}" for i in subject],
            "contrast": [f"c{i}" for i in contrast],
            "method": "m",
            "area_mm2": x.ravel().astype(float),
        }
    )


def test_intraclass_correlations_are_those_that_shrout_and_fleiss_print():
    found = icc(tidy(JUDGES)).set_index("kind")["icc"]
    printed = {
        "ICC(1,1)": 0.17, "ICC(2,1)": 0.29, "ICC(3,1)": 0.71,
        "ICC(1,k)": 0.44, "ICC(2,k)": 0.62, "ICC(3,k)": 0.91,
    }  # fmt: skip
    for kind, value in printed.items():
        assert found[kind] == pytest.approx(value, abs=0.006)


def test_intervals_of_intraclass_correlations_are_those_of_r():
    """Package psych, function ICC, on the same table."""
    found = icc(tidy(JUDGES)).set_index("kind")
    printed = {
        "ICC(1,1)": (-0.13, 0.72), "ICC(2,1)": (0.019, 0.76), "ICC(3,1)": (0.34, 0.95),
        "ICC(1,k)": (-0.88, 0.91), "ICC(2,k)": (0.071, 0.93), "ICC(3,k)": (0.68, 0.99),
    }  # fmt: skip
    for kind, (low, high) in printed.items():
        assert found.loc[kind, "ci_low"] == pytest.approx(low, abs=0.006)
        assert found.loc[kind, "ci_high"] == pytest.approx(high, abs=0.006)
    assert found.loc["ICC(1,1)", "f"] == pytest.approx(1.79, abs=0.006)
    assert found.loc["ICC(2,1)", "f"] == pytest.approx(11.03, abs=0.006)


def test_a_bias_between_contrasts_lowers_absolute_agreement_and_not_consistency():
    x = np.random.default_rng(0).normal(70, 7, (30, 1)) + np.array([0.0, 0.0, 8.0])
    x = x + np.random.default_rng(1).normal(0, 0.1, x.shape)
    found = icc(tidy(x)).set_index("kind")["icc"]
    assert found["ICC(3,1)"] > 0.99
    assert found["ICC(2,1)"] < 0.8


def test_a_participant_without_a_contrast_is_left_out_of_the_icc_and_n_says_so():
    table = tidy(JUDGES)
    table.loc[3, "area_mm2"] = np.nan
    found = icc(table)
    assert set(found["n"]) == {5}
    expected = icc(tidy(JUDGES[1:]))
    np.testing.assert_allclose(found["icc"], expected["icc"])


REAL = pytest.mark.skipif(not (SHARED / "tables").exists(), reason=f"no tables at {SHARED}")


def nested(seed, sites=12, people=8, contrasts=4):
    rng = np.random.default_rng(seed)
    rows = []
    for site in range(sites):
        at_site = rng.normal(0, 3)
        for person in range(people):
            own = rng.normal(70, 5) + at_site
            for contrast in range(contrasts):
                area = own + contrast + rng.normal(0, 1)
                rows.append((f"site{site}", f"s{site}-{person}", f"c{contrast}", area))
    return pd.DataFrame(rows, columns=["site", "subject", "contrast", "area_mm2"])


def test_double_rows_and_too_few_people_are_refused():
    with pytest.raises(ValueError, match="several"):
        icc(pd.concat([tidy(JUDGES), tidy(JUDGES)]))
    with pytest.raises(ValueError, match="found 1 and 4"):
        icc(tidy(JUDGES[:1]))
