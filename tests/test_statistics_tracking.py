"""Whether areas follow people is measured over people, against lines that are known."""

import numpy as np
import pandas as pd
import pytest

from softseg_study.statistics.variability import area_tracking

CONTRASTS = ("T1w", "T2w")


@pytest.fixture
def truth():
    areas = np.linspace(55, 90, 15)
    rows = [(f"sub-{i:02d}", c, "truth", a) for i, a in enumerate(areas) for c in CONTRASTS]
    return pd.DataFrame(rows, columns=["subject", "contrast", "method", "area_mm2"])


@pytest.mark.parametrize("slope", [1.0, 0.25, 0.0])
def test_the_slope_of_a_known_line_is_found_whatever_the_contrasts_add(truth, slope):
    offset = truth["contrast"].map({"T1w": -4.0, "T2w": 6.0})
    table = truth.assign(method="m", area_mm2=70 + slope * (truth["area_mm2"] - 70) + offset)
    found = area_tracking(table, truth).iloc[0]
    assert found["slope"] == pytest.approx(slope, abs=1e-9)
    assert found["n"] == 15
    assert found["sd_mm2"] == pytest.approx(slope * found["true_sd_mm2"], abs=1e-9)


def test_the_interval_covers_the_slope_as_often_as_it_says(truth):
    covered = 0
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(0, 4, 15).repeat(2)
        table = truth.assign(method="m", area_mm2=35 + 0.5 * truth["area_mm2"] + noise)
        found = area_tracking(table, truth).iloc[0]
        covered += found["ci_low"] < 0.5 < found["ci_high"]
    assert 180 <= covered <= 199  # 95 % of 200, three standard errors


def test_seeds_are_averaged_within_a_person(truth):
    twice = pd.concat(
        [truth.assign(method="m", seed=s, area_mm2=truth["area_mm2"] + s) for s in (1, 3)]
    )
    found = area_tracking(twice, truth, by=("seed",)).iloc[0]
    assert found["n"] == 15
    assert found["slope"] == pytest.approx(1.0)


def test_two_people_have_no_line(truth):
    two = truth[truth["subject"].isin(["sub-00", "sub-01"])]
    found = area_tracking(two.assign(method="m"), two).iloc[0]
    assert np.isnan(found["slope"])
