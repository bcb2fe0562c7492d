"""Which folders of masks and weights take part in a comparison, and what their names say."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from softseg.contrasts import CONTRASTS
from softseg.dataset.index import Dataset
from softseg.dataset.names import method_folder, parse_method
from softseg.errors import InputError
from softseg_study.run import BY_HAND


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
    trained = sorted(folder.name for folder in root.glob("*_seed-*"))
    models = methods or [name for name in trained if not name.startswith(BY_HAND)]
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


def seed_folders(dataset: Dataset, models: Iterable[str]) -> dict[str, str]:
    """The derivative folders of the models that are there, every seed, as evaluators take them.

    Args:
        dataset: Whose derivatives.
        models: Names without seed.
    """
    derivatives = dataset.root / "derivatives"
    names = [f.name for model in models for f in sorted(derivatives.glob(f"{model}_seed-*"))]
    return {name: name for name in names}


def first_weights(models: Path, names: Iterable[str]) -> dict[str, Path]:
    """Folder of the first seed of every model that has been trained.

    Args:
        models: Folder of all models of a run.
        names: Without seeds.
    """
    found = {name: sorted(models.glob(f"{name}_seed-*")) for name in names}
    return {name: folders[0] for name, folders in found.items() if folders}


CONTOUR = "contour"
"""The classical competitor, as a method beside weights."""


Source = Path | str | dict[str, Path]
"""Weights, `CONTOUR`, or the weights of each contrast's own network."""


def method_sources(
    models: Path | str,
    names: Iterable[str],
    *,
    seeds: int = 0,
    shipped: Iterable[str] = (),
    contour: bool = True,
) -> dict[str, Source]:
    """Which methods can be applied here: models of a run, weights that ship, the contour follower.

    Args:
        models: Folder of a run's models, one `<name>_seed-<n>` for each training.
        names: Models wanted; `<truth>_per_contrast` stands for six, `<truth>_<contrast>`.
        seeds: At most so many trainings of each, the first; 0 for all.
        shipped: Names of weights of the package; those that are not there are left out.
        contour: Whether the contour follower takes part.

    Returns:
        Folder below `derivatives` → what makes its masks, as `run_conditions` takes it.
    """
    from softseg.network.weights import available_weights

    found: dict[str, Source] = {}
    for name in names:
        truth = name.removesuffix("_per_contrast")
        if truth == name:
            folders = _trainings(Path(models), name)
            found |= {folder.name: folder for folder in folders[: seeds or None]}
            continue
        six: dict[str, dict[str, Path]] = {}
        for contrast in CONTRASTS:
            for folder in _trainings(Path(models), f"{truth}_{contrast}")[: seeds or None]:
                six.setdefault(method_folder(name, parse_method(folder.name)[1]), {})[contrast] = (
                    folder
                )
        found |= six
    found |= {name: name for name in shipped if name in available_weights()}
    return found | ({CONTOUR: CONTOUR} if contour else {})


def _trainings(models: Path, name: str) -> list[Path]:
    folders = [folder for folder in models.glob(f"{name}_seed-*") if folder.is_dir()]
    return sorted(folders, key=lambda folder: int(parse_method(folder.name)[1]))
