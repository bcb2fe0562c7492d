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
from softseg_study.names import TITLES, method_title

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


def test_errors_are_taken_from_the_truth_and_without_one_from_the_soft_masks():
    areas = table({"labels_softseg": (0.0, 1.0), "soft_all": (0.0, 0.5)})
    areas.loc[areas["method"] == "soft_all", "area_mm2"] += 3.0
    errors, name = comparison.area_errors(areas, truth())
    assert name == "true area"
    bias = errors.groupby("method")["error_mm2"].mean()
    assert bias["soft_all"] == pytest.approx(3.0, abs=0.1)
    errors, name = comparison.area_errors(areas, pd.DataFrame())
    assert name == "area of the soft masks"
    assert set(errors["method"]) == {"soft_all"}
    assert errors["error_mm2"].mean() == pytest.approx(3.0, abs=0.1)
    neither, _ = comparison.area_errors(areas[areas["method"] == "soft_all"], pd.DataFrame())
    assert neither.empty


def test_few_methods_are_shown_and_without_the_proposal_the_last_stands_for_it():
    assert comparison.few(["labels", "labels_softseg", "soft_all"]) == ["labels", "soft_all"]
    assert comparison.proposal(["labels", "theirs"]) == "theirs"


def test_a_plain_name_stands_for_one_method():
    """Contour following from the drawn mask's middle and by itself are two methods, two names."""
    titles = [method_title(key) for key in TITLES]
    assert len(set(titles)) == len(titles)
