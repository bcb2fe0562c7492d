"""Is a value of 0.3 really 30 % cord? One number that makes it so, fitted where the truth is known.

A network works on its own grid and is paid for its own loss; brought back to the image's voxels,
its edge can come out wider or steeper than the volume that each voxel shares with the cord. A
temperature mends the width and leaves the edge, where the value is 0.5, in its place (Guo et al.
2017, doi:10.48550/arXiv.1706.04599). A shift besides would move the edge, and so every area.
"""

import numpy as np

LOWEST, HIGHEST = 0.2, 5.0


def at_temperature(soft: np.ndarray, temperature: float) -> np.ndarray:
    """Steepen (below 1) or flatten (above 1) the edge of a soft mask.

    The same as dividing the values' log odds by `temperature`, without infinite ones.

    Args:
        soft: Any shape, values in [0, 1]; 0, 0.5 and 1 stay what they are.
        temperature: Above 0; 1 changes nothing.

    Example:
        >>> at_temperature(np.array([0.0, 0.2, 0.5, 0.8, 1.0]), 0.5).round(3)
        array([0.   , 0.059, 0.5  , 0.941, 1.   ])
    """
    if temperature == 1:
        return soft
    changed = soft.copy()
    between = (soft > 0) & (soft < 1)
    values = soft[between].astype(np.float64)
    inside, outside = values ** (1 / temperature), (1 - values) ** (1 / temperature)
    changed[between] = inside / (inside + outside)
    return changed


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
    from scipy.optimize import minimize_scalar

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
