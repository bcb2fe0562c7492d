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
from scipy import integrate, optimize, stats

ALPHA, THETA, OMEGA = 2.1, 0.5, 8.0


def adaptive_wing_value(
    prediction: np.ndarray, target: np.ndarray, *, alpha: float = ALPHA
) -> np.ndarray:
    """Adaptive Wing of each pair, θ = 1/2 and ε = 1 (Wang 2019, doi:10.1109/ICCV.2019.00707).

    Example:
        >>> float(adaptive_wing_value(0.1, 0.0).round(6)), float(adaptive_wing_value(0, 1).round(6))
        (0.063295, 5.862504)
    """
    error = np.abs(np.asarray(target, dtype=float) - prediction)
    power = alpha - np.asarray(target, dtype=float)
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
    flat = [_best_adaptive_wing(float(value), ALPHA) for value in p.ravel()]
    return np.array(flat).reshape(p.shape)


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

    def ring(t: float) -> float:  # at r = radius + sd t, which is cord with probability sf(t)
        p = stats.norm.sf(t)
        return (float(best_prediction(p, loss)) - p) * (radius_mm + edge_sd_mm * t)

    reach = min(8.0, radius_mm / edge_sd_mm)
    jump = jump_probability() if loss == "adaptive_wing" else 0.5
    points = [stats.norm.isf(jump)]
    excess = integrate.quad(ring, -reach, reach, points=points, limit=200)[0]
    return float(100 * 2 * np.pi * edge_sd_mm * excess / true_area)


def jump_probability(alpha: float = ALPHA) -> float:
    """The probability at which Adaptive Wing's best prediction jumps from the low to the high side.

    Example:
        >>> round(jump_probability(), 3)
        0.509
    """
    return float(optimize.brentq(lambda p: _gain_of_high(p, alpha), 0.05, 0.95, xtol=1e-12))


def _best_adaptive_wing(p: float, alpha: float) -> float:
    if p <= 0 or p >= 1:
        return float(p >= 1)
    low, high = _low(p, alpha), _high(p, alpha)
    return min((low, high), key=lambda q: _risk(q, p, alpha))


def _gain_of_high(p: float, alpha: float) -> float:
    return _risk(_low(p, alpha), p, alpha) - _risk(_high(p, alpha), p, alpha)


def _risk(q: float, p: float, alpha: float) -> float:
    at_one, at_zero = adaptive_wing_value(q, np.array([1.0, 0.0]), alpha=alpha)
    return float(p * at_one + (1 - p) * at_zero)


def _low(p: float, alpha: float) -> float:
    """The stationary point below one half, or one half where there is none."""
    wanted = p / (1 - p) * _slope(THETA, alpha - 1)
    return _inverse_slope(wanted, alpha, THETA)


def _high(p: float, alpha: float) -> float:
    """The stationary point above one half, or one half where there is none."""
    wanted = (1 - p) / p * _slope(THETA, alpha)
    # Beyond its maximum the slope falls again: only the rising part holds minima.
    top = min(THETA, (alpha - 2) ** (1 / (alpha - 1))) if alpha > 2 else THETA
    return 1 - _inverse_slope(wanted, alpha - 1, top)


def _slope(d: float, a: float) -> float:
    return a * d ** (a - 1) / (1 + d**a)


def _inverse_slope(wanted: float, a: float, top: float) -> float:
    if wanted >= _slope(top, a):
        return THETA
    return float(optimize.brentq(lambda d: _slope(d, a) - wanted, 0.0, top, xtol=1e-15))
