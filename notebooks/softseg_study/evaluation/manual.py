"""Methods on real images: against manual masks, and against themselves on a second image.

Nobody knows the true area of a real cord. What can be asked is how far a method's mask is from a
careful person's, within the slices that the person has drawn, and whether two images of one person
(a repeated scan, another contrast) give one area where both show the cord.
"""

import warnings
from collections.abc import Mapping
from itertools import combinations

import pandas as pd

from softseg.csa.aggregation import whole_slices
from softseg.csa.measure import MeasurementWarning, measure
from softseg.dataset.index import Dataset
from softseg.dataset.names import strip_extension
from softseg.masks import FAINT, same_grid
from softseg.metrics.volumes import dice
from softseg.volume import Volume
from softseg_study.evaluation.image_masks import ImageMasks, Method, find_masks, read_mask

MANUAL = "labels:label-SC_seg"
MANUAL_COLUMNS = [
    "subject", "session", "image", "contrast", "method", "dice", "area_mm2", "manual_area_mm2",
    "error_percent", "n_slices", "status",
]  # fmt: skip
PAIR_COLUMNS = [
    "subject", "session", "image", "other", "contrast", "other_contrast", "kind", "method",
    "area_mm2", "other_area_mm2", "difference_percent", "n_slices",
]  # fmt: skip


def evaluate_manual(dataset: Dataset, methods: Mapping[str, Method]) -> pd.DataFrame:
    """Overlap and area of every method's mask within the slices that a person has drawn.

    Args:
        dataset: Its images with a manual mask are evaluated.
        methods: As in `measure_areas`.

    Returns:
        One row an image and method: `subject`, `session`, `image` (its name), `contrast`,
        `method`, `dice` (of values above 0.5), `area_mm2` and `manual_area_mm2` (means over slices
        that both have), `error_percent`, `n_slices`, `status` (`ok`, `no mask`, `empty mask`).
    """
    rows = []
    for entry in find_masks(dataset, methods, extra={"manual": MANUAL}):
        if entry.extra["manual"] is None:
            continue
        manual = read_mask(entry.extra["manual"], entry.image)
        rows += [_against(entry, name, source, manual) for name, source in entry.sources.items()]
    return pd.DataFrame(rows, columns=MANUAL_COLUMNS)


def _keys(entry: ImageMasks, method: str) -> dict[str, object]:
    return entry.keys | {"image": strip_extension(entry.image.name), "method": method}


def _against(entry: ImageMasks, method: str, source: object, manual: Volume) -> dict[str, object]:
    row = _keys(entry, method)
    if source is None:
        return row | {"status": "no mask"}
    drawn = manual.data.any(axis=(0, 1))
    mask = read_mask(source, entry.image)
    here = (mask.data > 0.5)[..., drawn], (manual.data > 0.5)[..., drawn]
    row["dice"] = dice(*here)
    if not here[0].any():
        return row | {"status": "empty mask"}
    both = pd.concat([areas_of_slices(mask), areas_of_slices(manual)], axis=1, join="inner")
    area, true = (float(column) for column in both.mean().to_numpy())
    return row | {
        "area_mm2": area,
        "manual_area_mm2": true,
        "error_percent": 100 * (area / true - 1),
        "n_slices": len(both),
        "status": "ok",
    }


def areas_of_slices(mask: Volume) -> pd.Series:
    """Area of each slice that a mask covers whole, by the slice's number.

    Args:
        mask: In working orientation; an empty one gives an empty series.
    """
    return _slices(mask)["area_mm2"]


def _slices(mask: Volume) -> pd.DataFrame:
    """`area_mm2`, and where the slice's cord begins and ends, feet to head, by slice."""
    if mask.data.max() < FAINT:
        return pd.DataFrame(
            columns=["area_mm2", "low_mm", "high_mm"], index=pd.Index([], dtype=int)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MeasurementWarning)
        table = whole_slices(measure(mask, shape=False)).set_index("slice")
    middle, half = table["centre_z_mm"], mask.spacing_mm[2] / 2
    return table[["area_mm2"]].assign(low_mm=middle - half, high_mm=middle + half)


def evaluate_pairs(dataset: Dataset, methods: Mapping[str, Method]) -> pd.DataFrame:
    """Do two images of one person give one area? Without any truth.

    Args:
        dataset: Images of one subject and session form pairs: slice by slice where their grids are
            equal; otherwise, of two contrasts, over the stretch along the scanner's axis that both
            masks cover, and the first image of each contrast alone.
        methods: As in `measure_areas`.

    Returns:
        One row a pair and method: `subject`, `session`, `image`, `other`, `contrast`,
        `other_contrast`, `kind` (`repeat` of one contrast, or another `contrast`), `method`,
        `area_mm2`, `other_area_mm2` (means over slices that both masks have, or over the common
        stretch), `difference_percent` (absolute, of their mean), `n_slices` (of the coarser);
        pairs without a mask are left out.
    """
    entries = find_masks(dataset, methods)
    groups: dict[tuple, list[ImageMasks]] = {}
    for entry in entries:
        groups.setdefault((entry.subject, entry.session), []).append(entry)
    rows = []
    for group in groups.values():
        contrasts = set()
        for first, second in combinations(group, 2):
            same, both = _same_grid(first, second), (first.contrast, second.contrast)
            if same or (len(set(both)) == 2 and not {both, both[::-1]} & contrasts):
                contrasts.add(both)
                found = (_pair(first, second, name, same_grid=same) for name in methods)
                rows += [row for row in found if row]
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


def _same_grid(first: ImageMasks, second: ImageMasks) -> bool:
    return same_grid(*(Volume.load(t.image, average="mean").grid for t in (first, second)))


def _pair(
    first: ImageMasks, second: ImageMasks, method: str, *, same_grid: bool
) -> dict[str, object] | None:
    sources = first.sources[method], second.sources[method]
    if None in sources:
        return None
    masks = [
        read_mask(source, entry.image)
        for source, entry in zip(sources, (first, second), strict=True)
    ]
    tables = [_slices(mask) for mask in masks]
    shared = _same_slices(*tables) if same_grid else _same_stretch(*tables)
    count = min(map(len, shared))
    if not count:
        return None
    area, other = (float(table["area_mm2"].mean()) for table in shared)
    row, beside = _keys(first, method), _keys(second, method)
    repeat = first.contrast == second.contrast
    return row | {
        "other": beside["image"],
        "other_contrast": beside["contrast"],
        "kind": "repeat" if repeat else "contrast",
        "area_mm2": area,
        "other_area_mm2": other,
        "difference_percent": 200 * abs(area - other) / (area + other),
        "n_slices": count,
    }


def _same_slices(*tables: pd.DataFrame) -> list[pd.DataFrame]:
    common = tables[0].index.intersection(tables[1].index)
    return [table.loc[common] for table in tables]


def _same_stretch(*tables: pd.DataFrame) -> list[pd.DataFrame]:
    low = max(table["low_mm"].min() for table in tables)
    high = min(table["high_mm"].max() for table in tables)
    middles = [(table["low_mm"] + table["high_mm"]) / 2 for table in tables]
    return [t[middle.between(low, high)] for t, middle in zip(tables, middles, strict=True)]
