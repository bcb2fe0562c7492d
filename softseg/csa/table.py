"""Tables as they are written: who was measured, one order of columns, and what each column says."""

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softseg.csa.columns import Columns, Table, columns_of, filled
from softseg.csa.measure import COLUMNS
from softseg.dataset.names import entities_of
from softseg.provenance.records import signed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_MASK = "no mask"
NO_AREA = filled(1, **dict.fromkeys(COLUMNS, np.nan) | {"flag": NO_MASK})
"""The row of a mask that is empty or could not be measured."""
MASK_FLAGS = ("unlikely", "blurred", "coarse")
"""What `softseg segment` says of a whole mask."""
UNKNOWN = "levels-unknown"
"""The flag of rows whose levels were looked for in the image and not found."""
SPREAD = "_std"
"""What follows a measure's name in the column of its standard deviation over the slices."""


@cache
def _dictionary() -> dict[str, dict[str, Any]]:
    return json.loads(files("softseg").joinpath("data/csa_columns.json").read_text("utf-8"))


def data_dictionary(columns: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What each column says and in which unit, as BIDS describes tables.

    Example:
        >>> data_dictionary(["length_mm", "solidity_std"])["length_mm"]["Units"]
        'mm'
    """
    return {name: dict(_described(name)) for name in columns}


def _described(column: str) -> Mapping[str, Any]:
    known = _dictionary()
    if column in known:
        return known[column]
    measure = known[column.removesuffix(SPREAD)]
    said = f"Population standard deviation of {column.removesuffix(SPREAD)} over the slices"
    return {"Description": said} | {key: measure[key] for key in ("Units",) if key in measure}


def with_names(table: Columns) -> Columns:
    """The table with `participant_id, session_id, run, contrast` where a mask's name tells them."""
    files = [str(file) for file in table["file"]]
    known = {file: entities_of(file) for file in set(files)}
    if all(one["participant_id"] is None for one in known.values()):
        return table
    names = known[files[0]]
    return table | {name: np.array([known[file][name] for file in files]) for name in names}


def flags_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The `MASK_FLAGS` in a mask's record, which anybody may have edited."""
    found = record.get("Flags")
    return tuple(flag for flag in MASK_FLAGS if isinstance(found, list) and flag in found)


def with_flags(table: Columns, flags: Sequence[str]) -> Columns:
    """The table with more flags in every row."""
    if not flags:
        return table
    every = [";".join(filter(None, (flag, *flags))) for flag in table["flag"].tolist()]
    return table | {"flag": np.array(every, dtype=object)}


def with_confidence(table: Columns, confidence: Mapping[int, float]) -> Columns:
    """Rows of slices with `level_confidence`: of the less sure of the discs above and below.

    Args:
        table: A row per slice.
        confidence: Disc to the probability that its point is on it.
    """
    sure = [
        min((confidence[k] for k in (level, level + 1) if k in confidence), default=np.nan)
        for level in table["level"].tolist()
    ]
    return table | {"level_confidence": np.array(sure)}


def arranged(table: Table) -> Columns:
    """The columns of a table `with_names`, in the order of the data dictionary."""
    table, order = with_names(columns_of(table)), list(_dictionary())
    places = {name: order.index(name.removesuffix(SPREAD)) for name in set(table) - set(order)}
    places |= {name: order.index(name) for name in set(table) & set(order)}
    return {name: table[name] for name in sorted(table, key=lambda name: (places[name], name))}


def write_signed(
    tables: Mapping[Path, Table],
    *,
    figures: Mapping[Path, "Figure"] | None = None,
    **about: Any,
) -> None:
    """Write tables, and figures of them, with a record beside each that describes the columns.

    Args:
        tables: By path, `.csv` or `.tsv`.
        figures: By path, `.png`, `.pdf` or `.svg`.
        **about: `step`, `parameters` and `sources` of `softseg.provenance.records.signed`.
    """
    tables = {path: arranged(table) for path, table in tables.items()}
    notes = {path: data_dictionary(table) for path, table in tables.items()}
    figures = figures or {}
    with signed(*tables, *figures, notes=notes, **about) as temporary:
        for path, table in tables.items():
            _save(table, temporary[path])
        for path, figure in figures.items():
            figure.savefig(temporary[path], dpi=150)


def _save(table: Columns, path: Path) -> None:
    """Write with six significant digits; tabs for `.tsv`. A file's name may be no text."""
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        separator = "\t" if path.suffix == ".tsv" else ","
        writer = csv.writer(file, delimiter=separator, lineterminator=os.linesep)
        writer.writerow(table)
        columns = (map(_written, values.tolist()) for values in table.values())
        writer.writerows(zip(*columns, strict=True))


def _written(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if np.isnan(value) else f"{value:.6g}"
