"""A cohort on disk: valid, whole, reproducible, and true."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from softseg.contrasts import CONTRASTS, UNSEEN_CONTRASTS
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.phantom import cohort, subjects
from softseg.phantom.cohort import OPTIONS_FILE, check_folder, write_cohort
from softseg.volume import Volume

# Spine Generic's derivative names and sidecar habits, which the validator does not know.
DERIVATIVE_CODES = {
    "NOT_INCLUDED", "FILENAME_MISMATCH", "ALL_FILENAME_RULES_HAVE_ISSUES", "ENTITY_WITH_NO_LABEL",
}  # fmt: skip


def contents(root):
    """Hash of every file below a folder."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """One participant in all eleven contrasts."""
    out = tmp_path_factory.mktemp("cohorts") / "all"
    return write_cohort(out, subjects=1, seed=4, contrasts="all", jobs=1)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Three participants in two contrasts that are quick to make."""
    out = tmp_path_factory.mktemp("cohorts") / "three"
    return write_cohort(
        out, subjects=3, seed=4, contrasts="DWI,EPI", pathology="healthy,compression=30",
        jobs=1,
    )  # fmt: skip


def validate(folder):
    tool = Path(sys.executable).with_name("bids-validator-deno")
    if not tool.exists():
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run(
        [tool, "--format", "json", folder], capture_output=True, text=True, check=False
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    return Counter(i["code"] for i in issues if i["severity"] == "error")


def test_the_official_validator_finds_no_error_in_the_raw_tree(everything):
    assert validate(everything) == {}


@pytest.mark.parametrize("pipeline", ["labels", "truth"])
def test_in_derivatives_the_validator_only_misses_the_names_it_does_not_know(everything, pipeline):
    assert set(validate(everything / "derivatives" / pipeline)) <= DERIVATIVE_CODES


def test_every_contrast_has_its_image_masks_labels_and_truth(everything):
    dataset = Dataset.index(everything, contrasts=list(CONTRASTS | UNSEEN_CONTRASTS))
    assert set(dataset.images["contrast"]) == set(CONTRASTS | UNSEEN_CONTRASTS)
    for name in CONTRASTS | UNSEEN_CONTRASTS:
        for pipeline, ending in (
            ("labels", "label-SC_seg"),
            ("labels", "label-vertebrae_dseg"),
            ("labels", "label-discs_dlabel"),
            ("truth", "label-SC_softseg"),
        ):
            assert dataset.existing(pipeline, "sub-001", name, ending), f"{name} {ending}"


@pytest.mark.parametrize("name", list(CONTRASTS | UNSEEN_CONTRASTS))
def test_masks_labels_and_truth_lie_on_the_image_and_agree(everything, name):
    contrast = (CONTRASTS | UNSEEN_CONTRASTS)[name]
    stem = contrast.stem("sub-001")
    labels = everything / "derivatives" / "labels" / stem
    image = Volume.load(everything / f"{stem}.nii.gz")
    truth = Volume.load(everything / "derivatives" / "truth" / f"{stem}_label-SC_softseg.nii.gz")
    mask, levels, discs = (
        Volume.load(labels.with_name(f"{labels.name}_{ending}.nii.gz"))
        for ending in ("label-SC_seg", "label-vertebrae_dseg", "label-discs_dlabel")
    )
    for volume in (truth, mask, levels, discs):
        assert volume.grid.matches(image.grid)
    assert truth.data.min() >= 0
    assert truth.data.max() == pytest.approx(1, abs=1e-3)
    overlap = np.minimum(mask.data, truth.data).sum() / np.sqrt(mask.data.sum() * truth.data.sum())
    assert overlap > 0.7
    marked = levels.data > 0
    assert (truth.data[marked] > 0).mean() > 0.9
    assert {2, 3, 4} <= set(np.unique(levels.data))
    heights = {int(d): np.argwhere(discs.data == d) for d in np.unique(discs.data) if d > 0}
    assert all(len(voxels) == 1 for voxels in heights.values())
    for disc in (3, 4):  # a disc lies between the vertebra that has its number and the one above
        z = heights[disc][0][2]
        beside = [int(levels.data[:, :, k].max()) for k in (z - 1, z, z + 1)]
        assert disc in beside or disc - 1 in beside
    table = pd.read_csv(everything / "derivatives/truth/sub-001/sub-001_csa.csv")
    here = table[table["contrast"] == name]
    area = truth.data.sum(axis=(0, 1)) * truth.spacing_mm[0] * truth.spacing_mm[1]
    ratio = here["area_mm2"].to_numpy() / area[here["slice"]]
    assert (ratio < 1.001).all(), "the perpendicular area is the smaller one"
    assert (ratio > 0.8).all()


def test_participants_are_described(three):
    participants = pd.read_csv(three / "participants.tsv", sep="\t")
    assert list(participants["participant_id"]) == ["sub-001", "sub-002", "sub-003"]
    assert list(participants["pathology"]) == ["healthy", "compression", "healthy"]
    described = json.loads((three / "participants.json").read_text())
    assert set(participants.columns) == {"participant_id", *described}
    assert participants["sex"].isin(["F", "M"]).all()
    assert participants["age"].between(18, 90).all()
    assert participants["height"].between(140, 210).all()


def test_a_contrast_does_not_depend_on_the_others_and_a_participant_not_on_the_number(
    three, everything
):
    stem = CONTRASTS["DWI"].stem("sub-001") + ".nii.gz"
    assert (three / stem).read_bytes() == (everything / stem).read_bytes()


def test_another_seed_gives_other_participants(three, tmp_path):
    out = write_cohort(tmp_path / "other", subjects=1, seed=5, contrasts="DWI", jobs=1)
    stem = CONTRASTS["DWI"].stem("sub-001") + ".nii.gz"
    assert (three / stem).read_bytes() != (out / stem).read_bytes()


def test_a_stopped_cohort_goes_on_to_the_same_bytes_whatever_the_number_of_processes(
    three, tmp_path, monkeypatch
):
    settings = {
        "seed": 4, "contrasts": "DWI,EPI", "pathology": "healthy,compression=30",
    }  # fmt: skip
    out, real = tmp_path / "stopped", subjects.acquire
    calls = []

    def stops(*arguments, **options):
        calls.append(1)
        if len(calls) == 4:  # in the middle of the second participant
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(subjects, "acquire", stops)
    with pytest.raises(KeyboardInterrupt):
        write_cohort(out, subjects=3, jobs=1, **settings)
    assert sorted(p.name for p in out.rglob("sub-*") if p.is_dir()) == ["sub-001"] * 3
    assert not list(out.glob(".partial*"))
    monkeypatch.setattr(subjects, "acquire", real)
    (out / "derivatives" / "labels" / "sub-002").mkdir()  # as if the machine had lost power
    (out / ".partial-sub-002-abc").mkdir()
    write_cohort(out, subjects=3, jobs=2, **settings)
    assert contents(out) == contents(three)


def test_a_whole_cohort_can_be_extended_and_is_not_made_twice(tmp_path, monkeypatch):
    out = tmp_path / "grows"
    write_cohort(out, subjects=1, seed=9, contrasts="EPI", jobs=1)
    first = contents(out)
    made = []
    real = cohort.write_subject
    monkeypatch.setattr(
        cohort,
        "write_subject",
        lambda root, subject, options: made.append(subject.index) or real(root, subject, options),
    )
    write_cohort(out, subjects=2, seed=9, contrasts="EPI", jobs=1)
    assert made == [1]
    grown = contents(out)
    assert all(grown[name] == hash for name, hash in first.items() if name != "participants.tsv")


@pytest.mark.parametrize(
    "settings",
    [
        {"subjects": 0},
        {"subjects": -3},
        {"seed": -1},
        {"contrasts": "T3w"},
        {"contrasts": ""},
        {"contrasts": []},
        {"pathology": "flu"},
        {"vendor": "Acme"},
        {"field_of_view": "neck"},
        {"severity": "wild"},
        {"jobs": 0},
    ],
    ids=str,
)
def test_a_bad_setting_is_named_in_one_line_and_touches_nothing(tmp_path, settings):
    out = tmp_path / "new"
    with pytest.raises(InputError) as error:
        write_cohort(out, **({"subjects": 1, "seed": 1} | settings))
    assert "\n" not in str(error.value)
    assert not out.exists()


def test_a_folder_in_which_another_process_is_beginning_is_not_refused(tmp_path):
    (tmp_path / OPTIONS_FILE).parent.mkdir(parents=True)
    check_folder(tmp_path, OPTIONS_FILE, {"seed": 1}, 1)


def test_a_folder_that_is_not_ours_is_refused_and_left_alone(tmp_path, three):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not a phantom cohort"):
        write_cohort(tmp_path, subjects=1, seed=1)
    with pytest.raises(InputError, match="is a file"):
        write_cohort(tmp_path / "thesis.txt", subjects=1, seed=1)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    before = contents(three)
    with pytest.raises(InputError, match="seed"):
        write_cohort(three, subjects=3, seed=5, contrasts="DWI,EPI")
    with pytest.raises(InputError, match="already holds 3 participants"):
        write_cohort(
            three, subjects=2, seed=4, contrasts="DWI,EPI",
            pathology="healthy,compression=30",
        )  # fmt: skip
    assert contents(three) == before


def test_images_are_small_integers_and_masks_bytes(everything):
    stem = CONTRASTS["T2w"].stem("sub-001")
    assert nib.load(everything / f"{stem}.nii.gz").get_data_dtype() == np.int16
    mask = everything / "derivatives" / "labels" / f"{stem}_label-SC_seg.nii.gz"
    assert nib.load(mask).get_data_dtype() == np.uint8
    bold = nib.load(everything / f"{UNSEEN_CONTRASTS['EPI'].stem('sub-001')}.nii.gz")
    assert bold.ndim == 4
    assert bold.header.get_zooms()[3] == pytest.approx(2.5)


def test_series_lie_in_sourcedata_and_their_mean_is_the_image(tmp_path):
    out = write_cohort(
        tmp_path / "series", subjects=1, seed=2, contrasts="DWI,T2star,EPI", series=True,
        jobs=1,
    )  # fmt: skip
    assert validate(out) == {}
    source = out / "sourcedata" / "sub-001"
    b_values = np.loadtxt(source / "dwi" / "sub-001_dwi.bval")
    vectors = np.loadtxt(source / "dwi" / "sub-001_dwi.bvec")
    volumes = nib.load(source / "dwi" / "sub-001_dwi.nii.gz")
    assert volumes.shape[3] == len(b_values) == vectors.shape[1]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=0), b_values > 0, atol=1e-4)
    mean = volumes.get_fdata()[..., b_values > 0].mean(axis=3)
    image = Volume.load(out / f"{CONTRASTS['DWI'].stem('sub-001')}.nii.gz")
    np.testing.assert_allclose(mean, image.data, atol=1)
    echoes = Volume.load(source / "anat" / "sub-001_T2star.nii.gz", average="rms")
    image = Volume.load(out / f"{CONTRASTS['T2star'].stem('sub-001')}.nii.gz")
    np.testing.assert_allclose(echoes.data, image.data, atol=1.5)
    assert nib.load(source / "func" / "sub-001_task-rest_bold.nii.gz").shape[3] > 1


@pytest.mark.skipif(os.name != "posix", reason="interrupts as a terminal does")
def test_an_interrupted_command_says_so_and_keeps_whole_participants(tmp_path):
    out = tmp_path / "cohort"
    command = [sys.executable, "-m", "softseg", "phantom", out, "--subjects", "40", "--jobs", "2"]
    run = subprocess.Popen(
        [*command, "--contrasts", "EPI"], stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, start_new_session=True,
        # A test run in the background ignores interrupts, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while not (out / "sub-001").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in errors
    assert not list(out.glob(".partial*"))
    whole = sorted(p.name for p in out.glob("sub-*"))
    assert 1 <= len(whole) < 40
    for pipeline in ("labels", "truth"):
        folder = out / "derivatives" / pipeline
        assert sorted(p.name for p in folder.glob("sub-*")) == whole
