"""From scanner output to the images that are labelled: orientation, grid, echoes, diffusion.

What the paper does before anybody draws a mask: structural images on an isotropic working grid,
echoes combined by their root mean square, diffusion-weighted volumes corrected for motion slice by
slice and averaged.
"""
