"""Does the spread between variants of an image say where the mask is wrong?"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.masks import check_grid
from softseg.volume import WORKING, Volume
from softseg_study.evaluation.image_masks import ImageMasks, find_masks, read_mask

if TYPE_CHECKING:
    from softseg.segmentation.engine import Segmentation

EDGE = (0.05, 0.95)
"""Predictions between these are soft."""
MEASURES = (
    "rank_correlation",
    "softness_correlation",
    "edge_rank_correlation",
    "edge_softness_correlation",
    "slice_rank_correlation",
    "n_voxels",
)


def evaluate_uncertainty(
    dataset: Dataset,
    methods: "Mapping[str, Callable[[Volume], Segmentation]]",
    truth: str = "truth",
    *,
    subjects: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Rank correlation of uncertainty and absolute error over the voxels of each image.

    Beside it stands what the soft value itself says, since a value of one half is uncertain
    without any further computing: the uncertainty is worth its cost where it says more.

    Args:
        dataset: Its images are segmented.
        methods: Name → a function as `segment` with its weights and `uncertainty=True`.
        truth: `FOLDER` or `FOLDER:ENDING` of the true fractions.
        subjects: Only these.

    Returns:
        One row an image and method: `subject`, `session`, `contrast`, `method`,
        `rank_correlation` (Spearman, of the voxels that mask or truth mark),
        `softness_correlation` (the same for `q (1 - q)` of the soft value `q`),
        `edge_rank_correlation` and `edge_softness_correlation` (of the soft voxels alone),
        `slice_rank_correlation` (over slices: summed uncertainty against the error of the area),
        `n_voxels` and `status` (`ok`, `no reference`, or what was wrong).
    """
    rows = []
    for entry in find_masks(dataset, {}, subjects=subjects, extra={"truth": truth}):
        for method, segment in methods.items():
            try:
                found = _compare(segment, entry)
            except InputError as error:
                found = {"status": str(error)}
            rows.append(entry.keys | {"method": method} | found)
    columns = ["subject", "session", "contrast", "method", *MEASURES, "status"]
    return pd.DataFrame(rows, columns=columns)


def _compare(segment: "Callable[[Volume], Segmentation]", entry: ImageMasks) -> dict[str, object]:
    if entry.extra["truth"] is None:
        return {"status": "no reference"}
    truth = read_mask(entry.extra["truth"], entry.image)
    found = segment(Volume.load(entry.image, average="mean"))
    soft, spread = (each.oriented(WORKING) for each in (found.soft, found.uncertainty))
    check_grid(truth, soft)
    return uncertainty_against_error(soft.data, spread.data, truth.data) | {"status": "ok"}


def uncertainty_against_error(
    soft: np.ndarray, uncertainty: np.ndarray, truth: np.ndarray
) -> dict[str, float]:
    """The measures of `evaluate_uncertainty` for one image.

    Args:
        soft: `(X, Y, Z)` predicted fractions.
        uncertainty: Same shape, standard deviations.
        truth: Same shape, true fractions.

    Returns:
        `MEASURES`; `nan` where one side does not vary.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = rng.uniform(size=(9, 9, 9))
        >>> soft = rng.uniform(size=(9, 9, 9))
        >>> found = uncertainty_against_error(soft, np.abs(soft - truth), truth)
        >>> round(found["rank_correlation"], 6), found["n_voxels"]
        (1.0, 729)
    """
    error, softness = np.abs(soft - truth), soft * (1 - soft)
    marked = (soft > 0) | (truth > 0)
    edge = marked & (soft > EDGE[0]) & (soft < EDGE[1])
    slices = marked.any(axis=(0, 1))
    area_error = np.abs((soft - truth).sum(axis=(0, 1)))
    return {
        "rank_correlation": _spearman(uncertainty[marked], error[marked]),
        "softness_correlation": _spearman(softness[marked], error[marked]),
        "edge_rank_correlation": _spearman(uncertainty[edge], error[edge]),
        "edge_softness_correlation": _spearman(softness[edge], error[edge]),
        "slice_rank_correlation": _spearman(
            uncertainty.sum(axis=(0, 1))[slices], area_error[slices]
        ),
        "n_voxels": int(marked.sum()),
    }


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    if a.size < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(stats.spearmanr(a, b).statistic)
