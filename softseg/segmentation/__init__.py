"""Image in, soft mask on the image's own grid out."""

from softseg.segmentation.prepare import Prepared, normalise, prepare

__all__ = ["Prepared", "normalise", "prepare"]
