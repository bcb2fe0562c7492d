"""What a release needs says the same in every file; the paper's figures are those of the tables."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PAPER = (ROOT / "paper.md").read_text("utf-8")


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_one_version_everywhere():
    study = tomllib.loads(text("notebooks/pyproject.toml"))["project"]["version"]
    (conda,) = re.findall(r'set version = "([^"]+)"', text("conda/meta.yaml"))
    assert {study, conda, yaml.safe_load(text("CITATION.cff"))["version"]} == {PROJECT["version"]}


def test_conda_asks_for_what_pip_asks_for():
    recipe = re.sub(r"{%.*?%}|{{ *(\w+) *}}", r"\1", text("conda/meta.yaml"))
    run = yaml.safe_load(recipe)["requirements"]["run"]
    plain = {name.replace(" ", "") for name in run if not name.startswith("python ")}
    assert plain == set(PROJECT["dependencies"])
    assert f"python {PROJECT['requires-python']}" in run


def test_the_readme_needs_no_checkout_to_be_shown():
    links = re.findall(r"\]\(([^)]+)\)", text("README.md"))
    assert links
    assert all(link.startswith(("https://", "#")) for link in links)


def test_one_command_puts_the_address_everywhere_and_a_release_refuses_the_placeholder(tmp_path):
    script = text(".ci/address")
    (names,) = re.findall(r'^files="([^"]+)"', script, re.MULTILINE)
    for name in (*names.split(), ".ci/address"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text(name), "utf-8")

    def address(*words: str) -> int:
        command = ["bash", ".ci/address", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert address() != 0
    assert address("a-lab/its-name") == 0
    assert address() == 0
    assert "https://github.com/a-lab/its-name" in (tmp_path / "pyproject.toml").read_text()
    tracked = subprocess.run(
        ["git", "grep", "-l", "your-lab"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    mine = {".ci/address", "tests/test_publish.py", "book/cluster.md", "notebooks/hub_card.py"}
    assert set(tracked) <= {*names.split(), *mine}
    assert os.access(ROOT / ".ci/address", os.R_OK)


@pytest.mark.parametrize("name", ["bug.yml", "question.yml"])
def test_forms_ask_for_something_and_name_each_field_once(name):
    form = yaml.safe_load(text(f".github/ISSUE_TEMPLATE/{name}"))
    assert {"name", "description", "body"} <= set(form)
    ids = [field["id"] for field in form["body"] if "id" in field]
    assert len(ids) == len(set(ids))
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_zenodo_and_the_citation_name_the_same_work():
    zenodo, citation = json.loads(text(".zenodo.json")), yaml.safe_load(text("CITATION.cff"))
    assert zenodo["title"] == citation["title"]
    assert zenodo["license"] == citation["license"] == PROJECT["license"]
    related = {each["identifier"] for each in zenodo["related_identifiers"]}
    assert {citation["preferred-citation"]["doi"], citation["repository-code"]} <= related


def test_the_paper_cites_what_the_book_has_and_states_the_tables_figures():
    keys = set(re.findall(r"@(\w+)", PAPER))
    assert keys <= set(re.findall(r"^@\w+\{([^,]+),", text("book/references.bib"), re.MULTILINE))
    means = pd.read_csv(ROOT / "book/tables/csa_means.csv").set_index("Masks")
    typical, largest = "Mean area, median difference (%)", "Largest (%)"
    said = " ".join(PAPER.split())
    assert f"over {means.loc['binary', 'Number']} drawn masks" in said
    assert f"differ by {means.loc['binary', typical]:.2f} % in the median" in said
    assert f"by {abs(means.loc['binary', largest]):.2f} % at most" in said
    assert f"by up to {abs(means.loc['soft', largest]):.2f} %" in said


def test_the_card_of_the_hub_is_that_of_the_weights(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "notebooks")])
    from hub_card import hub_card

    card = json.loads(text("softseg/weights/axial.json"))
    assert text("hub/README.md") == hub_card(card)
    front = yaml.safe_load(text("hub/README.md").split("---")[1])
    assert front["license"] == card["licence"].lower()
    assert front["library_name"] == "softseg"
