"""Many images: what is already done is left; a failing image does not stop the batch."""

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from softseg.batch import Outcome, commit, run_batch, threads_each
from softseg.csa.table import flags_of
from softseg.dataset.description import describe_pipeline
from softseg.errors import InputError, WriteError
from softseg.files import PARTIAL, remove_leftovers, sha256, write_json
from softseg.provenance.records import foreign, listed, record_content, record_of
from softseg.segmentation.engine import Model, Segmentation, segment
from softseg.segmentation.jobs import Job, opened
from softseg.volume import Volume

NUMBERS = ("Presence", "Quality", "AreaError", "EdgeWidth")
"""What is said of a whole mask, in its record."""
CHANGED = "changed since it was made, what was said of it is left out"


@dataclass(frozen=True)
class SegmentationOptions:
    """How images are segmented; equal options on an unchanged image give an equal mask.

    Attributes:
        binary: Write 0 and 1 instead of fractions.
        threshold: From which fraction on a voxel is 1.
        largest_component: Keep one cord.
        keep: Keep all that the network saw, also where no cord is likely.
        tta: Average over mirrored and shifted variants.
        uncertainty: Also write the standard deviation over them.
        activation: Instead of the network's own.
        average: What to do with a series of volumes, None refuses it.
    """

    binary: bool = False
    threshold: float = 0.5
    largest_component: bool = True
    keep: bool = False
    tta: bool = False
    uncertainty: bool = False
    activation: str | None = None
    average: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise InputError(f"--threshold must lie in (0, 1], found {self.threshold:g}")
        if self.threshold != 0.5 and not self.binary:
            raise InputError("--threshold cuts a binary mask; add --binary or leave it out")


@dataclass(frozen=True, eq=False)
class MadeMask:
    """A mask, as written or found, and what is said about it: as of `Segmentation`."""

    mask: Volume
    note: str
    presence: float
    quality: float
    area_error: float
    edge_mm: float
    reasons: dict[int, str]
    flags: tuple[str, ...] = ()

    @classmethod
    def of(cls, mask: Volume, found: Segmentation) -> "MadeMask":
        """A mask of what was found."""
        numbers = (found.presence, found.quality, found.area_error, found.edge.width_mm)
        return cls(mask, found.note, *numbers, found.reasons, tuple(found.doubts))

    @classmethod
    def recorded(cls, mask: Path, record: Mapping[str, Any]) -> "MadeMask":
        """A mask that is there, and what its record says of it."""
        numbers = (np.nan if record[key] is None else float(record[key]) for key in NUMBERS)
        reasons = {int(z): str(why) for z, why in record["UncertainReasons"].items()}
        numbers, flags = list(numbers), flags_of({"Flags": record["Flags"]})
        if listed(record, "SHA256").get(mask.name) != sha256(mask):
            return cls(Volume.load(mask), CHANGED, *[np.nan] * len(NUMBERS), {})
        return cls(Volume.load(mask), str(record["Note"]), *numbers, reasons, flags)

    def record(self) -> dict[str, Any]:
        """Entries of the record beside the mask."""
        numbers = (self.presence, self.quality, self.area_error, self.edge_mm)
        known = (None if np.isnan(x) else round(x, 4) for x in numbers)
        return {
            "CordFound": bool(self.mask.data.any()) and "unlikely" not in self.flags,
            **dict(zip(NUMBERS, known, strict=True)),
            "UncertainSlices": sorted(self.reasons),
            "UncertainReasons": {str(z): self.reasons[z] for z in sorted(self.reasons)},
            "Flags": list(self.flags),
            "Note": self.note,
        }


def segment_images(
    jobs: Sequence[Job],
    model: Model,
    options: SegmentationOptions,
    *,
    overwrite: bool = False,
    processes: int = 1,
    source: Mapping[str, Any] | None = None,
) -> Iterator[Outcome]:
    """Segment one image after the other; a failing image does not stop the batch.

    Several processes load the model once each, from `source` (what `Model.load` takes), and share
    out the processor's cores.

    Returns:
        For each job its outcome; the result is `MadeMask`. A file that softseg did not make, such
        as a mask that was corrected by hand, is not replaced without `overwrite`: its image fails.

    Raises:
        WriteError: If a mask cannot be written where it should go; no further image is begun.
    """
    folders = {job.mask.parent for job in jobs if job.recorded}
    # A process that was killed between mask and record left the record in its hidden folder.
    ours = {f / left.name for f in folders for left in f.glob(f"{PARTIAL}*/*.json")}
    for folder in folders:
        remove_leftovers(folder)
    known = {"model": model, "options": options}
    work = partial(_made, **known, ours=None if overwrite else ours)
    if source is not None and processes > 1:
        work = partial(_made_in_process, source=dict(source), **work.keywords | {"model": None})
    with threads_each(processes if source is not None else 1):
        for outcome in run_batch(
            work,
            jobs,
            jobs=processes if source is not None else 1,
            finished=None if overwrite else partial(_made_before, **known),
            name=lambda job: str(job.image),
        ):
            if isinstance(outcome.error, WriteError):
                raise outcome.error
            yield outcome


_LOADED: dict[str, Model] = {}
"""The model of a process that segments for another one."""


def _made_in_process(job: Job, *, source: dict[str, Any], model: None, **known: Any) -> Any:
    if "model" not in _LOADED:
        _LOADED["model"] = Model.load(**source)
    return _made(job, model=_LOADED["model"], **known)


def _made(
    job: Job, *, model: Model, options: SegmentationOptions, ours: Collection[Path] | None
) -> Any:
    return _write(job, *_segment(job, model, options, ours=ours), options)


def _segment(
    job: Job, model: Model, options: SegmentationOptions, *, ours: Collection[Path] | None
) -> tuple[Segmentation, dict]:
    if ours is not None and job.record not in ours:
        _check_ours(job, options)
    parameters = _parameters(job, model, options)  # of the file before it is read
    image = Volume.load(job.image, average=options.average)
    if not np.isfinite(image.data).any():
        raise InputError(
            f"{job.image}: an image needs finite values, found not one; convert or copy it again"
        )
    found = segment(
        image,
        weights=model,
        activation=options.activation,
        largest_component=options.largest_component,
        keep=options.keep,
        tta=options.tta,
        uncertainty=options.uncertainty,
    )
    return found, parameters


def _check_ours(job: Job, options: SegmentationOptions) -> None:
    """Refuse to replace what no record of softseg vouches for; a record that is broken may go."""
    if _foreign(job, options):
        time.sleep(0.2)  # another process may be moving masks and records into place
        said = _foreign(job, options)
        if said:
            raise InputError(f"{said}; --overwrite replaces it")


def _foreign(job: Job, options: SegmentationOptions) -> str | None:
    """What is said of a file in the way that softseg did not write, None if there is none."""
    paths = [*_products(job, options), *([job.record] if job.recorded else [])]
    there = filter(Path.is_file, paths)
    said = (foreign(path, job.record if job.recorded else record_of(path)) for path in there)
    return next(filter(None, said), None)


def _write(
    job: Job, found: Segmentation, parameters: dict, options: SegmentationOptions
) -> MadeMask:
    mask, kind = found.soft, np.float32
    if options.binary:
        mask, kind = mask.like((mask.data >= options.threshold).astype(np.uint8)), np.uint8
    records = [job.record] if job.recorded else []
    with commit(_products(job, options), records=records) as temporary:
        if options.uncertainty:
            found.uncertainty.save(temporary[job.uncertainty])
        mask.save(temporary[job.mask], dtype=kind, fractions=True)
        result = MadeMask.of(mask, found)
        if job.recorded:
            made = {path.name: sha256(temporary[path]) for path in _products(job, options)}
            about = {"step": "segment", "parameters": parameters, "sources": [job.image]}
            content = record_content(job.record, made, **about) | result.record()
            write_json(temporary[job.record], content)
    return result


def _products(job: Job, options: SegmentationOptions) -> list[Path]:
    return [job.mask, *([job.uncertainty] if options.uncertainty else [])]


def _parameters(job: Job, model: Model, options: SegmentationOptions) -> dict[str, Any]:
    state = job.image.stat()
    return asdict(options) | {
        "weights_checksum": model.card.get("checksum"),
        "precision": model.precision,
        "image_bytes": state.st_size,
        "image_time_ns": state.st_mtime_ns,
    }


def _made_before(job: Job, model: Model, options: SegmentationOptions) -> MadeMask | None:
    """What was made, if files and record are those of the same options and image.

    A record of an earlier version lacks one of `NUMBERS` or flags: its mask is made again.
    """
    if not (job.recorded and all(path.is_file() for path in _products(job, options))):
        return None
    try:
        record = json.loads(job.record.read_text(encoding="utf-8"))
        if record["GeneratedBy"][0]["Parameters"] != _parameters(job, model, options):
            return None
        return MadeMask.recorded(job.mask, record)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def describe(out: Path, inputs: Sequence[Path], model: Model) -> None:
    """Make the output of a BIDS data set a BIDS derivative."""
    if any(Path(path).is_dir() and opened(Path(path)) == [path] for path in inputs):
        describe_pipeline(
            out,
            "Spinal cord segmentation",
            "segment",
            weights_checksum=model.card.get("checksum"),
        )
