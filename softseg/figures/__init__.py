"""Every figure of the book: tables and arrays in, `matplotlib.figure.Figure` out."""

from softseg.figures.agreement import bland_altman_plot, contrast_pairs, pair_scatter
from softseg.figures.atrophy import atrophy_detected, sample_size_curves
from softseg.figures.augmentation import augmentation_effects
from softseg.figures.calibration import (
    area_against_resolution,
    area_against_threshold,
    prediction_under_doubt,
    reliability_curve,
)
from softseg.figures.differences import difference_forest
from softseg.figures.explanation import soft_truth_explained
from softseg.figures.gallery import contrast_gallery
from softseg.figures.generalisation import condition_heat_map
from softseg.figures.groups import intervals_by_group
from softseg.figures.pictures import Case, case_gallery, patch_grid
from softseg.figures.profile import area_profile
from softseg.figures.registration import registration_shifts
from softseg.figures.style import (
    contrast_color,
    contrast_order,
    contrast_title,
    method_colors,
    method_title,
    new_figure,
    use_style,
)
from softseg.figures.training import learning_curves, training_cost
from softseg.figures.variability import csa_by_contrast, spread_by_method
from softseg.figures.viewer import SliceViewer, slice_viewer, view_person

__all__ = [
    "Case",
    "SliceViewer",
    "area_against_resolution",
    "area_against_threshold",
    "area_profile",
    "atrophy_detected",
    "augmentation_effects",
    "bland_altman_plot",
    "case_gallery",
    "condition_heat_map",
    "contrast_color",
    "contrast_gallery",
    "contrast_order",
    "contrast_pairs",
    "contrast_title",
    "csa_by_contrast",
    "difference_forest",
    "intervals_by_group",
    "learning_curves",
    "method_colors",
    "method_title",
    "new_figure",
    "pair_scatter",
    "patch_grid",
    "prediction_under_doubt",
    "registration_shifts",
    "reliability_curve",
    "sample_size_curves",
    "slice_viewer",
    "soft_truth_explained",
    "spread_by_method",
    "training_cost",
    "use_style",
    "view_person",
]
