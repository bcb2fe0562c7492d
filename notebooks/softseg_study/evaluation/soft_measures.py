"""Thresholds, ways to take an area, and voxel sizes: what they do to the area of a soft mask."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from softseg_study.statistics.summary import summarise
from softseg_study.statistics.variability import area_tracking, contrast_variability, csa_error


def unbiased_thresholds(thresholds: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """The threshold at which a person's binary area is the true one.

    A person's error, averaged over contrasts, falls as the threshold rises; between the two
    thresholds where it changes sign it is taken as a line.

    Args:
        thresholds: From `measure_areas`; its rows with `mask` `binary` count.
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
        csa: From `measure_areas` with several `masks`; a `seed` is averaged over.
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
