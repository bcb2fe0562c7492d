"""Chapters on a data set like a real one: no truth, contrasts missing, one more tool's masks."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from softseg.volume import Volume

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "runs/tiny"
NOT_KNOWN = "these data have no true"
"""How a section says that it needs a truth."""


def execute(run: Path, number: str, **parameters: object) -> str:
    """A notebook on the data set of `run`; everything that the page would say, as text."""
    source = next((ROOT / "notebooks").glob(f"{number}_*.ipynb"))
    chapter = run.parent / f"{source.stem}.ipynb"
    parameters |= {"run": run.name, "dataset": str(run / "data")}
    command = [sys.executable, "notebooks/execute.py", f"notebooks/{source.name}", str(chapter)]
    command += ["--scale", "notebooks/scales/tiny.yml", "--parameters", json.dumps(parameters)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"SOFTSEG_RUNS": str(run.parent)},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    outputs = [o for c in nbformat.read(chapter, as_version=4).cells for o in c.get("outputs", [])]
    assert not [o for o in outputs if o.get("name") == "stderr"]
    return "\n".join(str(text) for o in outputs for key, text in o.get("data", {}).items()
                     if key.endswith("text/plain"))  # fmt: skip


@pytest.fixture
def run(tmp_path) -> Path:
    """A copy of the tiny run without truth, where two people lack a contrast."""
    if not (TINY / "tables/csa.csv").exists():
        pytest.skip("`make tiny` makes the run that this test takes its truth from")
    run = tmp_path / "real"
    leave = shutil.ignore_patterns("truth", "labels_softseg*", "contour_following", "data.*")
    for name in ("data", "models"):
        shutil.copytree(TINY / name, run / name, ignore=leave)
    shutil.copy(TINY / "splits.json", run)
    first, second, *_ = unseen_people(run)
    for person, image in ((first, "T2w"), (second, "T1w"), (second, "T2star")):
        for path in (run / "data").rglob(f"{person}_{image}*"):
            path.unlink()
    return run


def unseen_people(run: Path) -> list[str]:
    return json.loads((run / "splits.json").read_text())["test"]


def add_a_method(run: Path) -> None:
    """Masks of another tool: the rater's, moved by a voxel."""
    labels = run / "data/derivatives/labels"
    for person in unseen_people(run):
        for path in labels.glob(f"{person}/**/*_label-SC_seg.nii.gz"):
            mask = Volume.load(path)
            moved = run / "data/derivatives/theirs" / path.relative_to(labels)
            moved.parent.mkdir(parents=True, exist_ok=True)
            mask.like(np.roll(mask.data, 1, axis=0)).save(moved, np.uint8)


def tables_of_chapter_04(run: Path) -> None:
    """`csa.csv` and `overlap.csv` as chapter 04 would have written them, with one more method."""
    first, second, *_ = unseen_people(run)
    (run / "tables").mkdir()
    for name in ("csa", "overlap"):
        table = pd.read_csv(TINY / f"tables/{name}.csv")
        gone = (table["subject"] == first) & (table["contrast"] == "T2w")
        gone |= (table["subject"] == second) & table["contrast"].isin(["T1w", "T2star"])
        table = table[~gone]
        theirs = table[table["method"] == "labels"].assign(method="theirs")
        pd.concat([table, theirs]).to_csv(run / f"tables/{name}.csv", index=False)


@pytest.mark.slow
def test_ablations_and_sample_sizes_need_no_truth(run):
    tables_of_chapter_04(run)
    said = execute(run, "05")
    assert "against the true area" not in said
    assert "SD of one person's areas over the contrasts" in said
    said = execute(run, "08", methods=["soft_all", "theirs"])
    assert "n too small" in said or "no number of" in said


@pytest.mark.slow
@pytest.mark.stress
def test_every_chapter_runs_on_it_and_says_what_it_cannot_know(run):
    add_a_method(run)
    execute(run, "01", rated=0)
    assert "for 1 of 7 people no soft truth could be made" in execute(run, "02").lower()
    said = execute(run, "04", extra_methods=["theirs"])
    assert NOT_KNOWN in said
    assert "theirs" in said
    assert "against the true area" not in execute(run, "05")
    assert "theirs" in execute(run, "06", conditions=["contrast-EPI"])
    said = execute(run, "07", methods=["soft_all_seed-1", "theirs"])
    assert NOT_KNOWN in said.lower()
    assert "no number of" in execute(run, "08")
