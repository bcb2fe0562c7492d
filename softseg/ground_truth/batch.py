"""Soft truths of a data set, resumed and in processes; a failing participant does not stop it."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softseg.batch import Outcome, commit, run_batch
from softseg.dataset.description import describe_pipeline, described_by
from softseg.dataset.index import Dataset
from softseg.dataset.names import sidecar_path
from softseg.errors import InputError
from softseg.files import (
    check_inside,
    check_writable,
    one_at_a_time,
    remove_leftovers,
    sha256,
    write_json,
)
from softseg.ground_truth.hard_masks import load_mask
from softseg.ground_truth.output import check_output, set_aside
from softseg.ground_truth.report import PIPELINE, Bounds, summarise, write_report
from softseg.ground_truth.soft import GroundTruthOptions, SoftTruth, soft_ground_truth
from softseg.provenance.records import generated_by
from softseg.volume import Volume

HARD, SOFT, BINARY = "label-SC_seg", "label-SC_softseg", "desc-softseg_label-SC_seg"


@dataclass(frozen=True, eq=False)
class SubjectJob:
    """What one process needs to know to make one participant's truth."""

    dataset: Dataset
    subject: str
    session: str | None
    labels: str
    pipeline: str
    options: GroundTruthOptions
    force: bool
    follow_links: bool

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
class Made:
    """What became of a participant's truth: `made`, `up to date` or `no masks`."""

    status: str
    message: str = ""
    report: pd.DataFrame | None = None


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
    follow_links: bool = True,
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Write every participant's soft truth as derivatives of the data set.

    `derivatives/<pipeline>/…_label-SC_softseg.nii.gz` holds the soft mask on each contrast's grid,
    `derivatives/<pipeline>_bin/…_desc-softseg_label-SC_seg.nii.gz` the binary one; both with
    sidecars that name sources and options. What they name unchanged is not made again. The soft
    masks of a release in `labels_softseg` are kept: their folder is renamed to
    `labels_softseg_published` first, and `compare_truths` tells how far ours are from them. Any
    other folder that somebody else made is refused.

    Args:
        dataset: With the contrasts to average.
        subjects: Participants; all by default.
        options: How to make the truth.
        jobs: Processes; the result does not depend on it.
        labels: Pipeline of the hard masks.
        pipeline: Pipeline to write.
        bounds: What to flag in the report.
        force: Make again what is up to date.
        follow_links: Whether files may be links out of the data set; else that participant fails.
        progress: Told the name of each participant that is through.

    Returns:
        One row a participant, session and contrast: `subject`, `session`, `status` (`made`, `up to
        date`, `no masks`, `failed`), `message` (one or several lines), and the columns of
        `report.summarise`. The rows of every participant on disk are written to
        `derivatives/<pipeline>/report.csv`. Folders that were renamed are in `.attrs["set_aside"]`.

    Raises:
        InputError: If the output cannot be written, is the folder of the hard masks or somebody
            else's, a participant is unknown, or nobody has masks.
    """
    options = options or GroundTruthOptions()
    options.check(dataset.contrasts)
    root = dataset.root / "derivatives"
    folders = [root / pipeline, root / f"{pipeline}_bin"]
    check_output(folders, root / labels, release=pipeline == PIPELINE)
    pending = [
        SubjectJob(
            dataset.only(subject), subject, session, labels, pipeline, options, force, follow_links
        )
        for subject in _choose(dataset, subjects)
        for session in dataset.sessions(subject)
    ]
    if not any(has_masks(job) for job in pending):
        raise InputError(
            f"{root / labels}: no masks …_label-SC_seg of the contrasts "
            f"{', '.join(dataset.contrasts)}; draw them or name their folder"
        )
    aside = set_aside(folders)
    details = {key: value for key, value in asdict(options).items() if value not in (None, {})}
    titles = ((pipeline, "Soft ground truth"), (f"{pipeline}_bin", "Binarised soft ground truth"))
    for name, title in titles:
        check_writable(root / name / "dataset_description.json")
        remove_leftovers(root / name)
        # What an earlier run said of its masks stays until there are others.
        if not described_by(root / name, "ground-truth"):
            describe_pipeline(root / name, title, "ground-truth", **details)
    outcomes = run_batch(make_one, pending, jobs=jobs, name=lambda job: job.name, progress=progress)
    table = _tabulate(outcomes, bounds)
    if (table["status"] == "made").any():
        for name, title in titles:
            describe_pipeline(root / name, title, "ground-truth", **details)
    with one_at_a_time(root / pipeline):  # of several shards, the last one tells of everybody
        write_report(dataset.root, pipeline, bounds)
    table.attrs["set_aside"] = [str(path) for path in aside]
    return table


def _tabulate(outcomes: Iterable[Outcome], bounds: Bounds | None) -> pd.DataFrame:
    rows = []
    for outcome in outcomes:
        made = outcome.result or Made("failed", outcome.message)
        who = {"subject": outcome.item.subject, "session": outcome.item.session}
        who |= {"status": made.status, "message": made.message}
        found = pd.DataFrame([{}]) if made.report is None else summarise(made.report, bounds)
        rows.append(found.assign(**who))
    table = pd.concat(rows, ignore_index=True)
    columns = ["subject", "session", "status", "message", "contrast"]
    table = table.reindex(columns=[*columns, *table.columns.difference(columns, sort=False)])
    return table.sort_values(["subject", "session", "contrast"], ignore_index=True)


def _choose(dataset: Dataset, subjects: Iterable[str] | None) -> list[str]:
    if subjects is None:
        return dataset.everybody
    unknown = sorted(set(subjects) - set(dataset.everybody))
    if unknown:
        raise InputError(f"{dataset.root}: no images or masks of {', '.join(unknown)} to work on")
    return sorted(set(subjects))


def make_one(job: SubjectJob) -> Made:
    """Make or confirm one participant's truth.

    Raises:
        InputError: If a mask is none, or a file cannot be read or written.
    """
    masks = _find_masks(job)
    if not masks:
        return Made("no masks", "no mask of any of the contrasts")
    if not job.follow_links:
        images = (job.dataset.image(job.subject, contrast, job.session) for contrast in masks)
        check_inside(job.dataset.root, [*masks.values(), *filter(None, images)])
    places = [job.path(p, c, e) for c in masks for p, e in _endings(job)]
    for folder in {place.parent for place in [*places, job.report_path]}:
        remove_leftovers(folder)
    sidecars = _sidecars(job, masks)
    if not job.force:
        report = _up_to_date(job, sidecars)
        if report is not None:
            return Made("up to date", _warnings_of(job), report)
    truth = _compute(job, masks)
    return Made("made", "\n".join(truth.warnings), _write(job, truth, sidecars))


def has_masks(job: SubjectJob) -> bool:
    """Whether there is anything to average; what is ambiguous counts, to be reported later."""
    try:
        return bool(_find_masks(job))
    except InputError:
        return True


def _find_masks(job: SubjectJob) -> dict[str, Path]:
    missing = job.dataset.missing
    rows = missing[(missing["subject"] == job.subject)]
    rows = rows[rows["reason"].str.startswith("excluded")]
    excluded = {row.contrast for row in rows.itertuples() if row.session in (None, job.session)}
    found = {}
    for contrast in job.dataset.contrasts:
        if contrast in excluded:
            continue
        path = job.dataset.existing(job.labels, job.subject, contrast, HARD, job.session)
        if path is not None:
            found[contrast] = path
    return found


def _compute(job: SubjectJob, paths: dict[str, Path]) -> SoftTruth:
    masks = {
        contrast: load_mask(path, job.dataset.image(job.subject, contrast, job.session))
        for contrast, path in paths.items()
    }
    reference = job.options.reference
    if reference not in masks:
        raise InputError(
            f"{job.name}: the reference {reference} has no mask, found "
            f"{', '.join(masks)}; draw it or choose another with --reference"
        )
    options = {name: _among(value, masks) for name, value in asdict(job.options).items()}
    del options["threshold"]
    return soft_ground_truth(masks, **options)


def _among(option: Any, masks: dict) -> Any:
    """A per-contrast option of the whole data set holds for the contrasts that somebody has."""
    if isinstance(option, dict):
        return {name: value for name, value in option.items() if name in masks}
    return option


def _sidecars(job: SubjectJob, paths: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """What each contrast's sidecar says; equal content means that nothing has to be made."""
    root = job.dataset.root
    sources = {
        f"bids::{path.relative_to(root).as_posix()}": sha256(path) for path in paths.values()
    }
    parameters = asdict(job.options)
    return {
        contrast: {
            "Description": "Share of each voxel that is spinal cord: mean of the hard masks of "
            + ", ".join(sorted(paths)),
            "GeneratedBy": generated_by("ground-truth", **parameters),
            "Sources": sorted(sources),
            "SourcesSHA256": sources,
            "RawSources": _raw(job, contrast),
        }
        for contrast in paths
    }


def _raw(job: SubjectJob, contrast: str) -> list[str]:
    image = job.dataset.image(job.subject, contrast, job.session)
    return [] if image is None else [f"bids::{image.relative_to(job.dataset.root).as_posix()}"]


def _up_to_date(job: SubjectJob, sidecars: dict[str, dict[str, Any]]) -> pd.DataFrame | None:
    for contrast, wanted in sidecars.items():
        for pipeline, ending in _endings(job):
            path = job.path(pipeline, contrast, ending)
            try:
                found = json.loads(sidecar_path(path).read_text("utf-8"))
            except (OSError, ValueError):
                return None
            found.pop("Warnings", None)
            # JSON turns tuples into lists: the wanted content takes the same way.
            if found != json.loads(json.dumps(wanted)) or not path.exists():
                return None
    try:
        return pd.read_csv(job.report_path, dtype={"session": object})
    except (OSError, ValueError):
        return None


def _warnings_of(job: SubjectJob) -> str:
    path = sidecar_path(job.path(job.pipeline, job.options.reference, SOFT))
    return "\n".join(json.loads(path.read_text("utf-8")).get("Warnings", []))


def _write(job: SubjectJob, truth: SoftTruth, sidecars: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Write masks and report, and the sidecars that vouch for them last."""
    report = truth.report.assign(subject=job.subject, session=job.session)
    report = report[["subject", "session", *truth.report.columns]]
    masks = [job.path(p, c, e) for c in sidecars for p, e in _endings(job)]
    with commit([job.report_path, *masks], records=map(sidecar_path, masks)) as temporary:
        report.to_csv(temporary[job.report_path], index=False, float_format="%.6g")
        for contrast, volume, kind, path in _masks(job, truth):
            volume.save(temporary[path], kind)
            warnings = {"Warnings": list(truth.warnings)} if truth.warnings else {}
            write_json(temporary[sidecar_path(path)], sidecars[contrast] | warnings)
    return report


def _masks(job: SubjectJob, truth: SoftTruth) -> Iterator[tuple[str, Volume, type, Path]]:
    """What is written for each contrast, soft and binary, and where."""
    soft_place, binary_place = _endings(job)
    for contrast, soft in truth.soft.items():
        yield contrast, soft, np.float32, job.path(soft_place[0], contrast, soft_place[1])
        binary = soft.like((soft.data > job.options.threshold).astype(np.uint8))
        yield contrast, binary, np.uint8, job.path(binary_place[0], contrast, binary_place[1])


def _endings(job: SubjectJob) -> tuple[tuple[str, str], tuple[str, str]]:
    return (job.pipeline, SOFT), (f"{job.pipeline}_bin", BINARY)
