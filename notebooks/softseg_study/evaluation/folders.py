"""Which folders of masks take part in a comparison, and what their names say."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from softseg.dataset.index import Dataset
from softseg.dataset.names import parse_method
from softseg.errors import InputError
from softseg.files import replacing


def separate_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """`soft_all_seed-2` → method `soft_all`, seed `2`; folders of no training have seed `0`.

    Example:
        >>> rows = separate_seeds(pd.DataFrame({"method": ["labels", "soft_all_seed-2"]}))
        >>> rows.values.tolist()
        [['labels', '0'], ['soft_all', '2']]
    """
    parts = [parse_method(folder) for folder in table["method"]]
    return table.assign(method=[p[0] for p in parts], seed=[p[1] for p in parts])


def find_folders(
    dataset: Dataset, methods: Sequence[str] = (), extra: Sequence[str] = ()
) -> list[str]:
    """Derivative folders that take part: both truths, the models (all, or `methods`), the extra.

    Args:
        dataset: Below whose `derivatives` they lie.
        methods: Instead of every `*_seed-*`.
        extra: Other tools' folders.

    Raises:
        InputError: If a folder that is named is not there.
    """
    root = dataset.root / "derivatives"
    for name in [*methods, *extra]:
        if not (root / name).is_dir():
            raise InputError(f"{root / name}: no such folder of masks; methods are named after one")
    models = methods or sorted(folder.name for folder in root.glob("*_seed-*"))
    return list(dict.fromkeys(["labels", "labels_softseg", *models, *extra]))


def first_folders(folders: Sequence[str], methods: Sequence[str]) -> dict[str, str]:
    """Method → its first folder, for what is shown of one training only.

    Example:
        >>> first_folders(["soft_all_seed-1", "soft_all_seed-2", "labels"], ["soft_all"])
        {'soft_all': 'soft_all_seed-1'}
    """
    names = {}
    for folder in folders:
        names.setdefault(parse_method(folder)[0], folder)
    return {method: names[method] for method in methods if method in names}


def save_table(path: Path, table: pd.DataFrame) -> None:
    """Write a tidy table as CSV, whole or not at all."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
