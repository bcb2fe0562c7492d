"""The recipe of the container, as far as it can be judged without a container daemon."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINES = [
    line
    for line in (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]


def test_every_instruction_is_one_that_docker_knows():
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT", "CMD"}
    assert {line.split()[0] for line in LINES} <= known
    assert LINES[0].startswith("FROM ")


def test_what_is_copied_exists_and_is_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    copied = [
        line.split()[1:-1] for line in LINES if line.startswith("COPY") and "--from" not in line
    ]
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists()
        assert f"!{name.removeprefix('./')}" in ignored


def test_it_runs_as_a_user_without_rights_and_starts_the_bids_app():
    final = LINES[max(i for i, line in enumerate(LINES) if line.startswith("FROM")) :]
    assert "USER softseg" in final
    assert final.index("USER softseg") < final.index('ENTRYPOINT ["softseg-bids"]')
    assert not any("pip" in line for line in final)


def test_its_python_is_one_that_the_package_allows_and_no_extra_is_installed():
    (version,) = {re.search(r"python:3\.(\d+)-slim", line)[1] for line in LINES if "FROM" in line}
    assert 11 <= int(version) <= 13
    assert any(re.search(r"pip install --no-cache-dir \.$", line) for line in LINES)


@pytest.mark.parametrize("word", ["docker-daemon", "softseg-bids"])
def test_apptainer_uses_the_same_image_and_command(word):
    assert word in (ROOT / "softseg.def").read_text("utf-8")
