"""Masks of all methods → tidy tables: areas, overlap, calibration, doubt, ablations.

What is measured under changed conditions and on real images lies in modules of its own:
`softseg_study.evaluation.generalisation`, `conditions`, `condition_tables`, `manual` and `real`.
"""

from softseg_study.evaluation.ablation import compare_factors, contrasts_learnt
from softseg_study.evaluation.areas import (
    evaluate_csa,
    evaluate_profile,
    evaluate_thresholds,
    evaluate_variants,
)
from softseg_study.evaluation.comparison import (
    area_errors,
    mean_areas,
    method_agreement,
    method_errors,
    site_effects,
)
from softseg_study.evaluation.factors import read_factors, training_budget
from softseg_study.evaluation.failures import count_failures
from softseg_study.evaluation.folders import find_folders, separate_seeds
from softseg_study.evaluation.masks import evaluate_calibration, evaluate_overlap
from softseg_study.evaluation.person import (
    areas_of,
    describe_images,
    read_person,
)
from softseg_study.evaluation.resolutions import (
    PAPER_RESOLUTIONS,
    ThroughGrid,
    evaluate_resolutions,
    respaced,
)
from softseg_study.evaluation.scatter import (
    answer_curves,
    evaluate_doubt,
    evaluate_losses,
    expected_biases,
    measured_answers,
)
from softseg_study.evaluation.soft_values import (
    calibration_by_person,
    calibration_summary,
    resolution_spread,
    treatment_summary,
    unbiased_thresholds,
)
from softseg_study.evaluation.tasks import ENDINGS
from softseg_study.evaluation.trainings import (
    person_measures,
    training_luck,
    training_measures,
)
from softseg_study.evaluation.treatments import MASKS
from softseg_study.evaluation.truth import true_csa
from softseg_study.evaluation.uncertainty import evaluate_uncertainty, uncertainty_summary

__all__ = [
    "ENDINGS",
    "MASKS",
    "PAPER_RESOLUTIONS",
    "ThroughGrid",
    "answer_curves",
    "area_errors",
    "areas_of",
    "calibration_by_person",
    "calibration_summary",
    "compare_factors",
    "contrasts_learnt",
    "count_failures",
    "describe_images",
    "evaluate_calibration",
    "evaluate_csa",
    "evaluate_doubt",
    "evaluate_losses",
    "evaluate_overlap",
    "evaluate_profile",
    "evaluate_resolutions",
    "evaluate_thresholds",
    "evaluate_uncertainty",
    "evaluate_variants",
    "expected_biases",
    "find_folders",
    "mean_areas",
    "measured_answers",
    "method_agreement",
    "method_errors",
    "person_measures",
    "read_factors",
    "read_person",
    "resolution_spread",
    "respaced",
    "separate_seeds",
    "site_effects",
    "training_budget",
    "training_luck",
    "training_measures",
    "treatment_summary",
    "true_csa",
    "unbiased_thresholds",
    "uncertainty_summary",
]
