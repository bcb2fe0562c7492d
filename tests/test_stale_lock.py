"""A killed workflow starts again by itself; one that lives keeps its lock."""

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("fcntl", reason="no locks of this kind here")
HOLD = "import stale_lock, sys, pathlib; stale_lock.take_over(pathlib.Path(sys.argv[1]));" + (
    "print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def state(tmp_path) -> Path:
    """Snakemake's folder with the list of files of one that ran on this machine."""
    folder = tmp_path / ".snakemake"
    (folder / "locks").mkdir(parents=True)
    (folder / "locks/0.output.lock").write_text("runs/mine/data.done\n")
    (folder / "alive.lock").write_text(platform.node())
    return folder


@pytest.fixture
def stale_lock(project_root, monkeypatch):
    monkeypatch.syspath_prepend(str(project_root / "notebooks"))
    import stale_lock

    yield stale_lock
    while stale_lock._HELD:
        os.close(stale_lock._HELD.pop())


@pytest.fixture
def holder(project_root, state):
    """Another process that has started on the same folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env=os.environ | {"PYTHONPATH": str(project_root / "notebooks")},
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def lists(state: Path, *, written: bool = False) -> bool:
    if written:  # by a process that has come as far as its own lock
        (state / "locks").mkdir(exist_ok=True)
        (state / "locks/0.output.lock").write_text("runs/mine/data.done\n")
    return (state / "locks/0.output.lock").exists()


def test_lists_of_a_dead_process_are_removed(stale_lock, state):
    assert stale_lock.take_over(state)
    assert not lists(state)
    assert not stale_lock.take_over(state), "there is nothing left to remove"


def test_lists_of_a_living_process_stay_and_go_after_it_was_killed(stale_lock, state, holder):
    lists(state, written=True)
    assert not stale_lock.take_over(state)
    assert lists(state)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not stale_lock.take_over(state), "we live ourselves"
    while stale_lock._HELD:
        os.close(stale_lock._HELD.pop())
    assert stale_lock.take_over(state)


@pytest.mark.parametrize("last", ["another-machine", ""])
def test_lists_of_another_machine_or_of_nobody_known_stay(stale_lock, state, last):
    (state / "alive.lock").write_text(last)
    assert not stale_lock.take_over(state)
    assert lists(state)


def test_a_folder_that_may_not_be_written_is_left_alone(stale_lock, tmp_path):
    (tmp_path / "file").write_text("")
    assert not stale_lock.take_over(tmp_path / "file")


def test_a_killed_workflow_needs_no_unlocking(project_root, tmp_path, state):
    """The whole, with lists that Snakemake itself would stop at."""
    data = tmp_path / "mine"
    data.mkdir()
    (data / "dataset_description.json").write_text(json.dumps({"Name": "mine"}))
    scale = yaml.safe_load((project_root / "notebooks/scales/tiny.yml").read_text())
    scale |= {"run": "mine", "dataset": {"kind": "bids", "path": str(data)}}
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(scale))
    words = [
        sys.executable, "-m", "snakemake", "-s", project_root / "notebooks/Snakefile",
        "--configfile", "mine.yml", "--cores", "1", "--quiet", "host", "--", "runs/mine/data.done",
    ]  # fmt: skip
    after = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert after.returncode == 0, after.stdout + after.stderr
    assert "has been removed" in after.stdout + after.stderr
    assert (tmp_path / "runs/mine/data.done").exists()
    assert not lists(state)
