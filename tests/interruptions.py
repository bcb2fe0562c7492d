"""Processes killed at random moments: `python tests/interruptions.py STEP --trials 20 --seed 1`.

A trial starts a step on an empty output, kills it with SIGKILL (after a random share of the time
that it takes, or a moment after a random number of its files are in place), and looks at what is
there: every file at its final place must be the very file of an undisturbed run. Then the
step is started again; it must end well, with the same files.

The step runs in a fork of this process, so that no trial waits for imports. The workflow's trials
are in `interrupted_workflow.py`.
"""

import argparse
import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from checkout import visible_files

LIMIT_S = 300.0
SUBJECTS = ("sub-01", "sub-02", "sub-03", "sub-04")


@dataclass(frozen=True)
class Step:
    """Something that reads inputs and writes results below one folder.

    Attributes:
        prepare: Writes the inputs, once.
        work: What is killed.
        outputs: Folders with the results, removed before every trial.
        ignored: Files that no two runs share, and those that are not results.
    """

    prepare: Callable[[Path], None]
    work: Callable[[Path], None]
    outputs: tuple[str, ...]
    ignored: tuple[str, ...] = ()

    def results(self, root: Path) -> dict[str, str]:
        """SHA-256 of every file at its final place."""
        found = {}
        for path in sorted(p for name in self.outputs for p in visible_files(root / name)):
            relative = path.relative_to(root)
            if not set(relative.parts) & set(self.ignored):
                found[str(relative)] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def clear(self, root: Path) -> None:
        """Back to the inputs alone."""
        for name in self.outputs:
            shutil.rmtree(root / name, ignore_errors=True)


@dataclass(frozen=True)
class Trial:
    """What one interruption did.

    Attributes:
        step: Which step.
        killed_after_s: When it was killed.
        files_then: How many result files were in place.
        half_files: Of these, how many differ from those of an undisturbed run.
        restarted: Whether the restart ended well.
        identical: Whether its results are those of an undisturbed run, to the byte.
    """

    step: str
    killed_after_s: float
    files_then: int
    half_files: int
    restarted: bool
    identical: bool


def truth_inputs(root: Path) -> None:
    """Four participants with three contrasts, masks alone."""
    from tubes import grid_of, rater_mask

    from softseg.contrasts import CONTRASTS

    for name in ("T2w", "T1w", "DWI"):
        mask = rater_mask(grid_of(CONTRASTS[name], half_mm=(11, 18, 12.5)))
        for subject in SUBJECTS:
            stem = CONTRASTS[name].stem(subject)
            mask.save(root / f"{stem}.nii.gz")
            mask.save(root / "derivatives/labels" / f"{stem}_label-SC_seg.nii.gz", np.uint8)


def make_truth(root: Path) -> None:
    """The soft ground truth of them."""
    from softseg.dataset.index import Dataset
    from softseg.ground_truth.batch import make_ground_truth

    make_ground_truth(Dataset.index(root))


def tube_inputs(root: Path) -> None:
    """Images of tubes, their truths and a network for them."""
    from segmentation_network import CONFIG
    from tube_cohort import write_tubes

    from softseg.network.unet import build_network
    from softseg.network.weights import save_weights

    write_tubes(root, SUBJECTS)
    save_weights(root / "weights.safetensors", build_network(CONFIG, seed=1), CONFIG, {})


def segment_tubes(root: Path) -> None:
    """Their masks; what is made already is kept."""
    from softseg.dataset.index import Dataset
    from softseg_study.evaluation.network_masks import segment_dataset

    data = Dataset.index(root, contrasts=("T1w", "T2w"))
    segment_dataset(data, root / "weights.safetensors", "network", overwrite=False)


def training_of_tubes(root: Path):
    """A small network, with a checkpoint after every round."""
    from softseg.training.config import TrainingConfig

    return TrainingConfig(
        output=root / "model",
        dataset=root,
        contrasts=("T1w", "T2w"),
        training_subjects=SUBJECTS[:3],
        validation_subjects=SUBJECTS[3:],
        validation_volumes=2,
        network={
            "features_per_stage": (8, 16), "strides": (1, 2), "patch_size": (32, 32),
            "spacing_mm": (1.0, 1.0),
        },
        steps=120, batch_size=4, warmup_steps=2, validate_every=20, checkpoint_minutes=0.0,
        ema=0.9, precision="float32", cache=root / "cache", threads=1, progress="none",
    )  # fmt: skip


def train_on_tubes(root: Path) -> None:
    """Train it."""
    from softseg.training.fitting import fit

    fit(training_of_tubes(root))


def make_cohort(root: Path) -> None:
    """Two digital participants with one small image each."""
    from softseg.phantom.cohort import write_cohort

    write_cohort(root / "cohort", subjects=2, seed=3, contrasts="EPI", jobs=1)


STEPS = {
    "phantom": Step(lambda root: None, make_cohort, ("cohort",)),
    "ground truth": Step(
        truth_inputs, make_truth, ("derivatives/labels_softseg", "derivatives/labels_softseg_bin")
    ),
    "segmentation": Step(tube_inputs, segment_tubes, ("derivatives/network",)),
    "training": Step(
        tube_inputs, train_on_tubes, ("model", "cache"), ("timing.json", "checkpoint")
    ),
}


MODULES = {
    "phantom": "softseg.phantom.cohort",
    "ground truth": "softseg.ground_truth",
    "segmentation": "softseg.segmentation.batch",
    "training": "softseg.training.module",
}


def start(work: Callable[[Path], None], root: Path) -> int:
    """Run `work` in a fork of this process; its number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with open(root / "child.log", "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        work(root)
        code = 0
    except BaseException as error:  # whatever it is, the parent reads it in the log
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def wait_for(child: int, limit_s: float = LIMIT_S) -> int | None:
    """The child's exit code, minus the signal that ended it, None where it had to be stopped."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def undisturbed(step: Step, root: Path, *, runs: int = 2) -> tuple[dict[str, str], float]:
    """The results of a whole run and the seconds that the last one took."""
    seconds = 0.0
    for _ in range(runs):  # the first may fill caches
        step.clear(root)
        began = time.monotonic()
        code = wait_for(start(step.work, root))
        seconds = time.monotonic() - began
        assert code == 0, (root / "child.log").read_text()
    return step.results(root), seconds


def interrupt(
    name: str, step: Step, root: Path, whole: dict[str, str], *, files: int, after_s: float
) -> Trial | None:
    """One trial, killed `after_s` after `files` results were there; None where it ended before."""
    step.clear(root)
    began = time.monotonic()
    child = start(step.work, root)
    while files and len(step.results(root)) < files and time.monotonic() - began < LIMIT_S:
        time.sleep(0.002)
    time.sleep(after_s)
    done, _ = os.waitpid(child, os.WNOHANG)
    if done:
        return None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    killed_s = time.monotonic() - began
    then = step.results(root)
    half = sum(whole.get(path) != digest for path, digest in then.items())
    code = wait_for(start(step.work, root))
    same = step.results(root) == whole
    return Trial(name, round(killed_s, 3), len(then), half, code == 0, same)


def trials(name: str, count: int, seed: int, root: Path) -> Iterator[Trial]:
    """`count` interruptions of one step at random moments."""
    step = STEPS[name]
    rng = np.random.default_rng([seed, sorted(STEPS).index(name)])
    step.prepare(root)
    whole, seconds = undisturbed(step, root)
    assert whole
    found = 0
    for _ in range(5 * count):
        if found == count:
            break
        files = int(rng.integers(0, len(whole)))
        after_s = rng.uniform(0, 0.1 * seconds if files else 0.95 * seconds)
        trial = interrupt(name, step, root, whole, files=files, after_s=float(after_s))
        if trial is not None:
            found += 1
            yield trial


def together(name: str, root: Path) -> dict[str, object]:
    """Two processes that do the same step in the same folder at the same time."""
    step = STEPS[name]
    step.prepare(root)
    whole, _ = undisturbed(step, root, runs=1)
    step.clear(root)
    children = [start(step.work, root) for _ in range(2)]
    codes = [wait_for(child) for child in children]
    log = (root / "child.log").read_text()
    return {"codes": codes, "identical": step.results(root) == whole, "log": log}


def main() -> None:
    """Command line: one JSON object a trial on standard output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--together", action="store_true", help="two processes instead, no kill")
    options = parser.parse_args()
    # What is imported before the forks, no trial has to import.
    importlib.import_module(MODULES[options.step])
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if options.together:
            print(json.dumps(together(options.step, Path(folder))))
            return
        for trial in trials(options.step, options.trials, options.seed, Path(folder)):
            print(json.dumps(asdict(trial)), flush=True)


if __name__ == "__main__":
    main()
