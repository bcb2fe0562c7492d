"""A chapter that somebody runs alone: readable, and the run that it reads stays the workflow's."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from softseg_study import run as runs
from softseg_study.filled import KEY, MISSING, Fill, FillingEngine, fill, glued


@pytest.fixture
def demo(tmp_path, monkeypatch) -> runs.Run:
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    monkeypatch.delenv(runs.WORKFLOW_VARIABLE, raising=False)
    return runs.Run("demo")


def in_the_workflow(monkeypatch) -> None:
    monkeypatch.setenv(runs.WORKFLOW_VARIABLE, "1")


FIRST, SECOND = (pd.DataFrame({"area_mm2": [value]}) for value in (6.45, 12.28))


def test_other_parameters_by_hand_leave_the_runs_tables_and_say_so(demo, monkeypatch, capsys):
    in_the_workflow(monkeypatch)
    demo.save(csa=FIRST)
    made = demo.table("csa").read_bytes()
    monkeypatch.delenv(runs.WORKFLOW_VARIABLE)
    demo.save(csa=SECOND)
    assert demo.table("csa").read_bytes() == made, "the next chapter reads the workflow's"
    beside = demo.root / "by-hand/tables/csa.csv"
    assert pd.read_csv(beside)["area_mm2"].tolist() == [12.28]
    assert "by-hand/tables/csa.csv" in capsys.readouterr().out


def test_without_a_workflow_chapters_read_what_was_written_by_hand(demo):
    demo.save(csa=FIRST)
    assert demo.table("csa") == demo.root / "tables/csa.csv"
    (demo.root / "by-hand/models/mine_seed-1").mkdir(parents=True)
    assert demo.model("mine_seed-1").parent.parent.name == "by-hand"


def test_the_workflow_writes_over_its_own(demo, monkeypatch):
    in_the_workflow(monkeypatch)
    for table in (FIRST, SECOND):
        demo.save(csa=table)
    assert pd.read_csv(demo.table("csa"))["area_mm2"].tolist() == [12.28]
    assert not (demo.root / "by-hand").exists()


def test_masks_that_are_there_are_not_written_over_by_hand(demo, tmp_path, monkeypatch):
    assert demo.pipeline(tmp_path, "labels_softseg") == "labels_softseg"
    (tmp_path / "derivatives/labels_softseg").mkdir(parents=True)
    assert demo.pipeline(tmp_path, "labels_softseg") == "by-hand_labels_softseg"
    in_the_workflow(monkeypatch)
    assert demo.pipeline(tmp_path, "labels_softseg") == "labels_softseg"


def executed(text: str, **values: object) -> nbformat.NotebookNode:
    outputs = [
        new_output("display_data", {KEY: repr(value)}, metadata={"scrapbook": {"name": name}})
        for name, value in values.items()
    ]
    return new_notebook(cells=[new_markdown_cell(text), new_code_cell("…", outputs=outputs)])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SD {glue:text}`sd:.2f` mm²", "SD 1.23 mm²"),
        ("{glue:text}`n:d` people", "24 people"),
        ("{glue:text}`word:s`: so", "Yes, but less: so"),
        ("{glue:text}`lost:.1f`", "nan"),
        ("{glue:text}`nothing:.1f`", MISSING),
        ("a rule {cite:p}`gneiting2007`", "a rule (gneiting2007)"),
        ("see {ref}`the table <areas>`", "see the table"),
        ("$x$ and `code`", "$x$ and `code`"),
    ],
)
def test_sentences_get_their_numbers(text, said):
    notebook = executed(text, sd=1.234, n=24, word="Yes, but less", lost=float("nan"))
    assert fill(notebook).cells[0].source == said


def test_both_ways_fill_and_leave_the_cells_outputs(tmp_path):
    notebook = executed("{glue:text}`sd:.1f`", sd=2.0)
    outputs = list(notebook.cells[1].outputs)
    filled, resources = Fill().preprocess(notebook, {"name": "x"})
    assert filled.cells[0].source == "2.0"
    assert (filled.cells[1].outputs, resources) == (outputs, {"name": "x"})
    assert glued(filled) == {"sd": 2.0}


@pytest.mark.slow
def test_papermill_leaves_a_chapter_that_reads_well_without_the_book(tmp_path):
    import papermill
    from papermill.engines import papermill_engines

    papermill_engines.register("softseg", FillingEngine)
    code = "from myst_nb import glue\nglue('sd', factor * 1.5, display=False)"
    cells = [new_markdown_cell("SD {glue:text}`sd:.1f` mm²."), new_code_cell("factor = 1")]
    cells[1].metadata["tags"] = ["parameters"]
    source = new_notebook(cells=[*cells, new_code_cell(code)])
    source.metadata["kernelspec"] = {"name": "python3", "display_name": "x", "language": "python"}
    nbformat.write(source, tmp_path / "in.ipynb")
    papermill.execute_notebook(
        tmp_path / "in.ipynb", tmp_path / "out.ipynb", {"factor": 2}, engine_name="softseg",
        progress_bar=False,
    )  # fmt: skip
    assert nbformat.read(tmp_path / "out.ipynb", 4).cells[0].source == "SD 3.0 mm²."


def test_a_book_of_a_run_holds_the_tables_that_its_chapters_link_to(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "notebooks"))
    from assemble import refresh

    chapters, tables = tmp_path / "run/chapters", tmp_path / "run/tables"
    for folder in (chapters, tables):
        folder.mkdir(parents=True)
    for name in ("spread.csv", "spread.csv.json", "unused.csv"):
        (tables / name).write_text(name)
    links = "[Table](../tables/spread.csv) · [record](../tables/spread.csv.json)"
    nbformat.write(new_notebook(cells=[new_markdown_cell(links)]), chapters / "04.ipynb")
    refresh(chapters, tmp_path / "book/chapters")
    found = sorted(path.name for path in (tmp_path / "book/tables").iterdir())
    assert found == ["spread.csv", "spread.csv.json"]
    (tables / "spread.csv").unlink()
    with pytest.raises(SystemExit, match=r"links to .*spread\.csv"):
        refresh(chapters, tmp_path / "book/chapters")


def test_a_book_of_a_run_is_built_though_a_chapter_warns_and_shows_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "notebooks"))
    from assemble import STDERR, assemble

    (tmp_path / "chapters").mkdir()
    assemble(tmp_path / "chapters", tmp_path / "book")
    config = (tmp_path / "book/_config.yml").read_text()
    assert STDERR[0] not in config
    assert config.count(STDERR[1]) == 1
