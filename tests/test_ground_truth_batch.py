"""Soft truths of whole data sets: files, sidecars, resuming, bad input, real images."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from tubes import fraction, grid_of, rater_mask

from softseg.contrasts import CONTRASTS
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.ground_truth.batch import make_ground_truth
from softseg.ground_truth.report import read_slices
from softseg.ground_truth.soft import GroundTruthOptions, soft_ground_truth
from softseg.paths import SHARED
from softseg.volume import Volume
from softseg_study.evaluation.truth_agreement import compare_truths

HARD, SOFT, BINARY = "label-SC_seg", "label-SC_softseg", "desc-softseg_label-SC_seg"
NAMES = ("T2w", "T1w", "DWI")


@pytest.fixture(scope="session")
def masks() -> dict[str, Volume]:
    half = (11, 18, 12.5)
    return {name: rater_mask(grid_of(CONTRASTS[name], half_mm=half)) for name in NAMES}


def write_subject(root: Path, subject: str, masks: dict[str, Volume], session=None) -> None:
    for name, mask in masks.items():
        stem = CONTRASTS[name].stem(subject, session)
        mask.save(root / f"{stem}.nii.gz")
        mask.save(root / "derivatives/labels" / f"{stem}_{HARD}.nii.gz", np.uint8)


@pytest.fixture
def root(tmp_path, masks) -> Path:
    for subject in ("sub-1", "sub-2"):
        write_subject(tmp_path, subject, masks)
    return tmp_path


def mask_path(root: Path, subject: str, name: str) -> Path:
    return root / "derivatives/labels" / f"{CONTRASTS[name].stem(subject)}_{HARD}.nii.gz"


def status(table: pd.DataFrame) -> dict[str, str]:
    return table.drop_duplicates("subject").set_index("subject")["status"].to_dict()


def contents(root: Path) -> dict[str, bytes]:
    files = (root / "derivatives").glob("labels_softseg*/**/*")
    return {str(f.relative_to(root)): f.read_bytes() for f in files if f.is_file()}


def test_every_contrast_gets_a_soft_and_a_binary_mask_with_sidecars(root):
    dataset = Dataset.index(root)
    table = make_ground_truth(dataset)
    assert status(table) == {"sub-1": "made", "sub-2": "made"}
    for subject in dataset.subjects:
        for name in NAMES:
            soft = dataset.existing("labels_softseg", subject, name, SOFT)
            binary = dataset.existing("labels_softseg_bin", subject, name, BINARY)
            image = nib.load(soft)
            assert image.get_data_dtype() == np.float32
            assert nib.load(binary).get_data_dtype() == np.uint8
            np.testing.assert_array_equal(
                np.asarray(nib.load(binary).dataobj), image.get_fdata() > 0.5
            )
            hard = nib.load(mask_path(root, subject, name))
            np.testing.assert_allclose(image.affine, hard.affine)
            sidecar = json.loads(soft.with_name(soft.name.replace(".nii.gz", ".json")).read_text())
            assert sidecar["GeneratedBy"][0]["Name"] == "softseg ground-truth"
            assert sidecar["GeneratedBy"][0]["Parameters"]["reference"] == "T2w"
            assert len(sidecar["Sources"]) == 3
            for source in sidecar["Sources"]:
                assert (root / source.removeprefix("bids::")).is_file()
    for name in ("labels_softseg", "labels_softseg_bin"):
        description = root / "derivatives" / name / "dataset_description.json"
        assert json.loads(description.read_text())["DatasetType"] == "derivative"


def test_the_report_names_subject_slice_and_contrast(root):
    table = make_ground_truth(Dataset.index(root))
    slices = read_slices(root)
    assert set(slices["subject"]) == {"sub-1", "sub-2"}
    assert {"slice", "contrast", "shift_x_mm", "used", "disagreement"} <= set(slices.columns)
    report = pd.read_csv(root / "derivatives/labels_softseg/report.csv")
    assert len(report) == len(table) == 6
    # A later run of one participant keeps the others' rows.
    make_ground_truth(Dataset.index(root), subjects=["sub-1"], force=True)
    assert len(pd.read_csv(root / "derivatives/labels_softseg/report.csv")) == 6


def test_what_is_up_to_date_is_skipped_and_what_changed_is_made_again(root, masks):
    dataset = Dataset.index(root)
    make_ground_truth(dataset)
    before = contents(root)
    soft = dataset.existing("labels_softseg", "sub-1", "T2w", SOFT)
    touched = soft.stat().st_mtime_ns
    assert set(status(make_ground_truth(dataset)).values()) == {"up to date"}
    assert soft.stat().st_mtime_ns == touched
    assert contents(root) == before
    changed = masks["T1w"].like(np.roll(masks["T1w"].data, 1, axis=0))
    changed.save(mask_path(root, "sub-2", "T1w"), np.uint8)
    assert status(make_ground_truth(dataset)) == {"sub-1": "up to date", "sub-2": "made"}
    other = GroundTruthOptions(average="median")
    assert set(status(make_ground_truth(dataset, options=other)).values()) == {"made"}
    assert set(status(make_ground_truth(dataset, options=other)).values()) == {"up to date"}


@pytest.mark.parametrize("lost", ["image", "sidecar", "report"])
def test_what_an_interruption_left_out_is_made(root, lost):
    dataset = Dataset.index(root)
    make_ground_truth(dataset)
    before = contents(root)
    folder = root / "derivatives/labels_softseg/sub-1"
    pattern = {"image": "*T1w*.nii.gz", "sidecar": "*T1w*.json", "report": "*.csv"}[lost]
    (victim,) = folder.rglob(pattern)
    victim.unlink()
    assert status(make_ground_truth(dataset)) == {"sub-1": "made", "sub-2": "up to date"}
    assert contents(root) == before


def test_the_number_of_processes_does_not_change_a_byte(root):
    dataset = Dataset.index(root)
    make_ground_truth(dataset)
    alone = contents(root)
    for name in ("labels_softseg", "labels_softseg_bin"):
        shutil.rmtree(root / "derivatives" / name)
    make_ground_truth(dataset, jobs=2)
    assert contents(root) == alone


def _spoil(root: Path, case: str, masks: dict[str, Volume]) -> None:
    """Give sub-1 one kind of bad input."""
    path = mask_path(root, "sub-1", "T1w")
    mask = masks["T1w"]
    data = mask.data.copy()
    if case == "no reference":
        mask_path(root, "sub-1", "T2w").unlink()
    elif case == "other grid":
        Volume(data[:-1], mask.affine).save(path, np.uint8)
    elif case == "moved grid":
        affine = mask.affine.copy()
        affine[0, 3] += 5
        Volume(data, affine).save(path, np.uint8)
    elif case == "empty":
        mask.like(0 * data).save(path, np.uint8)
    elif case == "values":
        mask.like(2 * data).save(path, np.uint8)
    elif case == "fractions":
        mask.like(0.5 * data).save(path)
    elif case == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    elif case == "not gzip":
        path.write_bytes(b"hello")
    elif case == "NaN":
        data[0, 0, 0] = np.nan
        mask.like(data).save(path)
    elif case == "4-D":
        nib.save(nib.Nifti1Image(np.stack([data, data], -1), mask.affine), path)
    elif case == "sform and qform":
        image = nib.load(path)
        image.set_sform(image.affine + np.diag([0, 0, 0, 0]) + _shift(4), 1)
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None, image.header), path)
    elif case == "no position":
        image = nib.Nifti1Image(data.astype(np.uint8), None)
        image.header["pixdim"][1:4] = mask.spacing_mm
        nib.save(image, path)
    elif case == "two candidates":
        stem = CONTRASTS["T1w"].stem("sub-1").removesuffix("_T1w")
        for run in (1, 2):
            mask.save(root / f"{stem}_run-{run}_T1w.nii.gz")
        (root / f"{CONTRASTS['T1w'].stem('sub-1')}.nii.gz").unlink()


def _shift(mm: float) -> np.ndarray:
    shift = np.zeros((4, 4))
    shift[0, 3] = mm
    return shift


BAD = {
    "no reference": "the reference T2w has no mask",
    "other grid": "a mask must lie on the grid of sub-1_T1w.nii.gz",
    "moved grid": "its corners up to 5.00 mm away",
    "empty": "mask is empty",
    "values": "0 and 1 only",
    "fractions": "0 and 1 only",
    "truncated": "damaged|not a readable",
    "not gzip": "not a readable",
    "NaN": "NaN",
    "4-D": "three-dimensional",
    "sform and qform": "sform and qform must place the voxels alike",
    "no position": "both codes 0",
    "two candidates": "2 candidates for one contrast",
}


@pytest.mark.parametrize("case", BAD)
def test_a_broken_participant_is_named_and_does_not_stop_the_batch(root, masks, case):
    _spoil(root, case, masks)
    table = make_ground_truth(Dataset.index(root))
    assert status(table) == {"sub-1": "failed", "sub-2": "made"}
    message = table.loc[table["subject"] == "sub-1", "message"].iloc[0]
    assert pd.Series([message]).str.contains(BAD[case]).all(), message
    assert "\n" not in message
    assert "sub-1" in message
    assert not list((root / "derivatives/labels_softseg").glob("sub-1/**/*.nii.gz"))


def test_a_participant_that_breaks_later_keeps_what_it_had(root, masks):
    dataset = Dataset.index(root)
    make_ground_truth(dataset)
    before = contents(root)
    _spoil(root, "truncated", masks)
    assert status(make_ground_truth(dataset))["sub-1"] == "failed"
    assert contents(root) == before


def test_a_data_set_without_masks_is_refused_before_anything_is_written(root):
    shutil.rmtree(root / "derivatives")
    with pytest.raises(InputError, match="no masks"):
        make_ground_truth(Dataset.index(root))
    assert not (root / "derivatives").exists()


def test_participants_without_masks_are_no_failure(root):
    shutil.rmtree(root / "derivatives/labels/sub-1")
    assert status(make_ground_truth(Dataset.index(root))) == {
        "sub-1": "no masks",
        "sub-2": "made",
    }


def test_output_that_cannot_be_written_is_refused_at_once(root):
    (root / "derivatives/labels_softseg").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="labels_softseg"):
        make_ground_truth(Dataset.index(root))


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_output_is_refused_at_once(root):
    folder = root / "derivatives"
    folder.chmod(0o555)
    try:
        with pytest.raises(InputError, match="cannot write"):
            make_ground_truth(Dataset.index(root))
    finally:
        folder.chmod(0o755)


def test_an_excluded_image_takes_no_part_although_its_mask_is_there(root):
    dataset = Dataset.index(root, exclude=["sub-1/T1w", "sub-2"])
    table = make_ground_truth(dataset)
    assert set(table["subject"]) == {"sub-1"}
    assert set(table["contrast"]) == {"T2w", "DWI"}
    sidecar = next((root / "derivatives/labels_softseg").rglob("sub-1_T2w*.json"))
    assert len(json.loads(sidecar.read_text())["Sources"]) == 2


def test_sessions_are_averaged_apart(tmp_path, masks):
    for session in ("ses-1", "ses-2"):
        write_subject(tmp_path, "sub-1", masks, session)
    table = make_ground_truth(Dataset.index(tmp_path))
    assert table.groupby("session").size().to_dict() == {"ses-1": 3, "ses-2": 3}
    assert len(list((tmp_path / "derivatives/labels_softseg").rglob("*softseg.nii.gz"))) == 6
    assert set(status(make_ground_truth(Dataset.index(tmp_path))).values()) == {"up to date"}


def test_uncompressed_and_older_names_are_read(tmp_path, masks):
    dwi = "sub-1/dwi/sub-1_dwi_moco_dwi_mean"
    masks["DWI"].save(tmp_path / f"{dwi}.nii.gz")
    masks["DWI"].save(tmp_path / f"derivatives/labels/{dwi}_seg-manual.nii.gz", np.uint8)
    masks["T2w"].save(tmp_path / "sub-1/anat/sub-1_T2w.nii")
    masks["T2w"].save(tmp_path / f"derivatives/labels/sub-1/anat/sub-1_T2w_{HARD}.nii", np.uint8)
    table = make_ground_truth(Dataset.index(tmp_path))
    assert set(table["contrast"]) == {"DWI", "T2w"}
    assert (tmp_path / f"derivatives/labels_softseg/{dwi}_{SOFT}.nii.gz").exists()


def test_a_miniature_spine_generic_release_runs_end_to_end(tmp_path, masks):
    """Names old and new, excluded and missing contrasts, raw scans, soft masks already there."""
    subjects = ["sub-amu01", "sub-brnoUhb02", "sub-ubc01", "sub-unf05"]
    for subject in subjects:
        write_subject(tmp_path, subject, masks)
        raw = tmp_path / "sourcedata" / subject / "anat" / f"{subject}_T2w.nii.gz"
        raw.parent.mkdir(parents=True)
        raw.write_bytes(gzip.compress(b"raw"))
        (tmp_path / f"{subject}/dwi/{subject}_dwi.nii.gz").write_bytes(b"series")
        (tmp_path / f"{subject}/dwi/{subject}_acq-b0_dwi.nii.gz").write_bytes(b"series")
    public = tmp_path / "derivatives/labels_softseg/sub-amu01/anat"
    public.mkdir(parents=True)
    masks["T2w"].save(public / f"sub-amu01_T2w_{SOFT}.nii.gz")
    participants = "\n".join(["participant_id\tinstitution_id", *(f"{s}\tx" for s in subjects)])
    (tmp_path / "participants.tsv").write_text(participants + "\n")
    dataset = Dataset.index(tmp_path, exclude="spine-generic")
    assert dataset.subjects == ["sub-amu01", "sub-unf05"]
    before = (public / f"sub-amu01_T2w_{SOFT}.nii.gz").read_bytes()
    table = make_ground_truth(dataset)
    assert set(status(table).values()) == {"made"}
    # The published masks are kept beside ours, to compare with.
    aside = tmp_path / "derivatives/labels_softseg_published"
    assert table.attrs["set_aside"] == [str(aside)]
    kept = aside / "sub-amu01/anat" / f"sub-amu01_T2w_{SOFT}.nii.gz"
    assert kept.read_bytes() == before
    assert make_ground_truth(dataset).attrs["set_aside"] == []
    agreement = compare_truths(dataset, "labels_softseg", "labels_softseg_published")
    assert list(agreement["subject"]) == ["sub-amu01"]
    assert agreement["dice"].iloc[0] > 0.98
    assert 0 < agreement["difference"].iloc[0] < 0.2  # soft against a hard stand-in
    same = compare_truths(dataset, "labels_softseg", "labels_softseg")
    assert (same["dice"] == 1).all()
    assert (same["difference"] == 0).all()


def test_masks_of_others_are_not_overwritten_when_the_spare_name_is_taken(root, masks):
    for name in ("labels_softseg", "labels_softseg_published"):
        path = root / "derivatives" / name / "sub-1/anat" / f"sub-1_T2w_{SOFT}.nii.gz"
        masks["T2w"].save(path)
    before = contents(root)
    with pytest.raises(InputError, match="labels_softseg_published is taken"):
        make_ground_truth(Dataset.index(root))
    assert contents(root) == before


def _peak_memory_and_time(subjects: int, folder: Path, masks: dict[str, Volume]) -> tuple:
    for k in range(subjects):
        write_subject(folder, f"sub-{k:03d}", masks)
    code = (
        "import resource, time, sys\n"
        "from softseg.dataset.index import Dataset\n"
        "from softseg.ground_truth.batch import make_ground_truth\n"
        "data = Dataset.index(sys.argv[1])\n"
        "start = time.process_time()\n"
        "make_ground_truth(data)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time() - start)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(folder)], check=True, capture_output=True, text=True
    )
    memory, seconds = run.stdout.split()
    return float(memory) / 2**20, float(seconds)


@pytest.mark.stress
def test_time_is_linear_and_memory_constant_up_to_200_subjects(tmp_path, masks):
    memory, seconds = zip(
        *(_peak_memory_and_time(n, tmp_path / str(n), masks) for n in (20, 200)), strict=True
    )
    assert memory[1] < memory[0] + 0.1
    assert seconds[1] / 200 < 1.3 * seconds[0] / 20


def test_a_full_field_of_view_stays_below_1_5_gigabytes(tmp_path):
    big = {
        "T2w": rater_mask(grid_of(CONTRASTS["T2w"], half_mm=(32, 128, 128))),
        "T1w": rater_mask(grid_of(CONTRASTS["T1w"], half_mm=(88, 128, 96))),
        "T2star": rater_mask(grid_of(CONTRASTS["T2star"], half_mm=(90, 90, 40))),
    }
    memory, _ = _peak_memory_and_time(1, tmp_path, big)
    assert memory < 1.5


REAL = SHARED / "real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real images at {REAL}")
MT_OFF = "MT-off=flip-1_mt-off_MTS"


def copy_real(root: Path, subject: str) -> Path:
    for part in (subject, f"derivatives/labels/{subject}"):
        shutil.copytree(REAL / part, root / part, copy_function=shutil.copyfile)
    return root


@pytest.mark.real
@needs_real
def test_errsm23_runs_and_the_report_says_how_its_contrasts_disagree(tmp_path):
    copy_real(tmp_path, "sub-errsm23")
    dataset = Dataset.index(tmp_path, contrasts=["T2w", "T1w", "MT-on", MT_OFF])
    table = make_ground_truth(dataset).set_index("contrast")
    assert set(table.index) == {"T2w", "T1w", "MT-on", "MT-off"}
    assert (table["status"] == "made").all()
    # Mask and image of T1w are apart by movement between scans, not by a wrong header.
    assert 0.5 < table.loc["T1w", "median_shift_mm"] < 4
    assert (table["dice"] > 0.9).all()
    soft = Volume.load(dataset.existing("labels_softseg", "sub-errsm23", "T1w", SOFT))
    hard = Volume.load(dataset.existing("labels", "sub-errsm23", "T1w", HARD))
    assert soft.grid.matches(hard.grid)
    assert soft.data.sum() == pytest.approx(hard.data.sum(), rel=0.1)


@pytest.mark.real
@needs_real
def test_sgunf01_is_told_what_the_trim_leaves_of_its_slab(tmp_path):
    copy_real(tmp_path, "sub-sgunf01")
    dataset = Dataset.index(tmp_path)
    table = make_ground_truth(dataset).set_index("contrast")
    assert (
        "T2star: trimming 8 mm at either end leaves nothing of its 16.0 mm"
        in (table["message"].iloc[0])
    )
    # One mask for three contrasts on one grid: every soft truth is that mask.
    hard = Volume.load(dataset.existing("labels", "sub-sgunf01", "T2w", HARD)).data
    for name in ("T1w", "T2w", "T2star"):
        soft = Volume.load(dataset.existing("labels_softseg", "sub-sgunf01", name, SOFT))
        np.testing.assert_allclose(soft.data, hard, atol=1e-6)


def test_noise_free_truth_is_what_the_files_hold(tmp_path):
    """End to end through files: the area of the tube comes back on every grid."""
    grids = {name: grid_of(CONTRASTS[name], half_mm=(11, 18, 20)) for name in NAMES}
    write_subject(tmp_path, "sub-1", {name: rater_mask(grid) for name, grid in grids.items()})
    dataset = Dataset.index(tmp_path)
    make_ground_truth(dataset)
    for name, grid in grids.items():
        soft = Volume.load(dataset.existing("labels_softseg", "sub-1", name, SOFT))
        exact = fraction(grid)
        assert soft.data[..., 1:-1].sum() == pytest.approx(exact[..., 1:-1].sum(), rel=0.01)


def test_options_of_contrasts_that_a_data_set_lacks_are_no_error(root):
    trims = {"T2star": 8.0, "MT-on": 8.0, "DWI": 3.0}
    options = GroundTruthOptions(trim_mm=trims, weights={"GRE-T1w": 0.5})
    dataset = Dataset.index(root, contrasts=["T2w", "DWI"])
    assert set(status(make_ground_truth(dataset, options=options)).values()) == {"made"}


def test_leaving_a_contrast_out_has_its_own_folder_and_still_serves_its_grid(root):
    dataset = Dataset.index(root)
    options = GroundTruthOptions(weights={"T1w": 0.0})
    make_ground_truth(dataset, options=options, pipeline="labels_softseg_without-T1w")
    soft = dataset.existing("labels_softseg_without-T1w", "sub-1", "T1w", SOFT)
    assert Volume.load(soft).data.max() > 0.99
    slices = read_slices(root, "labels_softseg_without-T1w")
    assert not slices.query("contrast == 'T1w'")["used"].any()


@pytest.fixture(scope="module")
def digital(tmp_path_factory) -> Path:
    """One digital participant, acquired: movement, six grids, six protocols."""
    from softseg.phantom.cohort import write_cohort

    out = tmp_path_factory.mktemp("digital") / "cohort"
    return write_cohort(out, subjects=1, seed=8, jobs=1)


def test_movements_of_a_digital_participant_are_found_from_noise_free_masks(digital):
    """Shifts within 0.1 mm (RMS) of those between the true cords; realistic raters 0.25 mm."""
    dataset = Dataset.index(digital)
    (subject,) = dataset.subjects
    key = (subject,)
    true = {
        c: Volume.load(dataset.existing("truth", *key, c, SOFT)).oriented("LAS")
        for c in dataset.contrasts
    }
    drawn = {c: Volume.load(dataset.existing("labels", *key, c, HARD)) for c in dataset.contrasts}
    perfect = {c: v.like((v.data >= 0.5).astype(np.float32)) for c, v in true.items()}
    lines = {c: _centres_in(v, true["T2w"]) for c, v in true.items()}
    spacing = np.array(true["T2w"].spacing_mm[:2])

    def errors(masks: dict[str, Volume], **options) -> dict[str, np.ndarray]:
        report = soft_ground_truth(masks, **options).report
        found = {}
        for name, rows in report[report["registered"] & report["used"]].groupby("contrast"):
            z = rows["slice"].to_numpy()
            wanted = (_at(lines["T2w"], z) - _at(lines[name], z)) * spacing
            found[name] = rows[["shift_x_mm", "shift_y_mm"]].to_numpy() - wanted
        return {name: error for name, error in found.items() if name != "T2w"}

    def rms(*errors: np.ndarray) -> float:
        return float(np.sqrt((np.concatenate(errors) ** 2).mean()))

    assert rms(*errors(perfect).values()) < 0.1
    assert rms(*errors(drawn).values()) < 0.25
    for name, error in errors(perfect, smoothing_mm=5.0).items():
        assert rms(error) < 0.1, name


def _centres_in(volume: Volume, frame: Volume) -> np.ndarray:
    """Centres of a fractional cord in voxels of another grid, found without the package."""
    from scipy import ndimage

    to_frame = np.linalg.inv(frame.affine) @ volume.affine
    total = volume.data.sum(axis=(0, 1))
    full = np.flatnonzero(total > 0.3 * np.median(total[total > 0]))
    points = [
        to_frame[:3, :3] @ [*ndimage.center_of_mass(volume.data[..., k]), k] + to_frame[:3, 3]
        for k in full
    ]
    return np.array(points)


def _at(line: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(z, line[:, 2], line[:, axis]) for axis in (0, 1)], axis=-1)
