"""Where things are: one place for every folder, each overridable by an environment variable."""

import os
from pathlib import Path


def _folder(variable: str, default: Path) -> Path:
    return Path(os.environ.get(variable, default)).expanduser().resolve()


def _find_root() -> Path:
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "_toc.yml").exists() else Path.cwd()


ROOT = _folder("SOFTSEG_ROOT", _find_root())
"""The checkout; the current folder where the package is installed without one."""

RUNS = _folder("SOFTSEG_RUNS", ROOT / "runs")
"""Results, one folder per run."""

DATA = _folder("SOFTSEG_DATA", ROOT / "data")
"""Downloaded data sets."""

SHARED = _folder("SOFTSEG_SHARED", ROOT.parent / "shared" / "data")
"""Real images for development; absent on most machines."""
