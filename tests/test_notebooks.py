"""Notebook sources: clean, thin and self-checking. `make test` also executes each with nbval."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("[0-9]*.ipynb"))
SCALES = sorted((Path(__file__).resolve().parents[1] / "notebooks/scales").glob("*.yml"))
SCALES = [path for path in SCALES if path.stem != "grid"]  # the models to choose from
CELLS, LINES, COLUMNS = 18, 25, 80
IMPORT_LINES = 45  # a name a line, each from where it is defined
FIRST_WORDS, ANSWER_WORDS = 35, 60
FOLDED = ("use_style()", "glue(")
"""What a folded cell does: it sets up, or hands numbers to sentences; it computes no claim."""
KEYS = re.compile(r"\b(?:labels|(?:soft|hard)_\w+|contour_following|\w+_(?:mm2|percent))\b")
HOUSE_WORDS = re.compile(
    r"\b(?:luck|doubts?|legs|stops nobody|hard truth|soft truth|spaghetti)\b", re.IGNORECASE
)

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_a_source_holds_no_outputs_and_no_execution_counts(path):
    for cell in code_cells(path):
        assert not cell.outputs
        assert cell.execution_count is None


def test_a_source_names_its_kernel_and_has_one_cell_of_parameters(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    tagged = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1


def test_every_parameter_is_typed_and_commented(path):
    cell = next(c for c in code_cells(path) if "parameters" in c.metadata.get("tags", []))
    assert all(isinstance(node, ast.AnnAssign) for node in ast.parse(cell.source).body)
    known = papermill.inspect_notebook(str(path))
    assert known
    assert not [name for name, about in known.items() if not about["help"]]


def test_a_source_is_thin(path):
    cells = code_cells(path)
    assert len(cells) <= CELLS
    for cell in cells:
        lines = cell.source.splitlines()
        nodes = ast.parse(cell.source).body
        imports = all(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes)
        limit = IMPORT_LINES if imports else LINES
        assert len(lines) <= limit, f"{len(lines)} lines: {lines[0]}"
        assert max(map(len, lines)) <= COLUMNS, max(lines, key=len)
        defined = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.FunctionDef)]
        assert not defined, "what is worth a function belongs in the package"


def test_a_source_opens_with_question_and_answer_and_ends_with_what_it_asserts(path):
    notebook = nbformat.read(path, as_version=4)
    first = notebook.cells[0].source
    assert first.startswith("# ")
    assert "**Question.**" in first
    assert "**Answer.**" in first
    assert "assert " in code_cells(path)[-1].source


def rewritten(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


def words(text: str) -> int:
    """How many words a reader reads: a glued value counts as one."""
    text = re.sub(r"\{glue:\w*\}`[^`]*`", "one", text.replace("**Answer.**", ""))
    return len([word for word in text.split() if re.search(r"\w", word)])


def test_the_answer_comes_first_and_is_short(path):
    title, first, *more = rewritten(path)[0].source.split("\n\n")
    assert title.startswith("# ")
    assert re.match(r"\{glue:text\}`yes_or_no:s`|Yes\b|No\b", first), "yes or no comes first"
    assert words(first) <= FIRST_WORDS, words(first)
    assert first.count(". ") == 0, "one sentence"
    answer = next(part for part in more if part.startswith("**Answer.**"))
    assert words(answer) <= ANSWER_WORDS, words(answer)


def test_cells_that_compute_what_the_chapter_claims_are_visible(path):
    for cell in rewritten(path):
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code" or "hide-input" not in tags or "parameters" in tags:
            continue
        nodes = ast.parse(cell.source).body
        imports = all(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes)
        assert imports or any(word in cell.source for word in FOLDED), cell.source.splitlines()[0]


def test_evidence_is_one_click_away(path):
    """Under every figure and table a link to its table and the table's record, which it saves."""
    cells = rewritten(path)
    saved = set(re.findall(r"results\.save\(\s*(\w+)=", "\n".join(c.source for c in cells)))
    for cell, below in pairwise(cells):
        shows = "figure" in cell.metadata.get("mystnb", {}) or "show_table(" in cell.source
        if cell.cell_type != "code" or not shows or "hide-input" in cell.metadata.get("tags", []):
            continue
        if below.cell_type == "code" and "figure" in below.metadata.get("mystnb", {}):
            continue  # a figure of the table just shown: one link for both
        link = re.match(r"\[[^]]+\]\(\.\./tables/(\w+)\.csv\) · \[record\]", below.source)
        assert link, f"no evidence below: {cell.source.splitlines()[-1]}"
        assert f"../tables/{link[1]}.csv.json" in below.source
        assert link[1] in saved, f"{link[1]} is not saved by this chapter"


def test_readers_are_told_plain_names_and_find_keys_once_at_the_end(path):
    cells = rewritten(path)
    for cell in cells:
        prose = cell.source if cell.cell_type == "markdown" else ""
        prose = re.sub(r"\]\([^)]*\)|\{[^}]*\}`[^`]*`|```.*?```", "", prose, flags=re.DOTALL)
        figure = cell.metadata.get("mystnb", {})
        prose += figure.get("figure", {}).get("caption", "") + figure.get("image", {}).get(
            "alt", ""
        )
        assert not KEYS.findall(prose)
        assert not HOUSE_WORDS.findall(prose)


def test_every_number_in_prose_has_a_format(path):
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    keys = re.findall(r"\{glue:\w*\}`([^`]+)`", prose)
    assert [key for key in keys if not re.search(r":(?:\.\d+f|d|s)$", key)] == []


def test_every_scale_gives_only_parameters_that_the_notebook_has(path):
    known = set(papermill.inspect_notebook(str(path)))
    for scale in SCALES:
        content = yaml.safe_load(scale.read_text(encoding="utf-8"))
        given = set(content["notebooks"].get(path.stem, {}))
        if path.stem.startswith("03"):
            given |= {name for model in content["models"].values() for name in model}
            given -= {"seeds", "factor", "against"}  # the workflow's own, and chapter 05's
        assert given <= known, f"{scale.name}: {sorted(given - known)}"
