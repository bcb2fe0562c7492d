"""Contrast-agnostic soft segmentation of the spinal cord.

For research, not for diagnosis. Heavy libraries are imported by the modules that need them, so
``import softseg`` costs nothing.
"""

import sys

from softseg import _renamed

__version__ = "0.2.0"

sys.meta_path.append(_renamed.OldNames)
