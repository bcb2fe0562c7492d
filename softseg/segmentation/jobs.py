"""Which image goes where: files, folders and data sets in, a name of a mask for each image out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from softseg.dataset.description import described_by
from softseg.dataset.exclusions import Exclusions, verdicts_on, why_excluded
from softseg.dataset.foreign import foreign_in, plain_images, unreadable
from softseg.dataset.names import EXTENSIONS, PROBABILITY, sidecar_path, strip_extension
from softseg.dataset.raw_images import (
    NOT_FETCHED,
    LeftOut,
    choose_images,
    data_set_of,
    is_fetched,
    mask_image,
    phase_image,
    without_twins,
)
from softseg.errors import InputError
from softseg.files import check_inside

NO_FOLDER = (".gz", ".img", ".hdr", ".mgz", ".mha", ".nrrd", ".csv", ".txt", ".json", ".png")
"""Endings of files, by which no folder is meant."""
SOFT, BINARY = "label-SC_softseg", "label-SC_seg"
"""What is added to an image's name; `PROBABILITY` stands for the standard's name of a soft mask."""


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


def find_jobs(
    inputs: Sequence[Path], out: Path, *, ending: str = SOFT, series: bool = False
) -> tuple[list[Job], list[LeftOut]]:
    """Which image goes where, and what is left out.

    One image may go to a file (`-o mask.nii.gz`), several go into a folder, and a BIDS data set
    becomes a BIDS derivative: every image in it, whatever its contrast. Of a participant's or a
    session's folder only the images there; of a folder that is no data set its NIfTI files but
    masks, which are segmented only where they are named one by one.

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
    by_name = {Path(path) for path in inputs}
    inputs = [image for path in inputs for image in opened(Path(path))]
    masks = {path: why for path in inputs if path not in by_name and (why := mask_image(path))}
    inputs = [path for path in inputs if path not in masks]
    to_file = out.name.endswith(EXTENSIONS) and not out.is_dir()
    if not to_file and out.suffix in NO_FOLDER and not out.is_dir():
        raise InputError(f"{out}: a mask's name must end in .nii or .nii.gz")
    if to_file and (len(inputs) > 1 or any(map(Path.is_dir, inputs))):
        for said in filter(None, map(foreign_in, filter(Path.is_dir, inputs))):
            raise InputError(said)
        raise InputError(f"{out}: several images need a folder, found the name of one file")
    named, unusable = _named([path for path in inputs if not path.is_dir()])
    jobs = [Job(path, out / _mask_name(path, ending)) for path in named]
    left_out = [LeftOut(path, why) for path, why in masks.items()]
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


def kept(
    jobs: list[Job], left_out: list[LeftOut], data_sets: Iterable[Path]
) -> tuple[list[Job], list[LeftOut]]:
    """Jobs that no `exclude.yml` beside their masks, and no link out of a data set, leaves out.

    Args:
        jobs: Of `find_jobs`.
        left_out: What it left out.
        data_sets: Folders that no image in them may lead out of by a link.

    Returns:
        The others, and what is left out now.

    Raises:
        InputError: If an `exclude.yml` is no list of exclusions, or nothing is kept.
    """
    bad = verdicts_on(job.mask for job in jobs)
    left_out = list(left_out)
    for root in [None, *(path.expanduser().absolute() for path in data_sets)]:
        staying = []
        for job in jobs:
            reason = _verdict(job, bad) if root is None else _outside(job.image, root)
            if reason is None:
                staying.append(job)
            else:
                left_out.append(LeftOut(job.image, reason, deliberate=root is None))
        jobs = staying
    check_some(jobs, left_out)
    return jobs, left_out


def _verdict(job: Job, bad: Exclusions) -> str | None:
    """Why an image is left out by its name or that of its mask; None if it is not."""
    return why_excluded(job.image, bad) or why_excluded(job.mask, bad)


def _outside(image: Path, root: Path) -> str | None:
    """Why an image of a data set does not lie in it; None for one that does."""
    try:
        check_inside(root, [image] if image.is_relative_to(root) else [])
    except InputError as error:
        return str(error).removeprefix(f"{image}: ")
    return None


def opened(path: Path) -> list[Path]:
    """A folder that is no data set stands for the images in it."""
    place = path.expanduser().absolute()
    data_set = path.is_dir() and (any(path.glob("sub-*/")) or data_set_of(place) != place)
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
