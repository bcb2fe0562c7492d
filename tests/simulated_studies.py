"""Studies simulated person by person, which the formulas of the power have to agree with."""

import numpy as np
from scipy import stats

from softseg_study.statistics.studies import (
    ADJUSTED,
    ONE,
    Components,
    visits_and_contrasts,
)

CHUNK_VALUES = 200_000
"""People simulated at a time, so that memory stays small."""


def simulated_power(
    components: Components,
    atrophy_percent: float,
    design: str,
    n_per_arm: int,
    *,
    response: float = 1.0,
    n_studies: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Share of simulated studies that find the atrophy, with its 95 % interval.

    Every person gets an own size, every visit an own error and every measurement an own contrast
    where contrasts are mixed, so that the mixture is not assumed normal; the arms are compared by
    least squares, with a term for every contrast where the design adjusts for them.

    Args:
        components: Where the spread comes from.
        atrophy_percent: Of the patients' arm (of the change, in a longitudinal design).
        design: One of `DESIGNS`.
        n_per_arm: People in each arm.
        response: Share of a true loss that the method shows.
        n_studies: Studies simulated.
        seed: The result is a function of arguments and seed.

    Returns:
        Power, lower and upper end of Wilson's interval.
    """
    loss = components.mean_mm2 * response * atrophy_percent / 100
    step = max(1, CHUNK_VALUES // (2 * n_per_arm))
    found = 0
    for start in range(0, n_studies, step):
        rng = np.random.default_rng([seed, n_per_arm, int(1000 * atrophy_percent), start])
        shape = (min(step, n_studies - start), n_per_arm)
        arms = [_arm(components, rng, shape, loss * patients, design) for patients in (0, 1)]
        found += _found(arms, 0.05)
    interval = stats.binomtest(found, n_studies).proportion_ci(method="wilson")
    return found / n_studies, float(interval.low), float(interval.high)


def _arm(
    components: Components,
    rng: np.random.Generator,
    shape: tuple[int, int],
    loss_mm2: float,
    design: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Values of one arm `(studies, people)`, and contrasts' terms `(studies, people, k or 0)`."""
    longitudinal, contrasts = visits_and_contrasts(design)
    bias = np.asarray(components.contrast_means_mm2)
    first = rng.integers(bias.size, size=shape)
    each = np.eye(bias.size)
    if not longitudinal:
        spread = np.hypot(components.subject_sd, components.residual_sd)
        values, added, terms = rng.normal(-loss_mm2, spread, shape), bias[first], each[first]
    else:
        own = components.scan_sd if contrasts == ONE else components.own_sd
        sds = (components.visit_sd, components.visit_sd, own, own)
        values = sum(rng.normal(0, sd, shape) for sd in sds) - loss_mm2
        second = (first + rng.integers(1, bias.size, size=shape)) % bias.size
        added, terms = bias[second] - bias[first], each[second] - each[first]
    terms = terms if contrasts == ADJUSTED else terms[..., :0]
    return values + (0.0 if contrasts == ONE else added), terms


def _found(arms: list[tuple[np.ndarray, np.ndarray]], alpha: float) -> int:
    """Studies in which least squares with the arms' terms tells the arms apart."""
    y = np.concatenate([values for values, _ in arms], axis=1)  # (S, 2n)
    studies, people = y.shape
    arm = np.broadcast_to(np.repeat([0.0, 1.0], people // 2), y.shape)[..., None]
    terms = np.concatenate([terms for _, terms in arms], axis=1)
    # All contrasts' terms are dependent with the intercept; the pseudo-inverse shares that out.
    x = np.concatenate([arm, np.ones((studies, people, 1)), terms], axis=2)  # (S, 2n, k + 2)
    normal = x.transpose(0, 2, 1) @ x
    inverse = np.linalg.pinv(normal, hermitian=True)
    estimate = (inverse @ (x.transpose(0, 2, 1) @ y[..., None]))[..., 0]
    left = y - (x @ estimate[..., None])[..., 0]
    df = np.maximum(people - np.linalg.matrix_rank(normal, hermitian=True), 1)
    error = np.sqrt((left**2).sum(axis=1) / df * inverse[:, 0, 0])
    return int((np.abs(estimate[:, 0]) > stats.t.ppf(1 - alpha / 2, df) * error + 1e-12).sum())
