"""Soft truths of a data set: in parallel, resumable; one broken participant stops no other."""

import json
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softseg.batch import end_with_parent
from softseg.dataset.index import Dataset
from softseg.dataset.names import sidecar_path
from softseg.dataset.writing import describe_pipeline
from softseg.errors import InputError
from softseg.files import (
    check_writable,
    one_at_a_time,
    remove_leftovers,
    replacing,
    sha256,
    write_json,
)
from softseg.ground_truth.hard_masks import load_mask
from softseg.ground_truth.report import PIPELINE, Bounds, summarise, write_report
from softseg.ground_truth.soft import GroundTruthOptions, SoftTruth, soft_ground_truth
from softseg.provenance.records import generated_by
from softseg.volume import Volume

HARD, SOFT, BINARY = "label-SC_seg", "label-SC_softseg", "desc-softseg_label-SC_seg"
PUBLISHED = "_published"
"""Ending of the folder to which somebody else's masks of the same name are moved."""


@dataclass(frozen=True, eq=False)
class Task:
    """What one process needs to know to make one participant's truth."""

    dataset: Dataset
    subject: str
    session: str | None
    labels: str
    pipeline: str
    options: GroundTruthOptions
    force: bool

    @property
    def name(self) -> str:
        """Participant and session."""
        return self.subject if self.session is None else f"{self.subject}_{self.session}"

    def path(self, pipeline: str, contrast: str, ending: str) -> Path:
        """Where a derivative is written."""
        return self.dataset.derivative(pipeline, self.subject, contrast, ending, self.session)

    @property
    def report_path(self) -> Path:
        """The slice-wise report."""
        parts = [self.subject] if self.session is None else [self.subject, self.session]
        folder = self.dataset.root.joinpath("derivatives", self.pipeline, *parts)
        return folder / f"{self.name}_desc-softseg_report.csv"


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a task."""

    status: str
    message: str = ""
    report: pd.DataFrame | None = None

    def labels(self) -> dict[str, str]:
        """The columns of the batch's table."""
        return {"status": self.status, "message": self.message}


def make_ground_truth(
    dataset: Dataset,
    *,
    subjects: Iterable[str] | None = None,
    options: GroundTruthOptions | None = None,
    jobs: int = 1,
    labels: str = "labels",
    pipeline: str = PIPELINE,
    bounds: Bounds | None = None,
    force: bool = False,
    progress: bool = False,
) -> pd.DataFrame:
    """Write every participant's soft truth as derivatives of the data set.

    `derivatives/<pipeline>/…_label-SC_softseg.nii.gz` holds the soft mask on each contrast's grid,
    `derivatives/<pipeline>_bin/…_desc-softseg_label-SC_seg.nii.gz` the binary one; both with
    sidecars that name sources and options. What they name unchanged is not made again. Masks of
    that name that somebody else made, such as those of a release, are kept: their folder is renamed
    to `<pipeline>_published` first, and `compare_truths` tells how far ours are from them.

    Args:
        dataset: With the contrasts to average.
        subjects: Participants; all by default.
        options: How to make the truth.
        jobs: Processes; the result does not depend on it.
        labels: Pipeline of the hard masks.
        pipeline: Pipeline to write.
        bounds: What to flag in the report.
        force: Make again what is up to date.
        progress: Show a progress bar on standard error.

    Returns:
        One row a participant, session and contrast: `subject`, `session`, `status` (`made`, `up to
        date`, `no masks`, `failed`), `message`, and the columns of `report.summarise`. The rows of
        every participant on disk are written to `derivatives/<pipeline>/report.csv`. Folders that
        were renamed are in `.attrs["set_aside"]`.

    Raises:
        InputError: If the output cannot be written, a participant is unknown, or nobody has masks.
    """
    options = options or GroundTruthOptions()
    options.check(dataset.contrasts)
    tasks = [
        Task(dataset.only(subject), subject, session, labels, pipeline, options, force)
        for subject in _choose(dataset, subjects)
        for session in dataset.sessions(subject)
    ]
    root = dataset.root / "derivatives"
    if not any(has_masks(task) for task in tasks):
        raise InputError(
            f"{root / labels}: no masks …_label-SC_seg of the contrasts "
            f"{', '.join(dataset.contrasts)}; draw them or name their folder"
        )
    aside = _set_aside([root / pipeline, root / f"{pipeline}_bin"])
    details = {key: value for key, value in asdict(options).items() if value not in (None, {})}
    titles = ((pipeline, "Soft ground truth"), (f"{pipeline}_bin", "Binarised soft ground truth"))
    for name, title in titles:
        check_writable(root / name / "dataset_description.json")
        remove_leftovers(root / name)
        # What an earlier run said of its masks stays until there are others.
        if not _is_ours(root / name):
            describe_pipeline(root / name, title, "ground-truth", **details)
    rows = []
    for task, outcome in _show(_run(tasks, jobs), len(tasks), progress):
        who = {"subject": task.subject, "session": task.session} | outcome.labels()
        if outcome.report is None:
            rows.append(pd.DataFrame([who]))
        else:
            rows.append(summarise(outcome.report, bounds).assign(**who))
    table = pd.concat(rows, ignore_index=True)
    columns = ["subject", "session", "status", "message", "contrast"]
    table = table.reindex(columns=[*columns, *table.columns.difference(columns, sort=False)])
    table = table.sort_values(["subject", "session", "contrast"], ignore_index=True)
    if (table["status"] == "made").any():
        for name, title in titles:
            describe_pipeline(root / name, title, "ground-truth", **details)
    with one_at_a_time(root / pipeline):  # of several shards, the last one tells of everybody
        write_report(dataset.root, pipeline, bounds)
    table.attrs["set_aside"] = [str(path) for path in aside]
    return table


def _set_aside(folders: list[Path]) -> list[Path]:
    """Rename the folders of masks that this step did not make, all or none; their new places."""
    foreign = [folder for folder in folders if _is_foreign(folder)]
    for folder in foreign:
        if _published(folder).exists():
            _refuse(folder)
    moved = []
    for folder in foreign:
        try:
            folder.rename(_published(folder))
            moved.append(_published(folder))
        except OSError as error:
            _refuse(folder, error)
    return moved


def _refuse(folder: Path, error: OSError | None = None) -> None:
    """Raise, unless another process of ours (a shard of the same step) was faster."""
    if not _is_foreign(folder):
        return
    if error is not None and not _published(folder).exists():
        raise InputError(f"{folder}: cannot be set aside ({error.strerror})") from error
    raise InputError(
        f"{folder}: holds masks that softseg did not make, and {_published(folder).name} is "
        "taken; rename one or write to another folder"
    )


def _published(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{PUBLISHED}")


def _is_foreign(folder: Path) -> bool:
    return any(folder.glob("sub-*")) and not _is_ours(folder)


def _is_ours(folder: Path) -> bool:
    try:
        described = json.loads((folder / "dataset_description.json").read_text("utf-8"))
        return described["GeneratedBy"][0]["Name"] == "softseg ground-truth"
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return False


def _choose(dataset: Dataset, subjects: Iterable[str] | None) -> list[str]:
    if subjects is None:
        return dataset.subjects
    unknown = sorted(set(subjects) - set(dataset.subjects))
    if unknown:
        raise InputError(f"{dataset.root}: no images of {', '.join(unknown)} to work on")
    return sorted(set(subjects))


def _run(tasks: list[Task], jobs: int) -> Iterator[tuple[Task, object]]:
    if jobs <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield task, make_one(task)
        return
    # Fresh processes: a fork of a process with threads (a notebook, torch) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(jobs, len(tasks)), mp_context=context, initializer=end_with_parent
    ) as pool:
        pending = {pool.submit(make_one, task): task for task in tasks}
        try:
            while pending:
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield pending.pop(future), future.result()
        except BrokenProcessPool as error:
            raise InputError(
                "ground truth: a process was killed, probably for want of memory; what was "
                "finished is kept, run again with fewer --jobs"
            ) from error
        finally:
            for future in pending:
                future.cancel()


def _show(outcomes: Iterator, total: int, progress: bool) -> Iterator:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    # In a file or a pipe a bar is a line of boxes between the messages.
    if not progress or not console.is_terminal:
        yield from outcomes
        return
    yield from track(outcomes, "Soft ground truth", total=total, console=console)


def make_one(task: Task) -> Outcome:
    """Make or confirm one participant's truth; an error becomes part of the outcome."""
    try:
        masks = _find_masks(task)
        if not masks:
            return Outcome("no masks", "no mask of any of the contrasts")
        places = [task.path(p, c, e) for c in masks for p, e in _endings(task)]
        for folder in {place.parent for place in [*places, task.report_path]}:
            remove_leftovers(folder)
        sidecars = _sidecars(task, masks)
        if not task.force:
            report = _up_to_date(task, sidecars)
            if report is not None:
                return Outcome("up to date", _warnings_of(task), report)
        truth = _compute(task, masks)
        report = _write(task, truth, sidecars)
        return Outcome("made", "; ".join(truth.warnings), report)
    except InputError as error:
        return Outcome("failed", str(error))
    except Exception as error:  # one broken participant must not stop the others
        return Outcome("failed", f"{task.name}: {type(error).__name__}: {error}")


def has_masks(task: Task) -> bool:
    """Whether there is anything to average; what is ambiguous counts, to be reported later."""
    try:
        return bool(_find_masks(task))
    except InputError:
        return True


def _find_masks(task: Task) -> dict[str, Path]:
    missing = task.dataset.missing
    rows = missing[(missing["subject"] == task.subject)]
    rows = rows[rows["reason"].str.startswith("excluded")]
    excluded = {row.contrast for row in rows.itertuples() if row.session in (None, task.session)}
    found = {}
    for contrast in task.dataset.contrasts:
        if contrast in excluded:
            continue
        path = task.dataset.existing(task.labels, task.subject, contrast, HARD, task.session)
        if path is not None:
            found[contrast] = path
    return found


def _compute(task: Task, paths: dict[str, Path]) -> SoftTruth:
    masks = {
        contrast: load_mask(path, task.dataset.image(task.subject, contrast, task.session))
        for contrast, path in paths.items()
    }
    options = task.options
    if options.reference not in masks:
        raise InputError(
            f"{task.name}: the reference {options.reference} has no mask, found "
            f"{', '.join(masks)}; draw it or choose another with --reference"
        )
    return soft_ground_truth(
        masks,
        reference=options.reference,
        trim_mm=_among(options.trim_mm, masks),
        registration=options.registration,
        smoothing_mm=options.smoothing_mm,
        weights=_among(options.weights, masks),
        average=options.average,
        coverage=options.coverage,
    )


def _among(option: Any, masks: dict) -> Any:
    """A per-contrast option of the whole data set holds for the contrasts that somebody has."""
    if isinstance(option, dict):
        return {name: value for name, value in option.items() if name in masks}
    return option


def _sidecars(task: Task, paths: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """What each contrast's sidecar says; equal content means that nothing has to be made."""
    root = task.dataset.root
    sources = {
        f"bids::{path.relative_to(root).as_posix()}": sha256(path) for path in paths.values()
    }
    parameters = asdict(task.options)
    return {
        contrast: {
            "Description": "Share of each voxel that is spinal cord: mean of the hard masks of "
            + ", ".join(sorted(paths)),
            "GeneratedBy": generated_by("ground-truth", **parameters),
            "Sources": sorted(sources),
            "SourcesSHA256": sources,
            "RawSources": _raw(task, contrast),
        }
        for contrast in paths
    }


def _raw(task: Task, contrast: str) -> list[str]:
    image = task.dataset.image(task.subject, contrast, task.session)
    return [] if image is None else [f"bids::{image.relative_to(task.dataset.root).as_posix()}"]


def _up_to_date(task: Task, sidecars: dict[str, dict[str, Any]]) -> pd.DataFrame | None:
    for contrast, wanted in sidecars.items():
        for pipeline, ending in _endings(task):
            path = task.path(pipeline, contrast, ending)
            try:
                found = json.loads(sidecar_path(path).read_text("utf-8"))
            except (OSError, ValueError):
                return None
            found.pop("Warnings", None)
            # JSON turns tuples into lists: the wanted content takes the same way.
            if found != json.loads(json.dumps(wanted)) or not path.exists():
                return None
    try:
        return pd.read_csv(task.report_path, dtype={"session": object})
    except (OSError, ValueError):
        return None


def _warnings_of(task: Task) -> str:
    path = sidecar_path(task.path(task.pipeline, task.options.reference, SOFT))
    return "; ".join(json.loads(path.read_text("utf-8")).get("Warnings", []))


def _write(task: Task, truth: SoftTruth, sidecars: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """All files are written beside their places first, so that a full disk changes nothing.

    Only then are they moved there: the old sidecars go first and the new ones come last, so that
    no sidecar ever vouches for a mask of other settings, wherever the process is killed.
    """
    report = truth.report.assign(subject=task.subject, session=task.session)
    report = report[["subject", "session", *truth.report.columns]]
    notes = [sidecar_path(task.path(p, c, e)) for c in sidecars for p, e in _endings(task)]
    with ExitStack() as stack:
        # What is entered first is moved last.
        places = [stack.enter_context(replacing(path)) for path in notes]
        temporary = stack.enter_context(replacing(task.report_path))
        report.to_csv(temporary, index=False, float_format="%.6g")
        for contrast, volume, kind, path in _masks(task, truth):
            volume.save(stack.enter_context(replacing(path)), kind)
            content = sidecars[contrast]
            if truth.warnings:
                content = content | {"Warnings": list(truth.warnings)}
            write_json(places[notes.index(sidecar_path(path))], content)
        for path in notes:
            path.unlink(missing_ok=True)
    return report


def _masks(task: Task, truth: SoftTruth) -> Iterator[tuple[str, Volume, type, Path]]:
    """What is written for each contrast, soft and binary, and where."""
    binary = truth.binary(task.options.threshold)
    for contrast in truth.soft:
        for (pipeline, ending), masks, kind in zip(
            _endings(task), (truth.soft, binary), (np.float32, np.uint8), strict=True
        ):
            yield contrast, masks[contrast], kind, task.path(pipeline, contrast, ending)


def _endings(task: Task) -> tuple[tuple[str, str], tuple[str, str]]:
    return (task.pipeline, SOFT), (f"{task.pipeline}_bin", BINARY)
