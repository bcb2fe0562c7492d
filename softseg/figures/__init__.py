"""Every figure of the book: tables and arrays in, `matplotlib.figure.Figure` out."""

from softseg.figures.agreement import bland_altman_plot, contrast_pairs, pair_scatter
from softseg.figures.atrophy import atrophy_detected, contrast_cost_plot, sample_size_curves
from softseg.figures.augmentation import augmentation_effects
from softseg.figures.calibration import (
    area_against_resolution,
    area_against_threshold,
    prediction_under_doubt,
    reliability_curve,
)
from softseg.figures.calibration_raters import raters_against_published
from softseg.figures.differences import ablation_forest, difference_forest, empty_figure
from softseg.figures.explanation import soft_truth_explained
from softseg.figures.gallery import contrast_gallery
from softseg.figures.generalisation import (
    condition_changes,
    condition_heat_map,
    scores_by_image,
)
from softseg.figures.groups import intervals_by_group
from softseg.figures.pictures import Case, case_gallery, patch_grid
from softseg.figures.profile import area_profile
from softseg.figures.registration import registration_shifts
from softseg.figures.style import (
    contrast_color,
    contrast_order,
    contrast_title,
    method_colors,
    method_markers,
    method_title,
    new_figure,
    use_style,
)
from softseg.figures.tables import Table, show_table
from softseg.figures.training import learning_curves, training_cost
from softseg.figures.variability import (
    contrasts_learnt_curve,
    csa_by_contrast,
    spread_by_method,
)
from softseg.figures.viewer import SliceViewer, slice_viewer, view_person
from softseg.figures.yours import area_along_cord, mask_mosaic

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
