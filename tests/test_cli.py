"""The command line as a whole: help, exit codes, one-line errors."""

import subprocess
import sys

import pytest

from softseg import cli


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
    assert f"softseg {command.replace('_', '-')} " in example


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
    assert run("--version").stdout.strip() == f"softseg {cli.softseg.__version__}"
