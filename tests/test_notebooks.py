"""Notebook sources: clean, thin and self-checking. `make test` also executes each with nbval."""

import ast
import re
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("[0-9]*.ipynb"))
SCALES = sorted((Path(__file__).resolve().parents[1] / "notebooks/scales").glob("*.yml"))
SCALES = [path for path in SCALES if path.stem != "grid"]  # the models to choose from
CELLS, LINES, COLUMNS = 14, 25, 72
VISIBLE_LINES = 8
IMPORT_LINES = 45  # a name a line, each from where it is defined
"""Code that is longer is folded away: a page shows results."""

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


def test_long_code_is_folded_away(path):
    for cell in code_cells(path):
        lines = cell.source.splitlines()
        folded = "hide-input" in cell.metadata.get("tags", [])
        assert folded or len(lines) <= VISIBLE_LINES, f"{len(lines)} lines: {lines[0]}"


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
