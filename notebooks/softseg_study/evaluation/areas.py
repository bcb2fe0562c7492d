"""Cross-sectional areas of every method's masks, and the exact ones where they are known."""

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from softseg.csa.aggregation import aggregate
from softseg.csa.measure import MeasurementWarning, measure
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.volume import Volume
from softseg_study.evaluation.image_masks import (
    ImageMasks,
    Method,
    collect_rows,
    find_masks,
    read_mask,
)

MASKS = ("soft", "binary")
"""Values of tables' `mask` column: fractions as they are, or whether they exceed 0.5."""


def binarised(mask: Volume, threshold: float = 0.5) -> Volume:
    """1 where the fraction exceeds the threshold, else 0."""
    return mask.like((mask.data > threshold).astype("float32"))


def zeroed(mask: Volume, threshold: float) -> Volume:
    """Values below the threshold dropped, the rest kept as they are."""
    return mask.like(np.where(mask.data < threshold, 0, mask.data))


def slice_normalised(mask: Volume) -> Volume:
    """Every slice stretched to [0, 1], as the Spinal Cord Toolbox does before it sums.

    A slice whose largest value is 0.8 is measured as if it reached 1: faint slices come out too
    large.
    """
    low = mask.data.min(axis=(0, 1), keepdims=True)
    span = mask.data.max(axis=(0, 1), keepdims=True) - low
    return mask.like((mask.data - low) / np.where(span > 0, span, 1))


def _as_it_is(mask: Volume) -> Volume:
    return mask


TREATMENTS: dict[str, Callable[[Volume], Volume]] = {
    "soft": _as_it_is,
    "binary": binarised,
    "slice-normalised": slice_normalised,
}
"""Values of `mask` → what is done to a mask before its area is taken."""
LEVELS = "labels:label-vertebrae_dseg"
"""One level file an image, the same for all methods: areas differ by the masks alone."""
DISCS = "labels:label-discs_dlabel"
"""Disc points, drawn on the image or brought over from another contrast; they tell the levels where
no level file does."""
COLUMNS = [
    "subject",
    "session",
    "contrast",
    "method",
    "mask",
    "area_mm2",
    "n_slices",
    "n_level_slices",
    "other_components",
    "status",
]


def measure_areas(
    dataset: Dataset,
    methods: Mapping[str, Method],
    *,
    masks: Sequence[str] = MASKS,
    thresholds: Sequence[float] = (),
    prepare: Callable[[Volume], Volume] | None = None,
    vertebrae: tuple[int, int] | None = (2, 3),
    subjects: Iterable[str] | None = None,
    levels: str = LEVELS,
    jobs: int = 1,
) -> pd.DataFrame:
    """Mean cross-sectional area of every method's mask of every image, treated in several ways.

    Every mask is read once and measured as it is and binarised above 0.5 (the paper's figures are
    binarised on both sides); a binary mask gives the same area twice. An image that a method has
    no mask of keeps a row without area, so that failures can be counted.

    Args:
        dataset: Its images are evaluated.
        methods: Name in the table → folder below `derivatives`, `FOLDER:ENDING`, or a function
            from an image's path to its mask.
        masks: Which of `soft`, `binary` and `slice-normalised` to measure.
        thresholds: Fractions in [0, 1): `soft` drops values below each of them and keeps the rest,
            `binary` makes those above it 1.
        prepare: A function of a module that is applied to every mask first.
        vertebrae: First and last level averaged over; None for all slices, which needs no levels.
        subjects: Only these.
        levels: `FOLDER:ENDING` of the images' level files.
        jobs: Processes; the table does not depend on it.

    Returns:
        One row per image, method, kind of mask and threshold, in the order of the index: `subject`,
        `session`, `contrast`, `method`, `mask`, `area_mm2` (mean over slices), `n_slices`
        (averaged), `n_level_slices` (that the levels mark; more than `n_slices` where the mask has
        gaps), `other_components` (objects left out), `status` (`ok`, `no mask`, `no levels`,
        `empty mask`, or what was wrong), and `threshold` where there are some.
    """
    variants = [({"mask": name}, TREATMENTS[name]) for name in masks]
    if thresholds:
        variants = [
            ({"mask": name, "threshold": float(t)}, partial(treat, threshold=float(t)))
            for name, treat in (("soft", zeroed), ("binary", binarised))
            if name in masks
            for t in thresholds
        ]
    extra = {} if vertebrae is None else {"levels": levels, "discs": DISCS}
    entries = find_masks(dataset, methods, subjects=subjects, extra=extra)
    worker = partial(_area_rows, vertebrae=vertebrae, variants=variants, prepare=prepare)
    columns = [*COLUMNS, "threshold"] if thresholds else COLUMNS
    return pd.DataFrame(collect_rows(worker, entries, jobs=jobs), columns=columns)


def measure_slices(
    dataset: Dataset,
    methods: Mapping[str, Method],
    *,
    subjects: Iterable[str] | None = None,
    levels: str = LEVELS,
    masks: Sequence[str] = ("soft",),
    jobs: int = 1,
) -> pd.DataFrame:
    """Area of every slice that has a level.

    Args:
        dataset: Its images are evaluated.
        methods: As in `measure_areas`.
        subjects: Only these.
        levels: `FOLDER:ENDING` of the images' level files.
        masks: Which of `soft` and `binary` to measure.
        jobs: Processes.

    Returns:
        `subject`, `session`, `contrast`, `method`, `mask`, `slice`, `level`, `position` (0 at the
        top of the level, 1 at its bottom), `area_mm2`, `flag`; images without levels or with a
        missing or empty mask have no rows.
    """
    entries = find_masks(
        dataset, methods, subjects=subjects, extra={"levels": levels, "discs": DISCS}
    )
    worker = partial(_slice_rows, masks=masks)
    columns = [*COLUMNS[:5], "slice", "level", "position", "area_mm2", "flag"]
    return pd.DataFrame(collect_rows(worker, entries, jobs=jobs), columns=columns)


def _area_rows(
    entry: ImageMasks,
    *,
    vertebrae: tuple[int, int] | None,
    variants: Sequence[tuple[dict, Callable[[Volume], Volume]]],
    prepare: Callable[[Volume], Volume] | None,
) -> list[dict]:
    rows = []
    for method, source in entry.sources.items():
        problem = _problem(entry, source, needs_levels=vertebrae is not None)
        mask = None if problem else _try(read_mask, source, entry.image)
        if prepare is not None and isinstance(mask, Volume):
            mask = prepare(mask)
        for named, treat in variants:
            row = entry.keys | {"method": method} | named
            found = problem or mask
            if isinstance(found, Volume):
                found = _try(_mean_area, treat(mask), entry, vertebrae)
            rows.append(row | (found if isinstance(found, dict) else {"status": found}))
    return rows


def _slice_rows(entry: ImageMasks, *, masks: Sequence[str]) -> list[dict]:
    rows = []
    for method, source in entry.sources.items():
        if _problem(entry, source, needs_levels=True):
            continue
        mask = read_mask(source, entry.image)
        for name in masks:
            table = _try(_measure, TREATMENTS[name](mask), entry)
            if not isinstance(table, pd.DataFrame):  # an empty mask has no profile
                continue
            table = table[table["level"].notna()]
            row = entry.keys | {"method": method, "mask": name}
            rows += [row | found for found in table.to_dict("records")]
    return rows


def _problem(entry: ImageMasks, source: object, *, needs_levels: bool) -> str | None:
    if source is None:
        return "no mask"
    known = entry.extra.get("levels") or entry.extra.get("discs")
    return "no levels" if needs_levels and known is None else None


def _try(do: Callable, *arguments: object) -> object:
    """What `do` returns; the message of an error, which names one file among many.

    The name without its folder: tables are published, and the folder is one of this machine.
    """
    try:
        return do(*arguments)
    except InputError as error:
        return re.sub(r"(?<!\S)/\S*/(?=\S)", "", str(error))


def _measure(mask: Volume, entry: ImageMasks) -> pd.DataFrame:
    with warnings.catch_warnings():  # the column `other_components` says it for every image
        warnings.simplefilter("ignore", MeasurementWarning)
        levels = entry.extra.get("levels")
        discs = entry.extra.get("discs") if levels is None else None
        return measure(mask, levels=levels, discs=discs, shape=False)


def _mean_area(mask: Volume, entry: ImageMasks, vertebrae: tuple[int, int] | None) -> dict:
    if not mask.data.any():
        return {"status": "empty mask"}
    table = _measure(mask, entry)
    row = aggregate(table, vertebrae=vertebrae).iloc[0]
    return {
        "area_mm2": float(row["area_mm2"]),
        "n_slices": int(row["n_slices"]),
        "n_level_slices": _level_slices(entry, vertebrae),
        "other_components": int(table["other_components"].iloc[0]),
        "status": "ok",
    }


def _level_slices(entry: ImageMasks, vertebrae: tuple[int, int] | None) -> int | None:
    """Slices that the level file marks, whatever the mask; disc points mark none."""
    if vertebrae is None or entry.extra["levels"] is None:
        return None
    levels = Volume.load(entry.extra["levels"]).oriented().data
    marked = (levels > 0).sum(axis=(0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        level = np.round(levels.sum(axis=(0, 1)) / marked)
    return int(((level >= vertebrae[0]) & (level <= vertebrae[1])).sum())


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
