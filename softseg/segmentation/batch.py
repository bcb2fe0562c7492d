"""Many images: what goes where, what is already done; a failing image does not stop the batch."""

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from softseg.batch import Outcome, commit, run_batch, threads_each
from softseg.dataset.description import describe_pipeline, described_by
from softseg.dataset.foreign import plain_images, unreadable
from softseg.dataset.names import EXTENSIONS, PROBABILITY, sidecar_path, strip_extension
from softseg.dataset.raw_images import (
    NOT_FETCHED,
    LeftOut,
    choose_images,
    data_set_of,
    is_fetched,
    phase_image,
    without_twins,
)
from softseg.errors import InputError, WriteError
from softseg.files import PARTIAL, remove_leftovers, sha256, write_json
from softseg.provenance.records import foreign, record_content, record_of
from softseg.segmentation.engine import Model, Segmentation, segment
from softseg.volume import Volume

NO_FOLDER = (".gz", ".img", ".hdr", ".mgz", ".mha", ".nrrd", ".csv", ".txt", ".json", ".png")
"""Endings of files, by which no folder is meant."""
SOFT, BINARY = "label-SC_softseg", "label-SC_seg"
"""What is added to an image's name; `PROBABILITY` stands for the standard's name of a soft mask."""


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
class MadeMask:
    """A mask, as written or found, and what is said about it: as of `Segmentation`."""

    mask: Volume
    note: str
    presence: float
    quality: float
    area_error: float
    reasons: dict[int, str]

    @classmethod
    def of(cls, mask: Volume, found: Segmentation) -> "MadeMask":
        """A mask of what was found."""
        said = (found.note, found.presence, found.quality, found.area_error, found.reasons)
        return cls(mask, *said)

    @classmethod
    def recorded(cls, mask: Path, record: Mapping[str, Any]) -> "MadeMask":
        """A mask that is there, and what its record says of it."""
        numbers = (record[key] for key in ("Presence", "Quality", "AreaError"))
        reasons = {int(z): str(why) for z, why in record["UncertainReasons"].items()}
        presence, quality, area_error = (np.nan if x is None else float(x) for x in numbers)
        return cls(Volume.load(mask), str(record["Note"]), presence, quality, area_error, reasons)

    def record(self) -> dict[str, Any]:
        """Entries of the record beside the mask."""
        numbers = (self.presence, self.quality, self.area_error)
        known = (None if np.isnan(x) else round(x, 4) for x in numbers)
        return {
            "CordFound": bool(self.mask.data.any()),
            **dict(zip(("Presence", "Quality", "AreaError"), known, strict=True)),
            "UncertainSlices": sorted(self.reasons),
            "UncertainReasons": {str(z): self.reasons[z] for z in sorted(self.reasons)},
            "Note": self.note,
        }


def find_jobs(
    inputs: Sequence[Path], out: Path, *, ending: str = SOFT, series: bool = False
) -> tuple[list[Job], list[LeftOut]]:
    """Which image goes where, and what is left out.

    One image may go to a file (`-o mask.nii.gz`), several go into a folder, and a BIDS data set
    becomes a BIDS derivative: every image in it, whatever its contrast. Of a participant's or a
    session's folder only the images there; of a folder that is no data set its NIfTI files.

    Args:
        inputs: Images, or folders.
        out: A file or a folder.
        ending: Of the masks' names: `SOFT`, `BINARY` or `PROBABILITY`.
        series: Whether series of volumes in a data set are to be segmented.

    Raises:
        InputError: If an input is missing, two images would get one name, an image would be
            overwritten by its own mask, a data set's masks would lie among its raw images or in a
            folder that somebody else described, or there is nothing to segment.
    """
    inputs = [image for path in inputs for image in _opened(Path(path))]
    to_file = out.name.endswith(EXTENSIONS) and not out.is_dir()
    if not to_file and out.suffix in NO_FOLDER and not out.is_dir():
        raise InputError(f"{out}: a mask's name must end in .nii or .nii.gz")
    if to_file and (len(inputs) != 1 or inputs[0].is_dir()):
        raise InputError(f"{out}: several images need a folder, found the name of one file")
    named, unusable = _named([path for path in inputs if not path.is_dir()])
    jobs = [Job(path, out / _mask_name(path, ending)) for path in named]
    left_out = []
    for folder in (path.expanduser().absolute() for path in inputs if path.is_dir()):
        root = data_set_of(folder)
        _check_derivative(out, root)
        images, others = choose_images(root, series=series)
        images = [image for image in images if image.is_relative_to(folder)]
        left_out += [each for each in others if each.path.is_relative_to(folder)]
        places = [
            out / image.relative_to(root).with_name(_mask_name(image, ending)) for image in images
        ]
        jobs += [Job(*pair) for pair in zip(images, places, strict=True)]
    if to_file and jobs:
        jobs = [Job(inputs[0], out, recorded=False)]
    # An image that is given twice, by itself and by its data set, is made once.
    once = {_place(job.image): job for job in jobs}
    left_out = {_place(each.path): each for each in [*left_out, *unusable]}
    jobs, left_out = [*once.values()], [each for p, each in left_out.items() if p not in once]
    check_some(jobs, left_out)
    _check(jobs)
    return jobs, left_out


def _opened(path: Path) -> list[Path]:
    """A folder that is no data set stands for the images in it."""
    data_set = path.is_dir() and (any(path.glob("sub-*/")) or data_set_of(path.absolute()) != path)
    return (plain_images(path) or [path]) if path.is_dir() and not data_set else [path]


def check_some(jobs: Sequence[Job], left_out: Sequence[LeftOut]) -> None:
    """Refuse a batch of which every image is left out.

    Raises:
        InputError: With the reason of the first that is to be mended.
    """
    if not jobs:
        some = next((each for each in left_out if not each.deliberate), left_out[0])
        raise InputError(f"{some.path}: {some.reason}; there is no other image to segment")


def _place(path: Path) -> Path:
    """Where a file lies; one that links of two names lead to is two images."""
    path = path.expanduser().absolute()
    return path.parent.resolve() / path.name


def _check_derivative(out: Path, root: Path) -> None:
    """Refuse an output folder that is the raw data set, or that somebody else described."""
    place, raw = out.resolve(), root.resolve()
    below = place.relative_to(raw).parts if place.is_relative_to(raw) else ("elsewhere",)
    if not below or below[0].startswith("sub-"):
        raise InputError(
            f"-o {out}: the raw data set itself; write beside it, -o {root}/derivatives/NAME"
        )
    if described_by(out, "segment") is False:
        raise InputError(
            f"-o {out}: its dataset_description.json is not of `softseg segment`; choose another "
            f"folder, such as {root}/derivatives/NAME"
        )


def _named(images: Sequence[Path]) -> tuple[list[Path], list[LeftOut]]:
    """Images that were named one by one: what can be read, and one of two with one name."""
    reasons = {path: _unusable(path) for path in images}
    left_out = [
        LeftOut(path, reason, deliberate=False)
        for path, reason in reasons.items()
        if reason is not None
    ]
    images, twins = without_twins(path for path in images if reasons[path] is None)
    return images, left_out + twins


def _unusable(path: Path) -> str | None:
    if (path.is_symlink() or path.is_file()) and not is_fetched(path):
        return NOT_FETCHED
    if path.is_file() and (why := unreadable(path)):
        return why
    phase = phase_image(path)
    return phase and f"{phase}; segment its magnitudes"


def _mask_name(image: Path, ending: str) -> str:
    stem = strip_extension(image.name)
    if ending == PROBABILITY:
        words, _, suffix = stem.rpartition("_")
        ending = f"label-SC_desc-{suffix}_{PROBABILITY}"
        return f"{words}_{ending}.nii.gz" if words else f"{ending}.nii.gz"
    return f"{stem}_{ending}.nii.gz"


def _check(jobs: Sequence[Job]) -> None:
    images = {job.image.resolve() for job in jobs}
    seen: dict[Path, Path] = {}
    for job in jobs:
        if not job.image.is_file():
            raise InputError(f"{job.image}: no such file")
        if job.mask.resolve() in images:
            raise InputError(f"{job.mask}: this mask would overwrite an image; choose another name")
        if job.mask in seen:
            raise InputError(
                f"{job.image}: its mask would be called {job.mask.name}, as that of "
                f"{seen[job.mask]}; segment them into different folders"
            )
        seen[job.mask] = job.image


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
    found = segment(
        Volume.load(job.image, average=options.average),
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

    A record of an earlier version names no `AreaError`: its mask is made again.
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
    if any(Path(path).is_dir() and _opened(Path(path)) == [path] for path in inputs):
        describe_pipeline(
            out,
            "Spinal cord segmentation",
            "segment",
            weights_checksum=model.card.get("checksum"),
        )
