"""The tables of parameters are those of the notebooks."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTENSIONS = ROOT / "book" / "_ext"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.fixture(autouse=True)
def extension(monkeypatch):
    monkeypatch.syspath_prepend(str(EXTENSIONS))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_reads_the_same_parameters(path):
    from chapter_parameters import read_parameters

    cells = nbformat.read(path, as_version=4).cells
    cell = next(c for c in cells if "parameters" in c.metadata.get("tags", []))
    logging.disable(logging.WARNING)
    known = papermill.inspect_notebook(str(path))
    logging.disable(logging.NOTSET)
    found = read_parameters(cell.source)
    assert [p.name for p in found] == list(known)
    for p in found:
        about = known[p.name]
        assert (p.kind, p.default, p.meaning) == (
            about["inferred_type_name"], about["default"], about["help"],
        )  # fmt: skip


def chapter(parameters, injected=None):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# How many?\n", "\n", "Some.\n"]},
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": [parameters]},
    ]
    if injected:
        tags = {"tags": ["injected-parameters"]}
        cells.append({"cell_type": "code", "metadata": tags, "source": [injected]})
    return json.dumps({"cells": cells})


def build(folder, chapters):
    (folder / "conf.py").write_text(
        f"import sys; sys.path.insert(0, {str(EXTENSIONS)!r})\n"
        'extensions = ["myst_parser", "chapter_parameters"]\n'
        'exclude_patterns = ["out", "**.ipynb"]\n'
    )
    (folder / "index.md").write_text("# Page\n\n## All\n\n```{chapter-parameters}\n```\n")
    (folder / "book" / "chapters").mkdir(parents=True)
    for name, text in chapters.items():
        (folder / "book" / "chapters" / f"{name}.ipynb").write_text(text)
        # The page that the link leads to; the notebook itself needs an extension of its own.
        (folder / "book" / "chapters" / f"{name}.md").write_text("---\norphan: true\n---\n# It\n")
    command = [sys.executable, "-m", "sphinx", "-b", "text", "-W", "-q", folder, folder / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    page = folder / "out" / "index.txt"
    return done.returncode, (page.read_text() if page.exists() else "") + done.stderr


def test_a_page_shows_defaults_meanings_and_what_this_book_changed(tmp_path):
    parameters = 'run: str = "tiny"  # a folder\nsteps: int = 100  # how many\nfew: list = []  # x'
    injected = '# Parameters\nrun = "book"\nsteps = 100\n'
    code, shown = build(tmp_path, {"03_training": chapter(parameters, injected)})
    assert code == 0, shown
    for words in ("Chapter 03", "How many?", '""tiny""', "'book'", "a folder", "how many"):
        assert words in shown, shown
    assert shown.count("100") == 1  # a value that is the default is not said again


def test_without_chapters_the_page_is_built_all_the_same(tmp_path):
    code, shown = build(tmp_path, {})
    assert code == 0, shown


def test_values_that_differ_in_quotes_alone_are_not_a_change(tmp_path):
    from chapter_parameters import read_chapter

    path = tmp_path / "01_x.ipynb"
    path.write_text(chapter('a: str = "x"  # one\nb: float = 0.5  # two', "a = 'x'\nb = 0.25"))
    title, parameters, changed = read_chapter(path)
    assert title == "How many?"
    assert [p.name for p in parameters] == ["a", "b"]
    assert changed == {"b": "0.25"}
