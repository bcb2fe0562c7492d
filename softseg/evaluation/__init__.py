"""Masks of all methods → tidy tables: areas, overlap, calibration."""

from softseg.evaluation.areas import (
    evaluate_csa,
    evaluate_profile,
    evaluate_thresholds,
    evaluate_variants,
)
from softseg.evaluation.failures import count_failures
from softseg.evaluation.masks import evaluate_calibration, evaluate_overlap
from softseg.evaluation.resolutions import PAPER_RESOLUTIONS, evaluate_resolutions
from softseg.evaluation.tasks import ENDINGS
from softseg.evaluation.treatments import MASKS
from softseg.evaluation.truth import true_csa

__all__ = [
    "ENDINGS",
    "MASKS",
    "PAPER_RESOLUTIONS",
    "count_failures",
    "evaluate_calibration",
    "evaluate_csa",
    "evaluate_overlap",
    "evaluate_profile",
    "evaluate_resolutions",
    "evaluate_thresholds",
    "evaluate_variants",
    "true_csa",
]
