"""One person's images and masks, for the figures that show somebody."""

import math
from collections.abc import Mapping

import pandas as pd

from softseg.dataset.index import Dataset
from softseg.volume import Volume
from softseg_study.evaluation.image_masks import find_masks, read_mask


def read_participant(
    dataset: Dataset, subject: str, methods: dict[str, str] | None = None
) -> tuple[dict[str, Volume], dict[str, dict[str, Volume]]]:
    """Images by contrast, and masks by method and contrast, in working orientation.

    Args:
        dataset: Its contrasts are read; a file of several volumes is averaged, and of several
            sessions or runs the first counts.
        subject: Who.
        methods: Name → folder below `derivatives`, or `FOLDER:ENDING`; masks that are missing are
            left out.

    Raises:
        InputError: If a file is unreadable or nobody is called so.
    """
    images: dict[str, Volume] = {}
    masks: dict[str, dict[str, Volume]] = {name: {} for name in methods or {}}
    for entry in find_masks(dataset, methods or {}, subjects=[subject]):
        if entry.contrast in images:
            continue
        path = dataset.root / entry.image
        images[entry.contrast] = Volume.load(path, average="mean").oriented()
        for name, source in entry.sources.items():
            if source is not None:
                masks[name][entry.contrast] = read_mask(source, path)
    return images, masks


def areas_of(csa_table: pd.DataFrame, subject: str, method: str) -> dict[str, float]:
    """Area by contrast of one person and method, contrasts without one left out.

    Args:
        csa_table: From `measure_areas`, one kind of mask.
        subject: Who.
        method: Which method.
    """
    rows = csa_table[(csa_table["subject"] == subject) & (csa_table["method"] == method)]
    areas = zip(rows["contrast"], rows["area_mm2"], strict=True)
    return {contrast: float(area) for contrast, area in areas if math.isfinite(area)}


def describe_images(data: Dataset, images: Mapping[str, Volume]) -> pd.DataFrame:
    """How many images of each contrast there are, and the grid of one person's.

    Args:
        data: Whose images are counted.
        images: Contrast → image of one person, from `read_participant`.

    Returns:
        Indexed by `contrast`: `images`, `voxel_mm` and `matrix` (both as text).
    """
    counts = data.images["contrast"].value_counts()
    rows = {
        contrast: {
            "images": counts.get(contrast, 0),
            "voxel_mm": " × ".join(f"{size:.3g}" for size in image.spacing_mm),
            "matrix": " × ".join(map(str, image.data.shape)),
        }
        for contrast, image in images.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("contrast")
