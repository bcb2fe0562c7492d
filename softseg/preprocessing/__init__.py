"""From scanner output to the images that are labelled: orientation, grid, echoes, diffusion.

What the paper does before anybody draws a mask: structural images on an isotropic working grid,
echoes combined by their root mean square, diffusion-weighted volumes corrected for motion slice by
slice and averaged.
"""

from softseg.preprocessing.batch import preprocess
from softseg.preprocessing.diffusion import Diffusion, mean_diffusion, read_b_values
from softseg.preprocessing.images import WORKING_SPACING_MM, combine_echoes, to_working_grid

__all__ = [
    "WORKING_SPACING_MM",
    "Diffusion",
    "combine_echoes",
    "mean_diffusion",
    "preprocess",
    "read_b_values",
    "to_working_grid",
]
