"""What a chapter writes says where it comes from; what it cannot write, it says in a line."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from softseg.files import sha256
from softseg.provenance.checking import verify

CELLS = (
    "from pathlib import Path\nfrom softseg.errors import InputError\n"
    "from softseg.files import replacing, write_json\nout = Path(folder)",
    "for name in ('tables/areas.csv', 'models/a/history.csv'):\n"
    "    with replacing(out / name) as temporary:\n"
    "        temporary.write_text('area_mm2\\n80\\n')\n"
    "write_json(out / 'models/a/timing.json', {'seconds': 3})",
    "if wrong:\n    raise InputError(f'{wrong}: a mask must lie in [0, 1], found 3')",
)


@pytest.fixture
def source(tmp_path) -> Path:
    """A notebook that writes a table, a history and a run time below `folder`."""
    first = v4.new_code_cell("folder: str = ''\nwrong: str = ''", metadata={"tags": ["parameters"]})
    cells = [first, *map(v4.new_code_cell, CELLS)]
    path = tmp_path / "04_small.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    (tmp_path / "tiny.yml").write_text("run: tiny\n")
    return path


def execute(project_root: Path, source: Path, run: Path, **parameters):
    words = [
        sys.executable, project_root / "notebooks/execute.py", source, run / "chapters/04.ipynb",
        "--scale", source.with_name("tiny.yml"),
        "--parameters", json.dumps({"folder": str(run), **parameters}),
        "--record", run / "records/04.json", "--sources", source, project_root / "tests/tubes.py",
        run / "splits.json",
    ]  # fmt: skip
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_tables_and_everything_else_that_a_chapter_writes_can_be_verified(
    project_root, source, tmp_path
):
    run = tmp_path / "run"
    run.mkdir()
    (run / "splits.json").write_text("{}")
    done = execute(project_root, source, run)
    assert done.returncode == 0, done.stderr
    checked = verify(run)
    assert checked.findings == []
    assert checked.unsigned == []
    record = json.loads((run / "tables/areas.csv.json").read_text())
    assert record["SHA256"] == {"areas.csv": sha256(run / "tables/areas.csv")}
    assert set(record["SourcesSHA256"]) == {"../../04_small.ipynb", "../splits.json"}
    (entry,) = record["GeneratedBy"]
    assert entry["Name"] == "softseg 04_small"
    assert entry["Parameters"]["scale"] == "tiny"
    whole = json.loads((run / "records/04.json").read_text())
    assert set(whole["SHA256"]) == {"../chapters/04.ipynb", "../models/a/history.csv"}
    # The tables alone can be checked too, and what is changed by hand is found.
    assert verify(run / "tables").findings == []
    for name in ("tables/areas.csv", "models/a/history.csv"):
        (run / name).write_text("area_mm2\n81\n")
    found = [(each.file, each.status) for each in verify(run).findings]
    assert found == [("models/a/history.csv", "changed"), ("tables/areas.csv", "changed")]


def test_wrong_input_of_a_chapter_is_one_line_and_leaves_what_was_there(
    project_root, source, tmp_path
):
    run = tmp_path / "run"
    (run / "chapters").mkdir(parents=True)
    (run / "chapters/04.ipynb").write_text("the earlier chapter")
    done = execute(project_root, source, run, wrong="a.nii.gz")
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if line.startswith("softseg: ")]
    assert said == ["softseg: 04_small.ipynb, cell 5: a.nii.gz: a mask must lie in [0, 1], found 3"]
    assert "Traceback" not in done.stderr
    assert (run / "chapters/04.ipynb").read_text() == "the earlier chapter"
    assert not (run / "tables/areas.csv.json").exists(), "nothing vouches for an unfinished step"


def test_the_tiny_run_is_as_recorded(project_root):
    run = project_root / "runs/tiny"
    if not (run / "records").is_dir():
        pytest.skip("the tiny scale has not run here; `make tiny` runs it")
    # Sources change while one works on the project; results do not.
    findings = [each for each in verify(run).findings if not each.status.startswith("source")]
    assert findings == []
