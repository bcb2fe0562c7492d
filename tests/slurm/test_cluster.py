"""The workflow through a real Slurm of one node: the same bytes as on this machine alone."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checkout import copy_checkout, digests, run_workflow

from softseg.provenance.checking import verify

CLUSTER = Path(__file__).with_name("cluster.sh")
PROFILES = ("--profile", "notebooks/profiles/slurm", "--workflow-profile", "tests/slurm/profile")
SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
needs_slurm = pytest.mark.skipif(
    not all(shutil.which(name, path=SEARCHED) for name in ("slurmctld", "slurmd", "munged")),
    reason="no Slurm here; tests/slurm/cluster.sh install brings the Debian packages",
)


RESULTS = (".nii.gz", ".csv", ".tsv", ".ipynb", ".safetensors")
"""Records beside masks name the time of the image, by which a later run knows it again."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Environment variables that point at a cluster of this test's own."""
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="pip install 'softseg[cluster]'")
    folder = tmp_path_factory.mktemp("slurm")
    begun = subprocess.run([CLUSTER, "start", folder], capture_output=True, text=True, check=False)
    if begun.returncode:
        pytest.skip(f"Slurm does not start here: {begun.stderr.strip()}")
    yield {
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    subprocess.run([CLUSTER, "stop", folder], check=True)


def compare(
    project_root: Path, folder: Path, cluster: dict, scale: dict, *targets: str
) -> tuple[Path, dict[str, str]]:
    """Run a scale here and on the cluster; the cluster's run and what both agree on."""
    checkout = copy_checkout(project_root, folder / "checkout")
    scale_path = folder / "scale.yml"
    scale_path.write_text(yaml.safe_dump(scale))
    began = time.monotonic()
    here = run_workflow(checkout, scale_path, "--cores", "1", "--", *targets)
    assert here.returncode == 0, here.stdout + here.stderr
    run = checkout / "runs" / scale["run"]
    alone, alone_s = digests(run, endings=RESULTS), time.monotonic() - began
    shutil.move(run, folder / "alone")
    shutil.rmtree(checkout / ".snakemake")
    began = time.monotonic()
    there = run_workflow(
        checkout, scale_path, *PROFILES, "--config", "benchmarks=true", "--", *targets, **cluster
    )
    assert there.returncode == 0, there.stdout + there.stderr
    assert digests(run, endings=RESULTS) == alone
    seconds = time.monotonic() - began
    print(f"{len(alone)} files alike; --cores 1 took {alone_s:.0f} s, Slurm {seconds:.0f} s")
    return run, alone


def shards_and_masks(run: Path, same: dict[str, str]) -> None:
    assert sum(name.endswith("_softseg.nii.gz") for name in same) > 10
    assert "tables/registration.csv" in same
    shares = [path.read_text().strip().split(",") for path in (run / "shards").glob("*.txt")]
    subjects = [subject for share in shares for subject in share]
    assert len(shares) == 2
    assert len(set(subjects)) == len(subjects) > 2
    measured = {path.name for path in (run / "benchmarks").glob("*.tsv")}
    assert {"cohort.tsv", "ground-truth_0.tsv", "ground-truth_1.tsv"} <= measured
    assert list((run.parent / "slurm-logs").rglob("*.log"))


@pytest.mark.slow
@pytest.mark.stress
@needs_slurm
def test_the_tiny_scale_through_slurm_gives_the_bytes_of_one_core(project_root, tmp_path, cluster):
    scale = yaml.safe_load((project_root / "notebooks/scales/tiny.yml").read_text())
    scale |= {"shards": 2, "gpus_per_model": 1}
    run, same = compare(project_root, tmp_path, cluster, scale, "chapters")
    shards_and_masks(run, same)
    assert "tables/csa.csv" in same
    assert sum(name.endswith("model.safetensors") for name in same) == len(scale["models"])
    # Snakemake's own notes on the jobs are nobody's product.
    findings = verify(run).findings
    assert [each for each in findings if not each.file.startswith("benchmarks/")] == []


@pytest.mark.slow
@needs_slurm
def test_shards_through_slurm_give_the_bytes_of_one_core(project_root, tmp_path, cluster):
    scale = yaml.safe_load((project_root / "notebooks/scales/tiny.yml").read_text())
    scale |= {"shards": 2}
    target = f"runs/{scale['run']}/shards/ground-truth_"
    run, same = compare(
        project_root, tmp_path, cluster, scale, *(f"{target}{k}-of-2.txt" for k in range(2))
    )
    assert list((run.parent / "slurm-logs").rglob("*.log"))
    assert sum(name.endswith("_softseg.nii.gz") for name in same) > 4


def test_the_profile_asks_for_what_the_workflow_has(project_root):
    """Rule names in the profile that the workflow does not know would be ignored in silence."""
    profile = yaml.safe_load((project_root / "notebooks/profiles/slurm/config.yaml").read_text())
    rules = {
        line.strip().removeprefix("rule ").rstrip(":")
        for line in (project_root / "notebooks/Snakefile").read_text().splitlines()
        if line.strip().startswith("rule ")
    }
    assert set(profile["set-resources"]) | set(profile["set-threads"]) <= rules
    assert profile["executor"] == "slurm"
    assert profile["retries"] > 0
