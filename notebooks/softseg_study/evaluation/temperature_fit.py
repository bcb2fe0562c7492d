"""The temperature of a network's soft values, fitted where the truth is known."""

import numpy as np
from scipy.optimize import minimize_scalar

from softseg.segmentation.temperature import at_temperature

LOWEST, HIGHEST = 0.2, 5.0


def fit_temperature(soft: np.ndarray, truth: np.ndarray) -> float:
    """The temperature at which soft values come closest to true fractions, by mean square.

    Args:
        soft: Predictions in [0, 1], any shape.
        truth: True fractions, the same shape.

    Returns:
        Between 0.2 and 5.

    Raises:
        ValueError: If shapes differ, or no value lies between 0 and 1.

    Example:
        >>> truth = np.linspace(0.01, 0.99, 99)
        >>> round(fit_temperature(at_temperature(truth, 2.0), truth), 3)
        0.5
    """
    if soft.shape != truth.shape:
        raise ValueError(f"soft values and truth differ in shape: {soft.shape}, {truth.shape}")
    between = (soft > 0) & (soft < 1)
    if not between.any():
        raise ValueError("no value lies between 0 and 1: there is no edge to change")
    values, true = soft[between].astype(np.float64), truth[between].astype(np.float64)

    def apart(logarithm: float) -> float:
        return float(((at_temperature(values, np.exp(logarithm)) - true) ** 2).mean())

    found = minimize_scalar(apart, bounds=np.log([LOWEST, HIGHEST]), method="bounded")
    return float(np.exp(found.x))
