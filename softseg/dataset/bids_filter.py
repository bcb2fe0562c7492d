"""Which images of a BIDS data set are wanted: participants, sessions, and a filter file."""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softseg.dataset.names import image_stem
from softseg.errors import InputError
from softseg.files import read_text

ENTITIES = {
    "subject": "sub", "session": "ses", "task": "task", "acquisition": "acq", "ceagent": "ce",
    "tracer": "trc", "reconstruction": "rec", "direction": "dir", "run": "run", "echo": "echo",
    "flip": "flip", "inversion": "inv", "mtransfer": "mt", "part": "part", "chunk": "chunk",
    "suffix": "suffix", "datatype": "datatype",
}  # fmt: skip
"""Names of entities in a filter file, and what file names call them."""

Query = dict[str, tuple[str, ...] | None]


@dataclass(frozen=True)
class Selection:
    """Images that are wanted; None stands for all.

    Attributes:
        participants: `sub-…`.
        sessions: `ses-…`; an image without a session is then not wanted.
        queries: An image must answer one of them: entity (as file names call it) to values; None
            where an image must not have the entity.
    """

    participants: frozenset[str] | None = None
    sessions: frozenset[str] | None = None
    queries: tuple[Query, ...] | None = None

    @classmethod
    def read(
        cls,
        root: Path,
        participants: Iterable[str] | None = None,
        sessions: Iterable[str] | None = None,
        filter_file: Path | None = None,
    ) -> "Selection":
        """From what a BIDS App is given, labels with or without `sub-` and `ses-`.

        Args:
            root: The data set.
            participants: Labels.
            sessions: Labels.
            filter_file: JSON, by any names: `{"t2": {"suffix": "T2w", "session": ["1", "2"]}}`.

        Raises:
            InputError: If a participant or session is unknown, or the file no such JSON.
        """
        who = _labels("sub-", participants, root.glob("sub-*"), root)
        when = _labels("ses-", sessions, root.glob("sub-*/ses-*"), root)
        return cls(who, when, None if filter_file is None else _queries(filter_file))

    def takes(self, image: Path) -> bool:
        """Whether an image, or a mask of it, is wanted, by its name and its folder.

        Example:
            >>> wanted = Selection(queries=({"suffix": ("T2w",), "acq": None},))
            >>> wanted.takes(Path("anat/sub-1_T2w.nii")), wanted.takes(Path("sub-1_acq-a_T2w.nii"))
            (True, False)
        """
        words = image_stem(image).split("_")
        has = dict(word.split("-", maxsplit=1) for word in words if "-" in word)
        has |= {"suffix": words[-1], "datatype": image.parent.name}
        return (
            (self.participants is None or f"sub-{has.get('sub')}" in self.participants)
            and (self.sessions is None or f"ses-{has.get('ses')}" in self.sessions)
            and (self.queries is None or any(_answers(has, query) for query in self.queries))
        )


def _labels(
    prefix: str, asked: Iterable[str] | None, there: Iterable[Path], root: Path
) -> frozenset[str] | None:
    if not asked:
        return None
    wanted = frozenset(prefix + label.removeprefix(prefix) for label in asked)
    if unknown := sorted(wanted - {path.name for path in there}):
        raise InputError(f"{root}: no {', '.join(unknown)} in it; see its folders")
    return wanted


def _answers(has: Mapping[str, str], query: Query) -> bool:
    return all(
        (key not in has) if values is None else has.get(key) in values
        for key, values in query.items()
    )


def _queries(path: Path) -> tuple[Query, ...]:
    try:
        content = json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict) or not all(isinstance(q, dict) for q in content.values()):
        raise InputError(f'{path}: a filter is JSON such as {{"t2": {{"suffix": "T2w"}}}}')
    return tuple(
        {_entity(path, key): _values(value) for key, value in query.items()}
        for query in content.values()
    )


def _entity(path: Path, key: str) -> str:
    if key in ENTITIES or key in ENTITIES.values():
        return ENTITIES.get(key, key)
    near = difflib.get_close_matches(key, ENTITIES, n=1)
    raise InputError(f"{path}: no entity {key!r}" + (f"; is {near[0]} meant?" if near else ""))


def _values(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    return tuple(str(one) for one in (value if isinstance(value, list) else [value]))
