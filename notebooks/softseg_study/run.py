"""One run of the analysis: where its notebooks read and write."""

from dataclasses import dataclass
from pathlib import Path

from softseg.errors import InputError
from softseg.paths import RUNS


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
