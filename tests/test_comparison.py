"""Comparison of methods: who takes part, measures by method, and what is said of them."""

import numpy as np
import pandas as pd
import pytest
from tube_cohort import write_tubes

from softseg.contrasts import CONTRASTS
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg_study.evaluation import comparison
from softseg_study.evaluation.method_folders import find_folders, separate_seeds
from softseg_study.sentences.comparison import (
    comparison_values,
    say_classical,
    say_following,
    say_units,
)
from softseg_study.statistics.agreement import icc
from softseg_study.statistics.comparison import compare_methods
from softseg_study.statistics.summary import summarise
from softseg_study.statistics.variability import contrast_variability

PEOPLE = [f"sub-{i:02d}" for i in range(12)]
PATTERN = dict(zip(CONTRASTS, (-4.0, 2.0, -1.0, -3.0, 4.0, 2.0), strict=True))


def table(methods: dict[str, tuple[float, float]], *, seeds=("1",), noise=0.1) -> pd.DataFrame:
    """Methods as (how much of the contrast's pattern they show, slope on the true area)."""
    rng = np.random.default_rng(1)
    rows = [
        (subject, contrast, method, seed,
         70 + slope * (2 * k - 11) + share * offset + noise * rng.normal())
        for method, (share, slope) in methods.items()
        for seed in seeds
        for k, subject in enumerate(PEOPLE)
        for contrast, offset in PATTERN.items()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["subject", "contrast", "method", "seed", "area_mm2"])


def truth() -> pd.DataFrame:
    return table({"truth": (0.0, 1.0)}, noise=0.0).drop(columns="seed")


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    root = write_tubes(tmp_path / "data", ("sub-01", "sub-02"), contrasts=("T1w",))
    for name in ("soft_all_seed-1", "soft_all_seed-2", "theirs"):
        (root / "derivatives" / name).mkdir()
    return Dataset.index(root)


def test_models_take_part_by_their_folders_and_other_tools_by_name(dataset):
    models = ["soft_all_seed-1", "soft_all_seed-2"]
    truths = ["labels", "labels_softseg"]
    assert find_folders(dataset) == [*truths, *models]
    assert find_folders(dataset, models[1:], ["theirs"]) == [*truths, models[1], "theirs"]
    with pytest.raises(InputError, match="elsewhere: no such folder"):
        find_folders(dataset, extra=["elsewhere"])


def test_seeds_are_told_from_names_that_hold_none():
    found = separate_seeds(pd.DataFrame({"method": ["a_seed-12", "labels", "my-tool_v2"]}))
    assert found["method"].tolist() == ["a", "labels", "my-tool_v2"]
    assert found["seed"].tolist() == ["12", "0", "0"]


def test_an_extra_method_joins_the_main_ones_and_an_ablation_does_not():
    present = ["soft_all_dice", "soft_all", "labels", "theirs"]
    assert comparison.headline(present) == ["labels", "soft_all"]
    assert comparison.headline(present, ["theirs_seed-1"]) == ["labels", "soft_all", "theirs"]


def test_agreement_is_taken_within_a_training_not_of_averaged_areas():
    rng = np.random.default_rng(2)
    noisy = table({"soft_all": (0.0, 1.0)}, seeds=("1", "2", "3", "4"))
    noisy["area_mm2"] += rng.normal(0, 4, len(noisy))
    found = comparison.method_agreement(noisy).iloc[0]
    each = [icc(part).set_index("kind").loc["ICC(2,1)", "icc"] for _, part in noisy.groupby("seed")]
    assert found["icc"] == pytest.approx(np.mean(each))
    averaged = icc(comparison.mean_areas(noisy)).set_index("kind")
    assert averaged.loc["ICC(2,1)", "icc"] > found["icc"] + 0.02


def test_the_bias_of_a_pair_is_the_difference_that_was_made():
    found = comparison.method_agreement(table({"labels": (1.0, 1.0)}, noise=1e-3)).iloc[0]
    assert found["bias_mm2"] == pytest.approx(PATTERN["T1w"] - PATTERN["T2w"], abs=0.01)
    assert found["n"] == len(PEOPLE)


def test_a_missing_contrast_leaves_agreement_of_the_others():
    some = table({"labels": (1.0, 1.0)})
    some = some[some["contrast"] != "T1w"]
    found = comparison.method_agreement(some).iloc[0]
    assert np.isfinite(found["icc"])
    assert np.isnan(found["bias_mm2"])


def test_errors_are_taken_from_the_truth_and_without_one_from_the_soft_truth():
    areas = table({"labels_softseg": (0.0, 1.0), "soft_all": (0.0, 0.5)})
    areas.loc[areas["method"] == "soft_all", "area_mm2"] += 3.0
    errors, name = comparison.area_errors(areas, truth())
    assert name == "true area"
    by_method = comparison.method_errors(errors)
    assert by_method.loc["soft_all", "error_mm2"] == pytest.approx(3.0, abs=0.1)
    assert by_method.loc["soft_all", "slope"] == pytest.approx(0.5, abs=0.01)
    errors, name = comparison.area_errors(areas, pd.DataFrame())
    assert name == "area of the soft truth"
    assert set(errors["method"]) == {"soft_all"}
    assert comparison.method_errors(errors).loc["soft_all", "error_mm2"] == pytest.approx(
        3.0, abs=0.1
    )
    neither, _ = comparison.area_errors(areas[areas["method"] == "soft_all"], pd.DataFrame())
    assert neither.empty
    assert comparison.method_errors(neither).empty


def test_images_pooled_make_more_of_the_same_difference():
    """A difference between people that images repeat six times."""
    rng = np.random.default_rng(5)
    areas = table({"soft_all": (0.0, 1.0), "hard_all": (0.0, 1.0)})
    own = pd.Series(rng.normal(1.0, 1.6, len(PEOPLE)), index=PEOPLE)
    hard = areas["method"] == "hard_all"
    areas.loc[hard, "area_mm2"] += 5 + areas.loc[hard, "subject"].map(own)
    areas.loc[~hard, "area_mm2"] += 5
    errors, _ = comparison.area_errors(areas, truth())
    units = comparison.units_side_by_side(errors, ["soft_all", "hard_all"])
    assert units.loc[0, ["n", "n_images"]].tolist() == [12, 72]
    assert units.loc[0, "p_pooled"] < units.loc[0, "p_adjusted"] / 10
    assert "n = 12" in say_units(units)
    assert "n = 72" in say_units(units)
    alone = comparison.units_side_by_side(errors, ["hard_all"])
    assert alone.empty
    assert "cannot be compared" in say_units(alone)


def test_the_mixed_model_sees_sites_and_whether_the_contrast_matters():
    areas = table({"labels": (1.0, 1.0), "soft_all": (0.0, 1.0)})
    sites = pd.DataFrame({"institution_id": [f"s{k // 3}" for k in range(12)]}, index=PEOPLE)
    rng = np.random.default_rng(0)
    areas["area_mm2"] += areas["subject"].map(
        pd.Series(np.repeat(rng.normal(0, 8, 4), 3), index=PEOPLE)
    )
    found = comparison.site_effects(areas, sites).set_index("method")
    assert found.loc["labels", "p_contrast"] < 1e-6
    assert found.loc["soft_all", "p_contrast"] > 0.001
    assert found.loc["labels", "n_sites"] == 4
    assert found.loc["labels", "residual_sd_mm2"] == pytest.approx(0.1, abs=0.03)
    lonely = comparison.site_effects(areas, sites.assign(institution_id=PEOPLE))
    assert lonely["site_sd_mm2"].isna().all()
    assert set(lonely["note"]) == {"no site with two people"}
    unknown = comparison.site_effects(areas, pd.DataFrame(index=PEOPLE))
    assert unknown["site_sd_mm2"].isna().all()


def test_people_without_a_vendor_are_a_group_of_their_own(dataset):
    areas = pd.DataFrame({"subject": ["sub-01", "sub-99"]})
    found = comparison.with_participants(areas, dataset, ["manufacturer", "nothing"])
    assert found.loc[1, "manufacturer"] == "unknown"
    assert set(found["nothing"]) == {"unknown"}


def answered(share: float, *, methods=("labels", "hard_all", "soft_all", "contour_following")):
    areas = table({m: (share if m == "soft_all" else 1.0, 1.0) for m in methods})
    areas.loc[areas["method"] == "contour_following", "area_mm2"] += 7.0
    spread = contrast_variability(areas, by=("seed",))
    pairs = comparison.against(comparison.headline(methods))
    tests = compare_methods(spread, "sd_mm2", pairs=pairs)
    errors, _ = comparison.area_errors(areas, truth())
    error_table = comparison.method_errors(errors)
    found = comparison_values(
        summarise(spread, "sd_mm2").set_index("method"),
        comparison.method_agreement(areas).set_index("method"), error_table, tests,
    )  # fmt: skip
    return found | {"classical": say_classical(tests, error_table)}


def test_the_sentence_turns_with_the_result():
    assert "soft_all is smaller than that of hard_all" in answered(0.2)["verdict"]
    assert "soft_all is larger than that of hard_all" in answered(2.0)["verdict"]
    # 7 mm² of about 70
    assert "lies 10." in answered(0.2)["classical"]
    assert "% above the right one" in answered(0.2)["classical"]


def test_methods_that_are_not_there_leave_numbers_unknown_and_say_so():
    found = answered(0.2, methods=("labels", "soft_all"))
    assert np.isnan(found["sd_hard_all"])
    assert found["sd_labels"] > found["sd_soft_all"]
    assert "not both measured" in found["verdict"]
    assert "did not take part" in found["classical"]
    assert "not known" in say_following(pd.DataFrame(), pd.DataFrame())
