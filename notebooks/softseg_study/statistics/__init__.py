"""Statistics that hold: variability, errors, tests, agreement, models and sample sizes."""

from softseg_study.statistics.agreement import bland_altman, concordance, contrast_agreement, icc
from softseg_study.statistics.atrophy import atrophy_response, measured_atrophy, visit_fits
from softseg_study.statistics.comparison import (
    adjust,
    compare_methods,
    compare_units,
    paired_test,
    rank_biserial,
    signed_rank_p,
    smallest_p,
)
from softseg_study.statistics.components import DESIGNS, Components, repeat_sd, variance_components
from softseg_study.statistics.intervals import bootstrap_interval
from softseg_study.statistics.loss_bias import (
    area_bias_percent,
    best_prediction,
    best_prediction_for,
)
from softseg_study.statistics.models import (
    MixedModel,
    anova_by_method,
    mixed_model,
    repeated_measures_anova,
)
from softseg_study.statistics.studies import power, sample_size, simulated_power, study_size
from softseg_study.statistics.study_table import contrast_cost, sample_size_table
from softseg_study.statistics.tracking import area_tracking
from softseg_study.statistics.variability import (
    complete_cases,
    contrast_variability,
    csa_error,
    participant_means,
    summarise,
)

__all__ = [
    "DESIGNS",
    "Components",
    "MixedModel",
    "adjust",
    "anova_by_method",
    "area_bias_percent",
    "area_tracking",
    "atrophy_response",
    "best_prediction",
    "best_prediction_for",
    "bland_altman",
    "bootstrap_interval",
    "compare_methods",
    "compare_units",
    "complete_cases",
    "concordance",
    "contrast_agreement",
    "contrast_cost",
    "contrast_variability",
    "csa_error",
    "icc",
    "measured_atrophy",
    "mixed_model",
    "paired_test",
    "participant_means",
    "power",
    "rank_biserial",
    "repeat_sd",
    "repeated_measures_anova",
    "sample_size",
    "sample_size_table",
    "signed_rank_p",
    "simulated_power",
    "smallest_p",
    "study_size",
    "summarise",
    "variance_components",
    "visit_fits",
]
