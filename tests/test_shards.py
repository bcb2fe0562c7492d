"""Participants shared out among jobs: everybody once, and made as chapter 02 would make them."""

import json
import time
from threading import Thread

import pytest
import yaml
from checkout import copy_checkout, run_workflow
from tube_cohort import write_tubes

from softseg.contrasts import CONTRASTS
from softseg.dataset.index import Dataset
from softseg.files import one_at_a_time
from softseg.ground_truth.batch import make_ground_truth
from softseg.ground_truth.soft import GroundTruthOptions
from softseg.provenance.checking import verify
from softseg.provenance.records import MANIFEST, read_json, write_record

SUBJECTS = ["sub-a", "sub-b", "sub-c"]
CHANGED = {"trim_mm": 5.0, "average": "median", "contrasts": ["T2w", "T2star"]}
"""Of the parameters of chapter 02; the others are the notebook's own."""


@pytest.fixture(scope="module")
def shared_out(project_root, tmp_path_factory):
    """Three participants in four shards, two at a time; the checkout that they were made in."""
    folder = tmp_path_factory.mktemp("shards")
    checkout = copy_checkout(project_root, folder / "checkout")
    # As if chapter 01, which deals out participants, had run.
    data = write_tubes(checkout / "runs/mine/data", SUBJECTS, ("T2w", "T2star"))
    (data.parent / "splits.json").write_text(
        json.dumps({"train": SUBJECTS[:2], "test": SUBJECTS[2:]})
    )
    scale = yaml.safe_load((project_root / "notebooks/scales/tiny.yml").read_text())
    scale |= {"run": "mine", "shards": 4, "dataset": {"kind": "bids", "path": "runs/mine/data"}}
    scale["notebooks"]["02_soft_ground_truth"] = CHANGED
    (folder / "scale.yml").write_text(yaml.safe_dump(scale))
    shards = [f"runs/mine/shards/ground-truth_{shard}-of-4.txt" for shard in range(4)]
    words = ["--cores", "2", "--allowed-rules", "ground_truth_shard", "--", *shards]
    done = run_workflow(checkout, folder / "scale.yml", *words)
    logs = "".join(path.read_text() for path in (checkout / "runs/mine/logs").glob("*"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return checkout


def test_everybody_is_in_one_shard_and_shards_are_of_one_size(shared_out):
    shares = [path.read_text().split() for path in (shared_out / "runs/mine/shards").glob("*.txt")]
    assert sorted(shares) == [[], *([subject] for subject in SUBJECTS)]
    logs = [path.read_text() for path in (shared_out / "runs/mine/logs").glob("*.log")]
    assert sorted(log.count("1 made") for log in logs) == [0, 1, 1, 1]


def test_chapter_02_finds_made_what_the_shards_have_made(shared_out):
    thick = [name for name in CONTRASTS if name not in ("T1w", "T2w")]
    options = GroundTruthOptions(
        reference="T2w", registration="translation", average=CHANGED["average"],
        trim_mm=dict.fromkeys(thick, CHANGED["trim_mm"]),
    )  # fmt: skip
    data = Dataset.index(shared_out / "runs/mine/data", contrasts=CHANGED["contrasts"])
    table = make_ground_truth(data, options=options)
    assert set(table["subject"]) == set(SUBJECTS)
    assert set(table["status"]) == {"up to date"}


def test_what_the_shards_have_made_is_as_recorded(shared_out):
    checked = verify(shared_out / "runs/mine/data/derivatives/labels_softseg")
    assert checked.findings == []
    assert checked.files > 2 * len(SUBJECTS)


def test_shards_list_what_they_made_in_turns(tmp_path):
    step = {"step": "ground-truth", "since": time.time()}
    second = Thread(target=write_record, args=[tmp_path / MANIFEST, [tmp_path]], kwargs=step)
    with one_at_a_time((tmp_path / MANIFEST).parent):
        second.start()
        second.join(0.2)
        (tmp_path / "late.csv").write_text("a\n1\n")
    second.join(10)
    assert list(read_json(tmp_path / MANIFEST)["SHA256"]) == ["../late.csv"]
