"""The workflow killed at random: `python tests/interrupted_workflow.py --trials 4 --seed 1`.

A small scale (cohort, chapter 01 and the soft truth in two shards) runs in a copy of the checkout.
In turns, everything is killed as when a machine goes down, or Snakemake alone, whose jobs then go
on while it is started again: two processes on one folder. The results must be those of a run that
nobody disturbed.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml
from checkout import command, copy_checkout, digests, environment, run_workflow
from interruptions import Trial

ROOT = Path(__file__).resolve().parents[1]
TARGETS = [f"runs/interrupted/shards/ground-truth_{shard}-of-2.txt" for shard in range(2)]
SCALE = {
    "run": "interrupted",
    "dataset": {"kind": "phantom", "subjects": 7, "seed": 1, "contrasts": "T2w,T2star"},
    "seeds": [1],
    "shards": 2,
    "notebooks": {},
    "models": {"soft_all": {"truth": "soft"}},
    "chapters": ["01", "02"],
}


def start_over(checkout: Path) -> None:
    """Forget what ran."""
    shutil.rmtree(checkout / "runs", ignore_errors=True)
    shutil.rmtree(checkout / ".snakemake", ignore_errors=True)


def complete(checkout: Path, scale: Path) -> tuple[dict[str, str], float]:
    """Run to the end; results and seconds.

    Raises:
        RuntimeError: If the workflow failed.
    """
    began = time.monotonic()
    done = run_workflow(checkout, scale, "--cores", "1", "--", *TARGETS)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return digests(checkout / "runs" / "interrupted"), time.monotonic() - began


def interrupt(
    checkout: Path, scale: Path, whole: dict[str, str], after_s: float, *, everything: bool
) -> Trial | None:
    """One trial; None where the workflow had ended before it was to be killed."""
    start_over(checkout)
    process = subprocess.Popen(
        command(scale, "--cores", "1", "--", *TARGETS), cwd=checkout, env=environment(checkout),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    time.sleep(after_s)
    if process.poll() is not None:
        return None
    if everything:
        # Kernels of notebooks have sessions of their own, but end with the one that started them.
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    then = digests(checkout / "runs" / "interrupted")
    half = sum(whole.get(path) != digest for path, digest in then.items())
    try:
        same = complete(checkout, scale)[0] == whole
        restarted = True
    except RuntimeError:
        same = restarted = False
    name = "workflow" if everything else "workflow, its jobs going on"
    return Trial(name, round(after_s, 3), len(then), half, restarted, same)


def main() -> None:
    """Command line: one JSON object a trial on standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng([options.seed, 99])
    with tempfile.TemporaryDirectory() as folder:
        checkout = copy_checkout(ROOT, Path(folder) / "checkout")
        scale = Path(folder) / "scale.yml"
        scale.write_text(yaml.safe_dump(SCALE))
        whole, seconds = complete(checkout, scale)
        found = 0
        while found < options.trials:
            after_s = float(rng.uniform(0.05, 0.9) * seconds)
            trial = interrupt(checkout, scale, whole, after_s, everything=found % 2 == 0)
            if trial is not None:
                print(json.dumps(asdict(trial)), flush=True)
                found += 1


if __name__ == "__main__":
    main()
