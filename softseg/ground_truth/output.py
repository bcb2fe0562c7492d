"""Where soft truths may be written, and what is done with masks that are there already."""

from pathlib import Path

from softseg.dataset.description import described_by
from softseg.errors import InputError

PUBLISHED = "_published"
"""Ending of the folder to which a release's soft masks are moved."""


def check_output(folders: list[Path], labels: Path, *, release: bool) -> None:
    """Refuse to write where hard masks or another pipeline's files lie."""
    for folder in folders:
        if labels.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{folder}: holds the hard masks; write to another folder (--output)")
        if not release and _is_foreign(folder):
            raise InputError(
                f"{folder}: holds files that `softseg ground-truth` did not make; write to another "
                "folder (--output)"
            )


def set_aside(folders: list[Path]) -> list[Path]:
    """Rename the folders of masks that this step did not make, all or none; their new places."""
    foreign = [folder for folder in folders if _is_foreign(folder)]
    for folder in foreign:
        if _published(folder).exists():
            _refuse(folder)
    moved = []
    for folder in foreign:
        try:
            folder.rename(_published(folder))
            moved.append(_published(folder))
        except OSError as error:
            _refuse(folder, error)
    return moved


def _refuse(folder: Path, error: OSError | None = None) -> None:
    """Raise, unless another process of ours (a shard of the same step) was faster."""
    if not _is_foreign(folder):
        return
    if error is not None and not _published(folder).exists():
        raise InputError(f"{folder}: cannot be set aside ({error.strerror})") from error
    raise InputError(
        f"{folder}: holds masks that softseg did not make, and {_published(folder).name} is "
        "taken; rename one or write to another folder"
    )


def _published(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{PUBLISHED}")


def _is_foreign(folder: Path) -> bool:
    described = described_by(folder, "ground-truth")
    return described is False or (described is None and any(folder.glob("sub-*")))
