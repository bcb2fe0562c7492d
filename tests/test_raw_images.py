"""Which files of a data set are images to segment, and what is said of the others."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from softseg.dataset.index import Dataset
from softseg.dataset.raw_images import choose_images, ignored_names, raw_images
from softseg.errors import InputError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 2000)


def chosen(root: Path, **options) -> tuple[set[str], dict[str, tuple[str, bool]]]:
    images, left_out = choose_images(root, **{"series": False} | options)
    reasons = {each.path.relative_to(root).as_posix(): each for each in left_out}
    return (
        {path.relative_to(root).as_posix() for path in images},
        {name: (each.reason, each.deliberate) for name, each in reasons.items()},
    )


def test_every_image_is_chosen_whatever_its_contrast_and_entities(tmp_path):
    names = {
        "sub-01/anat/sub-01_T2w.nii.gz",
        "sub-01/anat/sub-01_acq-sag_T2w.nii.gz",
        "sub-01/anat/sub-01_acq-T2.ax-low_T2w.nii.gz",
        "sub-01/anat/sub-01_PDw.nii.gz",
        "sub-01/anat/sub-01_inv-1_MP2RAGE.nii.gz",
        "sub-01/anat/sub-01_part-mag_T2star.nii.gz",
        "sub-01/anat/sub-01_flip-1_mt-off_MTS.nii.gz",
        "sub-1.5-T/ses-a-b/anat/sub-1.5-T_ses-a-b_FLAIR.nii",
        "sub-01/dwi/sub-01_rec-average_dwi.nii.gz",
        "sub-01/func/sub-01_task-rest_sbref.nii.gz",
        "sub-02/T2.nii.gz",
    }
    touch(tmp_path, *names, "derivatives/x/sub-01/anat/sub-01_T2w.nii.gz")
    touch(tmp_path, "sourcedata/sub-01/anat/sub-01_T2w.nii.gz", "sub-01/.git/anat/a_T2w.nii.gz")
    assert chosen(tmp_path) == (names, {})


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("anat/sub-01_T1map.nii.gz", "a parametric map (T1map)"),
        ("anat/sub-01_acq-b_TB1map.nii.gz", "a parametric map (TB1map)"),
        ("anat/sub-01_MTsat.nii.gz", "a parametric map (MTsat)"),
        ("anat/sub-01_part-phase_T2star.nii.gz", "a phase image (part-phase)"),
        ("anat/sub-01_T2star_phase.nii.gz", "a phase image (phase)"),
        ("anat/sub-01_T2star_e2_ph.nii.gz", "a phase image (ph)"),
        ("anat/sub-01_part-imag_T2star.nii.gz", "the imaginary part of an image (part-imag)"),
        ("anat/sub-01_T2w_label-SC_softseg.nii.gz", "a mask (label-SC)"),
        ("anat/sub-01_desc-brain_mask.nii.gz", "a mask (mask)"),
        ("anat/sub-01_T2w_seg-manual.nii.gz", "a mask (seg-manual)"),
        ("anat/sub-01_T2w_labels-disc-manual.nii.gz", "a mask (labels-disc-manual)"),
        ("anat/sub-01_T2w_lesion.nii.gz", "a mask (lesion)"),
        ("anat/sub-01_T2w_centerline.nii.gz", "a mask (centerline)"),
        ("fmap/sub-01_magnitude1.nii.gz", "a field map (fmap/)"),
        ("pet/sub-01_pet.nii.gz", "no magnetic resonance image (pet/)"),
    ],
)
def test_what_shows_no_anatomy_is_named_with_its_reason(tmp_path, name, reason):
    touch(tmp_path, f"sub-01/{name}", "sub-01/anat/sub-01_T2w.nii.gz")
    images, left_out = chosen(tmp_path)
    assert images == {"sub-01/anat/sub-01_T2w.nii.gz"}
    assert left_out == {f"sub-01/{name}": (reason, True)}


def test_a_phase_image_is_known_by_its_sidecar(tmp_path):
    touch(tmp_path, *(f"sub-01/anat/sub-01_run-{k}_T2star.nii.gz" for k in (1, 2)))
    for run, kinds in ((1, ["ORIGINAL", "PRIMARY", "M"]), (2, ["ORIGINAL", "PRIMARY", "P"])):
        path = tmp_path / f"sub-01/anat/sub-01_run-{run}_T2star.json"
        path.write_text(json.dumps({"ImageType": kinds}))
    images, left_out = chosen(tmp_path)
    assert images == {"sub-01/anat/sub-01_run-1_T2star.nii.gz"}
    assert list(left_out) == ["sub-01/anat/sub-01_run-2_T2star.nii.gz"]


def test_what_is_not_fetched_is_to_be_mended(tmp_path):
    touch(tmp_path, "sub-01/anat/sub-01_T2w.nii.gz")
    folder = tmp_path / "sub-02" / "anat"
    folder.mkdir(parents=True)
    (folder / "a_T2w.nii.gz").symlink_to("../../.git/annex/objects/x.nii.gz")
    (folder / "b_T2w.nii.gz").write_text("/annex/objects/MD5E-s10--0.nii.gz\n")
    (folder / "c_T2w.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    images, left_out = chosen(tmp_path)
    assert len(images) == 1
    assert [Path(name).name[0] for name in left_out] == ["a", "b", "c"]
    assert set(left_out.values()) == {("not fetched (datalad get, or git lfs pull)", False)}


def test_one_of_two_endings_is_chosen(tmp_path):
    touch(tmp_path, "sub-01/anat/sub-01_T2w.nii.gz", "sub-01/anat/sub-01_T2w.nii")
    images, left_out = chosen(tmp_path)
    assert images == {"sub-01/anat/sub-01_T2w.nii.gz"}
    (reason, deliberate) = left_out["sub-01/anat/sub-01_T2w.nii"]
    assert "sub-01_T2w.nii.gz lies beside it" in reason
    assert not deliberate


def test_a_series_of_diffusion_or_function_is_chosen_when_its_mean_is_asked_for(tmp_path):
    touch(tmp_path, "sub-01/anat/sub-01_T2w.nii.gz")
    path = tmp_path / "sub-01" / "dwi" / "sub-01_dwi.nii.gz"
    path.parent.mkdir()
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 7), np.float32), np.eye(4)), path)
    images, left_out = chosen(tmp_path)
    assert len(images) == 1
    assert left_out["sub-01/dwi/sub-01_dwi.nii.gz"] == (
        "a series of 7 volumes; segment their mean with --average mean",
        True,
    )
    assert len(chosen(tmp_path, series=True)[0]) == 2


@pytest.mark.parametrize(
    ("line", "ignored"),
    [
        ("*_PDw.nii.gz", {"sub-1/anat/sub-1_PDw.nii.gz", "sub-2/anat/sub-2_PDw.nii.gz"}),
        ("sub-2/", {"sub-2/anat/sub-2_PDw.nii.gz", "sub-2/anat/sub-2_T2w.nii.gz"}),
        ("/sub-2", {"sub-2/anat/sub-2_PDw.nii.gz", "sub-2/anat/sub-2_T2w.nii.gz"}),
        ("**/anat/sub-1_T2?.nii.gz", {"sub-1/anat/sub-1_T2w.nii.gz"}),
        ("sub-[!2]/anat/*", {"sub-1/anat/sub-1_PDw.nii.gz", "sub-1/anat/sub-1_T2w.nii.gz"}),
        ("anat/sub-1_T2w.nii.gz", set()),
        ("sub-1/**\n!*T2w*", {"sub-1/anat/sub-1_PDw.nii.gz"}),
        ("# sub-1\n\n", set()),
        ("PDw.nii.gz", set()),
    ],
)
def test_bidsignore_is_read_as_git_reads_its_own(tmp_path, line, ignored):
    names = [f"sub-{k}/anat/sub-{k}_{c}.nii.gz" for k in (1, 2) for c in ("PDw", "T2w")]
    touch(tmp_path, *names)
    (tmp_path / ".bidsignore").write_text(line + "\n")
    decide = ignored_names(tmp_path)
    assert {name for name in names if decide(name)} == ignored
    images, left_out = choose_images(tmp_path, series=False) if len(ignored) < 4 else ([], [])
    assert {each.path.relative_to(tmp_path).as_posix() for each in left_out} == ignored
    # The ground truth and training leave them out, too.
    found = Dataset.index(tmp_path, contrasts=["T2w", "PD=PDw"]).images["path"]
    assert {Path(path) for path in found} == set(images)


def test_a_link_that_leads_back_is_not_followed_for_ever(tmp_path):
    touch(tmp_path, "sub-1/anat/sub-1_T2w.nii.gz")
    (tmp_path / "sub-1" / "anat" / "loop").symlink_to("..", target_is_directory=True)
    assert list(raw_images(tmp_path)) == ["sub-1/anat/sub-1_T2w.nii.gz"]


def test_a_folder_without_participants_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no sub-\* folders"):
        choose_images(tmp_path, series=False)
    with pytest.raises(InputError, match="no such folder"):
        choose_images(tmp_path / "absent", series=False)
