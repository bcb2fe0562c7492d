"""Data sets are read and written inside their folder."""

from collections.abc import Iterable
from pathlib import Path, PurePath

from softseg.errors import InputError


def check_inside(root: Path, paths: Iterable[Path], *, follow_links: bool) -> None:
    """Refuse links that leave the data set, which may have come from anywhere.

    What a link leads to would be shown in pictures and derivatives that are shared with the rest.

    Raises:
        InputError: At the first file whose content lies outside `root`.
    """
    if follow_links:
        return
    inside = root.resolve()
    for path in paths:
        try:
            place = path.resolve()
        except (OSError, RuntimeError) as error:
            raise InputError(f"{path}: a link that leads nowhere; remove it") from error
        if not place.is_relative_to(inside):
            raise InputError(
                f"{path}: a link that leaves the data set; copy the file, or allow it with "
                "--follow-links"
            )


def check_name(option: str, name: str) -> None:
    """Refuse a folder in `derivatives` that would lie elsewhere.

    Raises:
        InputError: If the name is empty, absolute or leads upwards.
    """
    path = PurePath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name:
        raise InputError(
            f"{option}: the name of a folder in derivatives/ is needed, found {name!r}"
        )
