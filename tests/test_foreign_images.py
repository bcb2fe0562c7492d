"""Files and folders that are no NIfTI images, and those that need no data set."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from softseg import cli
from softseg.dataset.foreign import passed_over
from softseg.dataset.names import PROBABILITY
from softseg.dataset.raw_images import data_set_of
from softseg.errors import InputError
from softseg.phantom.acquisition import acquire
from softseg.phantom.anatomy import random_anatomy
from softseg.segmentation.jobs import BINARY, find_jobs
from softseg.volume import Volume


def image(path):
    return Volume(np.zeros((8, 8, 4), np.float32), np.eye(4)).save(path)


def dicom(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(128) + b"DICM" + bytes(64))
    return path


@pytest.mark.parametrize("name", ["scan/IM0001", "scan/IM0001.dcm"])
def test_dicom_names_the_tool_that_converts_it(tmp_path, name):
    file = dicom(tmp_path / name)
    for given in (file, file.parent):
        with pytest.raises(InputError, match=r"DICOM; .* dcm2niix -z y -o FOLDER .*scan"):
            find_jobs([given], tmp_path / "out")


@pytest.mark.parametrize("ending", [".mha", ".nrrd", ".mgz"])
def test_another_format_is_told_which_one_is_read(tmp_path, ending):
    (tmp_path / f"a{ending}").write_bytes(b"x")
    with pytest.raises(InputError, match=rf"NIfTI is read .*, found {ending}; convert"):
        find_jobs([tmp_path / f"a{ending}"], tmp_path / "out")


def test_a_folder_of_dicom_is_told_even_where_a_file_is_to_be_written(tmp_path):
    with pytest.raises(InputError, match=r"DICOM; .* dcm2niix"):
        find_jobs([dicom(tmp_path / "scan/IM0001").parent], tmp_path / "out.nii.gz")


def test_a_folder_of_another_format_is_told_which_one_is_read(tmp_path):
    (tmp_path / "in").mkdir()
    for ending in (".nrrd", ".mha"):
        (tmp_path / f"in/a{ending}").write_bytes(b"x")
    with pytest.raises(InputError, match=r"in: NIfTI is read .*, found \.mha, \.nrrd; convert"):
        find_jobs([tmp_path / "in"], tmp_path / "out")


def test_images_beside_those_that_are_read_are_named(tmp_path):
    image(tmp_path / "in/a.nii.gz")
    (tmp_path / "in/notes.txt").write_text("none")
    assert passed_over(tmp_path / "in") is None
    (tmp_path / "in/b.NII.gz").write_bytes(b"x")
    assert passed_over(tmp_path / "in").endswith(
        "in: b.NII.gz: only names in .nii or .nii.gz are read"
    )
    dicom(tmp_path / "in/IM0001")
    assert "IM0001 and 1 more" in passed_over(tmp_path / "in")


@pytest.mark.parametrize("given", ["in", "{}/in"])
def test_a_folder_of_plain_images_is_a_batch(tmp_path, monkeypatch, given):
    monkeypatch.chdir(tmp_path)
    for name in ("b.nii.gz", "a.nii", "sub/c.nii.gz"):
        image(tmp_path / "in" / name)
    jobs, left_out = find_jobs([Path(given.format(tmp_path))], tmp_path / "out")
    assert [job.image.name for job in jobs] == ["a.nii", "b.nii.gz"]
    assert left_out == []


def test_masks_in_a_folder_of_plain_images_are_named_and_segmented_only_by_name(tmp_path):
    """Masks beside their images do not stop a second run, nor get masks of their own."""
    masks = ("t2_label-SC_softseg.nii.gz", "t2_seg.nii.gz", "t2_labels-disc-manual.nii.gz")
    for name in ("t2.nii.gz", "t2_echo-1.nii", *masks):
        image(tmp_path / name)
    jobs, left_out = find_jobs([tmp_path], tmp_path)
    assert [job.image.name for job in jobs] == ["t2.nii.gz", "t2_echo-1.nii"]
    assert {(each.path.name, each.deliberate) for each in left_out} == {(m, True) for m in masks}
    (named,), _ = find_jobs([tmp_path / masks[1]], tmp_path)
    assert named.image.name == masks[1]
    only = image(tmp_path / "other" / masks[1]).parent
    for out in ("out", "out.nii.gz"):
        with pytest.raises(InputError, match=r"t2_seg.nii.gz: a mask \(seg\); there is no other"):
            find_jobs([only], tmp_path / out)


@pytest.mark.parametrize("given", ["sub-1", "sub-1/ses-1", "sub-1/ses-1/anat"])
def test_of_a_participants_folder_only_its_images_are_taken_where_the_set_would_have_them(
    tmp_path, given
):
    for who in ("sub-1", "sub-2"):
        image(tmp_path / f"set/{who}/ses-1/anat/{who}_ses-1_T2w.nii.gz")
    jobs, _ = find_jobs([tmp_path / "set" / given], tmp_path / "out")
    (job,) = jobs
    expected = "out/sub-1/ses-1/anat/sub-1_ses-1_T2w_label-SC_softseg.nii.gz"
    assert job.mask == tmp_path / expected
    assert data_set_of(tmp_path / "set") == tmp_path / "set"


def test_a_mask_may_be_called_as_the_standard_calls_it(tmp_path):
    scan = image(tmp_path / "set/sub-1/anat/sub-1_run-2_T2w.nii.gz")
    ((job,), _) = find_jobs([tmp_path / "set"], tmp_path / "out", ending=PROBABILITY)
    assert job.mask.name == "sub-1_run-2_label-SC_desc-T2w_probseg.nii.gz"
    ((job,), _) = find_jobs([scan], tmp_path / "out", ending=BINARY)
    assert job.mask.name == "sub-1_run-2_T2w_label-SC_seg.nii.gz"


def test_one_process_and_two_make_the_same_masks(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    rng = np.random.default_rng(7)
    for k in (1, 2, 3):
        scan = acquire(random_anatomy(rng), "T2w", rng=rng).image
        scan.save(tmp_path / f"in/{k}.nii.gz")
    made = {}
    for jobs in (1, 2):
        out = tmp_path / f"out{jobs}"
        with pytest.raises(SystemExit) as left:
            cli.main(["segment", str(tmp_path / "in"), "-o", str(out), "-j", str(jobs), "--csa"])
        assert not left.value.code
        made[jobs] = [path.read_bytes() for path in sorted(out.glob("*.nii.gz"))]
        assert len(pd.read_csv(out / "csa.csv")["file"].unique()) == 3
    assert made[1] == made[2]
