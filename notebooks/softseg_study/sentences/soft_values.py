"""What the tables of soft values say, as sentences that are computed."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from softseg_study.evaluation.areas import MASKS
from softseg_study.evaluation.soft_measures import resolution_spread
from softseg_study.sentences.common import say_count, say_number, say_range
from softseg_study.sentences.comparison import say_comparison
from softseg_study.statistics.comparison import compare_methods
from softseg_study.statistics.summary import summarise

NO_TRUTH = "These data have no true fractions of cord, so that this cannot be said here."


def value_at(pooled: pd.DataFrame, method: str, value: float, column: str = "truth") -> float:
    """What the voxels of one predicted value hold on average, between bins a straight line.

    Args:
        pooled: From `pool_calibration(…, by=("method",))`.
        method: Which method.
        value: Predicted fraction.
        column: `truth`, or `truth_sd`.

    Returns:
        `nan` where the method has no bins on both sides of the value.

    Example:
        >>> bins = pd.DataFrame({"method": "m", "n_voxels": [5, 5], "predicted": [0.2, 0.4],
        ...     "truth": [0.1, 0.3]})
        >>> round(value_at(bins, "m", 0.3), 6), value_at(bins, "m", 0.5)
        (0.2, nan)
    """
    rows = pooled[(pooled["method"] == method) & (pooled["n_voxels"] > 0)].sort_values("predicted")
    if rows.empty:
        return float("nan")
    ends = {"left": np.nan, "right": np.nan}
    return float(np.interp(value, rows["predicted"], rows[column], **ends))


def say_value(pooled: pd.DataFrame, method: str, value: float = 0.3) -> str:
    """One sentence on what a predicted value holds.

    Example:
        >>> bins = pd.DataFrame({"method": "m", "n_voxels": [5, 5], "predicted": [0.2, 0.4],
        ...     "truth": [0.1, 0.3], "truth_sd": [0.1, 0.1]})
        >>> say_value(bins, "m")
        'Where m says 0.3, 20 % of the voxel is cord on average (SD over voxels 10 %).'
    """
    if not len(pooled) or not pooled["n_voxels"].sum():
        return NO_TRUTH
    found, spread = (value_at(pooled, method, value, c) for c in ("truth", "truth_sd"))
    if np.isnan(found):
        return f"{method} has no soft value near {value:g}."
    return (
        f"Where {method} says {value:g}, {100 * found:.0f} % of the voxel is cord on average "
        f"(SD over voxels {100 * spread:.0f} %)."
    )


def say_threshold(unbiased: pd.DataFrame, method: str) -> str:
    """One sentence on the threshold that gives the true area.

    Args:
        unbiased: From `unbiased_thresholds`; empty without true areas.
        method: Which method.

    Example:
        >>> table = pd.DataFrame({"subject": ["a", "b", "c"], "method": "m",
        ...     "threshold": [0.4, 0.6, None]})
        >>> say_threshold(table, "m")
        'Made binary, m has the true area at a threshold of 0.50 (mean, n = 2, range 0.40 to \
0.60); for 1 of 3 people at none of those tried.'
    """
    rows = unbiased[unbiased["method"] == method] if len(unbiased) else unbiased
    if rows.empty:
        return NO_TRUTH
    known = rows["threshold"].dropna()
    none = len(rows) - len(known)
    if known.empty:
        return f"Made binary, {method} has the true area of nobody at any of the thresholds tried."
    rest = f"; for {none} of {len(rows)} people at none of those tried" if none else ""
    return (
        f"Made binary, {method} has the true area at a threshold of {known.mean():.2f} (mean, "
        f"n = {len(known)}, range {known.min():.2f} to {known.max():.2f}){rest}."
    )


def say_losses(errors: pd.DataFrame) -> str:
    """One sentence on whether one loss gives larger volumes than another.

    Args:
        errors: `subject`, `method` (the loss) and `volume_error_percent` against what was learnt.
    """
    missing = {"adaptive_wing", "mean_squared_error"} - set(errors["method"])
    if missing:
        return f"No model of this run was trained with {' or '.join(sorted(missing))}."
    tests = compare_methods(
        errors, "volume_error_percent", pairs=[("mean_squared_error", "adaptive_wing")]
    )
    return say_comparison(
        tests,
        "mean_squared_error",
        "adaptive_wing",
        what="volume, relative to what the network learnt,",
        unit="%",
    )


def say_expected(biases: Mapping[str, float], loss: str = "adaptive_wing") -> str:
    """One sentence on the bias that follows from measured uncertainty.

    Args:
        biases: From `expected_biases`.
        loss: Which one.

    Example:
        >>> say_expected({"adaptive_wing": 3.2})
        'From the measured uncertainty alone, adaptive_wing was to be expected to be off by +3.2 %.'
    """
    bias = biases.get(loss, float("nan"))
    if np.isnan(bias):
        return "No model was there whose uncertainty could be measured."
    off = say_number(bias, signed=True)
    return f"From the measured uncertainty alone, {loss} was to be expected to be off by {off} %."


def say_resolutions(resolutions: pd.DataFrame, method: str) -> str:
    """One sentence on the coefficient of variation over voxel sizes, soft and binary.

    Args:
        resolutions: From `evaluate_resolutions`.
        method: Which method.
    """
    spread = resolution_spread(resolutions[resolutions["method"] == method])
    summary = summarise(spread, "cov_percent", by=("mask",)).set_index("mask")
    n = resolutions["resolution"].nunique()
    said = [
        f"{summary.loc[mask, 'mean']:.1f} % {mask}" if mask in summary.index else f"unknown {mask}"
        for mask in MASKS
    ]
    people = spread.dropna(subset=["cov_percent"])["subject"].nunique()
    return (
        f"Over {n} voxel sizes the area of {method} has a coefficient of variation of "
        f"{' and '.join(said)} (mean of {say_count(people)})."
    )


def say_uncertainty(table: pd.DataFrame, method: str) -> str:
    """One sentence on whether the spread between variants says more than the soft value does.

    Args:
        table: From `evaluate_uncertainty`.
        method: Which method.
    """
    rows = table[(table["method"] == method) & (table["status"] == "ok")] if len(table) else table
    names = {"edge_rank_correlation": "spread", "edge_softness_correlation": "value"}
    known = rows.dropna(subset=list(names)) if len(rows) else rows
    if known.empty:
        return NO_TRUTH
    long = known.melt("subject", list(names), var_name="method", value_name="rho")
    summary = summarise(long.assign(method=long["method"].map(names)), "rho").set_index("method")
    said = [
        say_number(row["mean"], 2)
        + (
            f" (95 % interval {say_range(row['ci_low'], row['ci_high'], 2)})"
            if row["n"] > 1
            else ""
        )
        for row in (summary.loc["spread"], summary.loc["value"])
    ]
    return (
        f"Among the soft voxels of {method} the rank correlation with the absolute error is "
        f"{said[0]} for the spread between variants and {said[1]} for the closeness of the value "
        f"to one half (mean, n = {say_count(summary.loc['spread', 'n'])})."
    )
