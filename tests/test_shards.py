"""People shared out among jobs: everybody once, and made as chapter 02 would make them."""

import ast
import subprocess
import sys

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softseg.contrasts import CONTRASTS
from softseg.ground_truth.soft import GroundTruthOptions


@pytest.fixture(scope="module")
def shard(project_root):
    """The helper module beside the notebooks."""
    sys.path.insert(0, str(project_root / "notebooks"))
    import shard

    yield shard
    sys.path.remove(str(project_root / "notebooks"))


@given(people=st.sets(st.integers(0, 400), max_size=60), count=st.integers(1, 20))
@settings(deadline=None)
def test_everybody_is_in_one_shard_and_shards_are_of_one_size(shard, people, count):
    names = [f"sub-{number:03d}" for number in people]
    shards = [shard.people_of(number, count, names) for number in range(count)]
    assert sorted(name for some in shards for name in some) == sorted(names)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize("changed", [{}, {"trim_mm": 3.0, "average": "median"}])
def test_a_shard_makes_its_people_with_the_settings_of_chapter_02(shard, changed):
    notebook = nbformat.read(shard.NOTEBOOK, as_version=4)
    cells = [ast.parse(cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    makes = [cell for cell in cells if "GroundTruthOptions(" in ast.unparse(cell)]
    values = shard.parameters(shard.NOTEBOOK, changed)
    names = {"GroundTruthOptions": GroundTruthOptions, "CONTRASTS": CONTRASTS, **values}
    for statement in makes[0].body:
        exec(ast.unparse(statement), names)
        if "options" in names:
            break
    assert shard.truth_settings(values) == names["options"]


@pytest.mark.parametrize(("count", "option"), [(3, ["--config", "shards=3"]), (0, [])])
def test_the_workflow_has_a_job_for_every_shard(project_root, count, option):
    done = subprocess.run(
        [
            sys.executable, "-m", "snakemake", "-s", "notebooks/Snakefile",
            "--configfile", "notebooks/scales/spine-generic.yml", "--cores", "1", "--dry-run",
            "--quiet", "host", "--nolock", "--forceall", *option, "--", "everything",
        ],
        cwd=project_root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [line.split() for line in done.stdout.splitlines()]
    found = [int(words[1]) for words in counts if words[:1] == ["ground_truth_shard"]]
    assert set(found) == ({count} if count else set())  # the table may be printed twice
