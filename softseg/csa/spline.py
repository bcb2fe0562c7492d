"""The smoothing spline of a centreline: how stiff it is, and how that follows from the centres."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SLAB_MEAN = np.array([1.0, 76.0, 230.0, 76.0, 1.0]) / 384
"""Cubic B-splines at knots -2 to 2 averaged over a slice: the quartic B-spline."""
SIZE_MM2 = 70.0
"""Size of the cord whose bending is described."""
_BANDS = 5
_BLOCK = 16
"""Rows that are eliminated at once."""


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


BENDING = Bending()


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
    used: np.ndarray,
    noise_mm: float,
    thickness_mm: float,
    bending: Bending,
    *,
    scales: tuple[float, ...] = (1.0,),
    noises: tuple[float, ...] = (1.0,),
    alike: float = 1.0,
) -> Callable[[np.ndarray], np.ndarray]:
    """The map from the centres of used slices `(m, d)` to coefficients `(n + 4, d)`.

    It is the most probable curve given centres of that noise, each the mean of the curve over its
    slice, and the expectations of `bending`: a penalised least-squares fit on slope, second and
    third derivative. With several `scales` or `noises` it is the mean of theirs, each weighed by
    its evidence, the probability of these centres if it held (MacKay 1992,
    doi:10.1162/neco.1992.4.3.415).

    Args:
        used: `(n,)` which slices have a centre.
        noise_mm: Standard deviation of a centre.
        thickness_mm: Distance between slices.
        bending: What is expected of a cord.
        scales: How many times as much it may bend.
        noises: How many times as noisy the centres may be.
        alike: How many neighbouring centres say no more than one, being wrong alike.
    """
    n, rows, step = used.size, np.flatnonzero(used), thickness_mm
    if rows.size < 2:
        return lambda centres_mm: np.tile(centres_mm.mean(axis=0), (n + 4, 1))
    scale, noise = (axis.ravel() for axis in np.meshgrid(scales, noises, indexing="ij"))
    precision = 1 / ((noise_mm * noise) ** 2 * alike)
    spread = bending.curvature_per_mm**2 * min(bending.length_mm, n * step)
    change = step**5 * bending.change**2
    bends = _normal_bands(np.array([1.0, -2.0, 1.0]), np.ones(n + 2), n + 4) / (step**3 * spread)
    bends += _normal_bands(np.array([-1.0, 3.0, -3.0, 1.0]), np.ones(n + 1), n + 4) / change
    seen = _normal_bands(SLAB_MEAN, used.astype(float), n + 4)
    tilt = np.zeros((n + 4, 1))  # from one end to the other
    tilt[[0, -1], 0] = np.array([-1, 1]) / ((n + 3) * step * bending.slope)
    bands = np.multiply.outer(precision, seen) + np.multiply.outer(1 / scale**2, bends)
    solve, size = _banded_solver(bands)
    by_tilt = solve(np.broadcast_to(tilt, (scale.size, *tilt.shape)))
    tilted = 1 + (tilt * by_tilt).sum(axis=(1, 2))
    size = size + 0.5 * np.log(tilted) + (n + 2) * np.log(scale)

    def coefficients(centres_mm: np.ndarray) -> np.ndarray:
        level = centres_mm.mean(axis=0)
        apart = centres_mm - level
        sums = np.zeros((n + 4, apart.shape[1]))
        for j, weight in enumerate(SLAB_MEAN):
            sums[rows + j] += weight * apart
        curves = solve(np.multiply.outer(precision, sums))
        curves -= by_tilt @ (tilt.T @ curves) / tilted[:, None, None]
        misfit = precision * ((apart**2).sum() - (sums * curves).sum(axis=(1, 2)))
        freedom = 0.5 * rows.size * np.log(precision)
        evidence = (apart.shape[1] * (freedom - size) - 0.5 * misfit) / alike
        shares = np.exp(evidence - evidence.max())
        return level + np.tensordot(shares / shares.sum(), curves, axes=1)

    return coefficients


def _banded_solver(bands: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Solve many positive definite systems of one band width by Cholesky's method in blocks.

    SciPy has the same for one system, at 0.1 s of start-up.

    Args:
        bands: `(M, 5, n)` diagonals 0 to 4.

    Returns:
        From `(M, n, d)` right-hand sides to solutions, and `(M,)` half the logarithms of the
        determinants.

    Example:
        >>> bands = np.zeros((1, 5, 3)); bands[0, 0] = 4; bands[0, 1, :2] = 2
        >>> solve, size = _banded_solver(bands)
        >>> solve(np.array([[[8.0], [16], [16]]])).ravel().round(9), np.exp(2 * size).round(9)
        (array([1., 2., 3.]), array([32.]))
    """
    n, count = bands.shape[2], -(-bands.shape[2] // _BLOCK)
    end = count * _BLOCK - n
    filled = np.pad(bands, ((0, 0), (0, 0), (0, end)))
    filled[:, 0, n:] = 1.0
    i, j = np.indices((2 * _BLOCK, _BLOCK))
    inside = (i >= j) & (i < j + _BANDS)
    filled = filled.reshape(len(bands), _BANDS, count, _BLOCK)
    blocks = filled[:, np.where(inside, i - j, 0), :, j] * inside[..., None, None]
    lower, below = [], []  # of each block: on the diagonal, and what it takes from the next
    for block in blocks.transpose(3, 2, 0, 1):
        own = block[:, :_BLOCK] - (below[-1] @ below[-1].swapaxes(1, 2) if below else 0)
        lower.append(np.linalg.cholesky(own))
        below.append(np.linalg.solve(lower[-1], block[:, _BLOCK:].swapaxes(1, 2)).swapaxes(1, 2))

    def solve(right: np.ndarray) -> np.ndarray:
        whole = np.zeros((len(right), count * _BLOCK, right.shape[2]))
        whole[:, :n] = right
        parts = whole.reshape(len(right), count, _BLOCK, -1).swapaxes(0, 1)
        for k in range(count):
            rest = parts[k] - (below[k - 1] @ parts[k - 1] if k else 0)
            parts[k] = np.linalg.solve(lower[k], rest)
        for k in reversed(range(count)):
            rest = parts[k] - (below[k].swapaxes(1, 2) @ parts[k + 1] if k + 1 < count else 0)
            parts[k] = np.linalg.solve(lower[k].swapaxes(1, 2), rest)
        return whole[:, :n]

    size = sum(np.log(np.diagonal(each, axis1=1, axis2=2)).sum(axis=1) for each in lower)
    return solve, size


def _normal_bands(kernel: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """Diagonals 0 to 4 of Σ weight · row rowᵀ, whose rows are `kernel` shifted by one each."""
    bands = np.zeros((_BANDS, size))
    for i, left in enumerate(kernel):
        for j in range(i, kernel.size):
            bands[j - i, i : i + weights.size] += weights * left * kernel[j]
    return bands
