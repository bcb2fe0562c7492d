"""How well soft values are calibrated."""

import numpy as np
import pandas as pd

from softseg.metrics.volumes import soft_pair


def calibration_table(
    prediction: np.ndarray, truth: np.ndarray, *, n_bins: int = 10, background: bool = False
) -> pd.DataFrame:
    """Is a value of 0.3 really 30 % cord? Mean truth of the voxels in each bin of predictions.

    Args:
        prediction: Any shape, fractions in [0, 1].
        truth: Same shape, true fractions in [0, 1].
        n_bins: Bins of equal width; the last one includes 1.
        background: Count voxels where both are 0 too; they are most of an image, and right.

    Returns:
        One row a bin: `bin` (0-based), `low`, `high`, `n_voxels`, `predicted` and `truth` (means,
        `nan` in an empty bin), `truth_sd` (population SD of the truth within the bin).

    Raises:
        ValueError: If shapes differ, values leave [0, 1] or there is no bin.

    Example:
        >>> calibration_table(np.array([0.2, 0.4, 0.9]), np.array([0.1, 0.3, 1.0]), n_bins=2)
           bin  low  high  n_voxels  predicted  truth  truth_sd
        0    0  0.0   0.5         2        0.3    0.2       0.1
        1    1  0.5   1.0         1        0.9    1.0       0.0
    """
    if n_bins < 1:
        raise ValueError(f"at least one bin is needed, found {n_bins}")
    prediction, truth = soft_pair(prediction, truth)
    counted = np.ones(prediction.shape, bool) if background else (prediction > 0) | (truth > 0)
    predicted, true = prediction[counted].astype(float), truth[counted].astype(float)
    index = np.minimum((predicted * n_bins).astype(int), n_bins - 1)
    n = np.bincount(index, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        mean_predicted = np.bincount(index, predicted, n_bins) / n
        mean_true = np.bincount(index, true, n_bins) / n
        spread = np.bincount(index, (true - mean_true[index]) ** 2, n_bins) / n
    edges = np.arange(n_bins + 1) / n_bins
    return pd.DataFrame(
        {
            "bin": np.arange(n_bins),
            "low": edges[:-1],
            "high": edges[1:],
            "n_voxels": n,
            "predicted": mean_predicted,
            "truth": mean_true,
            "truth_sd": np.sqrt(spread),
        }
    )


def calibration_error(table: pd.DataFrame) -> float:
    """Expected calibration error: the mean of |predicted - truth| over bins, weighted by voxels.

    Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602, with fractions in place of outcomes.

    Args:
        table: From `calibration_table` or `pool_calibration`.

    Returns:
        0 to 1; `nan` without a voxel.

    Example:
        >>> calibration_error(calibration_table(np.array([0.2, 0.8]), np.array([0.3, 0.8])))
        0.05
    """
    n = table["n_voxels"].to_numpy()
    if not n.sum():
        return float("nan")
    apart = (table["predicted"] - table["truth"]).abs().fillna(0.0).to_numpy()
    return float(np.round((apart * n).sum() / n.sum(), 12))


def pool_calibration(tables: pd.DataFrame, by: tuple[str, ...] = ()) -> pd.DataFrame:
    """Join the calibration tables of many images as if their voxels had been counted together.

    Args:
        tables: Rows of `calibration_table`, stacked, with the columns of `by` besides.
        by: Columns that keep tables apart, for example `("method",)`.

    Returns:
        `calibration_table`'s columns, one row for each group and bin.
    """
    keys = [*by, "bin", "low", "high"]
    filled = tables.fillna({"predicted": 0.0, "truth": 0.0, "truth_sd": 0.0})
    n = filled["n_voxels"]
    sums = filled[keys].assign(
        n_voxels=n,
        predicted=filled["predicted"] * n,
        truth=filled["truth"] * n,
        square=(filled["truth_sd"] ** 2 + filled["truth"] ** 2) * n,
    )
    pooled = sums.groupby(keys, sort=False, as_index=False).sum()
    total = pooled["n_voxels"].replace(0, np.nan)
    pooled["predicted"] /= total
    pooled["truth"] /= total
    variance = pooled.pop("square") / total - pooled["truth"] ** 2
    return pooled.assign(truth_sd=np.sqrt(variance.clip(lower=0)))
