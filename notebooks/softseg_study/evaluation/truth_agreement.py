"""How far one soft truth is from another, such as ours from the published one."""

import numpy as np
import pandas as pd

from softseg.dataset.index import Dataset
from softseg.masks import check_grid
from softseg.volume import Volume

SOFT = "label-SC_softseg"


def compare_truths(
    dataset: Dataset, first: str, second: str, *, ending: str = SOFT
) -> pd.DataFrame:
    """Agreement of two pipelines' soft masks wherever both have one.

    Args:
        dataset: Whose derivatives both are.
        first: A pipeline, for example `labels_ours`.
        second: Another, for example `labels_softseg` of a release.
        ending: Of the masks' names.

    Returns:
        One row an image: `subject`, `session`, `contrast`, `dice` (both at 0.5), `difference` (mean
        |first - second| where either is cord), `area_ratio` (sum of first over sum of second).

    Raises:
        InputError: If two masks of one image lie on different grids.
    """
    rows = []
    for image in dataset.images.itertuples():
        key = (image.subject, image.contrast, ending, image.session)
        paths = [dataset.existing(pipeline, *key) for pipeline in (first, second)]
        if None not in paths:
            who = {"subject": image.subject, "session": image.session, "contrast": image.contrast}
            rows.append(who | _agreement(*(Volume.load(path) for path in paths)))
    columns = ["subject", "session", "contrast", "dice", "difference", "area_ratio"]
    return pd.DataFrame(rows, columns=columns)


def _agreement(first: Volume, second: Volume) -> dict[str, float]:
    second = second.oriented(first.orientation)
    check_grid(first, second)
    a, b = first.data, second.data
    cord = (a > 0) | (b > 0)
    both = ((a > 0.5) & (b > 0.5)).sum()
    total = (a > 0.5).sum() + (b > 0.5).sum()
    return {
        "dice": float(2 * both / total) if total else np.nan,
        "difference": float(np.abs(a - b)[cord].mean()) if cord.any() else 0.0,
        "area_ratio": float(a.sum() / b.sum()) if b.any() else np.nan,
    }
