"""Files that are either whole or absent: written to a temporary name and moved into place."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softseg.errors import InputError
from softseg.events import event


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well.

    The temporary name keeps every suffix of `path`, since writers choose their format by it. A
    block that fails leaves what was at `path` untouched and nothing beside it.

    Raises:
        InputError: If the folder cannot be written to.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with replacing(folder / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> [file.name for file in folder.iterdir()]
        ['a.txt']
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".partial-", dir=path.parent))
    except OSError as error:
        raise InputError(f"{path}: cannot write here ({error.strerror}); choose another") from error
    try:
        temporary = scratch / path.name
        yield temporary
        size = temporary.stat().st_size
        os.replace(temporary, path)
        event("write", file=path, bytes=size)
    except OSError as error:
        raise InputError(f"{path}: could not be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_json(path: Path | str, content: Any) -> None:
    """Write `content` as JSON with sorted keys, so that equal content is equal bytes."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def sha256(path: Path | str) -> str:
    """SHA-256 of a file's bytes, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
