"""Statistics that hold: variability, errors, tests, agreement, models and sample sizes."""

from softseg.statistics.agreement import bland_altman, concordance, contrast_agreement, icc
from softseg.statistics.comparison import (
    adjust,
    compare_methods,
    paired_test,
    rank_biserial,
    signed_rank_p,
    smallest_p,
)
from softseg.statistics.intervals import bootstrap_interval
from softseg.statistics.models import MixedModel, mixed_model, repeated_measures_anova
from softseg.statistics.variability import (
    complete_cases,
    contrast_variability,
    csa_error,
    participant_means,
    summarise,
)

__all__ = [
    "MixedModel",
    "adjust",
    "bland_altman",
    "bootstrap_interval",
    "compare_methods",
    "complete_cases",
    "concordance",
    "contrast_agreement",
    "contrast_variability",
    "csa_error",
    "icc",
    "mixed_model",
    "paired_test",
    "participant_means",
    "rank_biserial",
    "repeated_measures_anova",
    "signed_rank_p",
    "smallest_p",
    "summarise",
]
