"""`softseg ground-truth` as a lab uses it."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tubes import grid_of, rater_mask

from softseg.cli import main
from softseg.contrasts import CONTRASTS
from softseg.volume import Volume

NAMES = ("T2w", "T1w", "DWI")


@pytest.fixture(scope="module")
def masks() -> dict[str, Volume]:
    return {n: rater_mask(grid_of(CONTRASTS[n], half_mm=(11, 18, 12.5))) for n in NAMES}


@pytest.fixture
def root(tmp_path, masks) -> Path:
    for subject in ("sub-1", "sub-2", "sub-3"):
        for name, mask in masks.items():
            stem = CONTRASTS[name].stem(subject)
            mask.save(tmp_path / f"{stem}.nii.gz")
            path = tmp_path / f"derivatives/labels/{stem}_label-SC_seg.nii.gz"
            mask.save(path, np.uint8)
    return tmp_path


def command(root: Path, *words: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "softseg", "ground-truth", str(root), *words]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def run_here(root: Path, capsys, *words: str) -> tuple[int, str]:
    """The same without the start of a process."""
    with pytest.raises(SystemExit) as left:
        main(["ground-truth", str(root), *words])
    return left.value.code, capsys.readouterr().err


def made(root: Path, folder: str = "labels_softseg") -> list[str]:
    return sorted(p.name for p in (root / "derivatives" / folder).rglob("*softseg.nii.gz"))


def test_a_broken_participant_gives_exit_code_1_and_the_others_are_made(root):
    path = next((root / "derivatives/labels/sub-2").rglob("*T1w*"))
    path.write_bytes(path.read_bytes()[:100])
    run = command(root)
    assert run.returncode == 1
    assert "2 made" in run.stdout
    assert "1 failed" in run.stdout
    assert "sub-2" in run.stderr
    assert "Traceback" not in run.stderr
    assert len(made(root)) == 6
    assert (root / "derivatives/labels_softseg/quality_control/index.html").is_file()


def test_the_exclusion_list_beside_the_report_is_read_by_the_next_run(root):
    folder = root / "derivatives/labels_softseg"
    folder.mkdir()
    (folder / "exclude.yml").write_text('"bad":\n- sub-2\n- sub-3/T1w\n')
    run = command(root, "--no-page")
    assert run.returncode == 0, run.stderr
    names = made(root)
    assert not any("sub-2" in name for name in names)
    assert [n for n in names if "sub-3" in n] == [
        "sub-3_T2w_label-SC_softseg.nii.gz",
        "sub-3_rec-average_dwi_label-SC_softseg.nii.gz",
    ]


def test_options_reach_the_result(root):
    run = command(
        root, "--subjects", "1", "--contrasts", "T1w,DWI", "--reference", "T1w",
        "--trim", "DWI=3", "--weight", "T1w=2", "--average", "mean", "--registration", "none",
        "--output", "labels_other", "--no-page",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert len(made(root, "labels_other")) == 2
    text = next((root / "derivatives/labels_other").rglob("sub-1_T1w*.json")).read_text()
    for expected in ('"reference": "T1w"', '"DWI": 3.0', '"registration": "none"', '"T1w": 2.0'):
        assert expected in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--contrasts", "T3w"], "contrast 'T3w': not one of"),
        (["--subjects", "9"], "no participant sub-9"),
        (["--trim", "much"], "--trim: a number is needed"),
        (["--weight", "T1w"], "--weight: NAME=VALUE"),
        (["--jobs", "0"], "'--jobs' / '-j'"),
        (["--labels", "nothing"], "no masks"),
        (["--exclude", "absent.yml"], "no readable list"),
        (["--registration", "rigid"], "registration: one of none"),
        (["--reference", "STIR"], "reference: no contrast STIR"),
        (["--weight", "T9=1"], "weights: no contrast T9"),
        (["--trim", "-3"], "must not be negative"),
        (["--weight", "T1w=inf"], "must be finite"),
        (["--weight", "T1w=nan"], "must be finite"),
        (["--weight", "T1w=1e308", "--weight", "T2w=1e308"], "must be finite"),
        (["--trim", "nan"], "must be finite"),
        (["--trim", "DWI=inf"], "must be finite"),
        (["--smoothing", "inf"], "must be finite"),
        (["--threshold", "nan"], "threshold lies between 0 and 1"),
        (["--threshold", "2"], "threshold lies between 0 and 1"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(root, capsys, words, message):
    code, stderr = run_here(root, capsys, "--no-page", *words)
    assert code == 2
    assert message in stderr
    assert stderr.count("\n") == 1
    assert not (root / "derivatives/labels_softseg").exists()


@pytest.mark.stress
def test_interrupted_anywhere_it_goes_on_and_ends_with_the_same_bytes(root):
    whole = _contents_after_full_run(root)
    for wait in (1.5, 2.0, 2.5, 3.0):
        for folder in ("labels_softseg", "labels_softseg_bin"):
            _remove(root / "derivatives" / folder)
        process = subprocess.Popen(
            [sys.executable, "-m", "softseg", "ground-truth", str(root), "--no-page"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert _contents_after_full_run(root) == whole


def _contents_after_full_run(root: Path) -> dict[str, bytes]:
    assert command(root, "--no-page").returncode == 0
    folders = ("labels_softseg", "labels_softseg_bin")
    files = [f for name in folders for f in (root / "derivatives" / name).rglob("sub-*_*")]
    return {str(f): f.read_bytes() for f in files if ".partial" not in str(f)}


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def test_masks_without_images_are_averaged(root, capsys):
    shutil.rmtree(root / "sub-1")
    assert run_here(root, capsys, "--no-page")[0] == 0
    assert len(made(root)) == 9
    for subject in ("sub-2", "sub-3"):
        shutil.rmtree(root / subject)
    shutil.rmtree(root / "derivatives" / "labels_softseg")
    (root / "derivatives" / "labels").rename(root / "derivatives" / "drawn")
    code, _ = run_here(
        root, capsys, "--labels", "drawn", "--exclude", "sub-2", "--exclude", "sub-3/DWI"
    )
    assert code == 0
    assert len(made(root)) == 5
    page = (root / "derivatives/labels_softseg/quality_control/index.html").read_text()
    assert "sub-3/T1w" in page


def test_a_participant_is_named_once_in_a_line(root, masks, capsys):
    stem = root / CONTRASTS["T1w"].stem("sub-2").removesuffix("_T1w")
    for run in (1, 2):
        masks["T1w"].save(Path(f"{stem}_run-{run}_T1w.nii.gz"))
    (root / f"{CONTRASTS['T1w'].stem('sub-2')}.nii.gz").unlink()
    code, said = run_here(root, capsys, "--no-page")
    assert code == 1
    (line,) = [line for line in said.splitlines() if "candidates" in line]
    assert line.startswith("sub-2 T1w: 2 candidates")
    assert "--entity run=1" in line
    # What the line advises works.
    mask = root / "derivatives" / "labels" / f"{CONTRASTS['T1w'].stem('sub-2')}_label-SC_seg.nii.gz"
    mask.rename(mask.with_name("sub-2_run-1_T1w_label-SC_seg.nii.gz"))
    assert run_here(root, capsys, "--no-page", "--entity", "run=1")[0] == 0
    (root / ".bidsignore").write_text("*_run-2_*\n")
    assert run_here(root, capsys, "--no-page")[0] == 0


def test_a_table_of_participants_that_is_not_needed_is_not_read(root, capsys):
    (root / "participants.tsv").write_bytes(b"participant_id\tnom\nsub-1\tJos\xe9\nsub-1\tx\n")
    code, said = run_here(root, capsys, "--no-page")
    assert (code, "participants" in said) == (0, False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--output", "labels"], "labels: holds the hard masks"),
        (["--output", "./labels/"], "labels: holds the hard masks"),
        (["--labels", "drawn_bin", "--output", "drawn"], "drawn_bin: holds the hard masks"),
        (["--labels", "labels_softseg/drawn"], "labels_softseg: holds the hard masks"),
        (["--output", "truth"], "truth: holds files that `softseg ground-truth` did not make"),
        (["--output", "other"], "other_bin: holds files that `softseg ground-truth` did not"),
    ],
)
def test_no_folder_of_others_is_moved_or_written_to(root, masks, capsys, words, said):
    derivatives = root / "derivatives"
    for folder in ("drawn_bin", "labels_softseg/drawn"):
        shutil.copytree(derivatives / "labels", derivatives / folder)
    (derivatives / "truth" / "sub-1").mkdir(parents=True)
    (derivatives / "truth" / "sub-1" / "areas.csv").write_text("area_mm2\n80\n")
    (derivatives / "other_bin").mkdir()
    (derivatives / "other_bin" / "dataset_description.json").write_text('{"Name": "theirs"}')
    before = {path: path.is_file() and path.read_bytes() for path in root.rglob("*")}
    code, stderr = run_here(root, capsys, "--no-page", *words)
    assert (code, stderr.count("\n")) == (2, 1)
    assert said in stderr
    assert {path: path.is_file() and path.read_bytes() for path in root.rglob("*")} == before


def test_a_contrast_that_remains_alone_is_a_line_of_its_own_for_each_participant(root, capsys):
    said = "T2w alone remains of 3 contrasts: the soft truth is its mask, not an average"
    for _ in range(2):  # also where all is up to date
        code, stderr = run_here(root, capsys, "--no-page", "--trim", "500")
        assert code == 0
        for subject in ("sub-1", "sub-2", "sub-3"):
            assert f"{subject}: {said}" in stderr.splitlines()
    assert "alone remains" not in run_here(root, capsys, "--no-page", "--trim", "0")[1]
    everything = [word for name in NAMES for word in ("--trim", f"{name}=500")]
    code, stderr = run_here(root, capsys, "--no-page", *everything)
    assert (code, stderr.count("no mask enters the average")) == (2, 3)


def test_a_link_out_of_the_data_set_fails_its_participant_alone(root, tmp_path_factory, capsys):
    """Of a mask or of the image that it was drawn on; the others are made."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    stem = CONTRASTS["T1w"].stem
    for path in (
        root / f"derivatives/labels/{stem('sub-1')}_label-SC_seg.nii.gz",
        root / f"{stem('sub-2')}.nii.gz",
    ):
        path.rename(elsewhere / path.name)
        path.symlink_to(elsewhere / path.name)
    code, said = run_here(root, capsys, "--no-page")
    assert code == 1
    assert said.count("a link that leaves the data set") == 2
    assert {name[:5] for name in made(root)} == {"sub-3"}
    assert run_here(root, capsys, "--no-page", "--follow-links")[0] == 0
    assert len(made(root)) == 9


def test_a_mask_whose_name_ends_in_upper_case_is_said(root, capsys):
    path = root / f"derivatives/labels/{CONTRASTS['T1w'].stem('sub-2')}_label-SC_seg.nii.gz"
    path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.GZ")))
    code, said = run_here(root, capsys, "--no-page")
    assert code == 1
    assert "label-SC_seg.NII.GZ: an image's name must end in .nii or .nii.gz" in said
    assert len(made(root)) == 8


def test_shards_leave_the_same_manifest_in_either_order(root, tmp_path_factory, capsys):
    other = tmp_path_factory.mktemp("other") / "data"
    shutil.copytree(root, other)
    shards = ("sub-1,sub-3", "sub-2")
    for place, order in ((root, shards), (other, shards[::-1])):
        for subjects in order:
            code, _ = run_here(place, capsys, "--subjects", subjects, "--no-page")
            assert code == 0
    manifest = Path("derivatives/labels_softseg/code/provenance.json")
    assert (root / manifest).read_text() == (other / manifest).read_text()
