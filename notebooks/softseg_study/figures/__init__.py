"""Every figure of the book: tables and arrays in, `matplotlib.figure.Figure` out."""

from softseg_study.figures.agreement import bland_altman_plot, contrast_pairs, pair_scatter
from softseg_study.figures.atrophy import atrophy_detected, contrast_cost_plot, sample_size_curves
from softseg_study.figures.augmentation import augmentation_effects
from softseg_study.figures.calibration import (
    area_against_resolution,
    area_against_threshold,
    prediction_under_doubt,
    reliability_curve,
)
from softseg_study.figures.calibration_raters import raters_against_published
from softseg_study.figures.differences import ablation_forest, difference_forest, empty_figure
from softseg_study.figures.explanation import soft_truth_explained
from softseg_study.figures.gallery import contrast_gallery
from softseg_study.figures.generalisation import (
    condition_changes,
    condition_heat_map,
    scores_by_image,
)
from softseg_study.figures.groups import intervals_by_group
from softseg_study.figures.pictures import Case, case_gallery, patch_grid
from softseg_study.figures.profile import area_profile
from softseg_study.figures.registration import registration_shifts
from softseg_study.figures.style import (
    contrast_color,
    contrast_order,
    contrast_title,
    method_colors,
    method_markers,
    method_title,
    new_figure,
    use_style,
)
from softseg_study.figures.tables import Table, show_table
from softseg_study.figures.training import learning_curves, training_cost
from softseg_study.figures.variability import (
    contrasts_learnt_curve,
    csa_by_contrast,
    spread_by_method,
)
from softseg_study.figures.viewer import SliceViewer, slice_viewer, view_person
from softseg_study.figures.yours import area_along_cord, mask_mosaic

__all__ = [
    "Case",
    "SliceViewer",
    "Table",
    "ablation_forest",
    "area_against_resolution",
    "area_against_threshold",
    "area_along_cord",
    "area_profile",
    "atrophy_detected",
    "augmentation_effects",
    "bland_altman_plot",
    "case_gallery",
    "condition_changes",
    "condition_heat_map",
    "contrast_color",
    "contrast_cost_plot",
    "contrast_gallery",
    "contrast_order",
    "contrast_pairs",
    "contrast_title",
    "contrasts_learnt_curve",
    "csa_by_contrast",
    "difference_forest",
    "empty_figure",
    "intervals_by_group",
    "learning_curves",
    "mask_mosaic",
    "method_colors",
    "method_markers",
    "method_title",
    "new_figure",
    "pair_scatter",
    "patch_grid",
    "prediction_under_doubt",
    "raters_against_published",
    "registration_shifts",
    "reliability_curve",
    "sample_size_curves",
    "scores_by_image",
    "show_table",
    "slice_viewer",
    "soft_truth_explained",
    "spread_by_method",
    "training_cost",
    "use_style",
    "view_person",
]
