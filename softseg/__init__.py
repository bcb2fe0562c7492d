"""Contrast-agnostic soft segmentation of the spinal cord.

For research, not for diagnosis. Heavy libraries are imported by the modules that need them, so
``import softseg`` costs nothing.
"""

import sys
from importlib.metadata import PackageNotFoundError, version

from softseg import _renamed

try:
    __version__ = version("softseg")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

sys.meta_path.append(_renamed.OldNames)
