"""Soft truths of a data set: in parallel, resumable; one broken participant stops no other."""

import json
import multiprocessing
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from softseg.batch import end_with_parent
from softseg.contrasts import CONTRASTS, REFERENCE, UNSEEN_CONTRASTS
from softseg.dataset.index import Dataset
from softseg.dataset.writing import describe_pipeline
from softseg.errors import InputError
from softseg.files import check_writable, remove_leftovers, replacing
from softseg.ground_truth.report import Bounds, summarise
from softseg.ground_truth.soft import check_options
from softseg.ground_truth.subject import Task, has_masks, make_one

PIPELINE = "labels_softseg"
PUBLISHED = "_published"
"""Ending of the folder to which somebody else's masks of the same name are moved."""


@dataclass(frozen=True)
class Settings:
    """How soft truths are made; the options of `soft_ground_truth`, and the binary's threshold."""

    reference: str = REFERENCE
    trim_mm: float | Mapping[str, float] | None = None
    registration: str = "translation"
    smoothing_mm: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    average: str = "mean"
    coverage: str = "segmented"
    threshold: float = 0.5

    def check(self, dataset: Dataset) -> None:
        """Refuse what cannot hold for any participant, before anything is written.

        Raises:
            InputError: If an option is unknown or out of range, or names a contrast not looked for.
        """
        check_options(registration=self.registration, average=self.average, coverage=self.coverage)
        trims = self.trim_mm if isinstance(self.trim_mm, Mapping) else {}
        # Weights and trims may name contrasts that this data set happens not to have.
        known = {*dataset.contrasts, *CONTRASTS, *UNSEEN_CONTRASTS}
        for option, names, allowed in (
            ("reference", [self.reference], set(dataset.contrasts)),
            ("weights", self.weights, known),
            ("trim", trims, known),
        ):
            unknown = sorted(set(names) - allowed)
            if unknown:
                raise InputError(
                    f"{option}: no contrast {', '.join(unknown)} among those looked for "
                    f"({', '.join(dataset.contrasts)})"
                )
        given = [*trims.values(), *self.weights.values(), self.smoothing_mm]
        given += [self.trim_mm] if isinstance(self.trim_mm, int | float) else []
        if min(given) < 0 or not 0 < self.threshold < 1:
            raise InputError(
                "ground truth: trim, weights and smoothing must not be negative, the threshold "
                f"lies between 0 and 1; found {given} and {self.threshold:g}"
            )


def make_ground_truth(
    dataset: Dataset,
    *,
    subjects: Iterable[str] | None = None,
    settings: Settings | None = None,
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
    sidecars that name sources and settings. What they name unchanged is not made again. Masks of
    that name that somebody else made, such as those of a release, are kept: their folder is renamed
    to `<pipeline>_published` first, and `compare_truths` tells how far ours are from them.

    Args:
        dataset: With the contrasts to average.
        subjects: Participants; all by default.
        settings: How to make the truth.
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
    settings = settings or Settings()
    settings.check(dataset)
    tasks = [
        Task(dataset.only(subject), subject, session, labels, pipeline, settings, force)
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
    details = {key: value for key, value in asdict(settings).items() if value not in (None, {})}
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
    write_report(dataset.root, pipeline, bounds)
    table.attrs["set_aside"] = [str(path) for path in aside]
    return table


def read_slices(root: Path | str, pipeline: str = PIPELINE) -> pd.DataFrame:
    """The slice-wise reports of every participant on disk, one table."""
    folder = Path(root) / "derivatives" / pipeline
    # One below the participant or the session: what a killed process left lies in hidden folders.
    name = "*_desc-softseg_report.csv"
    files = sorted([*folder.glob(f"sub-*/{name}"), *folder.glob(f"sub-*/ses-*/{name}")])
    tables = [pd.read_csv(file, dtype={"session": object}) for file in files]
    if not tables:
        return pd.DataFrame()
    return pd.concat([t.astype({"session": object}) for t in tables], ignore_index=True)


def write_report(root: Path, pipeline: str, bounds: Bounds | None = None) -> pd.DataFrame:
    """Summarise what is on disk into `report.csv`, whoever made it."""
    slices = read_slices(root, pipeline)
    rows = [
        summarise(table, bounds).assign(subject=subject, session=session)
        for (subject, session), table in slices.groupby(["subject", "session"], dropna=False)
    ] if len(slices) else []  # fmt: skip
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    if rows:
        first = ["subject", "session", "contrast"]
        table = table[[*first, *table.columns.difference(first, sort=False)]]
        with replacing(root / "derivatives" / pipeline / "report.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
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
