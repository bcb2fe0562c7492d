"""Tables as columns of NumPy arrays, for commands: importing pandas takes longer than measuring.

Functions of `softseg.csa` that choose or average rows take a `DataFrame` or its columns, and return
what they were given.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, np.ndarray]
"""By name, all of one length: texts as objects, what is missing as NaN."""
Table: TypeAlias = "Columns | pd.DataFrame"
"""Either kind."""


def filled(count: int, /, **values: Any) -> Columns:
    """Columns of `count` rows; a single value stands in all of them.

    Example:
        >>> filled(2, file="a", slice=[0, 1])
        {'file': array(['a', 'a'], dtype=object), 'slice': array([0, 1])}
    """
    arrays = {name: np.asarray(value) for name, value in values.items()}
    return {
        name: np.full(count, array, object if array.dtype.kind == "U" else array.dtype)
        for name, array in arrays.items()
    }


def columns_of(table: Table) -> Columns:
    """The columns of a table; columns as they are."""
    if isinstance(table, dict):
        return table
    missing = {"na_value": np.nan}  # whole numbers of pandas 2.2 take it where one is missing only
    return {k: one.to_numpy(**(missing if one.hasnans else {})) for k, one in table.items()}


def like(table: Table, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows that name the same columns, as the kind of table that another is."""
    if isinstance(table, dict):
        names = rows[0] if rows else ()
        return filled(len(rows), **{name: [row[name] for row in rows] for name in names})
    import pandas as pd

    return pd.DataFrame(rows)


def where(table: Table, rows: np.ndarray | Sequence[int]) -> Table:
    """The rows that are marked, or of these numbers."""
    if isinstance(table, dict):
        return {name: values[rows] for name, values in table.items()}
    return table.iloc[rows]


def stacked(tables: Iterable[Columns]) -> Columns:
    """Tables below one another; what one of them lacks is missing in its rows."""
    tables = [(table, np.full(len(table["file"]), np.nan)) for table in tables]
    names = dict.fromkeys(name for table, _ in tables for name in table)
    return {
        name: np.concatenate([table.get(name, missing) for table, missing in tables])
        for name in names
    }
