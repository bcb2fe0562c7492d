"""`softseg phantom` as a user meets it."""

import inspect
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from softseg.cli import app, main
from softseg.cli.phantom import phantom
from softseg.phantom.subjects import CohortOptions


def test_the_help_shows_an_example_and_every_option():
    result = CliRunner().invoke(app, ["phantom", "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "softseg phantom data/phantom" in result.output
    for option in (
        "--subjects", "--seed", "--contrasts", "--pathology", "--vendor", "--field-of-view",
        "--severity", "--mean-area-mm2", "--rule-mm", "--edges", "--jobs",
    ):  # fmt: skip
        assert option in result.output


def test_a_cohort_is_written_and_its_place_printed(tmp_path):
    out = tmp_path / "cohort"
    arguments = ["phantom", str(out), "--subjects", "1", "--contrasts", "EPI", "--jobs", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert str(out) in result.output.replace("\n", "")
    assert (out / "sub-001" / "func" / "sub-001_task-rest_bold.nii.gz").exists()


@pytest.mark.parametrize(
    "options", [["--subjects", "0"], ["--contrasts", "T3w"], ["--severity", "wild"]], ids=str
)
def test_bad_settings_exit_with_2_and_one_line(tmp_path, capsys, options):
    with pytest.raises(SystemExit) as stop:
        main(["phantom", str(tmp_path / "new"), *options])
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_the_command_s_defaults_are_those_of_a_cohort():
    ours = inspect.signature(phantom).parameters
    theirs = inspect.signature(CohortOptions).parameters
    for name in ("mean_area_mm2", "rule_mm", "edges", "severity", "field_of_view"):
        assert ours[name].default.default == theirs[name].default


def test_the_command_s_module_loads_nothing_that_makes_images():
    code = "import sys, softseg.cli.phantom; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
