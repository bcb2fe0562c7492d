"""The real database's scale on a miniature of its release, through the workflow to chapter 04."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from softseg.dataset.index import Dataset
from softseg.ground_truth.batch import make_ground_truth
from softseg.phantom.cohort import write_cohort

RUN = "miniature-of-spine-generic"
PARTICIPANTS = {  # digital participant → participant of the published split
    "sub-001": "sub-amu01",  # train
    "sub-002": "sub-amu03",  # train
    "sub-003": "sub-balgrist03",  # validation
    "sub-004": "sub-amu02",  # test
    "sub-005": "sub-amu05",  # test
    "sub-006": "sub-ubc01",  # excluded: no GRE-T1w
}
AXIAL = ("T2star", "MTS", "dwi")


def rename_participants(root: Path) -> None:
    """Give the digital participants the names of the release's participants."""
    for path in sorted(root.rglob("*sub-0*"), key=lambda p: -len(p.parts)):
        name = path.name
        for old, new in PARTICIPANTS.items():
            name = name.replace(old, new)
        path.rename(path.with_name(name))
    table = (root / "participants.tsv").read_text()
    for old, new in PARTICIPANTS.items():
        table = table.replace(old, new)
    (root / "participants.tsv").write_text(table)


def dress_as_release(root: Path) -> None:
    """Disc points alone, public soft masks, raw scans, older names, what is missing."""
    make_ground_truth(Dataset.index(root))
    for sidecar in (root / "derivatives").glob("labels_softseg*/**/*softseg*.json"):
        sidecar.unlink()  # the public masks were not made by this package
    for folder in ("labels_softseg", "labels_softseg_bin"):
        description = root / "derivatives" / folder / "dataset_description.json"
        description.write_text(json.dumps({"Name": "public", "BIDSVersion": "1.10.0"}))
    labels = root / "derivatives" / "labels"
    for path in labels.rglob("*_label-vertebrae_dseg.nii.gz"):
        path.unlink()
    for path in labels.rglob("*_label-discs_dlabel.nii.gz"):
        if any(word in path.name for word in AXIAL):
            path.rename(str(path).replace("_label-discs_", "_label-discs_desc-warp_"))
    for path in root.rglob("sub-ubc01*flip-2_mt-off_MTS*"):
        path.unlink()
    for path in sorted(root.rglob("sub-amu03*flip-1_mt-on_MTS*")):  # as releases before 2025
        older = path.name.replace("flip-1_mt-on_MTS", "acq-MTon_MTS")
        path.rename(path.with_name(older.replace("_label-SC_seg", "_seg-manual")))
    for path in root.rglob("sub-amu01_rec-average_dwi*"):
        path.unlink()
    raw = root / "sourcedata" / "sub-amu01" / "anat"
    raw.mkdir(parents=True)
    shutil.copy(root / "sub-amu01/anat/sub-amu01_T2w.nii.gz", raw)
    shutil.rmtree(root / "derivatives" / "truth")
    (root / "code" / "softseg_phantom.json").unlink()


@pytest.mark.slow
def test_a_miniature_of_the_release_runs_through_the_workflow(project_root, tmp_path):
    root = tmp_path / "spine-generic"
    write_cohort(root, subjects=len(PARTICIPANTS), seed=7, jobs=2)
    rename_participants(root)
    dress_as_release(root)
    smaller = {
        "run": RUN,
        "dataset": {"kind": "bids", "path": str(root)},
        "seeds": [1],
        "gpus_per_model": 0,
        "notebooks": {
            "01_dataset": {"rated": 0},
            "02_soft_ground_truth": {"jobs": 1},
            "03_training": {"network": "small", "augmentation": "light", "steps": 20},
            "04_csa_variability": {"jobs": 1},
        },
    }
    override = tmp_path / "smaller.yml"
    override.write_text(yaml.safe_dump(smaller))
    results = project_root / "runs" / RUN
    shutil.rmtree(results, ignore_errors=True)
    done = subprocess.run(
        [
            sys.executable, "-m", "snakemake", "-s", "notebooks/Snakefile", "--configfile",
            "notebooks/scales/spine-generic.yml", str(override), "--cores", "2",
            "--show-failed-logs", "--", f"runs/{RUN}/chapters/04_csa_variability.ipynb",
        ],
        cwd=project_root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        parts = json.loads((results / "splits.json").read_text())
        assert parts["train"] == ["sub-amu01", "sub-amu03"]
        assert parts["test"] == ["sub-amu02", "sub-amu05"]
        registration = pd.read_csv(results / "tables" / "registration.csv")
        assert "sub-ubc01" not in set(registration["subject"])
        old_name = registration.query("subject == 'sub-amu03' and contrast == 'MT-on'")
        assert len(old_name) == 1
        assert (root / "derivatives" / "labels_softseg_published").is_dir()
        published = pd.read_csv(results / "tables" / "published_masks.csv")
        assert len(published) > 4
        assert published["dice"].between(0.5, 1).all()
        csa = pd.read_csv(results / "tables" / "csa.csv")
        assert set(csa.loc[csa["method"] == "labels", "status"]) == {"ok"}
        assert csa.loc[csa["method"] == "labels", "area_mm2"].between(40, 110).all()
    finally:
        shutil.rmtree(results, ignore_errors=True)
