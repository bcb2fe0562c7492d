"""The exact areas of a phantom cohort."""

from collections.abc import Iterable

import pandas as pd

from softseg.dataset.index import Dataset


def true_csa(
    dataset: Dataset,
    *,
    vertebrae: tuple[int, int] | None = (2, 3),
    subjects: Iterable[str] | None = None,
    per_slice: bool = False,
) -> pd.DataFrame:
    """Exact areas of a phantom cohort, from `derivatives/truth/sub-XX/sub-XX_csa.csv`.

    Args:
        dataset: A cohort of `softseg.phantom.cohort`; any other gives an empty table.
        vertebrae: First and last level averaged over; None for all slices.
        subjects: Only these.
        per_slice: Every slice instead of means.

    Returns:
        `subject`, `contrast`, `method` (`truth`), `area_mm2`, `n_slices`; with `per_slice` also
        `slice`, `level` and no `n_slices`.
    """
    wanted = dataset.subjects if subjects is None else sorted(set(subjects))
    folder = dataset.root / "derivatives" / "truth"
    files = [p for s in wanted for p in sorted((folder / s).rglob(f"{s}*_csa.csv"))]
    keys = ["subject", "contrast", "method"]
    if not files:
        return pd.DataFrame(columns=[*keys, "area_mm2", "n_slices"])
    table = pd.concat([pd.read_csv(f) for f in files], ignore_index=True).assign(method="truth")
    table = table[table["contrast"].isin(dataset.images["contrast"].unique())]
    if per_slice:
        return table
    if "session" in table:
        keys.insert(1, "session")
    if vertebrae is not None:
        table = table[table["level"].between(*vertebrae)]
    areas = table.groupby(keys, sort=False, dropna=False)["area_mm2"]
    return areas.agg(area_mm2="mean", n_slices="count").reset_index()
