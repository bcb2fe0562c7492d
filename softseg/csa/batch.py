"""Many masks, one table; a mask that cannot be measured does not keep the others from it."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from softseg.csa.aggregation import aggregate, select
from softseg.csa.measure import MeasurementWarning, measure
from softseg.errors import InputError


@dataclass(frozen=True)
class Choice:
    """Which rows are wanted: a row per mask over C2-C3 or all slices by default.

    Attributes:
        vertebrae: First and last level.
        slices: First and last slice.
        per_slice: A row per slice.
        per_level: A row per level.
        partial: Whether partly covered end slices are averaged.
    """

    vertebrae: tuple[int, int] | None = None
    slices: tuple[int, int] | None = None
    per_slice: bool = False
    per_level: bool = False
    partial: bool = False

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows wanted of a table with a row per slice.

        Raises:
            InputError: If nothing is left, or the choice contradicts itself.
        """
        if self.per_slice and self.per_level:
            raise InputError("choose --per-slice or --per-level, not both")
        if self.per_slice:
            return select(table, vertebrae=self.vertebrae, slices=self.slices)
        return aggregate(
            table,
            vertebrae=self.vertebrae,
            slices=self.slices,
            per_level=self.per_level,
            partial=self.partial,
        )


def measure_many(
    masks: Sequence[Path], choice: Choice, say: Callable[[str], None], **options: object
) -> tuple[pd.DataFrame, int]:
    """Measure every mask and put the chosen rows into one table.

    Args:
        masks: Files.
        choice: Which rows.
        say: Told in one line what is unusual or wrong about a mask.
        **options: Those of `measure`.

    Returns:
        The table, and how many masks could not be measured.

    Raises:
        InputError: If not one mask could be measured; with one mask, what is wrong with it.
    """
    tables, failures = [], []
    for mask in masks:
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", MeasurementWarning)
                tables.append(choice.of(measure(mask, **options)))
        except InputError as error:
            failures.append(str(error))
            continue
        for warning in caught:
            if issubclass(warning.category, MeasurementWarning):
                say(str(warning.message))
    if not tables:
        for failure in failures[:-1]:
            say(failure)
        raise InputError(failures[-1])
    for failure in failures:
        say(failure)
    return pd.concat(tables, ignore_index=True), len(failures)
