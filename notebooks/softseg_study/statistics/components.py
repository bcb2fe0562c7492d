"""Where the spread of measured areas comes from.

The area of person i in contrast c at a visit is `mean + person_i + contrast_c + residual`. A method
that depends on the contrast has a large `contrast` part, which cancels only where everybody is
scanned with one contrast.
"""

from dataclasses import dataclass, field

import numpy as np

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
        person_sd: SD between people.
        contrast_means_mm2: Mean area of each contrast minus the mean.
        residual_sd: SD of what is left within a person and contrast between people's pattern:
            noise and each person's own dependence on the contrast.
        rescan_sd: SD of repeated scans of one person in one contrast; at most `residual_sd`.
    """

    mean_mm2: float
    person_sd: float
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
            return float(np.sqrt(self.person_sd**2 + self.residual_sd**2 + bias))
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
        person_sd=float(np.sqrt(max(0.0, (between - error) / x.shape[1]))),
        contrast_means_mm2=tuple(float(m) for m in x.mean(axis=0) - x.mean()),
        residual_sd=residual,
        rescan_sd=residual if rescan_sd is None else min(float(rescan_sd), residual),
    )
