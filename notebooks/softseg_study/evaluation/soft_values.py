"""What a soft value means, person by person: calibration, thresholds, ways to measure."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from softseg.dataset.index import Dataset
from softseg.metrics.calibration import calibration_error, pool_calibration
from softseg_study.statistics.tracking import area_tracking
from softseg_study.statistics.variability import contrast_variability, csa_error, summarise

EDGE = (0.1, 0.9)
"""Predictions between these are soft; below and above them is nearly all of the background and of
the cord's inside, where every method is right."""


def calibration_by_person(
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
        >>> row = calibration_by_person(pd.DataFrame(image), edge=(0, 1)).loc[0]
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


def calibration_summary(people: pd.DataFrame) -> pd.DataFrame:
    """Calibration of every method, with intervals over people.

    Args:
        people: From `calibration_by_person`; a `seed` is averaged over within each person.

    Returns:
        One row a method: `method`, `n` (people), `calibration_error` with `ci_low` and `ci_high`,
        `edge_error`, `edge_bias`, `volume_error_percent`.
    """
    table = summarise(people, "calibration_error")[["method", "n", "mean", "ci_low", "ci_high"]]
    table = table.rename(columns={"mean": "calibration_error"})
    for value in ("edge_error", "edge_bias", "volume_error_percent"):
        means = summarise(people, value).set_index("method")["mean"]
        table[value] = table["method"].map(means)
    return table


def seed_folders(dataset: Dataset, models: Iterable[str]) -> dict[str, str]:
    """The derivative folders of the models that are there, every seed, as evaluators take them.

    Args:
        dataset: Whose derivatives.
        models: Names without seed.
    """
    derivatives = dataset.root / "derivatives"
    names = [f.name for model in models for f in sorted(derivatives.glob(f"{model}_seed-*"))]
    return {name: name for name in names}


def unbiased_thresholds(thresholds: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """The threshold at which a person's binary area is the true one.

    A person's error, averaged over contrasts, falls as the threshold rises; between the two
    thresholds where it changes sign it is taken as a line.

    Args:
        thresholds: From `evaluate_thresholds`; its rows with `mask` `binary` count.
        truth: From `true_csa`; empty for real data, and then so is the result.

    Returns:
        `subject`, `method`, `threshold` (`nan` where the area crosses the truth nowhere among the
        thresholds, or more than once).
    """
    binary = thresholds[thresholds["mask"] == "binary"]
    keys = ["subject", "method", "threshold"]
    if truth.empty:  # real data
        return pd.DataFrame(columns=keys)
    more = [name for name in ("seed",) if name in binary]
    errors = csa_error(binary, truth, by=["threshold", *more])
    means = errors.groupby(keys, sort=False)["error_mm2"].mean().reset_index()
    rows = [
        {"subject": subject, "method": method, "threshold": _crossing(group)}
        for (subject, method), group in means.groupby(["subject", "method"], sort=False)
    ]
    return pd.DataFrame(rows, columns=keys)


def _crossing(errors: pd.DataFrame) -> float:
    at = errors.sort_values("threshold")
    threshold, error = at["threshold"].to_numpy(float), at["error_mm2"].to_numpy(float)
    turns = np.flatnonzero((error[:-1] > 0) & (error[1:] <= 0))
    if len(turns) != 1:
        return float("nan")
    i = turns[0]
    share = error[i] / (error[i] - error[i + 1])
    return float(threshold[i] + share * (threshold[i + 1] - threshold[i]))


def treatment_summary(csa: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """What measuring soft, binary or after a per-slice normalisation makes of every method.

    Args:
        csa: From `evaluate_csa` with several `masks`; a `seed` is averaged over.
        truth: From `true_csa`; empty leaves the columns that need it out.

    Returns:
        One row a method and mask: `method`, `mask`, `n` (people), `area_mm2` (mean),
        `error_percent` with `ci_low` and `ci_high`, `absolute_error_percent`, `sd_mm2` (over
        contrasts, mean over people), `slope` (of area on true area between people).
    """
    more = [name for name in ("seed",) if name in csa]
    keys = ["method", "mask"]
    table = summarise(csa, "area_mm2", by=keys)[[*keys, "n", "mean"]]
    table = table.rename(columns={"mean": "area_mm2"})
    spread = contrast_variability(csa, by=["mask", *more])
    parts = [summarise(spread, "sd_mm2", by=keys)[[*keys, "mean"]].rename(columns=_SD)]
    if len(truth) and csa["area_mm2"].notna().any():
        errors = csa_error(csa, truth, by=["mask", *more])
        errors["absolute_error_percent"] = errors["error_percent"].abs()
        signed = summarise(errors, "error_percent", by=keys)
        signed = signed[[*keys, "mean", "ci_low", "ci_high"]]
        absolute = summarise(errors, "absolute_error_percent", by=keys)[[*keys, "mean"]]
        parts += [
            signed.rename(columns={"mean": "error_percent"}),
            absolute.rename(columns={"mean": "absolute_error_percent"}),
            _slopes(csa, truth, more),
        ]
    for part in parts:
        table = table.merge(part, on=keys, how="left")
    order = ["area_mm2", "error_percent", "ci_low", "ci_high", "absolute_error_percent", "sd_mm2"]
    return table[[*keys, "n", *(c for c in [*order, "slope"] if c in table)]]


_SD = {"mean": "sd_mm2"}


def _slopes(csa: pd.DataFrame, truth: pd.DataFrame, more: Sequence[str]) -> pd.DataFrame:
    found = [
        area_tracking(rows, truth, by=more)[["method", "slope"]].assign(mask=mask)
        for mask, rows in csa.groupby("mask", sort=False)
    ]
    return pd.concat(found, ignore_index=True)


def resolution_spread(resolutions: pd.DataFrame) -> pd.DataFrame:
    """Spread of one person's area over voxel sizes: the coefficient of variation of the paper.

    Args:
        resolutions: From `evaluate_resolutions`.

    Returns:
        `subject`, `method`, `mask`, `cov_percent`, `n_resolutions`; people with fewer than two
        voxel sizes measured have `nan`.
    """
    table = resolutions.assign(contrast=resolutions["resolution"])
    spread = contrast_variability(table, by=["mask"])
    spread = spread.rename(columns={"n_contrasts": "n_resolutions"})
    return spread[["subject", "method", "mask", "cov_percent", "n_resolutions"]]


def first_weights(models: Path, names: Iterable[str]) -> dict[str, Path]:
    """Folder of the first seed of every model that has been trained.

    Args:
        models: Folder of all models of a run.
        names: Without seeds.
    """
    found = {name: sorted(models.glob(f"{name}_seed-*")) for name in names}
    return {name: folders[0] for name, folders in found.items() if folders}
