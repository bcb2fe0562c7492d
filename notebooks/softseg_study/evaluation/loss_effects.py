"""What each loss should make of uncertain voxels, and what the networks trained with it do."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from softseg.dataset.index import Dataset
from softseg_study.evaluation.calibration import (
    SCATTER_COLUMNS,
    evaluate_calibration,
    evaluate_scatter,
)
from softseg_study.evaluation.method_folders import seed_folders, separate_seeds
from softseg_study.statistics.calibration import pool_calibration
from softseg_study.statistics.loss_bias import LOSS_VALUES, best_prediction, best_prediction_for

LOSS_MODELS = {
    "adaptive_wing": "soft_all",
    "mean_squared_error": "soft_all_mean_squared_error",
    "soft_cross_entropy": "soft_all_cross_entropy",
    "soft_dice": "soft_all_dice",
    "dice_cross_entropy": "soft_all_dice_cross_entropy",
}
"""Loss → the model of `notebooks/scales/grid.yml` that differs from the proposal by it alone."""


def evaluate_losses(
    dataset: Dataset,
    reference: str = "labels_softseg",
    *,
    models: Mapping[str, str] = LOSS_MODELS,
    **options: object,
) -> pd.DataFrame:
    """`evaluate_calibration` of the models that differ by their loss, against what they learnt.

    Args:
        dataset: With the masks of those models that were trained.
        reference: `FOLDER` or `FOLDER:ENDING` of what they learnt.
        models: Loss → model.
        options: Of `evaluate_calibration`.

    Returns:
        Its columns, where `method` is the loss, and `seed`.
    """
    names = {model: loss for loss, model in models.items()}
    folders = seed_folders(dataset, names)
    table = separate_seeds(evaluate_calibration(dataset, folders, reference, **options))
    return table.assign(method=table["method"].map(names))


def evaluate_uncertain_voxels(
    dataset: Dataset,
    reference: str = "labels_softseg",
    *,
    models: Mapping[str, str] = LOSS_MODELS,
    sources: Sequence[str] = ("mean_squared_error", "soft_cross_entropy", "adaptive_wing"),
    **options: object,
) -> pd.DataFrame:
    """`evaluate_scatter` of the first model there is, best one whose loss is a proper scoring rule.

    Args:
        dataset: As in `evaluate_losses`.
        reference: As in `evaluate_losses`.
        models: Loss → model.
        sources: Losses by preference.
        options: Of `evaluate_scatter`.

    Returns:
        Its columns, where `method` is the loss; no rows without any of the models.
    """
    for loss in sources:
        folders = seed_folders(dataset, [models[loss]])
        if folders:
            return evaluate_scatter(dataset, folders, reference, **options).assign(method=loss)
    return pd.DataFrame(columns=SCATTER_COLUMNS)


def best_predictions(
    scatter: pd.DataFrame, loss: str = "adaptive_wing", *, by: Sequence[str] = ("contrast",)
) -> pd.DataFrame:
    """What a network that knows no more than a method should predict for the least loss.

    Args:
        scatter: From `evaluate_scatter`, one method.
        loss: A key of `LOSS_VALUES`.
        by: Within what uncertainty is taken; an image tells its contrast.

    Returns:
        The columns of `by`, `low`, `probability` (mean reference), `prediction` (best for the
        loss), `n_voxels`: one row a group and predicted bin.

    Example:
        >>> scatter = pd.DataFrame({"contrast": "T2w", "low": 0.5, "reference": [0.0, 1.0],
        ...     "n_voxels": [40, 60]})
        >>> best_predictions(scatter)[["probability", "prediction"]].round(2).to_numpy().tolist()
        [[0.6, 1.0]]
    """
    keys = [*by, "low"]
    pooled = scatter.groupby([*keys, "reference"], sort=True)["n_voxels"].sum().reset_index()
    rows = []
    for key, group in pooled.groupby(keys, sort=False):
        targets, weights = group["reference"].to_numpy(), group["n_voxels"].to_numpy(float)
        rows.append(
            dict(zip(keys, key, strict=True))
            | {
                "probability": float(np.average(targets, weights=weights)),
                "prediction": best_prediction_for(targets, weights, loss),
                "n_voxels": int(weights.sum()),
            }
        )
    return pd.DataFrame(rows, columns=[*keys, "probability", "prediction", "n_voxels"])


def expected_bias_percent(predictions: pd.DataFrame) -> float:
    """Bias of the soft volume that follows from `best_predictions`, in per cent.

    Example:
        >>> best = pd.DataFrame({"probability": [0.5], "prediction": [0.6], "n_voxels": [10]})
        >>> round(expected_bias_percent(best), 6)
        20.0
    """
    n = predictions["n_voxels"]
    expected = (predictions["probability"] * n).sum()
    excess = ((predictions["prediction"] - predictions["probability"]) * n).sum()
    return float(100 * excess / expected) if expected else float("nan")


def expected_biases(scatter: pd.DataFrame) -> dict[str, float]:
    """`expected_bias_percent` of every loss that has a closed form, from one method's scatter.

    Example:
        >>> scatter = pd.DataFrame({"contrast": "T2w", "low": 0.5, "reference": [0.0, 1.0],
        ...     "n_voxels": [40, 60]})
        >>> {loss: round(bias) for loss, bias in expected_biases(scatter).items()}
        {'adaptive_wing': 67, 'mean_squared_error': 0, 'soft_cross_entropy': 0}
    """
    return {loss: expected_bias_percent(best_predictions(scatter, loss)) for loss in LOSS_VALUES}


def prediction_curves(
    probability: np.ndarray, scatter: pd.DataFrame, *, loss: str = "adaptive_wing"
) -> dict[str, np.ndarray]:
    """Best predictions for `prediction_by_probability`: in theory, and for measured uncertainty.

    Args:
        probability: `(n,)`, 0 to 1.
        scatter: From `evaluate_uncertain_voxels`; all contrasts together.
        loss: Whose predictions under measured uncertainty are added.

    Returns:
        Loss → `(n,)` best predictions; `LOSS, measured uncertainty` is `nan` where no voxels lie.
    """
    curves = {name: best_prediction(probability, name) for name in LOSS_VALUES}
    if len(scatter):
        best = best_predictions(scatter, loss, by=()).sort_values("probability")
        curves[f"{loss}, measured uncertainty"] = np.interp(
            probability, best["probability"], best["prediction"], left=np.nan, right=np.nan
        )
    return curves


def measured_predictions(learnt: pd.DataFrame, *, least_voxels: int = 200) -> pd.DataFrame:
    """What trained networks predict where the reference holds a share of cord on average.

    Args:
        learnt: From `evaluate_losses`.
        least_voxels: Bins with fewer say little and are left out.

    Returns:
        `loss`, `probability` (mean reference), `prediction` (mean prediction) of every bin.
    """
    pooled = pool_calibration(learnt, by=("method",))
    pooled = pooled[pooled["n_voxels"] >= least_voxels]
    names = {"method": "loss", "truth": "probability", "predicted": "prediction"}
    return pooled.rename(columns=names)[list(names.values())].reset_index(drop=True)
