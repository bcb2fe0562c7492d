"""One run of the analysis: where its notebooks read and write.

What the workflow has made belongs to it: a chapter that is run by hand, with other parameters, on
a run that is there reads it and writes beside it, below `by-hand/`. Otherwise one table of the run
would be of other settings than the next, and nothing would say so.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from softseg.errors import InputError
from softseg.files import replacing
from softseg.paths import RUNS

WORKFLOW_VARIABLE = "SOFTSEG_WORKFLOW"
"""Set by `notebooks/execute.py`, which the workflow executes chapters with."""
BY_HAND = "by-hand"


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
        """Where the tidy table `name` is read: the run's own, else one made by hand."""
        return self.found(f"tables/{name}.csv")

    def model(self, name: str) -> Path:
        """Folder of one trained model."""
        return self.found(f"models/{name}")

    def found(self, relative: str) -> Path:
        """Where a file or folder below the run is read."""
        own, beside = self.root / relative, self.root / BY_HAND / relative
        return beside if beside.exists() and not own.exists() else own

    def output(self, relative: str) -> Path:
        """Where a chapter may write a file or folder: by hand, never over what is there."""
        own = self.root / relative
        if os.environ.get(WORKFLOW_VARIABLE) or not own.exists():
            return own
        return self.root / BY_HAND / relative

    def pipeline(self, dataset: Path, name: str) -> str:
        """The derivative folder of `dataset` that a chapter may write `name`'s masks to."""
        if os.environ.get(WORKFLOW_VARIABLE) or not (dataset / "derivatives" / name).exists():
            return name
        return f"{BY_HAND}_{name}"

    def save(self, **tables: pd.DataFrame) -> None:
        """Write tidy tables as CSV, each whole or not at all, and say so where it is beside."""
        for name, table in tables.items():
            path = self.output(f"tables/{name}.csv")
            with replacing(path) as temporary:
                table.to_csv(temporary, index=False, float_format="%.6g")
            if BY_HAND in path.parts:
                print(f"{name}: the run's own table stays, this one is {path.relative_to(RUNS)}")

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
