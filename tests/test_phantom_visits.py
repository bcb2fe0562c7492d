"""The same participants again: one cord that shrinks by what was asked, and everything else new."""

import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest

from softseg.contrasts import CONTRASTS
from softseg.csa.aggregation import aggregate
from softseg.csa.measure import measure
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.phantom.cohort import write_cohort
from softseg.phantom.subjects import CohortOptions
from softseg.phantom.true_areas import true_areas
from softseg.volume import Grid, Volume
from softseg_study.evaluation.areas import true_csa
from softseg_study.phantom import visits
from softseg_study.phantom.visits import VisitOptions, read_visits, visited_subject, write_visits

LOSSES = (0.0, 0.0, 5.0)


def contents(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """One participant, three visits, one contrast that is quick to make."""
    out = tmp_path_factory.mktemp("visits") / "one"
    return write_visits(
        out, subjects=1, seed=4, atrophies_percent=LOSSES, contrasts=["DWI"], jobs=1
    )


@pytest.mark.parametrize("percent", [0.5, 1.0, 3.0, 5.0])
def test_the_true_area_shrinks_by_what_was_asked(percent):
    options = VisitOptions(CohortOptions(seed=9, contrasts=("T2w",)), (0.0, percent))
    grid = Grid(
        (48, 48, 12), np.array([[-0.5, 0, 0, 12], [0, 0.5, 0, -12], [0, 0, 3, -18], [0, 0, 0, 1.0]])
    )
    for participant in range(3):
        before, after = (
            true_areas(visited_subject(options, participant, v).anatomy, grid) for v in (0, 1)
        )
        ratio = after["area_mm2"] / before["area_mm2"]
        np.testing.assert_allclose(100 * (1 - ratio), percent, atol=0.1)


def test_only_the_cord_differs_between_visits():
    options = VisitOptions(CohortOptions(seed=9, contrasts=("T2w",)), (0.0, 5.0))
    before, after = (visited_subject(options, 0, visit) for visit in (0, 1))
    assert before.row | {"pathology": ""} == after.row | {"pathology": ""}
    a, b = before.anatomy, after.anatomy
    for column in ("sac_rl", "sac_ap", "pia", "twist"):
        np.testing.assert_array_equal(a.profiles.column(column), b.profiles.column(column))
    shrunk = b.profiles.column("half_rl") / a.profiles.column("half_rl")
    np.testing.assert_allclose(shrunk, np.sqrt(0.95), rtol=1e-5)


def test_each_session_lies_where_the_index_finds_it_with_masks_labels_and_truth(one):
    dataset = Dataset.index(one, contrasts=["DWI"])
    assert dataset.sessions("sub-001") == ["ses-1", "ses-2", "ses-3"]
    for session in dataset.sessions("sub-001"):
        for pipeline, ending in (
            ("labels", "label-SC_seg"), ("labels", "label-vertebrae_dseg"),
            ("truth", "label-SC_softseg"),
        ):  # fmt: skip
            assert dataset.existing(pipeline, "sub-001", "DWI", ending, session)
    assert read_visits(one).to_dict("list") == {
        "subject": ["sub-001"] * 3,
        "session": ["ses-1", "ses-2", "ses-3"],
        "atrophy_percent": list(LOSSES),
    }


def test_a_visit_is_a_new_scan_in_a_new_position_with_a_new_rater(one):
    stem = "sub-001/ses-{0}/dwi/sub-001_ses-{0}_rec-average_dwi"
    first, again = (Volume.load(one / f"{stem.format(v)}.nii.gz") for v in (1, 2))
    shapes = first.data.shape == again.data.shape
    assert not (shapes and np.array_equal(first.data, again.data))
    masks = [
        Volume.load(one / "derivatives/labels" / f"{stem.format(v)}_label-SC_seg.nii.gz")
        for v in (1, 2)
    ]
    areas = [float(aggregate(measure(m, shape=False))["area_mm2"].iloc[0]) for m in masks]
    assert areas[0] != areas[1]


def test_the_masks_of_the_truth_and_the_table_show_the_loss(one):
    truth = true_csa(Dataset.index(one, contrasts=["DWI"]))
    areas = truth.set_index("session")["area_mm2"]
    # Slices of 5 mm lie elsewhere at each visit, and the cord's area changes along C2 and C3.
    assert areas["ses-2"] / areas["ses-1"] == pytest.approx(1, abs=0.02)
    assert areas["ses-3"] / areas["ses-1"] == pytest.approx(0.95, abs=0.02)


def test_the_first_visit_is_the_cohorts_participant(one, tmp_path):
    cohort = write_cohort(tmp_path / "c", subjects=1, seed=4, contrasts="DWI", jobs=1)
    stem = CONTRASTS["DWI"].stem("sub-001")
    visit = CONTRASTS["DWI"].stem("sub-001", "ses-1")
    a, b = (Volume.load(p) for p in (cohort / f"{stem}.nii.gz", one / f"{visit}.nii.gz"))
    np.testing.assert_array_equal(a.data, b.data)


def test_a_stopped_set_goes_on_and_more_participants_may_come_whatever_the_processes(
    one, tmp_path, monkeypatch
):
    options = {"seed": 4, "atrophies_percent": LOSSES, "contrasts": ["DWI"]}
    whole = write_visits(tmp_path / "whole", subjects=2, jobs=2, **options)
    again = shutil.copytree(one, tmp_path / "again")

    def stopping(root, options, index):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(visits, "write_all_visits", stopping)
        with pytest.raises(KeyboardInterrupt):
            write_visits(again, subjects=2, jobs=1, **options)
    assert not (again / "sub-002").exists()
    write_visits(again, subjects=2, jobs=1, **options)
    assert contents(again) == contents(whole)


def test_another_plan_or_a_foreign_folder_is_refused_and_left_alone(one, tmp_path):
    before = contents(one)
    with pytest.raises(InputError, match="seed"):
        write_visits(one, subjects=1, seed=5, atrophies_percent=LOSSES, contrasts=["DWI"])
    assert contents(one) == before
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="not a phantom cohort"):
        write_visits(tmp_path, subjects=1, seed=4)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"atrophies_percent": (0.0,)}, {"atrophies_percent": (0.0, 70.0)}, {"subjects": 0},
        {"contrasts": ["T3w"]}, {"seed": -1}, {"vendor": "Acme"}, {"jobs": 0},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused_before_anything_is_written(wrong, tmp_path):
    settings = {"subjects": 1, "seed": 1} | wrong
    with pytest.raises(InputError):
        write_visits(tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_a_data_set_without_known_losses_has_no_visits(tmp_path):
    (tmp_path / "sub-001").mkdir()
    table = pd.DataFrame({"session_id": ["ses-1"], "age": [50]})
    table.to_csv(tmp_path / "sub-001/sub-001_sessions.tsv", sep="\t", index=False)
    assert read_visits(tmp_path).empty
