"""Cross-sectional area of the spinal cord: one mask in, one tidy table out.

>>> from softseg.phantom.tubes import Tube, sample
>>> table = measure(sample(Tube(), (1, 1, 5), length_mm=30).soft)
>>> aggregate(table).area_mm2_mean.round(1).tolist()
[70.0]
"""

from softseg.csa.aggregation import aggregate, select
from softseg.csa.levels import level_lengths_mm
from softseg.csa.measure import COLUMNS, MeasurementWarning, measure
from softseg.csa.norm import (
    adjust_area,
    against_norm,
    length_profile,
    norm_levels,
    norm_profile,
)
from softseg.csa.plot import level_name, plot_profile

__all__ = [
    "COLUMNS",
    "MeasurementWarning",
    "adjust_area",
    "against_norm",
    "aggregate",
    "length_profile",
    "level_lengths_mm",
    "level_name",
    "measure",
    "norm_levels",
    "norm_profile",
    "plot_profile",
    "select",
]
