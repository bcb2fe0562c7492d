"""Records: a JSON file beside each product, or one for all files of a step or a data set.

A record names the step, the version and commit of the code, the parameters (the weights' checksum
among them), the checksums of the sources and of the products. Paths are relative to the record, so
that a folder may move with its sources, and no user's folders are named.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import softseg
from softseg.batch import commit
from softseg.errors import InputError
from softseg.files import one_at_a_time, sha256, write_json

MANIFEST = "code/provenance.json"
"""The record of a data set, where BIDS lets programs leave what they like."""
PACKAGE = Path(softseg.__file__).resolve().parent
_STANDARD = (".nii.gz", ".nii", ".tsv")
"""Files whose JSON file BIDS calls by their stem."""
_CLOCK_NS = 2 * 10**9
"""Times of files lag behind the clock by a moment."""


def generated_by(step: str, **parameters: Any) -> list[dict[str, Any]]:
    """The `GeneratedBy` entry of a sidecar or of a `dataset_description.json`.

    Example:
        >>> generated_by("ground-truth")[0]["Name"]
        'softseg ground-truth'
    """
    entry = {"Name": f"softseg {step}", "Version": softseg.__version__}
    return [entry | ({"Parameters": parameters} if parameters else {})]


@cache
def code_version() -> dict[str, str]:
    """A checksum of the package's code, changed or not, and its commit where one is known."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    commit = _commit()
    return {"CodeSHA256": digest.hexdigest()} | ({"Commit": commit} if commit else {})


def _commit() -> str | None:
    """The commit of the checkout that the code lies in, or the one from which pip installed it."""
    from importlib.metadata import PackageNotFoundError, distribution  # a tenth of a second

    try:
        if (PACKAGE.parent / ".git").exists():
            head = ["git", "-C", str(PACKAGE.parent), "rev-parse", "HEAD"]
            return subprocess.check_output(head, text=True, stderr=subprocess.DEVNULL).strip()  # noqa: S603
        installed = distribution("softseg").read_text("direct_url.json")
        return json.loads(installed or "{}")["vcs_info"]["commit_id"]
    except (PackageNotFoundError, subprocess.SubprocessError, OSError, ValueError, LookupError):
        return None


def record_of(product: Path | str) -> Path:
    """The record's file: `mask.json` of `mask.nii.gz` as in BIDS, `areas.csv.json` of a table.

    Example:
        >>> record_of("a/mask.nii.gz").as_posix(), record_of("areas.csv").as_posix()
        ('a/mask.json', 'areas.csv.json')
    """
    product = Path(product)
    for suffix in _STANDARD:
        if product.name.endswith(suffix):
            beside = product.with_name(product.name.removesuffix(suffix) + ".json")
            if not beside.exists() or is_ours(read_json(beside)):
                return beside
    return product.with_name(product.name + ".json")


def write_record(
    record: Path | str,
    products: Iterable[Path | str],
    *,
    since: float | None = None,
    notes: Mapping[str, Any] | None = None,
    **about: Any,
) -> Path:
    """Write the record of finished files and return its path.

    Args:
        record: The record's file.
        products: What was made, anywhere; folders stand for all their files.
        since: Where `products` may be older than this run, when it began (`time.time`): a file
            that has not been written since keeps its checksum, so that one that was damaged
            between two runs is not declared sound by the second. Processes that share out the work
            (shards of a step) list it in turns, so that the last of them has seen everything.
        notes: Further entries.
        **about: `step`, `parameters` and `sources` of `record_content`.

    Raises:
        InputError: If it cannot be written; an older one is removed, since it would speak of what
            the products were before.

    Example:
        >>> import tempfile
        >>> table = Path(tempfile.mkdtemp()) / "areas.csv"
        >>> _ = table.write_text("area_mm2\\n80\\n")
        >>> record = write_record(record_of(table), [table], step="csa", parameters={"disc": 3})
        >>> json.loads(record.read_text())["GeneratedBy"][0]["Name"]
        'softseg csa'
    """
    record = Path(record)
    with one_at_a_time(record.parent) if since is not None else nullcontext():
        made = _made(record, products, since)
        try:
            write_json(record, record_content(record, made, **about) | dict(notes or {}))
        except InputError:
            record.unlink(missing_ok=True)
            raise
    return record


@contextmanager
def signed(
    *products: Path | str, notes: Mapping[Path, Mapping[str, Any]] | None = None, **about: Any
) -> Iterator[dict[Path, Path]]:
    """`softseg.batch.commit` with a record beside each file, all of them or none.

    Args:
        products: The files.
        notes: Further entries of a file's record, such as the data dictionary of a table.
        **about: `step`, `parameters` and `sources` of `record_content`.

    Example:
        >>> import tempfile
        >>> table = Path(tempfile.mkdtemp()) / "areas.csv"
        >>> with signed(table, step="csa") as temporary:
        ...     _ = temporary[table].write_text("area_mm2\\n80\\n")
        >>> sorted(path.name for path in table.parent.iterdir())
        ['areas.csv', 'areas.csv.json']
    """
    records = {Path(product): record_of(product) for product in products}
    with commit(records, records=records.values()) as temporary:
        yield temporary
        for product, record in records.items():
            made = {product.name: sha256(temporary[product])}
            content = record_content(record, made, **about) | dict((notes or {}).get(product, {}))
            write_json(temporary[record], content)


def record_content(
    record: Path,
    made: Mapping[str, str],
    *,
    step: str,
    parameters: Mapping[str, Any] | None = None,
    sources: Iterable[Path | str] = (),
) -> dict[str, Any]:
    """What a record says, for a step that adds entries of its own to it.

    Args:
        record: Where it will lie.
        made: The products' names and checksums.
        step: What made them, such as `csa`.
        parameters: With which settings; of paths the names only.
        sources: Files they were made from.
    """
    plain = json.loads(json.dumps(dict(parameters or {}), default=_plain))
    (entry,) = generated_by(step, **plain)
    named = {relative_name(path, record.parent): sha256(path) for path in sources}
    return {
        "GeneratedBy": [entry | code_version()],
        "SHA256": dict(made),
        "Sources": sorted(named),
        "SourcesSHA256": named,
    }


def read_json(path: Path) -> Any:
    """What a JSON file holds, None if it cannot be read."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def is_ours(content: Any) -> bool:
    """Whether a step of softseg wrote this record."""
    try:
        return str(content["GeneratedBy"][0]["Name"]).startswith("softseg ")
    except (LookupError, TypeError):
        return False


def record_of_unchanged(path: Path) -> dict[str, Any]:
    """Our record of a file that is still as it was written; empty for any other."""
    record = read_json(record_of(path))
    written = listed(record, "SHA256").get(path.name)
    return record if written is not None and written == sha256(path) else {}


def foreign(path: Path, record: Path) -> str | None:
    """What is said of a file that no record vouches for; None of one that softseg may replace.

    A record that is broken vouches, since it once was written.
    """
    content = read_json(record)
    if not record.exists() or not (content is None or is_ours(content)):
        return f"{path}: exists and softseg did not make it"
    if listed(content, "SHA256").get(path.name) not in (None, sha256(path)):
        return f"{path}: was changed after softseg made it"
    return None


def listed(content: Any, key: str) -> dict[str, str]:
    """Files and checksums under a key of a record of ours."""
    files = content.get(key) if is_ours(content) else None
    return files if isinstance(files, dict) else {}


def visible_files(path: Path) -> Iterator[Path]:
    """The file itself, or all files of a folder but for hidden ones."""
    for found in path.rglob("*") if path.is_dir() else [path]:
        hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
        if found.is_file() and not hidden:
            yield found


def relative_name(path: Path | str, folder: Path) -> str:
    """How records and messages call a file."""
    try:
        return Path(os.path.relpath(Path(path).absolute(), folder.absolute())).as_posix()
    except ValueError:  # another drive
        return Path(path).name


def _made(record: Path, products: Iterable[Path | str], since: float | None) -> dict[str, str]:
    """Checksums of what is there and of what was listed before."""
    old = listed(read_json(record), "SHA256")
    before_ns = float("-inf") if since is None else since * 10**9 - _CLOCK_NS
    # A data set misses what is gone; a step may no longer make what it made.
    made = {n: s for n, s in old.items() if since is not None or (record.parent / n).is_file()}
    for path in chain.from_iterable(visible_files(Path(product)) for product in products):
        name = relative_name(path, record.parent)
        if path != record and not (name in old and path.stat().st_mtime_ns < before_ns):
            made[name] = sha256(path)
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    return value.name if isinstance(value, Path) else str(value)
