"""Committed chapters are what their sources, parameters and scale say."""

import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "book/chapters").glob("*.ipynb"))
TABLE = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))

sys.path.insert(0, str(ROOT / "notebooks"))
from execute import scale_digest, source_digest  # noqa: E402


def mentioned(node) -> set[str]:
    """Every file that the table of contents names."""
    if isinstance(node, dict):
        own = {node["file"]} if "file" in node else set()
        return own.union(*(mentioned(value) for value in node.values()))
    return set().union(*map(mentioned, node)) if isinstance(node, list) else set()


def test_every_source_has_a_chapter_in_the_book_and_the_other_way_round():
    sources = {path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    assert sources == {path.stem for path in CHAPTERS}
    listed = {Path(name).stem for name in mentioned(TABLE) if "chapters/" in name}
    assert listed == sources


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_is_not_stale(path):
    made = nbformat.read(path, as_version=4).metadata["softseg"]
    source = ROOT / "notebooks" / made["source"]
    scale = ROOT / "notebooks/scales" / f"{made['scale']}.yml"
    remedy = f"{path.name} is stale, run `make chapters`:"
    assert made["source_sha256"] == source_digest(source), f"{remedy} its source changed"
    assert made["scale_sha256"] == scale_digest(scale), f"{remedy} {scale.name} changed"
    content = yaml.safe_load(scale.read_text(encoding="utf-8"))
    wanted = content["notebooks"].get(path.stem, {})
    assert wanted.items() <= made["parameters"].items(), f"{remedy} its parameters changed"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_ran_to_its_end_and_wrote_nothing_to_stderr(path):
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output["text"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_carries_no_path_of_the_machine_it_ran_on(path):
    text = json.dumps(nbformat.read(path, as_version=4).cells)
    for private in ("/root/", "/home/", "/work/", "/tmp/"):
        assert private not in text


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_cell_with_a_caption_shows_its_figure_alone(path):
    for cell in nbformat.read(path, as_version=4).cells:
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        kinds = [set(output.get("data", {})) for output in cell.get("outputs", [])]
        shown = [kind for kind in kinds if not any("papermill.record" in key for key in kind)]
        assert not name or len(shown) == 1, f"{name}: a table would take the figure's caption"


FEW_LINES = 10


def glued(path: Path) -> dict[str, str]:
    """What a chapter's sentences are made of: key → text."""
    key = "application/papermill.record/text/plain"
    return {
        output.metadata["scrapbook"]["name"]: output["data"][key]
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
        if key in output.get("data", {})
    }


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_code_wall_stands_above_the_first_result(path):
    shown = 0
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        if "hide-input" not in cell.metadata.get("tags", []):
            shown += len(cell.source.splitlines())
        if any({"image/png", "text/html"} & set(o.get("data", {})) for o in cell.outputs):
            break
    assert shown <= FEW_LINES


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_tables_are_made_for_readers(path):
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            page = output.get("data", {}).get("text/html", "")
            assert '<table border="1"' not in page, "pandas' own table: use show_table"
            assert ">nan<" not in page
            assert ">inf<" not in page


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_sentences_are_typeset_as_one_writes_them(path):
    for key, text in glued(path).items():
        if not text.startswith(("'", '"')):
            continue  # a number, which has its format where it stands
        assert not re.search(r"(?<![\w-])-\d", text), f"{key}: a hyphen for a minus: {text}"
        assert not re.search(r"(?<![\d.,])1 (?:people|images|masks)\b", text), f"{key}: {text}"
        assert not re.search(r"\b(?:nan|inf)\b", text), f"{key}: {text}"
