"""Compare a folder with its records."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softseg.errors import InputError
from softseg.files import sha256
from softseg.provenance.records import MANIFEST, is_ours, read_record

PRODUCTS = (".nii.gz", ".nii", ".csv", ".tsv")
"""What must have a record where softseg made it."""


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is not as recorded.

    Attributes:
        file: Below the folder, or relative to it.
        status: `changed`, `missing`, `source changed`, `source missing`, `no record`, or `damaged
            record`.
        record: What names it, empty where nothing does.
    """

    file: str
    status: str
    record: str = ""


@dataclass
class Checked:
    """What `verify` found.

    Attributes:
        files: Products compared with their checksum.
        sources: Sources compared with theirs.
        records: Records read.
        unsigned: Products whose record holds no checksum of their own.
        findings: What is not as recorded, sorted by file.
    """

    files: int = 0
    sources: int = 0
    records: int = 0
    unsigned: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def verify(folder: Path | str) -> Checked:
    """Compare every file of a folder with what its record says, and its sources too.

    Files without a record are found where softseg says that it made the folder, and in folders that
    say nothing; in somebody else's data set they are left alone.

    Raises:
        InputError: If there is no such folder, or nothing in it that softseg made.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that softseg wrote to")
    checking = _Checking(folder)
    paths = [path for path in sorted(folder.rglob("*")) if _visible(path, folder)]
    for path in paths:
        if path.suffix == ".json" and path.is_file():
            checking.record(path)
    checking.lists_above()
    if not checking.result.records:
        raise InputError(f"{folder}: no record of softseg in it; give a folder that it wrote to")
    for path in paths:
        if path.name.endswith(PRODUCTS) and path.is_file():
            checking.product(path)
    checking.result.findings = sorted(set(checking.result.findings))
    return checking.result


class _Checking:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.result = Checked()
        self.signed: set[Path] = set()
        self.described: set[Path] = set()
        self.digests: dict[Path, str] = {}
        self.ours: dict[Path, bool] = {}

    def record(self, path: Path) -> None:
        content = read_record(path)
        if not content and not _is_json(path):
            self._find(path, "damaged record", None)
        elif path.match(MANIFEST) and isinstance(content.get("Files"), dict):
            self.result.records += 1
            self._compare(path.parent.parent, content["Files"], path)
        elif is_ours(content):
            self._sidecar(path, content)

    def lists_above(self) -> None:
        """Part of a data set is checked with the list of the whole."""
        for parent in self.folder.absolute().parents:
            files = read_record(parent / MANIFEST).get("Files")
            if isinstance(files, dict):
                inside = self.folder.absolute().relative_to(parent).as_posix() + "/"
                listed = {name: s for name, s in files.items() if str(name).startswith(inside)}
                if listed:
                    self.result.records += 1
                    self._compare(parent, listed, parent / MANIFEST)

    def _sidecar(self, path: Path, content: dict[str, Any]) -> None:
        own, sources = content.get("SHA256"), content.get("SourcesSHA256")
        if isinstance(sources, dict):
            self._compare(path.parent, sources, path, "source ")
        if isinstance(own, dict):
            self._compare(path.parent, own, path)
        else:
            stem = path.absolute().with_name(path.name.removesuffix(".json"))
            self.described |= {stem.with_name(stem.name + s) for s in ("", *PRODUCTS)}
        if isinstance(own, dict) or isinstance(sources, dict):
            self.result.records += 1

    def _compare(self, root: Path, checksums: dict, record: Path, kind: str = "") -> None:
        for name, wanted in checksums.items():
            path = _place(root, str(name), record)
            self.signed.add(path)
            if kind:
                self.result.sources += 1
            else:
                self.result.files += 1
            if not path.is_file():
                self._find(path, f"{kind}missing", record)
            elif self._digest(path) != wanted:
                self._find(path, f"{kind}changed", record)

    def _digest(self, path: Path) -> str:
        if path not in self.digests:
            try:
                self.digests[path] = sha256(path)
            except OSError:
                self.digests[path] = "unreadable"
        return self.digests[path]

    def product(self, path: Path) -> None:
        """Ask whether a file has a record at all."""
        if path.absolute() in self.signed:
            return
        if path.absolute() in self.described:
            self.result.unsigned.append(_shown(path, self.folder))
        elif self._made_by_softseg(path.parent):
            self._find(path, "no record", None)

    def _made_by_softseg(self, folder: Path) -> bool:
        """What the nearest description says; a folder that says nothing is taken for ours."""
        if folder not in self.ours:
            described = folder / "dataset_description.json"
            if described.is_file():
                self.ours[folder] = is_ours(read_record(described))
            elif folder == self.folder:
                self.ours[folder] = True
            else:
                self.ours[folder] = self._made_by_softseg(folder.parent)
        return self.ours[folder]

    def _find(self, path: Path, status: str, record: Path | None) -> None:
        named = _shown(record, self.folder) if record else ""
        self.result.findings.append(Finding(_shown(path, self.folder), status, named))


def _place(root: Path, name: str, record: Path) -> Path:
    """Where a record's path leads; BIDS writes `bids::` for the data set around `derivatives`."""
    if name.startswith("bids::"):
        around = [p.parent for p in record.absolute().parents if p.name == "derivatives"]
        root, name = (around[-1] if around else root), name.removeprefix("bids::")
    return Path(os.path.normpath(root.absolute() / name))


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return True


def _visible(path: Path, folder: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _shown(path: Path, folder: Path) -> str:
    try:
        return path.absolute().relative_to(folder.absolute()).as_posix()
    except ValueError:
        return str(path)


def lines(checked: Checked) -> Iterator[str]:
    """What was found, a line each, and a line that sums it up.

    Example:
        >>> print(*lines(Checked(files=2, records=2)), sep="\\n")
        2 files and 0 sources as in 2 records
    """
    for finding in checked.findings:
        where = f" (recorded in {finding.record})" if finding.record else ""
        yield f"{finding.status}: {finding.file}{where}"
    if checked.unsigned:
        count = len(checked.unsigned)
        yield f"{count} files whose record holds no checksum of theirs, as {checked.unsigned[0]}"
    if checked.findings:
        found = len(checked.findings)
        yield f"{found} findings in {checked.files} files and {checked.sources} sources"
    else:
        yield (
            f"{checked.files} files and {checked.sources} sources as in {checked.records} records"
        )
