"""How many people a study needs to see an atrophy, by formula and by simulation."""

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import optimize, stats

from softseg_study.statistics.agreement import mean_squares

ONE, MIXED, ADJUSTED = "one", "mixed", "adjusted"
DESIGNS = {
    "cross-sectional, one contrast": (False, ONE),
    "cross-sectional, mixed contrasts": (False, MIXED),
    "cross-sectional, mixed, adjusted": (False, ADJUSTED),
    "longitudinal, same contrast": (True, ONE),
    "longitudinal, different contrasts": (True, MIXED),
    "longitudinal, different, adjusted": (True, ADJUSTED),
}
"""Design → (two visits per person, what is done about contrasts).

Contrasts are one and the same for everybody (`one`), drawn at random over people or visits
(`mixed`), or drawn at random and then taken for what they are: the analysis has a term for every
contrast (`adjusted`), which removes what all people share and leaves what is each person's own.
"""


@dataclass(frozen=True)
class Components:
    """Where the spread of measured areas comes from.

    Attributes:
        mean_mm2: Mean area.
        subject_sd: SD between people.
        contrast_means_mm2: Mean area of each contrast minus the mean.
        residual_sd: SD of what is left within a person and contrast between people's pattern:
            noise and each person's own dependence on the contrast.
        rescan_sd: SD of repeated scans of one person in one contrast; at most `residual_sd`.
    """

    mean_mm2: float
    subject_sd: float
    contrast_means_mm2: tuple[float, ...] = field(repr=False)
    residual_sd: float
    rescan_sd: float

    @property
    def contrast_sd(self) -> float:
        """Sample SD of the contrasts' means."""
        return float(np.std(self.contrast_means_mm2, ddof=1))

    def measurement_sd(self, design: str) -> float:
        """SD of what a design compares: an area per person, or a change per person.

        Raises:
            ValueError: If the design is none of `DESIGNS`.
        """
        longitudinal, contrasts = visits_and_contrasts(design)
        shared = contrasts == MIXED
        if not longitudinal:
            # A contrast drawn for each person: the spread of all means about their mean.
            bias = np.var(self.contrast_means_mm2) if shared else 0.0
            return float(np.sqrt(self.subject_sd**2 + self.residual_sd**2 + bias))
        if contrasts == ONE:
            return float(np.sqrt(2) * self.rescan_sd)
        # Two different contrasts, drawn without replacement: E(difference²) = 2 S².
        bias = self.contrast_sd**2 if shared else 0.0
        return float(np.sqrt(2 * (self.residual_sd**2 + bias)))

    def covariates(self, design: str) -> int:
        """How many terms the analysis of a design has for contrasts."""
        _, contrasts = visits_and_contrasts(design)
        return len(self.contrast_means_mm2) - 1 if contrasts == ADJUSTED else 0


def visits_and_contrasts(name: str) -> tuple[bool, str]:
    """Whether a design has two visits per person, and what it does about contrasts."""
    if name not in DESIGNS:
        raise ValueError(f"design is one of {'; '.join(DESIGNS)}, found {name!r}")
    return DESIGNS[name]


def components_of(x: np.ndarray, rescan_sd: float | None = None) -> Components:
    """Components of a complete table `(n, k)` of participants by contrasts."""
    between, _, error, _ = mean_squares(x)
    residual = float(np.sqrt(error))
    return Components(
        mean_mm2=float(x.mean()),
        subject_sd=float(np.sqrt(max(0.0, (between - error) / x.shape[1]))),
        contrast_means_mm2=tuple(float(m) for m in x.mean(axis=0) - x.mean()),
        residual_sd=residual,
        rescan_sd=residual if rescan_sd is None else min(float(rescan_sd), residual),
    )


MOST_SIMULATED = 5_000
"""People per arm up to which studies are simulated."""
CHUNK_VALUES = 200_000
"""People simulated at a time, so that memory stays small."""


def power(n_per_arm: float, effect: float, *, alpha: float = 0.05, covariates: int = 0) -> float:
    """Power of the two-sided two-sample t-test at a standardised effect.

    Covariates that are spread over both arms by chance cost one degree of freedom each, and their
    chance imbalance widens the variance of the difference by `1 + c / (2 n - c - 3)` on average.

    Args:
        n_per_arm: People in each of two arms, 2 or more.
        effect: Difference of means in units of the SD that the covariates leave.
        alpha: Level of the test.
        covariates: Terms of the analysis beside the arm.
    """
    df = 2 * n_per_arm - 2 - covariates
    if df < 1 or (covariates and df < 2):
        return 0.0
    lost = 1 + covariates / (df - 1) if covariates else 1.0
    shift = abs(effect) * np.sqrt(n_per_arm / 2 / lost)
    limit = stats.t.ppf(1 - alpha / 2, df)
    if shift > 30:  # the noncentral t loses its digits where power is 1 anyway
        return 1.0
    other_side = stats.nct.cdf(-limit, df, shift)
    if np.isnan(other_side):  # SciPy's value where it is below 1e-20
        other_side = 0.0
    return float(stats.nct.sf(limit, df, shift) + other_side)


def sample_size(
    effect: float, *, target_power: float = 0.8, alpha: float = 0.05, covariates: int = 0
) -> int:
    """Smallest number of people per arm that reaches a power.

    `2 (z_{1-α/2} + z_{power})² / effect²` is where the search for the t-test's own number starts.

    Example:
        >>> sample_size(0.5)
        64
    """
    if not effect:
        raise ValueError("no number of people shows an effect of zero")
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(target_power)
    guess = 2 * (z / effect) ** 2
    low, high = 2.0, max(4.0, 2 * guess + 10 + 2 * covariates)

    def missing(n: float) -> float:
        return power(n, effect, alpha=alpha, covariates=covariates) - target_power

    if missing(low) >= 0:
        return 2
    return int(np.ceil(optimize.brentq(missing, low, high) - 1e-9))


def size_of_effect(change: float, sd: float, **options: float) -> float:
    """`sample_size` of a change and its SD; infinity where nothing changes for the smaller."""
    if not change > 0:
        return math.inf
    # Measurements that do not vary at all, as in a resample of one person, show any atrophy.
    return float(sample_size(change / max(sd, 1e-9), **options))


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

    Every person gets an own size, every measurement an own contrast where contrasts are mixed, so
    that the mixture is not assumed normal; the arms are compared with Student's t-test, or by
    least squares with a term for every contrast where the design adjusts for them.

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
        if visits_and_contrasts(design)[1] == ADJUSTED:
            found += _found_with_terms(arms, 0.05)
        else:
            found += _found(arms[0][0], arms[1][0], 0.05)
    interval = stats.binomtest(found, n_studies).proportion_ci(method="wilson")
    return found / n_studies, float(interval.low), float(interval.high)


def _arm(
    components: Components,
    rng: np.random.Generator,
    shape: tuple[int, int],
    loss_mm2: float,
    design: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Values of one arm `(studies, people)`, and contrasts' terms `(studies, people, k)`."""
    longitudinal, contrasts = visits_and_contrasts(design)
    bias = np.asarray(components.contrast_means_mm2)
    first = rng.integers(bias.size, size=shape)
    terms = np.zeros((*shape, 0))
    if not longitudinal:
        spread = np.hypot(components.subject_sd, components.residual_sd)
        values = rng.normal(-loss_mm2, spread, shape)
        added = bias[first]
    else:
        sd = components.rescan_sd if contrasts == ONE else components.residual_sd
        values = rng.normal(0, sd, shape) - rng.normal(0, sd, shape) - loss_mm2
        second = (first + rng.integers(1, bias.size, size=shape)) % bias.size
        added = bias[second] - bias[first]
    if contrasts == ADJUSTED:
        each = np.eye(bias.size)
        terms = each[second] - each[first] if longitudinal else each[first]
    return values + (0.0 if contrasts == ONE else added), terms


def _found(controls: np.ndarray, patients: np.ndarray, alpha: float) -> int:
    """Studies in which Student's test, written out, tells the arms apart."""
    # Arms that do not vary (a method that is exact) are no error.
    n = controls.shape[1]
    limit = stats.t.ppf(1 - alpha / 2, 2 * n - 2)
    error = np.sqrt((controls.var(axis=1, ddof=1) + patients.var(axis=1, ddof=1)) / n)
    apart = np.abs(controls.mean(axis=1) - patients.mean(axis=1))
    return int((apart > limit * error).sum())


def _found_with_terms(arms: list[tuple[np.ndarray, np.ndarray]], alpha: float) -> int:
    """Studies in which least squares with a term for every contrast tells the arms apart."""
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
    df = people - np.linalg.matrix_rank(normal, hermitian=True)
    known = df > 0
    error = np.sqrt((left**2).sum(axis=1) / np.maximum(df, 1) * inverse[:, 0, 0])
    limit = stats.t.ppf(1 - alpha / 2, np.maximum(df, 1))
    return int((known & (np.abs(estimate[:, 0]) > limit * error)).sum())
