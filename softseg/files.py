"""Files that are either whole or absent: written to a temporary name and moved into place."""

import codecs
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from softseg.errors import InputError, WriteError
from softseg.events import event

try:
    import fcntl
except ImportError:  # no such locks on Windows, where leftovers stay
    fcntl = None

PARTIAL = ".partial-"
"""How the names of folders begin in which files are written before they are moved into place."""
ATTEMPTS = 20
"""How often a folder is made again that others, who found it empty, remove."""
Made = TypeVar("Made")


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well.

    The temporary name keeps every suffix of `path`, since writers choose their format by it. A
    block that fails leaves what was at `path` untouched and nothing beside it.

    Raises:
        WriteError: If the folder cannot be written to, or the disk is full.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> [file.name for file in folder.iterdir()]
        ['a.txt']
    """
    path = Path(path)
    if path.parent.name.startswith(PARTIAL):
        yield path  # is beside its place already, with others that are moved together
        return
    try:
        scratch = _made_in(path.parent, lambda: _claim(path.parent, PARTIAL))
    except OSError as error:
        raise WriteError(
            f"{path}: cannot write here ({_why(path.parent, error)}); choose another"
        ) from error
    with scratch as folder:
        try:
            temporary = folder / path.name
            yield temporary
            size = temporary.stat().st_size
            os.replace(temporary, path)
            event("write", file=path, bytes=size)
        except OSError as error:
            raise WriteError(
                f"{path}: could not be written ({error.strerror or error}); what was there is kept"
            ) from error


def scratch_folder(parent: Path, label: str = "") -> AbstractContextManager[Path]:
    """A hidden folder below `parent` for this process alone, removed at the end of the block.

    A killed process leaves it behind; `remove_leftovers` knows it by its lock, which ends with the
    process.
    """
    return _claim(parent, f"{PARTIAL}{label}")


@contextmanager
def one_at_a_time(folder: Path | str) -> Iterator[None]:
    """Work in `folder` while no other process that asks for it does; waits until it is free.

    The lock ends with its process, however that ends. Where the file system has no locks, it
    does not wait.

    Raises:
        InputError: If the folder cannot be made.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot work here ({_why(folder, error)}); choose another"
        ) from error
    try:
        if fcntl is not None:
            _wait_for(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, folder: Path) -> None:
    with suppress(OSError):  # no locks here
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            event("waiting", folder=folder, reason="another process works there")
            fcntl.flock(descriptor, fcntl.LOCK_EX)


def remove_leftovers(folder: Path | str) -> None:
    """Delete what killed processes left directly in `folder`; what is still worked on stays."""
    found: list[Path] = []
    with suppress(FileNotFoundError):  # another process removed the folder
        found += Path(folder).glob(f"{PARTIAL}*")
    for scratch in found:
        lock = _lock(scratch)
        if lock is not None:
            shutil.rmtree(scratch, ignore_errors=True)
            os.close(lock)


def _made_in(parent: Path, make: Callable[[], Made]) -> Made:
    """What `make` makes in `parent`, again where another process removed it as empty meanwhile."""
    for _ in range(ATTEMPTS):
        # It "exists" to pathlib where it was removed between two looks at it.
        with suppress(FileNotFoundError, FileExistsError):
            parent.mkdir(parents=True, exist_ok=True)
            return make()
    parent.mkdir(parents=True, exist_ok=True)
    return make()


def _why(folder: Path, error: OSError) -> str:
    """What keeps a folder from being used: the system only says that something "exists"."""
    there = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
    if there.is_symlink() and not there.exists():
        return f"{there} is a link that leads nowhere"
    return f"{there} is a file, not a folder" if there.is_file() else str(error.strerror)


def _claim(parent: Path, prefix: str) -> AbstractContextManager[Path]:
    while True:
        scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = _lock(scratch)
        # Another process may have taken it for a leftover before it was locked.
        if scratch.exists():
            return _removed_at_end(scratch, lock)
        if lock is not None:
            os.close(lock)


@contextmanager
def _removed_at_end(scratch: Path, lock: int | None) -> Iterator[Path]:
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock; None where another has it or there are none."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def check_writable(path: Path | str) -> None:
    """Refuse a place that cannot be written to, before any work is done for it.

    Raises:
        InputError: If a file cannot be created beside `path`, or a folder has its name.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; choose a file's name")
    made = [folder for folder in path.parents if not folder.exists()]
    try:
        tried = _made_in(path.parent, lambda: tempfile.mkdtemp(prefix=PARTIAL, dir=path.parent))
        # Another process may have taken it for a leftover and removed it.
        shutil.rmtree(tried, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"{path}: cannot write here ({_why(path.parent, error)}); choose another"
        ) from error
    finally:
        remove_empty(made)


def check_inside(root: Path, paths: Iterable[Path]) -> None:
    """Refuse links that leave the data set, which may have come from anywhere.

    What a link leads to would be shown in pictures and derivatives that are shared with the rest.

    Raises:
        InputError: At the first file whose content lies outside `root`.
    """
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


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those folders that hold nothing, the innermost first."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def write_json(path: Path | str, content: Any) -> None:
    """Write `content` as JSON with sorted keys, so that equal content is equal bytes.

    Keys that are all whole numbers are in their order: 2 before 10.
    """
    with replacing(path) as temporary:
        text = json.dumps(_in_order(content), indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")


def _in_order(content: Any) -> Any:
    if isinstance(content, list | tuple):
        return [_in_order(each) for each in content]
    if not isinstance(content, dict):
        return content
    numbered = all(str(key).isdecimal() for key in content)
    keys = sorted(content, key=(lambda key: (int(key), str(key))) if numbered else None)
    return {key: _in_order(content[key]) for key in keys}


def read_text(path: Path | str) -> str:
    """The text of a file that somebody wrote by hand or exported: UTF-8, UTF-16 or Latin-1.

    A warning says where it is not in UTF-8.

    Raises:
        InputError: If the file cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ("utf-16", "latin-1")
    else:
        encodings = ("utf-8-sig", "latin-1")
    for encoding in encodings:
        with suppress(UnicodeDecodeError):
            text = content.decode(encoding)
            break
    if encoding != "utf-8-sig":
        warnings.warn(f"{path}: not in UTF-8, read as {encoding}", stacklevel=2)
    return text


def sha256(path: Path | str) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
