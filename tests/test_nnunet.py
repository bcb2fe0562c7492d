"""nnU-Net itself, where its commands are installed: export, plan, train, predict, measure."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from softseg.dataset.index import Dataset
from softseg.phantom.cohort import write_cohort
from softseg_study.competitors.nnunet import export_nnunet, import_nnunet, nnunet_commands
from softseg_study.evaluation.areas import measure_areas
from softseg_study.evaluation.overlap import evaluate_overlap

CONTRASTS = ("DWI", "T2star")
PARTS = {
    "training_subjects": ["sub-001", "sub-002"],
    "validation_subjects": ["sub-003"],
    "test_subjects": ["sub-004"],
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("nnUNetv2_train") is None,
        reason="nnUNetv2_train is not on the PATH; install nnunetv2 in an environment of its own",
    ),
]


def make_small(plans: Path) -> None:
    """Plan a network that a processor trains in half a minute; plans are meant to be edited."""
    content = json.loads(plans.read_text())
    plan = content["configurations"]["2d"]
    # A patch as large as the images: with small ones the windows of a prediction take longest.
    plan |= {"batch_size": 2, "patch_size": [64, 64]}
    features = plan["architecture"]["arch_kwargs"]["features_per_stage"]
    plan["architecture"]["arch_kwargs"]["features_per_stage"] = [
        min(8 * 2**stage, 32) for stage in range(len(features))
    ]
    plans.write_text(json.dumps(content))


def run(line: str, folder: Path) -> None:
    """One command as one types it, its three folders and one thread set beforehand."""
    places = {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
    # Workers that load data are for training alone: planning takes their number for its threads.
    workers = "0" if line.startswith("nnUNetv2_train") else "1"
    machine = {"nnUNet_n_proc_DA": workers, "nnUNet_compile": "f", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["/bin/sh", "-ec", line], env=os.environ | places | machine, cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Dataset, Path, Path]:
    """Four phantoms, what of them was exported and what one epoch of nnU-Net predicted."""
    folder = tmp_path_factory.mktemp("nnunet")
    root = write_cohort(folder / "data", subjects=4, seed=3, contrasts=CONTRASTS, jobs=1)
    dataset = Dataset.index(root)
    exported = export_nnunet(dataset, folder / "raw", dataset_id=7, truth="hard", **PARTS)
    plan, *rest = nnunet_commands(
        exported, folder / "out", configuration="2d", epochs=1, device="cpu"
    )
    run(f"{plan} -np 1 -npfp 1", folder)
    make_small(folder / "preprocessed" / exported.name / "nnUNetPlans.json")
    *rest, predict = rest
    for line in (*rest, f"{predict} -npp 1 -nps 1"):
        run(line, folder)
    return dataset, exported, folder / "out"


def test_nnunet_trains_on_what_was_exported_and_its_masks_are_measured(trained):
    dataset, exported, predictions = trained
    table = import_nnunet(dataset, exported, predictions)
    assert sorted(table.contrast) == sorted(CONTRASTS)
    assert set(table.status) == {"hard"}
    found = measure_areas(dataset, {"nnunet": "nnunet"}, subjects=PARTS["test_subjects"])
    assert sorted(found.contrast.unique()) == sorted(CONTRASTS)
    # 250 steps of a small network find a cord of about the size of one, no more is asked.
    assert found.area_mm2.between(10, 250).all()
    overlap = evaluate_overlap(
        dataset, {"nnunet": "nnunet"}, "labels:label-SC_seg", subjects=PARTS["test_subjects"]
    )
    assert overlap.dice.min() > 0.3
