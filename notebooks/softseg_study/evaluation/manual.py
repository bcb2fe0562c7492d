"""Methods on real images: against manual masks, and against themselves on a second image.

Nobody knows the true area of a real cord. What can be asked is how far a method's mask is from a
careful person's, within the slices that the person has drawn, and whether two images of one person
on one grid (a repeated scan, another contrast) give one area.
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
    if mask.data.max() < FAINT:
        return pd.Series(dtype=float, index=pd.Index([], dtype=int))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MeasurementWarning)
        table = measure(mask, shape=False)
    return whole_slices(table).set_index("slice")["area_mm2"]


def evaluate_pairs(dataset: Dataset, methods: Mapping[str, Method]) -> pd.DataFrame:
    """Do two images of one person on one grid give one area? Slice by slice, without any truth.

    Args:
        dataset: Images of one subject and session whose grids are equal form pairs.
        methods: As in `measure_areas`.

    Returns:
        One row a pair and method: `subject`, `session`, `image`, `other`, `contrast`,
        `other_contrast`, `kind` (`repeat` of one contrast, or another `contrast`), `method`,
        `area_mm2`, `other_area_mm2` (means over slices that both masks have), `difference_percent`
        (absolute, of their mean), `n_slices`; pairs without a mask are left out.
    """
    entries = find_masks(dataset, methods)
    groups: dict[tuple, list[ImageMasks]] = {}
    for entry in entries:
        groups.setdefault((entry.subject, entry.session), []).append(entry)
    rows = []
    for group in groups.values():
        for first, second in combinations(group, 2):
            if _same_grid(first, second):
                rows += [row for name in methods if (row := _pair(first, second, name))]
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


def _same_grid(first: ImageMasks, second: ImageMasks) -> bool:
    return same_grid(*(Volume.load(t.image, average="mean").grid for t in (first, second)))


def _pair(first: ImageMasks, second: ImageMasks, method: str) -> dict[str, object] | None:
    sources = first.sources[method], second.sources[method]
    if None in sources:
        return None
    masks = [
        read_mask(source, entry.image)
        for source, entry in zip(sources, (first, second), strict=True)
    ]
    both = pd.concat([areas_of_slices(mask) for mask in masks], axis=1, join="inner")
    if both.empty:
        return None
    area, other = (float(column) for column in both.mean().to_numpy())
    row, beside = _keys(first, method), _keys(second, method)
    repeat = first.contrast == second.contrast
    return row | {
        "other": beside["image"],
        "other_contrast": beside["contrast"],
        "kind": "repeat" if repeat else "contrast",
        "area_mm2": area,
        "other_area_mm2": other,
        "difference_percent": 200 * abs(area - other) / (area + other),
        "n_slices": len(both),
    }
