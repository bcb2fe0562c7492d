"""What soft values mean: predicted against reference fractions, by voxel and by participant."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from softseg.dataset.index import Dataset
from softseg.volume import Volume
from softseg_study.evaluation.image_masks import Method, compare_masks
from softseg_study.statistics.calibration import (
    calibration_error,
    calibration_table,
    pool_calibration,
)


def evaluate_calibration(
    dataset: Dataset,
    methods: Mapping[str, Method],
    truth: str = "truth",
    *,
    n_bins: int = 10,
    subjects: Iterable[str] | None = None,
    jobs: int = 1,
) -> pd.DataFrame:
    """Calibration table of every mask against true fractions, ready for `pool_calibration`.

    Args:
        dataset: Its images are evaluated.
        methods: As in `evaluate_overlap`.
        truth: `FOLDER` or `FOLDER:ENDING` of the true fractions.
        n_bins: Bins of equal width.
        subjects: Only these.
        jobs: Processes; the table does not depend on it.

    Returns:
        `subject`, `session`, `contrast`, `method`, the columns of `calibration_table` and `status`
        (`ok`, `no mask`, `no reference`, or what was wrong); an image that is not `ok` keeps its
        bins, without a voxel.
    """
    rows = compare_masks(
        dataset,
        methods,
        truth,
        partial(_calibration_rows, n_bins=n_bins),
        failed=partial(_no_voxels, n_bins=n_bins),
        subjects=subjects,
        jobs=jobs,
    )
    keys = ["subject", "session", "contrast", "method"]
    return pd.DataFrame(rows, columns=[*keys, *_no_voxels("", n_bins=n_bins)[0]])


def _calibration_rows(mask: Volume, truth: Volume, *, n_bins: int) -> list[dict]:
    table = calibration_table(mask.data, truth.data, n_bins=n_bins)
    return table.assign(status="ok").to_dict("records")


def _no_voxels(why: str, *, n_bins: int) -> list[dict]:
    table = calibration_table(np.zeros(0), np.zeros(0), n_bins=n_bins)
    return table.assign(status=why).to_dict("records")


EDGE = (0.1, 0.9)
"""Predictions between these are soft; below and above them is nearly all of the background and of
the cord's inside, where every method is right."""


def calibration_by_participant(
    calibration: pd.DataFrame,
    *,
    by: Sequence[str] = ("method",),
    edge: tuple[float, float] = EDGE,
) -> pd.DataFrame:
    """Calibration error of every person, whose images' voxels are counted together.

    Args:
        calibration: From `evaluate_calibration`.
        by: Columns that keep masks of one person apart, for example `("method", "seed")`.
        edge: Predictions that count as soft; ends should be ends of bins.

    Returns:
        One row a person and group: `subject`, the columns of `by`, `n_voxels`,
        `calibration_error` and `edge_error` (0 to 1: all voxels, soft ones alone),
        `edge_bias` (mean of predicted minus true among soft ones), `volume_error_percent`.

    Example:
        >>> image = {"subject": "a", "method": "m", "bin": [0, 1], "low": [0.0, 0.5],
        ...     "high": [0.5, 1.0], "n_voxels": [1, 3], "predicted": [0.2, 0.8],
        ...     "truth": [0.4, 0.8], "truth_sd": 0.0}
        >>> row = calibration_by_participant(pd.DataFrame(image), edge=(0, 1)).loc[0]
        >>> print(f"{row['calibration_error']:.2f} {row['edge_bias']:.2f}")
        0.05 -0.05
    """
    keys = ["subject", *by]
    columns = ["bin", "low", "high", "n_voxels", "predicted", "truth", "truth_sd"]
    pooled = pool_calibration(calibration[[*keys, *columns]], by=tuple(keys))
    # Bins are tenths or twentieths of one: their ends are only nearly what they are called.
    soft = (pooled["low"] > edge[0] - 1e-9) & (pooled["high"] < edge[1] + 1e-9)
    groups = pooled.assign(soft=soft).groupby(keys, sort=False, as_index=False)
    rows = [
        dict(zip(keys, key, strict=True)) | _errors(bins, bins[bins["soft"]])
        for key, bins in groups
        if bins["n_voxels"].sum() > 0
    ]
    return pd.DataFrame(rows, columns=[*keys, *_ERRORS])


_ERRORS = ("n_voxels", "calibration_error", "edge_error", "edge_bias", "volume_error_percent")


def _errors(bins: pd.DataFrame, soft: pd.DataFrame) -> dict[str, float]:
    excess, _ = _excess(bins)
    edge_excess, edge_voxels = _excess(soft)
    true = (bins["truth"] * bins["n_voxels"]).sum()
    return {
        "n_voxels": int(bins["n_voxels"].sum()),
        "calibration_error": calibration_error(bins),
        "edge_error": calibration_error(soft),
        "edge_bias": edge_excess / edge_voxels if edge_voxels else np.nan,
        "volume_error_percent": 100 * excess / true if true else np.nan,
    }


def _excess(bins: pd.DataFrame) -> tuple[float, int]:
    """Predicted minus true, summed over voxels, and how many there are."""
    excess = ((bins["predicted"] - bins["truth"]) * bins["n_voxels"]).sum()
    return float(excess), int(bins["n_voxels"].sum())
