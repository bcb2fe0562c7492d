"""Many items: outcomes, resuming, worker processes that end with their parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softseg.batch import commit, map_batch, run_batch
from softseg.errors import InputError

PARENT = """
from functools import partial
from pathlib import Path
from softseg.batch import map_batch
from test_batch import report_and_wait
if __name__ == "__main__":
    map_batch(partial(report_and_wait, Path({folder!r})), range(2), jobs=2)
"""


def invert(number: float) -> float:
    if number < 0:
        raise InputError(f"{number}: must not be negative")
    return 1 / number


def square_late_if_first(number: int) -> int:
    time.sleep(0.5 if number == 0 else 0)
    return number**2


def kill_worker(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def report_and_wait(folder: Path, index: int) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(600)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_item_does_not_stop_the_batch(jobs):
    outcomes = sorted(run_batch(invert, [2, 0, -1, 4], jobs=jobs), key=lambda o: o.index)
    assert [o.status for o in outcomes] == ["done", "failed", "failed", "done"]
    assert [o.result for o in outcomes] == [0.5, None, None, 0.25]
    assert outcomes[1].message == "0: ZeroDivisionError: division by zero"
    assert outcomes[2].message == "-1: must not be negative"
    assert isinstance(outcomes[2].error, InputError)


def test_the_results_are_in_order_whatever_the_number_of_processes():
    one, two = (map_batch(square_late_if_first, range(5), jobs=jobs) for jobs in (1, 2))
    assert one == two == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("jobs", [1, 2])
def test_where_all_results_are_needed_the_first_error_is_raised_as_it_is(jobs):
    with pytest.raises(ZeroDivisionError):
        map_batch(invert, [1, 0, 2], jobs=jobs)


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_finished_is_skipped_and_counted(jobs):
    finished, counted = {2: "found", 3: "found"}, []
    outcomes = run_batch(
        invert, [1, 2, 3, 4], jobs=jobs, finished=finished.get, progress=counted.append
    )
    found = {o.item: (o.status, o.result) for o in outcomes}
    assert found == {
        1: ("done", 1.0), 2: ("skipped", "found"), 3: ("skipped", "found"), 4: ("done", 0.25),
    }  # fmt: skip
    assert sorted(counted) == ["1", "2", "3", "4"]


def test_a_check_that_fails_is_the_items_failure():
    (outcome,) = run_batch(invert, [1], finished=lambda item: invert(-item))
    assert (outcome.status, outcome.message) == ("failed", "-1: must not be negative")


def test_items_done_in_this_process_are_done_while_outcomes_are_read():
    made = []
    outcomes = run_batch(made.append, [1, 2, 3])
    next(outcomes)
    assert made == [1]


def test_less_than_one_process_is_refused_at_once():
    with pytest.raises(InputError, match="at least 1, found 0"):
        run_batch(invert, [1], jobs=0)


@pytest.mark.skipif(os.name != "posix", reason="kills as a system without memory does")
def test_a_killed_worker_is_one_clear_line():
    with pytest.raises(InputError, match="a process was killed") as error:
        list(run_batch(kill_worker, [1, 2], jobs=2))
    assert "\n" not in str(error.value)


@pytest.mark.skipif(os.name != "posix", reason="kills as a scheduler does")
def test_workers_end_with_their_parent_however_it_ends(tmp_path):
    script = tmp_path / "parent.py"
    folder = tmp_path / "workers"
    folder.mkdir()
    script.write_text(PARENT.format(folder=str(folder)))
    paths = [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    parent = subprocess.Popen(
        [sys.executable, script], env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    )
    try:
        wait_until(lambda: len(list(folder.iterdir())) == 2)
    finally:
        parent.kill()
        parent.wait()
    workers = [int(path.name) for path in folder.iterdir()]
    wait_until(lambda: not any(is_running(pid) for pid in workers))


def wait_until(condition, limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")  # a zombie that nobody has waited for does not run
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def write(mask: Path, record: Path, text: str, *, fail: bool = False) -> None:
    with commit([mask], records=[record]) as temporary:
        temporary[mask].write_text(text)
        if fail:
            raise OSError("full")
        temporary[record].write_text(text)


def test_ctrl_c_between_two_moves_leaves_both_files_and_still_interrupts(tmp_path, monkeypatch):
    mask, record, replace = tmp_path / "a.nii", tmp_path / "a.json", os.replace

    def interrupted(*paths):
        signal.raise_signal(signal.SIGINT)
        replace(*paths)

    def write():
        with commit([mask], records=[record]) as temporary:
            temporary[mask].write_text("mask")
            temporary[record].write_text("{}")
            monkeypatch.setattr(os, "replace", interrupted)

    # What a shell starts in the background ignores Ctrl-C, these tests among it.
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            write()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, ours)
    assert (mask.read_text(), record.read_text()) == ("mask", "{}")


def test_files_are_moved_together_or_not_at_all(tmp_path):
    mask, record = tmp_path / "a.nii", tmp_path / "a.json"
    write(mask, record, "old")
    with pytest.raises(InputError, match="could not be written"):
        write(mask, record, "new", fail=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a.nii": "old", "a.json": "old",
    }  # fmt: skip
    write(mask, record, "new")
    assert mask.read_text() == record.read_text() == "new"


def test_no_record_vouches_for_files_of_another_run(tmp_path, monkeypatch):
    mask, record = tmp_path / "a.nii", tmp_path / "a.json"
    write(mask, record, "old")
    move = os.replace

    def killed_between_two_files(source, target):
        if Path(target) == record:
            raise KeyboardInterrupt
        move(source, target)

    monkeypatch.setattr(os, "replace", killed_between_two_files)
    with pytest.raises(KeyboardInterrupt):
        write(mask, record, "new")
    assert mask.read_text() == "new"
    assert not record.exists()
