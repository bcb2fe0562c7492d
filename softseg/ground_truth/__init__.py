"""Participant-wise soft ground truth: hard masks of several contrasts in, one soft mask out."""

from softseg.ground_truth.batch import (
    PIPELINE,
    Settings,
    make_ground_truth,
    read_slices,
    write_report,
)
from softseg.ground_truth.compare import compare_truths
from softseg.ground_truth.report import Bounds, summarise
from softseg.ground_truth.soft import SoftTruth, soft_ground_truth

__all__ = [
    "PIPELINE",
    "Bounds",
    "Settings",
    "SoftTruth",
    "compare_truths",
    "make_ground_truth",
    "read_slices",
    "soft_ground_truth",
    "summarise",
    "write_report",
]
