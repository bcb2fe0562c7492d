"""A copy of the checkout for tests that run the workflow: nothing of the real one is touched."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PARTS = ("softseg", "notebooks", "book", "tests/slurm", "_config.yml", "_toc.yml", "pyproject.toml")
ENDINGS = (".nii.gz", ".csv", ".tsv", ".json", ".ipynb", ".safetensors")
VOLATILE = {"timing.json", "times.json", "run.json"}
"""Run times and the date of a run, which no two runs share."""


def copy_checkout(root: Path, folder: Path) -> Path:
    """What the workflow reads of the checkout at `root`, in `folder`."""
    for part in PARTS:
        source, target = root / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*", "_build")
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy(source, target)
    return folder


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Processes that run in the copy, with its package, and with one thread each."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    first = [str(folder), str(folder / "notebooks"), *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(first)}
    # Jobs of a cluster must not inherit what pytest or an outer job has set.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "SLURM_"))}
    return kept | threads | own | more


def command(scale: Path, *arguments: str) -> list[str]:
    """Snakemake on the copy's workflow; nothing has to be unlocked after a kill, as with `make`."""
    return [
        sys.executable, "-m", "snakemake", "-s", "notebooks/Snakefile", "--configfile",
        str(scale), "--quiet", "host", "--rerun-incomplete", "--nolock", *arguments,
    ]  # fmt: skip


def run_workflow(
    folder: Path, scale: Path, *arguments: str, **more: str
) -> subprocess.CompletedProcess:
    """Run the copy's workflow to its end, output captured."""
    return subprocess.run(
        command(scale, *arguments), cwd=folder, env=environment(folder, **more),
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def digests(folder: Path, *, endings: tuple[str, ...] = ENDINGS) -> dict[str, str]:
    """SHA-256 of the results below `folder` by relative path, whatever cannot be the same left out.

    Chapters are compared without the commit and the run times; benchmark files, logs and what a
    killed process left in hidden folders do not count.
    """
    found = {}
    for path in sorted(visible_files(folder)):
        relative = path.relative_to(folder)
        skipped = {"times", "logs", "shards", "benchmarks"} & set(relative.parts)
        if not skipped and path.name not in VOLATILE and path.name.endswith(endings):
            found[str(relative)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def visible_files(folder: Path) -> Iterator[Path]:
    """Files below `folder` outside hidden folders, which may vanish while one looks."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent) / name for name in files if not name.startswith("."))
