"""Cubic splines over evenly spaced slices: their basis, and the penalised fit of slab means."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SLAB_MEAN = np.array([1.0, 76.0, 230.0, 76.0, 1.0]) / 384
"""Cubic B-splines at knots -2 to 2 averaged over a slice: the quartic B-spline."""
SIZE_MM2 = 70.0
"""Size of the cord whose bending is described."""
_DENSE = 400
_BANDS = 5


@dataclass(frozen=True)
class Bending:
    """How a cord of 70 mm² runs: what the fit expects before it sees a centre.

    Attributes:
        slope: Standard deviation of the mean tilt, as a tangent.
        curvature_per_mm: Standard deviation of the curvature.
        length_mm: How far along the cord its curvature stays alike.
        change: Square root of the spectral density of the curvature's change along the cord, in
            mm^-1.5: large enough to follow a wave of 4 mm amplitude and 60 mm period.
    """

    slope: float = 0.4
    curvature_per_mm: float = 0.04
    length_mm: float = 20.0
    change: float = 5e-3

    def of_size(self, area_mm2: float) -> "Bending":
        """The same for a cord of another size: thinner ones bend more tightly.

        Nothing but the voxels sets a scale then, so areas grow exactly with the square of lengths.

        Example:
            >>> Bending().of_size(4 * 70.0).length_mm
            40.0
        """
        ratio = math.sqrt(area_mm2 / SIZE_MM2)
        return Bending(
            slope=self.slope,
            curvature_per_mm=self.curvature_per_mm / ratio,
            length_mm=self.length_mm * ratio,
            change=self.change / ratio**1.5,
        )


def basis(offset: float | np.ndarray) -> np.ndarray:
    """Cubic B-splines at knots -2 to 2 and their first and second derivatives.

    Args:
        offset: Distance from the middle knot in slices, from -0.5 to 0.5; any shape.

    Returns:
        `(3, …, 5)`.

    Example:
        >>> basis(0.0)[0] * 6
        array([0., 1., 4., 1., 0.])
    """
    distance = np.asarray(offset, dtype=float)[..., None] - np.arange(-2, 3)
    away, sign = np.abs(distance), np.sign(distance)
    inner, tail = away < 1, np.maximum(2 - away, 0.0)
    value = np.where(inner, 2 / 3 - away**2 + away**3 / 2, tail**3 / 6)
    first = sign * np.where(inner, 1.5 * away**2 - 2 * away, -(tail**2) / 2)
    second = np.where(inner, 3 * away - 2, tail)
    return np.stack([value, first, second])


def smoother(
    used: np.ndarray, noise_mm: float, thickness_mm: float, bending: Bending
) -> Callable[[np.ndarray], np.ndarray]:
    """The linear map from the centres of used slices `(m, d)` to coefficients `(n + 4, d)`.

    It is the most probable curve given centres of that noise, each the mean of the curve over its
    slice, and the expectations of `bending`: a penalised least-squares fit on slope, second and
    third derivative.

    Args:
        used: `(n,)` which slices have a centre.
        noise_mm: Standard deviation of a centre.
        thickness_mm: Distance between slices.
        bending: What is expected of a cord.
    """
    n, rows, step = used.size, np.flatnonzero(used), thickness_mm
    precision = 1 / noise_mm**2
    spread = bending.curvature_per_mm**2 * min(bending.length_mm, n * step)
    bands = precision * _normal_bands(SLAB_MEAN, used.astype(float), n + 4)
    bands += _normal_bands(np.array([1.0, -2.0, 1.0]), np.ones(n + 2), n + 4) / (step**3 * spread)
    change = step**5 * bending.change**2
    bands += _normal_bands(np.array([-1.0, 3.0, -3.0, 1.0]), np.ones(n + 1), n + 4) / change
    solve = _solve_dense if n <= _DENSE else _solve_banded
    mean_rise = 1 / ((n + 3) * step * bending.slope)

    def coefficients(centres_mm: np.ndarray) -> np.ndarray:
        right = np.zeros((n + 4, centres_mm.shape[1]))
        for j, weight in enumerate(SLAB_MEAN):
            right[rows + j] += precision * weight * centres_mm
        return solve(bands, right, mean_rise)

    return coefficients


def _normal_bands(kernel: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """Diagonals 0 to 4 of Σ weight · row rowᵀ, whose rows are `kernel` shifted by one each."""
    bands = np.zeros((_BANDS, size))
    for i, left in enumerate(kernel):
        for j in range(i, kernel.size):
            bands[j - i, i : i + weights.size] += weights * left * kernel[j]
    return bands


def _solve_dense(bands: np.ndarray, right: np.ndarray, mean_rise: float) -> np.ndarray:
    size = bands.shape[1]
    system = np.diag(bands[0])
    for d in range(1, _BANDS):
        diagonal = bands[d, : size - d]
        system.ravel()[d : (size - d) * size : size + 1] = diagonal
        system.ravel()[d * size :: size + 1] = diagonal
    system[[0, 0, -1, -1], [0, -1, 0, -1]] += mean_rise**2 * np.array([1, -1, -1, 1])
    return np.linalg.solve(system, right)


def _solve_banded(bands: np.ndarray, right: np.ndarray, _mean_rise: float) -> np.ndarray:
    # So many slices say all there is to say about the mean tilt. Imported here: 0.1 s at start-up.
    from scipy.linalg import solveh_banded

    return solveh_banded(bands, right, lower=True)
