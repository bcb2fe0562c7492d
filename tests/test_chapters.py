"""Committed chapters are what their sources, parameters and scale say."""

import json
import re
import subprocess
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
from staleness import file_at, stale_since  # noqa: E402


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


def declared(path: Path, folder: Path) -> Path:
    """The file as the chapters were made from it: today's, or that of the declared commit."""
    commit = stale_since()
    if commit is None:
        return path
    content = file_at(commit, path)
    if content is None:
        pytest.skip(f"this clone's history does not reach back to {commit}")
    (folder / path.name).write_bytes(content)
    return folder / path.name


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_is_not_stale_but_as_declared(path, tmp_path):
    made = nbformat.read(path, as_version=4).metadata["softseg"]
    source = declared(ROOT / "notebooks" / made["source"], tmp_path)
    scale = declared(ROOT / "notebooks/scales" / f"{made['scale']}.yml", tmp_path)
    remedy = f"{path.name} is stale, run `make chapters`:"
    assert made["source_sha256"] == source_digest(source), f"{remedy} its source changed"
    assert made["scale_sha256"] == scale_digest(scale), f"{remedy} {scale.name} changed"
    content = yaml.safe_load(scale.read_text(encoding="utf-8"))
    wanted = content["notebooks"].get(path.stem, {})
    assert wanted.items() <= made["parameters"].items(), f"{remedy} its parameters changed"


def test_chapters_are_declared_stale_only_where_one_is():
    made = [nbformat.read(path, as_version=4).metadata["softseg"] for path in CHAPTERS]
    changed = [
        about["source"]
        for about in made
        if about["source_sha256"] != source_digest(ROOT / "notebooks" / about["source"])
    ]
    assert bool(changed) == bool(stale_since()), changed


def test_a_release_is_refused_while_the_chapters_are_declared_stale():
    script = ROOT / "notebooks" / "staleness.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert bool(done.returncode) == bool(stale_since())
    assert (stale_since() or "") in done.stderr
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nrelease:")[1]
    lines = recipe.split("\n\n")[0].splitlines()
    assert "notebooks/staleness.py" in lines[1], "before anything that takes minutes"
    assert "test" not in lines[0].split("##")[0], "what stands on this line is done first"


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
