"""How long soft truths take: `pytest --benchmark-only tests/test_ground_truth_benchmark.py`."""

import shutil

import numpy as np
import pytest
from tubes import grid_of, moved_masks, rater_mask

from softseg.contrasts import CONTRASTS
from softseg.dataset.index import Dataset
from softseg.ground_truth.batch import make_ground_truth
from softseg.ground_truth.soft import soft_ground_truth
from softseg.quality_control.page import write_ground_truth_page

NAMES = ("T2w", "T1w", "DWI")


@pytest.fixture(scope="module")
def six():
    return moved_masks(0)[0]


@pytest.mark.benchmark(group="one participant, six contrasts")
@pytest.mark.parametrize("registration", ["none", "translation", "translation+rotation"])
def test_speed_of_one_participant(benchmark, six, registration):
    truth = benchmark(soft_ground_truth, six, registration=registration)
    assert set(truth.soft) == set(CONTRASTS)


@pytest.mark.benchmark(group="a data set", min_rounds=1, max_time=1, warmup=False)
@pytest.mark.parametrize("subjects", [5, 20, 50, 200])
def test_time_grows_linearly_with_participants(benchmark, tmp_path, subjects):
    half = (11, 18, 12.5)
    masks = {name: rater_mask(grid_of(CONTRASTS[name], half_mm=half)) for name in NAMES}
    for k in range(subjects):
        for name, mask in masks.items():
            stem = CONTRASTS[name].stem(f"sub-{k:03d}")
            mask.save(tmp_path / f"{stem}.nii.gz", np.uint8)
            mask.save(tmp_path / f"derivatives/labels/{stem}_label-SC_seg.nii.gz", np.uint8)
    dataset = Dataset.index(tmp_path)
    table = benchmark.pedantic(make_ground_truth, (dataset,), rounds=1)
    assert (table["status"] == "made").all()
    benchmark.extra_info["participants"] = subjects


@pytest.mark.benchmark(group="24 digital people, six contrasts", warmup=False)
def test_24_digital_people_on_two_processes(benchmark, tmp_path):
    """At most 60 s on two idle cores."""
    from softseg.phantom.cohort import write_cohort

    write_cohort(tmp_path / "cohort", subjects=24, seed=3, jobs=2)
    dataset = Dataset.index(tmp_path / "cohort")
    table = benchmark.pedantic(make_ground_truth, (dataset,), {"jobs": 2}, rounds=1)
    assert not (table["status"] == "failed").any()
    write_ground_truth_page(dataset)
    shutil.rmtree(tmp_path / "cohort")
