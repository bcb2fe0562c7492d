"""Files are whole or absent."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from softseg.errors import InputError
from softseg.files import (
    check_writable,
    one_at_a_time,
    remove_leftovers,
    replacing,
    sha256,
    write_json,
)


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_the_file_appears_only_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"), replacing(tmp_path / "file" / "a.csv"):
        pass


def test_a_file_or_a_dead_link_in_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place, said in {
        "file/a.csv": "file is a file, not a folder",
        "file/deep/er/a.csv": "file is a file, not a folder",
        "link/a.csv": "link is a link that leads nowhere",
    }.items():
        with pytest.raises(InputError, match=said):
            check_writable(tmp_path / place)
        with pytest.raises(InputError, match=said), replacing(tmp_path / place):
            pass
        with pytest.raises(InputError, match=said), one_at_a_time((tmp_path / place).parent):
            pass


def test_numbers_that_are_keys_are_in_their_order(tmp_path):
    content = {"b": {"10": 1, "2": [{"11": 0, "3": 1}]}, "a": {"10": 1, "2": 0, "x": 0}}
    write_json(tmp_path / "a.json", content)
    read = json.loads((tmp_path / "a.json").read_text())
    assert read == content
    assert list(read["b"]) == ["2", "10"]
    assert list(read["b"]["2"][0]) == ["3", "11"]
    assert list(read["a"]) == ["10", "2", "x"]


def test_equal_content_is_equal_bytes(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": 2})
    write_json(tmp_path / "b.json", {"a": 2, "b": 1})
    assert sha256(tmp_path / "a.json") == sha256(tmp_path / "b.json")
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 2, "b": 1}


def test_what_a_killed_process_left_is_removed_and_what_another_is_writing_stays(tmp_path):
    killed = "import os, signal\nfrom pathlib import Path\nfrom softseg.files import replacing\n"
    killed += "with replacing(Path('table.csv')) as temporary:\n"
    killed += "    temporary.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path, check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "table.csv").read_text() == "half"
    with replacing(tmp_path / "other.csv") as temporary:
        temporary.write_text("whole")
        remove_leftovers(tmp_path)
        assert not left.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["other.csv"]


def test_files_that_belong_together_are_moved_together(tmp_path):
    with replacing(tmp_path / "second.txt") as second:
        with replacing(tmp_path / "first.txt") as first:
            with replacing(second) as same:
                same.write_text("2")
            first.write_text("1")
            assert not (tmp_path / "second.txt").exists()
        assert (tmp_path / "first.txt").exists()
        assert not (tmp_path / "second.txt").exists()
    assert (tmp_path / "second.txt").read_text() == "2"


def test_two_processes_that_ask_for_one_folder_take_turns(tmp_path):
    """The second begins when the first has ended, killed or not."""
    code = (
        "import sys, time; from softseg.files import one_at_a_time\n"
        "with one_at_a_time(sys.argv[1]):\n"
        "    print('in', time.monotonic(), flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, tmp_path / "model"]
    start = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **start) as first:
        assert first.stdout.readline().startswith("in ")
        with subprocess.Popen(words, **start) as second:
            with pytest.raises(subprocess.TimeoutExpired):
                second.communicate(timeout=1.5)
            first.kill()
            killed = time.monotonic()
            assert second.stdout.readline().startswith("in ")
            assert time.monotonic() - killed < 30
            second.kill()


def test_those_who_try_a_new_folder_at_once_do_not_take_it_from_each_other(tmp_path):
    """Each makes the folder, tries it and removes it empty, while others are about to write."""
    folder = tmp_path / "derivatives" / "labels_softseg"

    def work(number: int) -> None:
        for turn in range(60):
            check_writable(folder / "dataset_description.json")
            remove_leftovers(folder)
            if turn % 20 == 19:
                write_json(folder / f"{number}-{turn}" / "table.json", turn)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert len(list(folder.glob("*/table.json"))) == 18
    assert not list(folder.rglob(".partial-*"))
