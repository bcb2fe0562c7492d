"""How many people a study needs to see an atrophy; tests hold it against simulated studies."""

from dataclasses import dataclass, field

import numpy as np
from scipy import optimize, stats

from softseg_study.statistics.agreement import mean_squares
from softseg_study.statistics.atrophy import Repeats

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
    """Where the spread of measured areas comes from, in mm².

    Attributes:
        mean_mm2: Mean area.
        subject_sd: SD between people at one visit.
        contrast_means_mm2: Mean area of each contrast minus the mean.
        residual_sd: SD within a person and contrast at one visit: each scan's own error and each
            person's own dependence on the contrast.
        visit_sd: SD between visits that all contrasts of a visit share; `nan` where not known.
        scan_sd: SD of each scan's own error, within `residual_sd`; `nan` where not known.
    """

    mean_mm2: float
    subject_sd: float
    contrast_means_mm2: tuple[float, ...] = field(repr=False)
    residual_sd: float
    visit_sd: float
    scan_sd: float

    @property
    def contrast_sd(self) -> float:
        """Sample SD of the contrasts' means."""
        return float(np.std(self.contrast_means_mm2, ddof=1))

    @property
    def own_sd(self) -> float:
        """Of one person's dependence on the contrast and a scan's error, which it holds."""
        return float(np.fmax(self.residual_sd, self.scan_sd))

    def measurement_sd(self, design: str) -> float:
        """SD of what a design compares: an area per person, or a change per person.

        Every change between two visits holds the visits' own error, whatever the contrasts.

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
            return float(np.sqrt(2 * (self.visit_sd**2 + self.scan_sd**2)))
        # Two different contrasts, drawn without replacement: E(difference²) = 2 S².
        bias = self.contrast_sd**2 if shared else 0.0
        return float(np.sqrt(2 * (self.visit_sd**2 + self.own_sd**2 + bias)))

    def covariates(self, design: str) -> int:
        """How many terms the analysis of a design has for contrasts."""
        adjusted = visits_and_contrasts(design)[1] == ADJUSTED
        return len(self.contrast_means_mm2) - 1 if adjusted else 0


def visits_and_contrasts(name: str) -> tuple[bool, str]:
    """Whether a design has two visits per person, and what it does about contrasts."""
    if name not in DESIGNS:
        raise ValueError(f"design is one of {'; '.join(DESIGNS)}, found {name!r}")
    return DESIGNS[name]


def components_of(x: np.ndarray, repeated: Repeats | None = None) -> Components:
    """Components of people measured in all contrasts at one visit, and of their repeats.

    Args:
        x: `(n, k)` areas of participants by contrasts.
        repeated: Of visits, as shares of the area; without them longitudinal designs have no SD.
            What is measured is used as it is. Where visits and scans could not be told apart, what
            the total exceeds `residual_sd` by is the visits'.
    """
    between, _, error = mean_squares(x)
    residual = float(np.sqrt(error))
    visit, scan = np.array(repeated or (np.nan, np.nan)) * x.mean()
    if np.isnan(visit) and not np.isnan(scan):
        visit = np.sqrt(max(0.0, scan**2 - error))
        scan = np.sqrt(scan**2 - visit**2)
    return Components(
        mean_mm2=float(x.mean()),
        subject_sd=float(np.sqrt(max(0.0, (between - error) / x.shape[1]))),
        contrast_means_mm2=tuple(float(m) for m in x.mean(axis=0) - x.mean()),
        residual_sd=residual,
        visit_sd=float(visit),
        scan_sd=float(scan),
    )


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
    other_side = np.nan_to_num(stats.nct.cdf(-limit, df, shift))  # `nan` below 1e-20
    return float(stats.nct.sf(limit, df, shift) + other_side)


def sample_size(
    effect: float, *, target_power: float = 0.8, alpha: float = 0.05, covariates: int = 0
) -> float:
    """Smallest number of people per arm that reaches a power; infinite without an effect above 0.

    `2 (z_{1-α/2} + z_{power})² / effect²` is where the search for the t-test's own number starts.

    Example:
        >>> sample_size(0.5), sample_size(0.0), sample_size(float("nan"))
        (64.0, inf, nan)
    """
    if np.isnan(effect):
        return np.nan
    if effect <= 0:
        return np.inf
    effect = min(effect, 1e6)  # measurements that do not vary at all show any atrophy
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(target_power)
    low, high = 2.0, max(4.0, 4 * (z / effect) ** 2 + 10 + 2 * covariates)

    def missing(n: float) -> float:
        return power(n, effect, alpha=alpha, covariates=covariates) - target_power

    if missing(low) >= 0:
        return 2.0
    return float(np.ceil(optimize.brentq(missing, low, high) - 1e-9))
