"""Many images: what goes where, what is already done; a failing image does not stop the batch."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softseg.dataset.index import Dataset
from softseg.dataset.names import EXTENSIONS, sidecar_path, strip_extension
from softseg.dataset.writing import describe_pipeline
from softseg.errors import InputError
from softseg.files import remove_leftovers, replacing, write_json
from softseg.provenance.records import generated_by
from softseg.segmentation.engine import Model, Segmentation, segment
from softseg.volume import Volume

NO_FOLDER = (".gz", ".img", ".hdr", ".mgz", ".mha", ".nrrd", ".csv", ".txt", ".json", ".png")
"""Endings that nobody means a folder by."""
ENDINGS = {False: "label-SC_softseg", True: "label-SC_seg"}


@dataclass(frozen=True)
class Options:
    """How images are segmented; equal options on an unchanged image give an equal mask.

    Attributes:
        binary: Write 0 and 1 instead of fractions.
        threshold: From which fraction on a voxel is 1.
        largest_component: Keep one cord.
        tta: Average over mirrored and shifted variants.
        uncertainty: Also write the standard deviation over them.
        activation: Instead of the network's own.
        average: What to do with a series of volumes, None refuses it.
    """

    binary: bool = False
    threshold: float = 0.5
    largest_component: bool = True
    tta: bool = False
    uncertainty: bool = False
    activation: str | None = None
    average: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise InputError(f"--threshold must lie in (0, 1], found {self.threshold:g}")
        if self.threshold != 0.5 and not self.binary:
            raise InputError("--threshold cuts a binary mask; add --binary or leave it out")


@dataclass(frozen=True)
class Job:
    """One image and where its mask goes.

    Attributes:
        image: What is read.
        mask: What is written.
        recorded: Whether a JSON file beside the mask says how it was made; a batch resumes by it.
    """

    image: Path
    mask: Path
    recorded: bool = True

    @property
    def record(self) -> Path:
        """The JSON file beside the mask."""
        return sidecar_path(self.mask)

    @property
    def uncertainty(self) -> Path:
        """The map of standard deviations beside the mask."""
        return self.mask.with_name(strip_extension(self.mask.name) + "_uncertainty.nii.gz")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one image.

    Attributes:
        job: The image.
        mask: As written, or as found; None if it failed.
        note: One line: what failed, or what is to be said about the mask.
        failed: Whether no mask was made.
        skipped: Whether the mask was there already.
    """

    job: Job
    mask: Volume | None
    note: str = ""
    failed: bool = False
    skipped: bool = False


def plan(inputs: Sequence[Path], out: Path, *, binary: bool = False) -> list[Job]:
    """Which image goes where.

    One image may go to a file (`-o mask.nii.gz`), several go into a folder, and a BIDS data set
    becomes a BIDS derivative.

    Raises:
        InputError: If an input is missing, two images would get one name, or an image would be
            overwritten by its own mask.
    """
    inputs = [Path(path) for path in inputs]
    ending = ENDINGS[binary]
    to_file = out.name.endswith(EXTENSIONS) and not out.is_dir()
    if not to_file and out.suffix in NO_FOLDER and not out.is_dir():
        raise InputError(f"{out}: a mask's name must end in .nii or .nii.gz")
    if to_file and (len(inputs) != 1 or inputs[0].is_dir()):
        raise InputError(f"{out}: several images need a folder, found the name of one file")
    if to_file:
        jobs = [Job(inputs[0], out, recorded=False)]
    else:
        jobs = [job for path in inputs for job in _jobs(path, out, ending)]
    _check(jobs)
    return jobs


def _jobs(path: Path, out: Path, ending: str) -> Iterator[Job]:
    if not path.is_dir():
        yield Job(path, out / f"{strip_extension(path.name)}_{ending}.nii.gz")
        return
    dataset = Dataset.index(path, contrasts="all")
    if dataset.images.empty:
        raise InputError(f"{path}: no image of a known contrast found; name the images themselves")
    for image in sorted(Path(image) for image in dataset.images["path"]):
        image = dataset.root / image
        folder = out / image.relative_to(dataset.root).parent
        yield Job(image, folder / f"{strip_extension(image.name)}_{ending}.nii.gz")


def _check(jobs: Sequence[Job]) -> None:
    images = {job.image.resolve() for job in jobs}
    seen: dict[Path, Path] = {}
    for job in jobs:
        if not job.image.is_file():
            raise InputError(f"{job.image}: no such file")
        if not job.image.name.endswith(EXTENSIONS):
            raise InputError(f"{job.image}: an image's name must end in .nii or .nii.gz")
        if job.mask.resolve() in images:
            raise InputError(f"{job.mask}: this mask would overwrite an image; choose another name")
        if job.mask in seen:
            raise InputError(
                f"{job.image}: its mask would be called {job.mask.name}, as that of "
                f"{seen[job.mask]}; segment them into different folders"
            )
        seen[job.mask] = job.image


def run(
    jobs: Sequence[Job], model: Model, options: Options, *, overwrite: bool = False
) -> Iterator[Outcome]:
    """Segment one image after the other; a bad one becomes a failed outcome.

    Raises:
        InputError: If the masks cannot be written where they should go.
    """
    for folder in {job.mask.parent for job in jobs if job.recorded}:
        remove_leftovers(folder)
    for job in jobs:
        try:
            settings = _settings(job, model, options)
            if not overwrite and _finished(job, settings):
                yield Outcome(job, Volume.load(job.mask), _recorded_note(job), skipped=True)
                continue
            image = Volume.load(job.image, average=options.average)
            result = _segment(image, model, options)
        except (OSError, ValueError, MemoryError, RuntimeError) as error:
            text = str(error) if isinstance(error, InputError) else f"{job.image}: {error}"
            yield Outcome(job, None, text.splitlines()[0] if text else repr(error), failed=True)
            continue
        yield _write(job, result, settings, options)


def segment_dataset(
    dataset: Dataset,
    weights: Path | str,
    pipeline: str,
    *,
    subjects: Iterable[str] | None = None,
    device: str = "auto",
    activation: str | None = None,
    overwrite: bool = True,
) -> pd.DataFrame:
    """Segment the images of a data set into `derivatives/<pipeline>`.

    A method takes part in a comparison by its derivative folder alone; this is how ours get one.

    Args:
        dataset: Its images are segmented; several volumes in a file are averaged.
        weights: A weights file, a model folder or the name of weights that ship.
        pipeline: Folder below `derivatives`.
        subjects: Only these.
        device: As PyTorch names it; `auto` takes a GPU where there is one.
        activation: Instead of the network's own.
        overwrite: Whether to segment again what the same weights have segmented before.

    Returns:
        One row an image: `subject`, `contrast`, `status` (`ok`, `no cord`, `failed`), `message`.

    Raises:
        InputError: If the weights are not ours or the masks cannot be written.
    """
    model = Model.load(weights, device=device)
    wanted = set(dataset.subjects if subjects is None else subjects)
    rows = [row for row in dataset.images.itertuples() if row.subject in wanted]
    jobs = [Job(dataset.root / row.path, _mask_path(dataset, pipeline, row)) for row in rows]
    describe_pipeline(
        dataset.root / "derivatives" / pipeline, "Soft segmentation", "segment",
        weights=model.card.get("checksum"),
    )  # fmt: skip
    options = Options(average="mean", activation=activation)
    outcomes = run(jobs, model, options, overwrite=overwrite)
    return pd.DataFrame(
        [
            {
                "subject": row.subject,
                "contrast": row.contrast,
                "status": _status(outcome),
                "message": outcome.note,
            }
            for row, outcome in zip(rows, outcomes, strict=True)
        ],
        columns=["subject", "contrast", "status", "message"],
    )


def _mask_path(dataset: Dataset, pipeline: str, row: object) -> Path:
    session, run = (v if isinstance(v, str) else None for v in (row.session, row.run))
    return dataset.derivative(pipeline, row.subject, row.contrast, ENDINGS[False], session, run)


def _status(outcome: object) -> str:
    if outcome.failed:
        return "failed"
    return "ok" if outcome.mask is not None and outcome.mask.data.any() else "no cord"


def _segment(image: Volume, model: Model, options: Options) -> Segmentation:
    return segment(
        image,
        weights=model,
        activation=options.activation,
        largest_component=options.largest_component,
        tta=options.tta,
        uncertainty=options.uncertainty,
    )


def _write(job: Job, result: Segmentation, settings: dict, options: Options) -> Outcome:
    mask, kind = result.soft, np.float32
    if options.binary:
        mask, kind = mask.like((mask.data >= options.threshold).astype(np.uint8)), np.uint8
    with ExitStack() as stack:
        # What is entered first is moved into place last: a record vouches for everything else.
        if job.recorded:
            write_json(stack.enter_context(replacing(job.record)), _record(job, result, settings))
        if result.uncertainty is not None:
            result.uncertainty.save(stack.enter_context(replacing(job.uncertainty)))
        mask.save(stack.enter_context(replacing(job.mask)), dtype=kind)
        # A process killed from here on leaves no record of other settings beside the new mask.
        if job.recorded:
            job.record.unlink(missing_ok=True)
    return Outcome(job, mask, result.note)


def _record(job: Job, result: Segmentation, settings: dict) -> dict[str, Any]:
    return {
        "GeneratedBy": generated_by("segment", **settings),
        "Sources": [job.image.name],
        "CordFound": result.cord_found,
        "DoubtfulSlices": list(result.uncertain_slices),
        "Note": result.note,
    }


def _settings(job: Job, model: Model, options: Options) -> dict[str, Any]:
    state = job.image.stat()
    return asdict(options) | {
        "weights_checksum": model.card.get("checksum"),
        "precision": model.precision,
        "image_bytes": state.st_size,
        "image_time_ns": state.st_mtime_ns,
    }


def _finished(job: Job, settings: dict[str, Any]) -> bool:
    if not (job.recorded and job.mask.is_file() and job.record.is_file()):
        return False
    try:
        record = json.loads(job.record.read_text(encoding="utf-8"))
        return record["GeneratedBy"][0]["Parameters"] == settings
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _recorded_note(job: Job) -> str:
    try:
        return str(json.loads(job.record.read_text(encoding="utf-8")).get("Note", ""))
    except (OSError, ValueError):  # another process is making this mask again
        return ""


def describe(out: Path, inputs: Sequence[Path], model: Model) -> None:
    """Make the output of a BIDS data set a BIDS derivative."""
    if any(Path(path).is_dir() for path in inputs):
        describe_pipeline(
            out,
            "Spinal cord segmentation",
            "segment",
            weights_checksum=model.card.get("checksum"),
        )


def check_writable(path: Path) -> None:
    """Refuse a place that cannot be written to before any work is done.

    Raises:
        InputError: If a file cannot be created beside `path`.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    with replacing(path.with_name(".softseg-writable")) as temporary:
        temporary.touch()
    path.with_name(".softseg-writable").unlink()
    for folder in made:
        folder.rmdir()
