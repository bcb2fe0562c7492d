"""Masks of all methods → tidy tables: areas, overlap, calibration."""

from softseg.evaluation.areas import (
    evaluate_csa,
    evaluate_profile,
    evaluate_thresholds,
    true_csa,
)
from softseg.evaluation.masks import evaluate_calibration, evaluate_overlap
from softseg.evaluation.tasks import ENDINGS, MASKS

__all__ = [
    "ENDINGS",
    "MASKS",
    "evaluate_calibration",
    "evaluate_csa",
    "evaluate_overlap",
    "evaluate_profile",
    "evaluate_thresholds",
    "true_csa",
]
