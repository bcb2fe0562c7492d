"""Compare a folder with its records."""

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from softseg.errors import InputError
from softseg.files import sha256
from softseg.provenance.records import (
    MANIFEST,
    is_ours,
    listed,
    read_json,
    relative_name,
    visible_files,
)

PRODUCTS = (".nii.gz", ".nii", ".csv", ".tsv")
"""What must have a record where softseg made it."""
_Claim = tuple[str, Path, str]
"""What a record says of a file: its kind, its place, its checksum."""


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is not as recorded.

    Attributes:
        file: Relative to the folder.
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
    say nothing; in data sets of others they are left alone.

    Raises:
        InputError: If there is no such folder, or nothing in it that softseg made.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that softseg wrote to")
    paths = sorted(visible_files(folder))
    checked, claims, described = Checked(), _claims_above(folder), set()
    for path in paths:
        content = read_json(path) if path.suffix == ".json" else {}
        if content is None:
            checked.findings.append(Finding(relative_name(path, folder), "damaged record"))
        elif is_ours(content):
            claims[path] = _claims(path, content)
            if "SHA256" not in content:
                stem = path.absolute().with_name(path.name.removesuffix(".json"))
                described |= {stem.with_name(stem.name + suffix) for suffix in ("", *PRODUCTS)}
    checked.records = sum(bool(each) for each in claims.values())
    if not checked.records:
        raise InputError(f"{folder}: no record of softseg in it; give a folder that it wrote to")
    _compare(claims, checked, folder)
    named = {place for each in claims.values() for _, place, _ in each}
    for path in paths:
        if not path.name.endswith(PRODUCTS) or path.absolute() in named:
            continue
        if path.absolute() in described:
            checked.unsigned.append(relative_name(path, folder))
        elif _made_by_softseg(path.parent, folder):
            checked.findings.append(Finding(relative_name(path, folder), "no record"))
    checked.findings = sorted(set(checked.findings))
    return checked


def _compare(claims: dict[Path, list[_Claim]], checked: Checked, folder: Path) -> None:
    digest = cache(_digest)
    for record, each in claims.items():
        for kind, place, wanted in each:
            checked.sources += bool(kind)
            checked.files += not kind
            if not place.is_file() or digest(place) != wanted:
                status = kind + ("changed" if place.is_file() else "missing")
                names = relative_name(place, folder), status, relative_name(record, folder)
                checked.findings.append(Finding(*names))


def _claims(record: Path, content: Any) -> list[_Claim]:
    return [
        (kind, _place(name, record), wanted)
        for key, kind in (("SHA256", ""), ("SourcesSHA256", "source "))
        for name, wanted in listed(content, key).items()
    ]


def _claims_above(folder: Path) -> dict[Path, list[_Claim]]:
    """Part of a data set is checked with the record of the whole."""
    folder = folder.absolute()
    records = [parent / MANIFEST for parent in folder.parents]
    return {
        record: [c for c in _claims(record, read_json(record)) if c[1].is_relative_to(folder)]
        for record in records
    }


def _place(name: str, record: Path) -> Path:
    """Where a record's path leads; BIDS writes `bids::` for the data set around `derivatives`."""
    root = record.absolute().parent
    if name.startswith("bids::"):
        around = [p.parent for p in record.absolute().parents if p.name == "derivatives"]
        root, name = (around[-1] if around else root), name.removeprefix("bids::")
    return Path(os.path.normpath(root / name))


def _made_by_softseg(folder: Path, top: Path) -> bool:
    """What the nearest description says; a folder that says nothing is taken for ours."""
    described = folder / "dataset_description.json"
    if described.is_file():
        return is_ours(read_json(described))
    return folder == top or _made_by_softseg(folder.parent, top)


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError:
        return "unreadable"
