"""Pictures to check masks by eye, of any masks over any images, and what to leave out next time."""

from softseg.quality_control.drawing import COLORS, HALF_MM, PIXELS_PER_MM, draw
from softseg.quality_control.page import Item, write_ground_truth_page, write_page

__all__ = [
    "COLORS",
    "HALF_MM",
    "PIXELS_PER_MM",
    "Item",
    "draw",
    "write_ground_truth_page",
    "write_page",
]
