"""Contrast-agnostic soft segmentation of the spinal cord.

For research, not for diagnosis. Heavy libraries are imported by the modules that need them, so
``import softseg`` costs nothing.
"""

import sys
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("softseg")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

_MOVED = ("evaluation", "statistics", "figures", "competitors")


class _MovedModules:
    """Says where to a module has gone; asked only for what nothing else has found."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        package, _, module = name.partition(".")
        if package == "softseg" and module in _MOVED:
            raise ModuleNotFoundError(
                f"softseg.{module} is softseg_study.{module} since 0.2.0; it comes with the "
                "checkout (make env, or pip install --editable notebooks), not with the package",
                name=name,
            )


sys.meta_path.append(_MovedModules)
