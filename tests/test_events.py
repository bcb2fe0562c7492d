"""What happens is told line by line: as text with -v, as JSON with --log-json."""

import json
import logging
import os
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from tubes import Curve, Tube, sample

from softseg import cli
from softseg.events import event, following, form, tell


@pytest.fixture(scope="module")
def mask(tmp_path_factory):
    soft = sample(Tube(Curve(tilt_deg=(0.0, 10.0))), (1.0, 1.0, 4.0), length_mm=24).soft
    return soft.save(tmp_path_factory.mktemp("mask") / "soft.nii.gz")


NO_LEVELS = "softseg: no levels: the mean is over the whole cord"


def softseg(capfd, *arguments) -> tuple[int, str, list[str]]:
    with pytest.raises(SystemExit) as left:
        cli.main([str(a) for a in arguments])
    captured = capfd.readouterr()
    return int(left.value.code or 0), captured.out, captured.err.splitlines()


def test_without_the_option_a_command_that_went_well_says_only_what_the_mean_is_over(
    mask, tmp_path, capfd
):
    code, out, lines = softseg(capfd, "csa", mask, "-o", tmp_path / "a.csv")
    assert (code, out, len(lines)) == (0, "", 1)
    assert lines[0].startswith(NO_LEVELS)
    assert softseg(capfd, "csa", mask, "-o", tmp_path / "a.csv", "--quiet") == (0, "", [])


@pytest.mark.parametrize("place", [0, 1, 4])
def test_verbose_says_one_line_an_event_wherever_the_option_stands(mask, tmp_path, capfd, place):
    words = ["csa", mask, "-o", tmp_path / "a.csv"]
    code, _, lines = softseg(capfd, *words[:place], "-v", *words[place:])
    assert code == 0
    lines = [text for text in lines if not text.startswith(NO_LEVELS)]
    line = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|warning|error) \w+")
    assert all(line.match(text) for text in lines), lines
    events = [text.split()[2] for text in lines]
    assert events[0] == "start"
    assert events[-1] == "end"
    assert {"read", "write"} <= set(events)
    assert any(f"file={tmp_path / 'a.csv'}" in text for text in lines)


def test_as_json_every_line_is_an_object_with_time_level_and_event(mask, tmp_path, capfd):
    code, _, lines = softseg(capfd, "csa", mask, "-o", tmp_path / "a.csv", "--log-json")
    records = [json.loads(line) for line in lines]
    assert code == 0
    assert all({"time", "level", "event"} <= set(record) for record in records)
    assert records[0]["event"] == "start"
    assert records[0]["arguments"][0] == "csa"
    assert records[-1]["exit_code"] == 0
    assert records[-1]["seconds"] > 0


def test_as_json_errors_and_notes_are_objects_too(mask, tmp_path, capfd):
    code, _, lines = softseg(
        capfd, "--log-json", "csa", mask, tmp_path / "absent.nii", "-o", tmp_path / "a.csv"
    )
    records = [json.loads(line) for line in lines]
    assert code == 1
    assert any(r["event"] == "note" and "absent.nii" in r["message"] for r in records)
    code, _, lines = softseg(capfd, "--log-json", "csa", "absent.nii", "-o", tmp_path / "b.csv")
    failed = [r for r in map(json.loads, lines) if r["level"] == "error"]
    assert code == 2
    assert [(r["exit_code"], r["message"]) for r in failed] == [(2, "absent.nii: no such file")]
    code, _, lines = softseg(capfd, "csa", "--divine", "--log-json")
    assert code == 2
    assert [json.loads(line)["event"] for line in lines] == ["start", "error", "end"]


def test_a_file_name_cannot_forge_a_line(tmp_path, capfd):
    name = "a\n2026-01-01T00:00:00.000Z info end exit_code=0.nii"
    code, _, lines = softseg(capfd, "csa", tmp_path / name, "-o", tmp_path / "a.csv", "-v")
    assert code == 2
    assert len(lines) == 3  # start, what is wrong, end


def _say() -> None:
    event("worker", number=1)


def test_processes_that_a_command_starts_follow_as_it_does(capfd):
    with (
        following("json"),
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
    ):
        pool.submit(_say).result()
    records = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {"event": "worker", "number": 1}.items() <= records[-1].items()


def test_following_ends_with_its_block(capfd):
    with following("text"):
        assert form() == "text"
        event("inside")
    event("outside")
    tell("said")
    said = capfd.readouterr().err
    assert "inside" in said
    assert "outside" not in said
    assert said.endswith("said\n")
    assert "SOFTSEG_LOG" not in os.environ


def test_a_program_that_uses_the_package_gets_ordinary_records(caplog):
    with caplog.at_level(logging.INFO, logger="softseg"):
        event("read", file="a.nii")
    assert caplog.records[-1].getMessage() == "read"
    assert caplog.records[-1].softseg == {"file": "a.nii"}


def test_an_error_of_our_own_is_one_line_with_its_own_exit_code(monkeypatch, capfd):
    def broken(*_, **__):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(cli, "app", broken)
    code, _, lines = softseg(capfd, "csa")
    assert code == 3
    assert len(lines) == 1
    assert "RuntimeError: two lines" in lines[0]
    assert "--debug" in lines[0]
    with pytest.raises(RuntimeError):
        cli.main(["csa", "--debug"])


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m softseg --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_every_process_appends_its_events_to_the_file_that_is_named(tmp_path):
    """As a chapter's kernel and its workers do; nothing is said on the way."""
    words = "from softseg.files import write_json; write_json({!r}, 1)"
    env = os.environ | {"SOFTSEG_LOG_FILE": str(tmp_path / "events.jsonl")}
    for name in ("a.json", "b.json"):
        code = words.format(str(tmp_path / name))
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        assert (done.stdout, done.stderr) == ("", "")
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(e["event"], e["file"]) for e in events] == [
        ("write", str(tmp_path / "a.json")), ("write", str(tmp_path / "b.json"))
    ]  # fmt: skip
    # An events file that cannot be written does not stop the work.
    env["SOFTSEG_LOG_FILE"] = str(tmp_path / "a.json/events.jsonl")
    code = words.format(str(tmp_path / "c.json"))
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert (tmp_path / "c.json").exists()
