"""Killed, started twice, out of space: results stay whole and the same."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import interruptions
import numpy as np
import pytest
from interruptions import STEPS, start, wait_for
from tubes import grid_of, rater_mask

from softseg.contrasts import CONTRASTS
from softseg.dataset.index import Dataset
from softseg.ground_truth.batch import make_ground_truth
from softseg.ground_truth.soft import GroundTruthOptions

SCRIPT = Path(interruptions.__file__)
TRUTH = STEPS["ground truth"]


def run_script(step: str, *arguments: str) -> list[dict]:
    run = subprocess.run(
        [sys.executable, SCRIPT, step, *arguments], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def assert_unharmed(trials: list[dict], count: int) -> None:
    assert len(trials) == count
    for trial in trials:
        assert trial["half_files"] == 0, trial
        assert trial["restarted"], trial
        assert trial["identical"], trial


@pytest.mark.parametrize(("step", "trials"), [("ground truth", 2), ("segmentation", 1)])
def test_killed_at_a_random_moment_it_goes_on_to_the_same_files(step, trials):
    assert_unharmed(run_script(step, "--trials", str(trials)), trials)


@pytest.mark.stress
@pytest.mark.parametrize(
    ("step", "trials"), [("phantom", 8), ("ground truth", 20), ("segmentation", 16),
                         ("training", 10)],
)  # fmt: skip
def test_fifty_kills_at_random_moments_harm_nothing(step, trials):
    assert_unharmed(run_script(step, "--trials", str(trials), "--seed", "9"), trials)


@pytest.mark.parametrize("step", STEPS)
def test_two_processes_at_once_write_the_same_files_as_one(step):
    (found,) = run_script(step, "--together")
    assert found["codes"] == [0, 0], found["log"]
    assert found["identical"]


@pytest.fixture(scope="module")
def mask():
    return rater_mask(grid_of(CONTRASTS["T2w"], half_mm=(9, 16, 6)))


def write_participants(root: Path, mask, subjects: tuple[str, ...] = ("sub-1",)) -> Path:
    for subject in subjects:
        for name in ("T2w", "T1w"):
            stem = CONTRASTS[name].stem(subject)
            mask.save(root / f"{stem}.nii.gz")
            mask.save(root / "derivatives/labels" / f"{stem}_label-SC_seg.nii.gz", np.uint8)
    return root


def truth(root: Path, threshold: float) -> None:
    options = GroundTruthOptions(
        threshold=threshold, registration="none", weights={"T1w": threshold}
    )
    make_ground_truth(Dataset.index(root, contrasts=("T2w", "T1w")), options=options)


def killed_at(moment: int, work: Callable[[Path], None], root: Path) -> bool:
    """Run `work` in a fork that is killed when it moves its file number `moment` into place."""

    def run(root: Path) -> None:
        moved, move = iter(range(10**6)), os.replace

        def replace(*arguments):
            if next(moved) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            move(*arguments)

        os.replace = replace
        work(root)

    return wait_for(start(run, root)) != 0


def test_a_run_with_other_settings_killed_between_two_files_never_passes_for_ours(tmp_path, mask):
    """Every moment between two moves: what is found up to date afterwards is of our settings."""
    root = write_participants(tmp_path, mask)
    truth(root, 0.5)
    whole = TRUTH.results(root)
    moments = 0
    while killed_at(moments, lambda root: truth(root, 0.7), root):
        truth(root, 0.5)
        assert TRUTH.results(root) == whole, f"killed at move {moments}"
        assert not list(root.rglob(".partial-*")), "leftovers must be gone"
        moments += 1
    assert moments >= 9, "four masks, four sidecars and a report are moved"


def test_half_a_report_of_a_killed_process_is_not_read(tmp_path, mask):
    root = write_participants(tmp_path, mask)
    truth(root, 0.5)
    report = root / "derivatives/labels_softseg/report.csv"
    whole = report.read_bytes()
    left = root / "derivatives/labels_softseg/sub-1/.partial-left"
    left.mkdir()
    (left / "sub-2_desc-softseg_report.csv").write_text("subject,session,contr")
    truth(root, 0.5)
    assert report.read_bytes() == whole


def test_shards_that_start_together_set_published_masks_aside_once(tmp_path, mask):
    root = write_participants(tmp_path, mask, ("sub-1", "sub-2"))
    stem = CONTRASTS["T2w"].stem("sub-1")
    published = root / "derivatives/labels_softseg"
    mask.save(published / f"{stem}_label-SC_softseg.nii.gz")

    def shard(subject: str) -> Callable[[Path], None]:
        return lambda root: make_ground_truth(
            Dataset.index(root, contrasts=("T2w", "T1w")), subjects=[subject]
        )

    children = [start(shard(subject), root) for subject in ("sub-1", "sub-2")]
    assert [wait_for(child) for child in children] == [0, 0], (root / "child.log").read_text()
    aside = root / "derivatives/labels_softseg_published"
    assert list(aside.rglob("*.nii.gz")) == [aside / f"{stem}_label-SC_softseg.nii.gz"]
    assert len(list(published.rglob("sub-*.nii.gz"))) == 4
    assert not (aside / "dataset_description.json").exists()


def test_a_file_that_may_not_grow_is_said_and_leaves_earlier_results_as_they_were(tmp_path, mask):
    """The same without being root: a limit on the size of files, in a process of its own."""
    root = write_participants(tmp_path, mask)
    truth(root, 0.5)
    whole = TRUTH.results(root)
    size = max(path.stat().st_size for path in root.rglob("*softseg.nii.gz"))

    def limited(root: Path) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
        dataset = Dataset.index(root, contrasts=("T2w", "T1w"))
        table = make_ground_truth(dataset, options=GroundTruthOptions(average="median"))
        assert set(table["status"]) == {"failed"}
        (root / "said").write_text(table["message"].iloc[0])

    assert wait_for(start(limited, root)) == 0, (root / "child.log").read_text()
    assert "File too large" in (root / "said").read_text()
    assert TRUTH.results(root) == whole
