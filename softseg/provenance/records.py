"""Records: a JSON file beside each product, and one list for a data set.

A record names the step, the version and commit of the code, the parameters (the weights' checksum
among them), the checksums of the sources and that of the product itself. Paths are relative to the
record, so that a folder may move with its sources, and hold nobody's home.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softseg.errors import InputError
from softseg.files import one_at_a_time, replacing, sha256, write_json
from softseg.provenance.software import made_by, software

MANIFEST = "code/provenance.json"
"""Below a data set's root, where BIDS lets programs leave what they like."""
_IMAGES = (".nii.gz", ".nii")
_CLOCK_NS = 2 * 10**9
"""Times of files lag behind the clock by a moment."""


def record_of(product: Path | str) -> Path:
    """The record's file: `mask.json` of `mask.nii.gz` as in BIDS, `areas.csv.json` of a table.

    Example:
        >>> record_of("a/mask.nii.gz").as_posix(), record_of("areas.csv").as_posix()
        ('a/mask.json', 'areas.csv.json')
    """
    product = Path(product)
    for suffix in _IMAGES:
        if product.name.endswith(suffix):
            beside = product.with_name(product.name.removesuffix(suffix) + ".json")
            if not beside.exists() or is_ours(read_record(beside)):
                return beside
    return product.with_name(product.name + ".json")


def sign(
    product: Path | str,
    *,
    step: str,
    parameters: Mapping[str, Any] | None = None,
    sources: Iterable[Path | str] = (),
    **more: Any,
) -> Path:
    """Write the record of a finished file.

    Args:
        product: The file.
        step: What made it, such as `csa`.
        parameters: With which settings.
        sources: Files it was made from.
        **more: Further entries, in the names of BIDS.

    Returns:
        The record's path.

    Example:
        >>> import tempfile
        >>> table = Path(tempfile.mkdtemp()) / "areas.csv"
        >>> _ = table.write_text("area_mm2\\n80\\n")
        >>> record = sign(table, step="csa", parameters={"threshold": 0.5})
        >>> json.loads(record.read_text())["GeneratedBy"][0]["Name"]
        'softseg csa'
    """
    product = Path(product)
    record = record_of(product)
    made = [made_by(step, **_plain(dict(parameters or {})))]
    checksums = _checksums(record, [product], sources)
    try:
        write_json(record, {"GeneratedBy": made, **checksums, **_plain(more)})
    except InputError:
        record.unlink(missing_ok=True)  # it speaks of what the product was before
        raise
    return record


@contextmanager
def signed(
    product: Path | str,
    *,
    step: str,
    parameters: Mapping[str, Any] | None = None,
    sources: Iterable[Path | str] = (),
) -> Iterator[Path]:
    """`softseg.files.replacing` with a record: where either cannot be written, both stay.

    Example:
        >>> import tempfile
        >>> table = Path(tempfile.mkdtemp()) / "areas.csv"
        >>> with signed(table, step="csa") as temporary:
        ...     _ = temporary.write_text("area_mm2\\n80\\n")
        >>> sorted(path.name for path in table.parent.iterdir())
        ['areas.csv', 'areas.csv.json']
    """
    product = Path(product)
    record = record_of(product)
    made = [made_by(step, **_plain(dict(parameters or {})))]
    with replacing(record) as note, replacing(product) as temporary:
        yield temporary
        write_json(note, {"GeneratedBy": made, **_checksums(record, [temporary], sources)})


def record_step(
    record: Path | str,
    products: Iterable[Path | str],
    *,
    step: str,
    parameters: Mapping[str, Any] | None = None,
    sources: Iterable[Path | str] = (),
) -> Path:
    """One record for all files of a step that was perhaps stopped and gone on with.

    What an earlier run of the step made, and this one found finished, keeps its checksum.

    Args:
        record: The record's file.
        products: What was written this time, anywhere; folders stand for all their files.
        step: What made it.
        parameters: With which settings.
        sources: Files it was made from.

    Returns:
        The record's path.
    """
    record = Path(record)
    old = read_record(record).get("SHA256", {})
    old = old if isinstance(old, dict) else {}
    found = {_relative(path, record.parent): sha256(path) for path in _each_file(products)}
    kept = {name: known for name, known in old.items() if (record.parent / name).is_file()}
    made = [made_by(step, **_plain(dict(parameters or {})))]
    checksums = _checksums(record, [], sources) | {"SHA256": kept | found}
    write_json(record, {"GeneratedBy": made, **checksums})
    return record


def complete(record: Path, products: Iterable[Path], sources: Iterable[Path]) -> None:
    """Add commit and checksums to a record that a step has written already, if they are not there.

    Its other entries stay as they are, for by them a step knows what is finished.
    """
    content = read_record(record)
    if not is_ours(content) or "SHA256" in content:
        return
    content["GeneratedBy"][0] |= software()
    write_json(record, content | _checksums(record, products, sources))


def record_folder(
    root: Path,
    *,
    step: str,
    parameters: Mapping[str, Any],
    since: float,
    within: Iterable[str] = (".",),
    leave_out: Iterable[str] = (),
) -> Path:
    """List the files of a data set with their checksums.

    What was listed before and has not been written since keeps its checksum: a file that was
    damaged between two runs is not declared sound by the second. Processes that share out the work
    (shards of a step) list it in turns, so that the last of them has seen everything.

    Args:
        root: The data set's folder.
        step: What made it.
        parameters: With which settings.
        since: When the run began, in seconds as of `time.time`.
        within: Folders, files or patterns below `root` that belong to it.
        leave_out: Names of folders that do not.
    """
    path = root / MANIFEST
    made = [made_by(step, **_plain(dict(parameters)))]
    newest = since * 10**9 - _CLOCK_NS
    with one_at_a_time(path.parent):
        old = read_record(path).get("Files", {})
        old = old if isinstance(old, dict) else {}
        found = {}
        for file in sorted(_files(root, within, {*leave_out, path.name})):
            name = file.relative_to(root).as_posix()
            keep = name in old and file.stat().st_mtime_ns < newest
            found[name] = old[name] if keep else sha256(file)
        write_json(path, {"GeneratedBy": made, "Files": old | found})
    return path


def read_record(path: Path) -> dict[str, Any]:
    """A JSON object, empty if the file holds none."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def is_ours(content: Mapping[str, Any]) -> bool:
    """Whether a step of softseg wrote this record."""
    try:
        return str(content["GeneratedBy"][0]["Name"]).startswith("softseg ")
    except (LookupError, TypeError):
        return False


def now() -> float:
    """For `since`."""
    return time.time()


def _files(root: Path, within: Iterable[str], leave_out: set[str]) -> Iterable[Path]:
    for pattern in within:
        for start in [root] if pattern == "." else root.glob(pattern):
            inside = start.rglob("*") if start.is_dir() else [start]
            for path in inside:
                parts = path.relative_to(root).parts
                hidden = any(part.startswith(".") for part in parts)
                if path.is_file() and not hidden and not leave_out.intersection(parts):
                    yield path


def _each_file(paths: Iterable[Path | str]) -> Iterator[Path]:
    for path in map(Path, paths):
        for found in path.rglob("*") if path.is_dir() else [path]:
            hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            if found.is_file() and not hidden:
                yield found


def _checksums(record: Path, products: Iterable, sources: Iterable) -> dict[str, Any]:
    named = {_relative(path, record.parent): Path(path) for path in sources}
    return {
        "SHA256": {Path(p).name: sha256(p) for p in products},
        "Sources": sorted(named),
        "SourcesSHA256": {name: sha256(path) for name, path in sorted(named.items())},
    }


def _relative(path: Path | str, folder: Path) -> str:
    try:
        return Path(os.path.relpath(Path(path).absolute(), folder.absolute())).as_posix()
    except ValueError:  # another drive
        return Path(path).name


def _plain(content: Any) -> Any:
    """What JSON can hold: paths by their name only, tuples as lists."""
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple | set | frozenset):
        return [_plain(value) for value in content]
    if isinstance(content, Path):
        return content.name
    return content if isinstance(content, str | int | float | bool | None) else str(content)
