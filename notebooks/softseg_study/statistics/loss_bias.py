"""What a loss makes of uncertainty: the prediction that is best where the edge is uncertain.

A voxel is cord with probability p. Mean squared error and soft cross-entropy are smallest, on
average, at the prediction p: they are proper scoring rules (Gneiting and Raftery 2007,
doi:10.1198/016214506000001437). Adaptive Wing is none: its slope is steeper for a target of 1 than
for a target of 0 near the target, so the best prediction is not p. With `h(d, a) = a d^(a-1) /
(1 + d^a)`, the slope of `ln(1 + d^a)`, and the linear part's slopes `h(θ, α)` and `h(θ, α-1)`, the
expected loss `p L(q, 1) + (1-p) L(q, 0)` is stationary where

    (1-p) h(q, α) = p h(θ, α-1)          below one half,
    p h(1-q, α-1) = (1-p) h(θ, α)        above one half,

and the better of both is the best prediction. Since `h(d, 1.1)` grows like the tenth root of d,
the second solution is 1 but for a few hundredths. (θ = 1/2, ε = 1.)
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

ALPHA, THETA, OMEGA = 2.1, 0.5, 8.0


def adaptive_wing_value(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Adaptive Wing of each pair, θ = 1/2 and ε = 1 (Wang 2019, doi:10.1109/ICCV.2019.00707).

    Example:
        >>> float(adaptive_wing_value(0.1, 0.0).round(6)), float(adaptive_wing_value(0, 1).round(6))
        (0.063295, 5.862504)
    """
    error = np.abs(np.asarray(target, dtype=float) - prediction)
    power = ALPHA - np.asarray(target, dtype=float)
    at_theta = THETA**power
    slope = power * THETA ** (power - 1) / (1 + at_theta)
    linear = slope * (error - THETA) + np.log1p(at_theta)
    return OMEGA * np.where(error < THETA, np.log1p(error**power), linear)


def squared_error_value(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """`(q - y)²` of each pair."""
    return (np.asarray(prediction, dtype=float) - target) ** 2


def cross_entropy_value(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """`-y ln q - (1-y) ln(1-q)` of each pair; infinite where a certain prediction is wrong."""
    q, y = np.broadcast_arrays(np.asarray(prediction, dtype=float), np.asarray(target, dtype=float))
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(y > 0, -y * np.log(q), 0.0)
        return first + np.where(y < 1, -(1 - y) * np.log1p(-q), 0.0)


LOSS_VALUES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "adaptive_wing": adaptive_wing_value,
    "mean_squared_error": squared_error_value,
    "soft_cross_entropy": cross_entropy_value,
}


def best_prediction(probability: np.ndarray, loss: str = "adaptive_wing") -> np.ndarray:
    """Prediction of least expected loss where the target is 1 with a probability and else 0.

    Args:
        probability: Any shape, 0 to 1.
        loss: A key of `LOSS_VALUES`.

    Returns:
        The shape of `probability`: itself for a proper scoring rule.

    Example:
        >>> best_prediction([0.1, 0.4, 0.6], "adaptive_wing").round(2).tolist()
        [0.05, 0.27, 1.0]
    """
    p = np.asarray(probability, dtype=float)
    if loss not in LOSS_VALUES:
        raise ValueError(f"loss is one of {', '.join(LOSS_VALUES)}, found {loss!r}")
    if loss != "adaptive_wing":
        return p.copy()
    # Both equations give p for a q; beyond the maximum of h(d, α-1) there are no minima.
    fine = np.linspace(0, 1, 4001)
    low, high = THETA * fine, (ALPHA - 2) ** (1 / (ALPHA - 1)) * fine**10
    candidates = np.stack(
        [
            np.interp(p, _stationary(low, ALPHA, ALPHA - 1), low),
            1 - np.interp(1 - p, _stationary(high, ALPHA - 1, ALPHA), high),
        ]
    )
    at_one, at_zero = (adaptive_wing_value(candidates, target) for target in (1.0, 0.0))
    better = (p * at_one + (1 - p) * at_zero).argmin(axis=0)
    return np.take_along_axis(candidates, better[None], axis=0)[0]


def _stationary(d: np.ndarray, a: float, b: float) -> np.ndarray:
    """The probability at which `d` is stationary: `(1-p) h(d, a) = p h(θ, b)`."""
    here, linear = (x ** (c - 1) * c / (1 + x**c) for x, c in ((d, a), (THETA, b)))
    return here / (here + linear)


def area_bias_percent(
    loss: str = "adaptive_wing", *, radius_mm: float = 4.8, edge_sd_mm: float = 0.3
) -> float:
    """Bias of the soft area of a round cord whose edge is known to within an SD.

    The true radius is normal about `radius_mm`; a network that knows the distribution and nothing
    more predicts, at every distance from the centre, what is best for its loss. The area under
    those predictions is compared with the expected true area, π (r² + sd²).

    Args:
        loss: A key of `LOSS_VALUES`.
        radius_mm: Mean radius; 4.8 mm is a cord of 72 mm².
        edge_sd_mm: SD of the radius given the image.

    Returns:
        Per cent; 0 for a proper scoring rule.

    Example:
        >>> abs(area_bias_percent("mean_squared_error")) < 1e-6
        True
    """
    true_area = np.pi * (radius_mm**2 + edge_sd_mm**2)
    reach = min(8.0, radius_mm / edge_sd_mm)
    t = np.linspace(-reach, reach, 20_001)  # at r = radius + sd t, which is cord with sf(t)
    p = stats.norm.sf(t)
    excess = np.trapezoid((best_prediction(p, loss) - p) * (radius_mm + edge_sd_mm * t), t)
    return float(100 * 2 * np.pi * edge_sd_mm * excess / true_area)
