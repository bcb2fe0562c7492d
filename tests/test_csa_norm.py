"""The population's cord: what ships, how people are put on one axis, how areas are adjusted."""

import numpy as np
import pandas as pd
import pytest

from softseg.csa.levels import level_lengths_mm
from softseg.csa.norm import (
    POINTS_PER_LEVEL,
    REFERENCE,
    adjust_area,
    against_norm,
    length_profile,
    norm_levels,
    norm_profile,
)
from softseg.csa.plot import plot_profile
from softseg.errors import InputError


def person(file: str, slices_per_level: dict[int, int], area) -> pd.DataFrame:
    rows = [
        {"file": file, "level": level, "position": (k + 0.5) / n, "flag": ""}
        for level, n in slices_per_level.items()
        for k in range(n)
    ]
    table = pd.DataFrame(rows)
    table["area_mm2"] = area(table["level"] + table["position"])
    return table.iloc[::-1].reset_index(drop=True)


def test_people_with_levels_of_different_length_share_one_axis():
    area = lambda x: 80 - 2 * x  # noqa: E731
    long, short = person("a", {2: 20, 3: 30, 4: 25}, area), person("b", {2: 9, 3: 11, 4: 8}, area)
    profile = length_profile(pd.concat([long, short]))
    a, b = (profile[profile["file"] == f].reset_index(drop=True) for f in "ab")
    np.testing.assert_allclose(a["level"] + a["position"], np.arange(2.05, 5, 0.1))
    pd.testing.assert_frame_equal(a.drop(columns="file"), b.drop(columns="file"), atol=0.1)
    inner = slice(2, -2)
    expected = area(a["level"] + a["position"])
    np.testing.assert_allclose(a["area_mm2"][inner], expected[inner], atol=1e-9)


def test_a_profile_ends_where_the_person_ends():
    profile = length_profile(person("a", {3: 10}, lambda x: 70 + 0 * x).query("position > 0.5"))
    assert profile["position"].min() > 0.5


def test_partly_covered_slices_do_not_enter_a_profile():
    table = person("a", {3: 10, 4: 10}, lambda x: 70 + 0 * x)
    table.loc[0, ["area_mm2", "flag"]] = [20.0, "partial"]
    assert (length_profile(table)["area_mm2"] == 70).all()


def test_a_profile_needs_levels():
    table = person("a", {3: 4}, lambda x: 70 + 0 * x).assign(position=np.nan)
    with pytest.raises(InputError, match="a length profile needs levels"):
        length_profile(table)


def test_the_average_person_lies_on_the_norm_and_one_sd_above_at_one():
    norm = norm_profile()
    average = norm[["level", "position"]].assign(file="a", area_mm2=norm["area_mm2_mean"])
    np.testing.assert_allclose(against_norm(average)["z"], 0, atol=1e-9)
    wide = average.assign(area_mm2=norm["area_mm2_mean"] + norm["area_mm2_std"])
    np.testing.assert_allclose(against_norm(wide)["z"], 1, atol=1e-9)


def test_there_is_no_norm_beyond_the_populations_levels():
    below = pd.DataFrame({"file": ["a"], "level": [18], "position": [0.5], "area_mm2": [60.0]})
    assert against_norm(below)["z"].isna().all()


def test_the_profile_agrees_with_the_levels_of_the_larger_group():
    """150 people's profile against 203 people's means, two summaries of one cohort."""
    levels = norm_levels().set_index("level")
    profile = norm_profile()
    means = profile.groupby("level")["area_mm2_mean"].mean()
    for level in range(2, 10):
        assert means[level] == pytest.approx(levels["area_mm2_mean"][level], rel=0.01)
    assert (profile["area_mm2_p05"] < profile["area_mm2_p50"]).all()
    assert (profile["n"] >= 30).all()


def test_women_and_men_bracket_all():
    women, everyone, men = (norm_profile(s).query("level < 9") for s in ("F", "all", "M"))
    mean = [t["area_mm2_mean"].to_numpy() for t in (women, everyone, men)]
    assert (mean[0] < mean[1]).all()
    assert (mean[1] < mean[2]).all()
    with pytest.raises(InputError, match="all, F, M"):
        norm_profile("x")


def test_adjusting_makes_the_sexes_alike_and_leaves_the_reference_person():
    woman, man = 72.0 - REFERENCE.sex_mm2 / 2, 72.0 + REFERENCE.sex_mm2 / 2
    assert adjust_area(woman, sex="F") == pytest.approx(72.0)
    assert adjust_area(man, sex="M") == pytest.approx(72.0)
    assert adjust_area(72.0, height_cm=REFERENCE.height_cm) == 72.0
    assert adjust_area(72.0) == 72.0


def test_height_and_sex_together_do_not_count_twice():
    """The average man is as tall as men are: both together adjust him as sex alone does."""
    height = REFERENCE.height_cm + REFERENCE.sex_height_cm / 2
    both = adjust_area(74.0, sex="M", height_cm=height)
    assert both == pytest.approx(float(adjust_area(74.0, sex="M")))
    assert 0 < REFERENCE.height_slope_within_sex < REFERENCE.height_slope


def test_the_slope_over_both_sexes_is_that_of_simulated_people():
    """Closed form against people drawn with the within-sex slope and the sexes' difference."""
    rng = np.random.default_rng(0)
    sex = rng.integers(0, 2, 200_000) - 0.5
    height = REFERENCE.sex_height_cm * sex + rng.normal(0, REFERENCE.height_sd_cm, sex.size)
    slope, difference = REFERENCE.height_slope_within_sex, REFERENCE.sex_at_equal_height_mm2
    area = slope * height + difference * sex
    assert np.polyfit(height, area, 1)[0] == pytest.approx(REFERENCE.height_slope, rel=0.02)


def test_effects_shrink_with_the_level():
    high, low = adjust_area(72.0, sex="M"), adjust_area(36.0, sex="M", level_area_mm2=36.05)
    assert 72.0 - high == pytest.approx(2 * (36.0 - float(low)), rel=1e-3)


@pytest.mark.parametrize("options", [{"sex": "male"}, {"height_cm": 1.75}])
def test_impossible_people_are_refused(options):
    with pytest.raises(InputError, match="must be"):
        adjust_area(70.0, **options)


def test_level_lengths_are_those_of_vertebrae():
    lengths = level_lengths_mm()
    assert list(lengths) == list(range(1, 21))
    assert all(10 < length < 40 for length in lengths.values())


@pytest.mark.real
def test_the_shipped_profile_is_the_summary_of_the_published_rows(real_data):
    tables = real_data.parent / "tables"
    slices = pd.read_csv(tables / "spinegeneric_T2w_perslice_cord_canal.csv.gz")
    place = slices[slices["lev"].between(2, 12)].groupby("lev")["slice"].agg(["min", "max"])
    slices = slices.join(place, on="lev", how="inner")
    position = (slices["max"] - slices["slice"] + 0.5) / (slices["max"] - slices["min"] + 1)
    slices["position"] = ((position * POINTS_PER_LEVEL).astype(int) + 0.5) / POINTS_PER_LEVEL
    keys = ["lev", "position"]
    groups = slices.groupby(["sub", *keys])["area"].mean().groupby(keys)
    shipped = norm_profile().query("1 < level < 10")
    for name, recomputed in (("mean", groups.mean()), ("std", groups.std())):
        recomputed = recomputed[groups.size() >= 30].loc[:9]
        np.testing.assert_allclose(recomputed, shipped[f"area_mm2_{name}"], atol=2e-3)


def test_a_persons_curve_stands_in_front_of_the_population():
    pytest.importorskip("matplotlib", reason="drawn by the extra softseg[plot]")
    table = person("sub-01.nii.gz", {2: 20, 3: 30, 4: 25}, lambda x: 80 - 2 * x)
    axes = plot_profile(length_profile(table), sex="F").axes[0]
    norm, own = axes.get_lines()
    assert norm.get_label() == "Spine Generic, 72 women"
    assert own.get_label() == "sub-01.nii.gz"
    np.testing.assert_allclose(own.get_xdata(), np.arange(2.05, 5, 0.1))
    assert [t.get_text() for t in axes.get_xticklabels()] == ["C2", "C3", "C4"]
    assert axes.get_xlim() == (2, 5)
