"""What happens, a line each on standard error: text with `-v`, JSON with `--log-json`.

Nothing is shown unless asked for, and with `--quiet` no note either; libraries that use the package
see ordinary records of the logger `softseg`. Processes that a command starts follow as it does.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from softseg.errors import printable

FORMS = ("text", "json", "quiet")
VARIABLE = "SOFTSEG_LOG"
"""Environment variable by which processes that are started know the form."""
FILE_VARIABLE = "SOFTSEG_LOG_FILE"
"""Environment variable with a file to which every process appends its events, as JSON lines."""

_LOGGER = logging.getLogger("softseg")
_LOGGER.addHandler(logging.NullHandler())


def event(name: str, /, *, level: int = logging.INFO, **fields: Any) -> None:
    """Record that something happened.

    Args:
        name: What, in a word or two: `read`, `write`, `segmented`.
        level: Of `logging`.
        **fields: What is to be known about it; JSON numbers, texts and lists, or paths.

    Example:
        >>> with following("json", sys.stdout):
        ...     event("read", file="a.nii.gz", voxels=8)
        {"time": "...", "level": "info", "event": "read", "file": "a.nii.gz", "voxels": 8}
    """
    _LOGGER.log(level, name, extra={"softseg": fields})


def tell(line: str, *, level: int = logging.WARNING) -> None:
    """Say something to whoever runs a command: as it is, or as an event where programs read.

    With `--quiet` only what went wrong is said, by the level `logging.ERROR`.
    """
    if form() == "json":
        event("note", level=level, message=line)
    elif form() != "quiet" or level >= logging.ERROR:
        print(printable(line), file=sys.stderr)


def result(line: str) -> None:
    """Say on standard output what came of a command; nothing with `--quiet`."""
    if form() != "quiet":
        print(printable(line))


def form() -> str | None:
    """How events are shown now: `text`, `json` or not at all; `quiet` leaves out notes too."""
    value = os.environ.get(VARIABLE)
    return value if value in FORMS else None


@contextmanager
def following(wanted: str | None, stream: Any = None) -> Iterator[None]:
    """Show events in the form `wanted`, here and in processes started meanwhile."""
    before, handler, level = os.environ.pop(VARIABLE, None), None, _LOGGER.level
    if wanted is not None:
        os.environ[VARIABLE] = wanted
    if wanted in ("text", "json"):
        handler = _follow(wanted, stream)
    try:
        yield
    finally:
        if handler is not None:
            _LOGGER.removeHandler(handler)
        _LOGGER.setLevel(level)
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before


def _follow(wanted: str, stream: Any = None) -> logging.Handler:
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Json() if wanted == "json" else _Text())
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    return handler


class _File(logging.FileHandler):
    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # what only tells of the work must not stop it
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        pass


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time, fields = _time(record), _fields(record)
        shown = " ".join(f"{name}={value}" for name, value in fields.items())
        return printable(f"{time} {record.levelname.lower()} {record.getMessage()} {shown}".strip())


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        first = {"time": _time(record), "level": record.levelname.lower()}
        return json.dumps(first | {"event": record.getMessage()} | _fields(record), default=str)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "softseg", {})


if form() in ("text", "json") and not any(
    isinstance(h.formatter, _Text | _Json) for h in _LOGGER.handlers
):
    _follow(form())

if os.environ.get(FILE_VARIABLE):
    _file = _File(os.environ[FILE_VARIABLE], encoding="utf-8", delay=True)
    _file.setFormatter(_Json())
    _LOGGER.addHandler(_file)
    _LOGGER.setLevel(logging.INFO)
