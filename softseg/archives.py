"""Archives from elsewhere, unpacked so that nothing leaves its folder or fills the disk."""

import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from softseg.errors import InputError, brief

MAX_BYTES = 20 * 2**30
"""Of an archive's content."""
MAX_FILES = 100_000
MAX_RATIO = 200
"""Content to archive; images and masks that are compressed already stay far below."""
FREE_BYTES = 2**20
"""Below this a high ratio harms nobody."""


def unpack(archive: Path, folder: Path, *, again: bool = True) -> tuple[str, ...]:
    """Unpack a zip file into `folder`, all of it or nothing.

    Args:
        archive: The zip file.
        folder: Where its content goes; files of the same name are replaced.
        again: Unpack even if every file is there already.

    Returns:
        Names of the files, sorted.

    Raises:
        InputError: If the archive is damaged, holds links or names that lead out of the folder,
            is encrypted, or would unpack to more than a data set for tests can be.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [item for item in opened.infolist() if not item.is_dir()]
            _check(archive, members)
            names = tuple(sorted(item.filename for item in members))
            if again or not all((folder / name).is_file() for name in names):
                _extract(opened, members, folder)
    except InputError:
        raise
    except Exception as error:  # damaged archives make the library fail in many ways
        raise InputError(
            f"{archive}: could not be fetched whole, damaged ({brief(error)}); delete it and try "
            "again"
        ) from error
    return names


def _check(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    total = sum(item.file_size for item in members)
    packed = archive.stat().st_size
    most = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * packed))
    if total > most or len(members) > MAX_FILES:
        raise InputError(
            f"{archive}: {packed:,} bytes would unpack to {total:,} in {len(members):,} files, at "
            f"most {most:,} in {MAX_FILES:,} are unpacked; look at it by hand"
        )
    for item in members:
        path = PurePosixPath(item.filename.replace("\\", "/"))
        kind = stat.S_IFMT(item.external_attr >> 16)
        leaves = path.is_absolute() or ".." in path.parts or ":" in path.parts[0]
        if leaves or kind not in (0, stat.S_IFREG):
            raise InputError(
                f"{archive}: {item.filename!r} would leave the folder or is no plain file; do not "
                "unpack this archive"
            )
        if item.flag_bits & 1:
            raise InputError(f"{archive}: is encrypted; unpack it by hand")


def _extract(opened: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
    try:
        for item in members:
            opened.extract(item, scratch)
        for item in members:
            target = folder / item.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.parent.resolve().is_relative_to(folder.resolve()):
                raise InputError(f"{target}: a link leads out of {folder}; remove it first")
            os.replace(scratch / item.filename, target)
    except OSError as error:
        raise InputError(f"{folder}: cannot be unpacked into ({brief(error)})") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
