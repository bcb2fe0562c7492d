"""The command line as a whole: help, exit codes, one-line errors."""

import importlib
import inspect
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import softseg
from softseg import cli
from softseg.volume import Volume


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "softseg", *arguments], capture_output=True, text=True, check=False
    )


def test_help_lists_every_command_and_what_it_is_not_for():
    shown = run("--help").stdout
    assert "not for diagnosis" in " ".join(shown.split())
    for command in cli.COMMANDS:
        assert command.replace("_", "-") in shown


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help_with_an_example(command):
    shown = run(command.replace("_", "-"), "--help")
    assert shown.returncode == 0
    example = shown.stdout.partition("Example")[2]
    name = command.replace("_", "-")
    assert re.search(rf"^ +(: )?`?softseg {name} [^`\n]+(`|$)", f"   {example}", re.MULTILINE)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_fits_80_columns_and_names_every_option_in_full(command):
    function = getattr(importlib.import_module(f"softseg.cli.{command}"), command)
    shown = run(command.replace("_", "-"), "--help").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert not re.search(r"--[a-z-]+-$", shown, re.MULTILINE)  # an option broken at a hyphen
    for name, parameter in inspect.signature(function).parameters.items():
        if name != "context" and "OptionInfo" in str(parameter.annotation):
            assert re.search(rf"--{name.replace('_', '-')}\b|-o, --output", shown), name


def test_quiet_says_nothing_but_what_went_wrong(tmp_path):
    data = np.zeros((12, 12, 8), np.float32)
    data[3:9, 3:9] = 1
    data[0, 0] = 1  # another object: a note
    Volume(data, np.eye(4)).save(tmp_path / "a.nii.gz")
    words = ["csa", str(tmp_path / "a.nii.gz"), "-o", str(tmp_path / "a.csv")]
    assert "left out" in run(*words).stderr
    for option in ("-q", "--quiet"):
        done = run(*words, option)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run("-q", "csa", str(tmp_path / "none.nii.gz"), "-o", str(tmp_path / "b.csv"))
    assert done.returncode == 2
    assert "none.nii.gz" in done.stderr
    words[1:1] = [str(tmp_path / "none.nii.gz")]
    done = run(*words, "-q")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "none.nii.gz: no such file" in done.stderr


def test_a_shell_can_complete_commands_and_options():
    asked = {
        "COMP_WORDS": "softseg compare",
        "COMP_CWORD": "1",
        "_SOFTSEG_COMPLETE": "complete_bash",
    }
    code = "from softseg.cli import main; main()"
    command = [sys.executable, "-c", f"import sys; sys.argv = ['softseg']; {code}"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | asked)
    assert done.stdout.split() == ["compare-weights"]


def test_an_unknown_command_or_option_exits_with_2():
    assert run("divine").returncode == 2
    assert run("csa", "--divine").returncode == 2


def test_wrong_input_is_one_line_without_a_traceback(tmp_path):
    done = run("csa", str(tmp_path / "absent.nii.gz"), "-o", str(tmp_path / "out.csv"))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "absent.nii.gz" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path):
    done = run("--debug", "csa", str(tmp_path / "absent.nii.gz"), "-o", str(tmp_path / "out.csv"))
    assert "Traceback" in done.stderr


def test_an_interruption_exits_with_130(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    with pytest.raises(SystemExit) as left:
        cli.main([])
    assert left.value.code == 130


def test_the_version_is_the_packages():
    assert run("-V").stdout == run("--version").stdout
    assert run("--version").stdout.strip() == f"softseg {softseg.__version__}"
