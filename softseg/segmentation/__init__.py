"""Image in, soft mask on the image's own grid out."""

from softseg.segmentation.components import Findings, examine, fill_gaps, largest_component
from softseg.segmentation.engine import Model, Segmentation, segment, segment_with_findings
from softseg.segmentation.prepare import Prepared, normalise, prepare
from softseg.segmentation.temperature import at_temperature, fit_temperature

__all__ = [
    "Findings",
    "Model",
    "Prepared",
    "Segmentation",
    "at_temperature",
    "examine",
    "fill_gaps",
    "fit_temperature",
    "largest_component",
    "normalise",
    "prepare",
    "segment",
    "segment_with_findings",
]
