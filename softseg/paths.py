"""Where things are: one place for every folder, each overridable by an environment variable."""

import os
from dataclasses import dataclass
from pathlib import Path

from softseg.errors import InputError


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


@dataclass(frozen=True)
class Run:
    """One run of the analysis: a folder under `RUNS` that the notebooks read and write.

    Example:
        >>> Run("demo").table("csa").relative_to(RUNS).as_posix()
        'demo/tables/csa.csv'
    """

    name: str

    @property
    def root(self) -> Path:
        """The run's folder."""
        return RUNS / self.name

    @property
    def data(self) -> Path:
        """The run's BIDS data set, unless a notebook is given another."""
        return self.root / "data"

    def table(self, name: str) -> Path:
        """Where the tidy table `name` is or will be."""
        return self.root / "tables" / f"{name}.csv"

    def model(self, name: str) -> Path:
        """Folder of one trained model."""
        return self.root / "models" / name

    def needs(self, path: Path, *, made_by: str) -> Path:
        """`path` if an earlier step has written it.

        Raises:
            InputError: If not, naming the step to run first.
        """
        if not path.exists():
            raise InputError(
                f"{path}: not there yet; run {made_by} with run={self.name!r} first "
                f"(make {self.name if self.name == 'tiny' else 'reproduce'} runs everything)"
            )
        return path
