"""Steps of the workflow as jobs of Kubernetes, with a `kubectl` that runs them on this machine."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from checkout import copy_checkout, digests, environment, run_workflow

PROFILE = Path("notebooks/profiles/kubernetes")
KUBECTL = """#!{python}
import json, os, pathlib, subprocess, sys
words, jobs = sys.argv[1:], pathlib.Path({jobs!r})
if words[0] == "create":
    job = json.load(sys.stdin)
    name = job["metadata"]["generateName"] + str(len(list(jobs.glob("*.json"))))
    (jobs / (name + ".json")).write_text(json.dumps(job))
    container = job["spec"]["template"]["spec"]["containers"][0]
    env = os.environ | {{e["name"]: e["value"] for e in container["env"]}}
    log = open(jobs / (name + ".log"), "w")
    run = subprocess.Popen(["/bin/sh", "-c", '"$@"; echo $? > ' + str(jobs / name) + ".code", "sh",
                            *container["command"]], cwd=container["workingDir"], env=env,
                           stdout=log, stderr=log, start_new_session=True)
    print("job.batch/" + name)
elif words[0] == "get":
    name = words[2]
    if not (jobs / (name + ".json")).exists():
        sys.exit(print('Error from server (NotFound): jobs "' + name + '" not found',
                       file=sys.stderr) or 1)
    code = jobs / (name + ".code")
    if code.exists() and code.read_text().strip():
        print("Complete=True " if code.read_text().strip() == "0" else "Failed=True ", end="")
elif words[0] == "delete":
    (jobs / "deleted").write_text(" ".join(words[1:]))
"""


@pytest.fixture
def jobs(tmp_path, monkeypatch) -> Path:
    """Where the pretended cluster keeps its jobs; its `kubectl` is on the path."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(KUBECTL.format(python=sys.executable, jobs=str(folder)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return folder


def submit(project_root: Path, folder: Path, script: str, *more: str) -> str:
    (folder / "step.sh").write_text(script)
    words = ["--step", "csa_variability", "--cpu", "8", "--memory-mb", "16000", "--minutes", "240"]
    done = subprocess.run(
        [sys.executable, project_root / PROFILE / "submit.py", *words, *more, folder / "step.sh"],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def status(project_root: Path, name: str) -> str:
    words = [project_root / PROFILE / "status.sh", name]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def ended(project_root: Path, name: str) -> str:
    for _ in range(200):
        found = status(project_root, name)
        if found != "running":
            return found
    return "running"


def test_a_step_becomes_a_job_with_its_resources(project_root, tmp_path, jobs):
    name = submit(project_root, tmp_path, "echo done > here", "--gpu", "1")
    assert ended(project_root, name) == "success"
    assert (tmp_path / "here").exists(), "it runs where Snakemake was started"
    job = json.loads((jobs / f"{name}.json").read_text())
    assert job["kind"] == "Job"
    assert job["metadata"]["generateName"] == "softseg-csa-variability-"
    pod = job["spec"]["template"]["spec"]
    assert pod["activeDeadlineSeconds"] == 240 * 60
    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": 8, "memory": "16000M"},
        "limits": {"memory": "16000M", "nvidia.com/gpu": 1},
    }
    mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_what_became_of_a_job_is_told_in_snakemakes_words(project_root, tmp_path, jobs):
    failed = submit(project_root, tmp_path, "exit 3")
    assert ended(project_root, failed) == "failed"
    assert status(project_root, "vanished") == "failed"
    waiting = submit(project_root, tmp_path, "sleep 60")
    assert status(project_root, waiting) == "running"
    subprocess.run([project_root / PROFILE / "cancel.sh", waiting, failed], check=True)
    assert (jobs / "deleted").read_text().split()[-2:] == [waiting, failed]


def test_the_profile_asks_for_what_the_workflow_has(project_root):
    profile = yaml.safe_load((project_root / PROFILE / "config.yaml").read_text())
    slurm = yaml.safe_load((project_root / "notebooks/profiles/slurm/config.yaml").read_text())
    assert profile["set-resources"] == slurm["set-resources"]
    assert profile["set-threads"] == slurm["set-threads"]
    for name in ("status", "cancel"):
        assert os.access(project_root / profile[f"cluster-generic-{name}-cmd"], os.X_OK)


@pytest.mark.stress
@pytest.mark.skipif(
    importlib.util.find_spec("snakemake_executor_plugin_cluster_generic") is None,
    reason="pip install snakemake-executor-plugin-cluster-generic",
)
def test_shards_through_jobs_give_the_bytes_of_one_core(project_root, tmp_path, jobs):
    checkout = copy_checkout(project_root, tmp_path / "checkout")
    scale = yaml.safe_load((project_root / "notebooks/scales/tiny.yml").read_text())
    scale |= {"shards": 2}
    scale["dataset"] |= {"contrasts": "T2w,T2star"}
    (tmp_path / "scale.yml").write_text(yaml.safe_dump(scale))
    targets = [f"runs/tiny/shards/ground-truth_{k}-of-2.txt" for k in range(2)]
    here = run_workflow(checkout, tmp_path / "scale.yml", "--cores", "1", "--", *targets)
    assert here.returncode == 0, here.stdout + here.stderr
    alone = digests(checkout / "runs/tiny")
    shutil.rmtree(checkout / "runs")
    shutil.rmtree(checkout / ".snakemake")
    words = ["--profile", str(PROFILE), "--set-threads", "cohort=1", "--config", "shards=2"]
    # As in an activated environment, whose Python submits.
    path = os.pathsep.join([str(Path(sys.executable).parent), environment(checkout)["PATH"]])
    there = run_workflow(checkout, tmp_path / "scale.yml", *words, "--", *targets, PATH=path)
    assert there.returncode == 0, there.stdout + there.stderr
    assert digests(checkout / "runs/tiny") == alone
    steps = sorted(json.loads(p.read_text())["metadata"]["labels"]["step"]
                   for p in jobs.glob("*.json"))  # fmt: skip
    assert steps == ["cohort", "dataset", "ground-truth-shard", "ground-truth-shard"]
