"""Methods against manual masks, and against themselves on a second image of the same person."""

import json

import numpy as np
import pandas as pd
import pytest
from tubes import Tube, sample

from softseg.contrasts import CONTRASTS
from softseg.dataset.index import Dataset
from softseg.dataset.names import strip_extension
from softseg.paths import SHARED
from softseg.volume import Volume
from softseg_study.evaluation.image_masks import find_masks
from softseg_study.evaluation.manual import (
    MANUAL,
    areas_of_slices,
    evaluate_manual,
    evaluate_pairs,
)
from softseg_study.evaluation.real_images import (
    DRAWN as DRAWN_CONTRASTS,
)
from softseg_study.evaluation.real_images import (
    cross_validation,
    held_out,
    linked_copy,
    run_real,
)

AREA = 70.0
SPACING_MM = (0.7, 0.7, 3.0)
DRAWN = slice(4, 10)
"""Slices of the manual mask; nobody has looked at the others."""


def tube(spacing_mm=SPACING_MM):
    return sample(Tube(), spacing_mm, length_mm=42).soft


def put(root, folder, stem, ending, values, like):
    mask = like.like(np.asarray(values, np.float32))
    mask.save(root / "derivatives" / folder / f"{stem}_{ending}.nii.gz")


def write_person(root, subject, *, runs=(1, 2), share=(0.9, 0.8)):
    """Two scans of a tube; `net` finds a share of its fractions in each, and a blob above it."""
    soft = tube()
    hard = (soft.data > 0.5).astype(np.float32)
    manual = np.zeros_like(hard)
    manual[..., DRAWN] = hard[..., DRAWN]
    for run, part in zip(runs, share, strict=True):
        stem = f"{subject}/anat/{subject}_run-{run}_T2star"
        soft.save(root / f"{stem}.nii.gz")
        put(root, "labels", stem, "label-SC_seg", manual, soft)
        found = part * soft.data
        found[..., 12:] = 0
        put(root, "net", stem, "label-SC_softseg", found, soft)
        put(root, "tool", stem, "label-SC_seg", hard, soft)
        put(root, "lost", stem, "label-SC_seg", 0 * hard, soft)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Two people, one of them listed twice; the second entry has two contrasts on one grid."""
    root = tmp_path_factory.mktemp("real")
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": "x", "BIDSVersion": "1.9.0"})
    )
    people = "participant_id\tperson\nsub-a\ta\nsub-b\ta\nsub-c\tc\n"
    (root / "participants.tsv").write_text(people)
    write_person(root, "sub-a")
    for contrast, spacing in (("T1w", SPACING_MM), ("GRE-T1w", SPACING_MM), ("T2w", (1, 1, 1))):
        soft = tube(spacing)
        for subject in ("sub-b", "sub-c"):
            stem = CONTRASTS[contrast].stem(subject)
            soft.save(root / f"{stem}.nii.gz")
            put(root, "net", stem, "label-SC_softseg", soft.data, soft)
    return root


@pytest.fixture(scope="module")
def data(real):
    return Dataset.index(real)


def test_only_slices_that_were_drawn_count(data):
    found = evaluate_manual(data, {"net": "net", "tool": "tool"}).set_index(["image", "method"])
    assert set(found.index.get_level_values("image")) == {
        "sub-a_run-1_T2star",
        "sub-a_run-2_T2star",
    }
    tool = found.loc[("sub-a_run-1_T2star", "tool")]
    assert tool["dice"] == 1, "slices above and below the manual mask say nothing"
    assert tool["error_percent"] == pytest.approx(0, abs=0.5)
    assert tool["n_slices"] == DRAWN.stop - DRAWN.start
    net = found.loc[("sub-a_run-1_T2star", "net")]
    assert net["area_mm2"] == pytest.approx(0.9 * AREA, rel=0.01)


def test_masks_that_are_missing_or_empty_are_named(data):
    other = data.root / "derivatives/none/elsewhere_label-SC_seg.nii.gz"
    tube().save(other)
    found = evaluate_manual(data, {"lost": "lost", "none": "none"})
    other.unlink()
    other.parent.rmdir()
    assert found.groupby("method")["status"].unique().map(list).to_dict() == {
        "lost": ["empty mask"], "none": ["no mask"],
    }  # fmt: skip
    assert (found.loc[found["method"] == "lost", "dice"] == 0).all()


def test_images_of_one_person_are_pairs_slice_by_slice_or_over_a_common_stretch(data):
    found = evaluate_pairs(data, {"net": "net"})
    assert found.loc[found["subject"] == "sub-a", "kind"].tolist() == ["repeat"]
    repeat = found[found["kind"] == "repeat"].iloc[0]
    assert repeat["difference_percent"] == pytest.approx(100 * 0.1 / 0.85, rel=0.01)
    other = found[found["subject"] == "sub-b"]
    pairs = {
        frozenset(pair) for pair in zip(other["contrast"], other["other_contrast"], strict=True)
    }
    assert pairs == {frozenset(p) for p in (("T1w", "GRE-T1w"), ("T1w", "T2w"), ("GRE-T1w", "T2w"))}
    assert other["difference_percent"].max() < 1, "the same tube"


def test_what_only_one_of_two_grids_shows_does_not_count(data):
    def predict(path):
        image = Volume.load(path)
        lower = np.arange(image.data.shape[2]) < image.data.shape[2] / 2
        fine = image.spacing_mm[2] < 2
        return image.like(image.data * np.where(lower, 0.0 if fine else 0.7, 1.0))

    found = evaluate_pairs(data, {"half": predict})
    mixed = found[(found["subject"] == "sub-b") & (found["other_contrast"] == "T2w")]
    mixed = pd.concat([mixed, found[(found["subject"] == "sub-b") & (found["contrast"] == "T2w")]])
    assert len(mixed) == 2
    assert mixed["difference_percent"].max() < 3, "faint below, where the fine one holds nothing"


def test_an_empty_mask_has_no_areas_and_partial_ends_do_not_count():
    soft = tube()
    assert areas_of_slices(soft.like(0 * soft.data)).empty
    areas = areas_of_slices(soft.oriented())
    assert areas.iloc[1:-1].to_numpy() == pytest.approx(AREA, rel=0.01)


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_real_images_are_linked_segmented_beside_and_never_written_to(real, tmp_path):
    before = contents(real)
    scores, pairs = run_real(real, tmp_path / "copy", {"contour": "contour"})
    assert contents(real) == before
    assert set(scores["method"]) == {"contour", "net", "tool", "lost"}
    assert set(scores["image"]) == {"sub-a_run-1_T2star"}, "the mask was drawn on the first scan"
    assert set(pairs["kind"]) == {"repeat", "contrast"}
    assert (tmp_path / "copy/sub-a/anat/sub-a_run-1_T2star.nii.gz").is_symlink()
    assert list((tmp_path / "copy/derivatives/contour").rglob("*.nii.gz"))
    assert linked_copy(real, tmp_path / "copy") == tmp_path / "copy", "links stay"


def test_weights_are_not_scored_on_people_whose_masks_they_have_learnt(real, tmp_path, monkeypatch):
    monkeypatch.setattr("softseg.network.weights.SHIPPED", tmp_path)
    table = pd.DataFrame(
        {
            "image": ["sub-a_run-1_T2star.nii.gz", "sub-a_run-2_T2star.nii.gz",
                      "sub-z_T2w.nii.gz", "sub-z_flip-1_mt-on_MTS.nii.gz"],
            "person": ["a", "a", "z", "z"], "contrast": ["T2star", "T2star", "T2w", "MT-on"],
            "dice": [0.91, 0.5, 0.92, 0.9], "area_mm2": [77.0, 60, 70, 70],
            "manual_area_mm2": [70.0, 70, 70, 70],
        }
    )  # fmt: skip
    table.to_csv(tmp_path / "contour_crossvalidation.csv", index=False)
    scores, pairs = run_real(
        real, tmp_path / "copy", {"contour": "contour"}, trained_on_them=["contour"]
    )
    own = scores[scores["method"].str.startswith("contour")]
    assert own["method"].tolist() == ["contour"]
    assert own["dice"].tolist() == [0.91]
    counted = cross_validation("contour", folder=tmp_path)["image"].tolist()
    assert counted == ["sub-a_run-1_T2star", "sub-z_T2w"], "one count in every chapter"
    assert own["error_percent"].tolist() == pytest.approx([10])
    assert set(pairs.loc[pairs["method"] == "contour", "subject"]) == {"sub-c"}, "b is a"


def test_without_real_images_the_tables_are_empty(tmp_path):
    scores, pairs = run_real(tmp_path / "absent", tmp_path / "copy", {}, trained_on_them=["none"])
    assert scores.empty
    assert pairs.empty
    assert not (tmp_path / "copy").exists()
    assert cross_validation("none", folder=tmp_path).empty


def test_as_many_people_as_asked_for_and_labelled_ones_first(real, tmp_path):
    scores, pairs = run_real(real, tmp_path / "one", {}, people=1)
    assert set(scores["subject"]) == set(pairs["subject"]) == {"sub-a"}
    assert run_real(real, tmp_path / "none", {}, people=0)[0].empty
    (tmp_path / "splits.json").write_text('{"test": ["sub-c"]}')
    only = {"subjects": held_out(tmp_path)}
    assert set(run_real(real, tmp_path / "only", {}, **only)[1]["subject"]) == {"sub-c"}
    assert held_out(tmp_path / "absent") is None


@pytest.mark.real
def test_propseg_from_the_manual_centreline_scores_as_published_tools_do(real_data, tmp_path):
    scores, _ = run_real(real_data, tmp_path / "copy", {}, people=4)
    dice = scores.groupby(["method", "subject"])["dice"].mean().groupby("method").mean()
    assert dice["propseg-centreline"] > 0.9
    assert dice["propseg-centreline"] >= dice["propseg-auto"]


@pytest.mark.skipif(not (SHARED / "real").exists(), reason=f"no real images at {SHARED}")
def test_chapters_on_generalisation_and_your_images_count_the_same_real_images():
    data = Dataset.index(SHARED / "real", contrasts=DRAWN_CONTRASTS, entities={"run": "1"})
    entries = find_masks(data, {}, extra={"manual": MANUAL})
    images = {strip_extension(e.image.name) for e in entries if e.extra["manual"] is not None}
    assert set(cross_validation("axial")["image"]) == images
