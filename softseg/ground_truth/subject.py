"""One participant's soft truth: masks read, checked, averaged, written with their sidecars."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from softseg.dataset.index import Dataset
from softseg.dataset.writing import generated_by
from softseg.errors import InputError
from softseg.files import remove_leftovers, replacing, sha256, write_json
from softseg.ground_truth.masks import load_mask
from softseg.ground_truth.soft import SoftTruth, soft_ground_truth
from softseg.volume import Volume

if TYPE_CHECKING:
    from softseg.ground_truth.batch import Settings

HARD, SOFT, BINARY = "label-SC_seg", "label-SC_softseg", "desc-softseg_label-SC_seg"


@dataclass(frozen=True, eq=False)
class Task:
    """What one process needs to know to make one participant's truth."""

    dataset: Dataset
    subject: str
    session: str | None
    labels: str
    pipeline: str
    settings: "Settings"
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
    settings = task.settings
    if settings.reference not in masks:
        raise InputError(
            f"{task.name}: the reference {settings.reference} has no mask, found "
            f"{', '.join(masks)}; draw it or choose another with --reference"
        )
    return soft_ground_truth(
        masks,
        reference=settings.reference,
        trim_mm=_among(settings.trim_mm, masks),
        registration=settings.registration,
        smoothing_mm=settings.smoothing_mm,
        weights=_among(settings.weights, masks),
        average=settings.average,
        coverage=settings.coverage,
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
    parameters = asdict(task.settings)
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
                found = json.loads(_sidecar_path(path).read_text("utf-8"))
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
    path = _sidecar_path(task.path(task.pipeline, task.settings.reference, SOFT))
    return "; ".join(json.loads(path.read_text("utf-8")).get("Warnings", []))


def _write(task: Task, truth: SoftTruth, sidecars: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """All files are written beside their places first, so that a full disk changes nothing.

    Only then are they moved there: the old sidecars go first and the new ones come last, so that
    no sidecar ever vouches for a mask of other settings, wherever the process is killed.
    """
    report = truth.report.assign(subject=task.subject, session=task.session)
    report = report[["subject", "session", *truth.report.columns]]
    notes = [_sidecar_path(task.path(p, c, e)) for c in sidecars for p, e in _endings(task)]
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
            write_json(places[notes.index(_sidecar_path(path))], content)
        for path in notes:
            path.unlink(missing_ok=True)
    return report


def _masks(task: Task, truth: SoftTruth) -> Iterator[tuple[str, Volume, type, Path]]:
    """What is written for each contrast, soft and binary, and where."""
    binary = truth.binary(task.settings.threshold)
    for contrast in truth.soft:
        for (pipeline, ending), masks, kind in zip(
            _endings(task), (truth.soft, binary), (np.float32, np.uint8), strict=True
        ):
            yield contrast, masks[contrast], kind, task.path(pipeline, contrast, ending)


def _endings(task: Task) -> tuple[tuple[str, str], tuple[str, str]]:
    return (task.pipeline, SOFT), (f"{task.pipeline}_bin", BINARY)


def _sidecar_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
