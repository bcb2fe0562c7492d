"""Which masks of which images are compared, and how they are read, one image after the other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from softseg.batch import map_batch
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.masks import as_fractions
from softseg.volume import WORKING, Volume

Method = str | Callable[[Path], Volume]
"""A folder below `derivatives`, `FOLDER:ENDING`, or a function from an image's path to a mask."""
Source = Path | Callable[[Path], Volume]
"""Where one mask comes from."""
SOFT_ENDING = "label-SC_softseg"
ENDINGS = (SOFT_ENDING, "desc-softseg_label-SC_seg", "label-SC_seg")
"""What a method's masks may be called, the first that is there counts."""


@dataclass(frozen=True)
class Task:
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


def find_tasks(
    dataset: Dataset,
    methods: Mapping[str, Method],
    *,
    subjects: Iterable[str] | None = None,
    extra: Mapping[str, str] | None = None,
) -> list[Task]:
    """One task an image, in the order of the data set's index.

    Args:
        dataset: Its `images` are evaluated, whether a method has a mask of them or not.
        methods: Name in tables → `Method`.
        subjects: Only these.
        extra: Name → `FOLDER:ENDING` of more files.

    Raises:
        InputError: If a subject is unknown.
    """
    wanted = dataset.subjects if subjects is None else sorted(set(subjects))
    unknown = set(wanted) - set(dataset.subjects)
    if unknown:
        raise InputError(f"{dataset.root}: no images of {', '.join(sorted(unknown))}")
    tasks = []
    for row in dataset.images.itertuples():
        if row.subject not in set(wanted):
            continue
        find = partial(_find, dataset, row)
        session = row.session if isinstance(row.session, str) else None
        sources = {name: m if callable(m) else find(m) for name, m in methods.items()}
        more = {name: find(source) for name, source in (extra or {}).items()}
        tasks.append(Task(row.subject, session, row.contrast, Path(row.path), sources, more))
    return tasks


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


def run_tasks(
    worker: Callable[[Task], list[dict]], tasks: Sequence[Task], *, jobs: int = 1
) -> list[dict]:
    """Rows of all tasks, in the order of the tasks however many processes work.

    Args:
        worker: A function of a module (or a `functools.partial` of one), so that it can be sent.
        tasks: What to do.
        jobs: Processes; with more than one, a method given as a function must be one of a module
            too.
    """
    return [row for rows in map_batch(worker, tasks, jobs=jobs) for row in rows]
