"""How well two masks agree: overlap, volume, distance between surfaces, calibration.

Arrays in, numbers or tables out. Two empty masks agree perfectly (Dice 1, volume error 0 %,
distances 0 mm). One empty mask against one that is not has Dice 0 and no distance: `nan`, never a
number that a mean could swallow.
"""

from softseg.metrics.calibration import calibration_error, calibration_table, pool_calibration
from softseg.metrics.surfaces import (
    hausdorff95_mm,
    mean_surface_distance_mm,
    overlap,
    surface_distances_mm,
)
from softseg.metrics.volumes import dice, relative_volume_error, soft_dice

__all__ = [
    "calibration_error",
    "calibration_table",
    "dice",
    "hausdorff95_mm",
    "mean_surface_distance_mm",
    "overlap",
    "pool_calibration",
    "relative_volume_error",
    "soft_dice",
    "surface_distances_mm",
]
