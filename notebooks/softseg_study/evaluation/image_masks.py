"""Which masks of which images are compared, and how they are read, one image after the other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from softseg.batch import map_batch
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.masks import as_fractions, check_grid
from softseg.volume import WORKING, Volume

Method = str | Callable[[Path], Volume]
"""A folder below `derivatives`, `FOLDER:ENDING`, or a function from an image's path to a mask."""
Source = Path | Callable[[Path], Volume]
"""Where one mask comes from."""
SOFT_ENDING = "label-SC_softseg"
ENDINGS = (SOFT_ENDING, "desc-softseg_label-SC_seg", "label-SC_seg")
"""What a method's masks may be called, the first that is there counts."""


@dataclass(frozen=True)
class ImageMasks:
    """One image, and where each method's mask of it is.

    Attributes:
        subject: Participant.
        session: None where there is none.
        contrast: Name of the contrast.
        image: The image's path.
        sources: For each method the mask's path, a function of the image's path, or None.
        extra: More paths by name, for example `levels`; None where there is none.
    """

    subject: str
    session: str | None
    contrast: str
    image: Path
    sources: Mapping[str, Source | None]
    extra: Mapping[str, Path | None]

    @property
    def keys(self) -> dict[str, str | None]:
        """The columns that name the image in every table."""
        return {"subject": self.subject, "session": self.session, "contrast": self.contrast}


def find_masks(
    dataset: Dataset,
    methods: Mapping[str, Method],
    *,
    subjects: Iterable[str] | None = None,
    extra: Mapping[str, str] | None = None,
) -> list[ImageMasks]:
    """The images with their masks, in the order of the data set's index.

    Args:
        dataset: Its `images` are evaluated, whether a method has a mask of them or not.
        methods: Name in tables → `Method`.
        subjects: Only these.
        extra: Name → `FOLDER:ENDING` of more files.

    Raises:
        InputError: If a subject is unknown, or a method has no folder, or one without a mask that
            is called as masks are.
    """
    wanted = dataset.subjects if subjects is None else sorted(set(subjects))
    unknown = set(wanted) - set(dataset.subjects)
    if unknown:
        raise InputError(f"{dataset.root}: no images of {', '.join(sorted(unknown))}")
    entries = []
    for row in dataset.images.itertuples():
        if row.subject not in set(wanted):
            continue
        find = partial(_find, dataset, row)
        session = row.session if isinstance(row.session, str) else None
        sources = {name: m if callable(m) else find(m) for name, m in methods.items()}
        more = {name: find(source) for name, source in (extra or {}).items()}
        entries.append(
            ImageMasks(row.subject, session, row.contrast, Path(row.path), sources, more)
        )
    for name, method in methods.items():
        if isinstance(method, str) and not any(entry.sources[name] for entry in entries):
            _check_folder(dataset.root / "derivatives", *method.split(":", 1))
    return entries


def _check_folder(derivatives: Path, pipeline: str, *endings: str) -> None:
    """A wrong name would otherwise be a table of images without a mask."""
    folder, wanted = derivatives / pipeline, endings or ENDINGS
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; the masks of a method belong there")
    if not any(any(folder.rglob(f"*_{ending}.nii*")) for ending in wanted):
        raise InputError(f"{folder}: holds no mask called sub-…_{' or …_'.join(wanted)}.nii.gz")


def _find(dataset: Dataset, row: Any, source: str) -> Path | None:
    pipeline, _, ending = source.partition(":")
    for word in (ending,) if ending else ENDINGS:
        path = dataset.existing(
            pipeline, row.subject, row.contrast, word, session=row.session, run=row.run
        )
        if path is not None:
            return path
    return None


def read_mask(source: Source, image: Path) -> Volume:
    """A method's mask in working orientation, checked to be a mask.

    Raises:
        InputError: If it is unreadable or leaves [0, 1].
    """
    volume = source(image) if callable(source) else Volume.load(source)
    return volume.like(as_fractions(volume.data, volume.name)).oriented(WORKING)


def collect_rows(
    worker: Callable[[ImageMasks], list[dict]], entries: Sequence[ImageMasks], *, jobs: int = 1
) -> list[dict]:
    """Rows of all images, in their order however many processes work.

    Args:
        worker: A function of a module (or a `functools.partial` of one), so that it can be sent.
        entries: From `find_masks`.
        jobs: Processes; with more than one, a method given as a function must be one of a module
            too.
    """
    return [row for rows in map_batch(worker, entries, jobs=jobs) for row in rows]


def compare_masks(
    dataset: Dataset,
    methods: Mapping[str, Method],
    reference: str,
    compare: Callable[[Volume, Volume], list[dict]],
    *,
    failed: Callable[[str], list[dict]],
    subjects: Iterable[str] | None = None,
    jobs: int = 1,
) -> list[dict]:
    """Rows of every method's mask of every image beside a reference's.

    Args:
        dataset: Its images are evaluated.
        methods: Name in the table → `Method`.
        reference: `FOLDER` or `FOLDER:ENDING` of the masks compared with.
        compare: A function of a module, of mask and reference on one grid.
        failed: Rows where there is nothing to compare, from what is wrong: `no mask`,
            `no reference`, or the message of an error.
        subjects: Only these.
        jobs: Processes; the rows do not depend on it.
    """
    entries = find_masks(dataset, methods, subjects=subjects, extra={"reference": reference})
    worker = partial(_compared_rows, compare=compare, failed=failed)
    return collect_rows(worker, entries, jobs=jobs)


def _compared_rows(entry: ImageMasks, *, compare: Callable, failed: Callable) -> list[dict]:
    rows, path = [], entry.extra["reference"]
    for method, source in entry.sources.items():
        try:
            if source is None or path is None:
                raise InputError("no mask" if source is None else "no reference")
            reference = read_mask(path, entry.image)
            mask = read_mask(source, entry.image)
            check_grid(mask, reference)
            found = compare(mask, reference)
        except InputError as error:
            found = failed(str(error))
        rows += [entry.keys | {"method": method} | row for row in found]
    return rows
