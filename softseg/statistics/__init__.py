"""Statistics that hold: variability, errors, tests, agreement, models and sample sizes."""

from softseg.statistics.comparison import (
    adjust,
    compare_methods,
    paired_test,
    rank_biserial,
    signed_rank_p,
    smallest_p,
)
from softseg.statistics.intervals import bootstrap_interval
from softseg.statistics.variability import (
    complete_cases,
    contrast_variability,
    csa_error,
    participant_means,
    summarise,
)

__all__ = [
    "adjust",
    "bootstrap_interval",
    "compare_methods",
    "complete_cases",
    "contrast_variability",
    "csa_error",
    "paired_test",
    "participant_means",
    "rank_biserial",
    "signed_rank_p",
    "smallest_p",
    "summarise",
]
