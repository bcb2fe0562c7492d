"""Many masks, one table; a failing mask does not stop the batch."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softseg.csa.aggregation import aggregate, select
from softseg.csa.columns import Columns, Table, columns_of, filled, stacked
from softseg.csa.measure import Points, measure
from softseg.csa.norm import REFERENCE, adjust_area, norm_areas_mm2
from softseg.csa.table import NO_AREA, NO_MASK, flags_of, with_confidence, with_flags
from softseg.errors import InputError, counted
from softseg.masks import MaskWarning
from softseg.nifti_header import HeaderWarning
from softseg.provenance.records import record_of_unchanged
from softseg.volume import Volume


@dataclass(frozen=True)
class CsaOptions:
    """Which rows are wanted: a row per mask over levels C2 and C3 or all slices by default.

    Attributes:
        vertebrae: First and last level.
        slices: First and last slice.
        distance_mm: From where to where down the cord from a landmark.
        per_slice: A row per slice.
        per_level: A row per level.
        partial: Whether partly covered end slices are averaged.
        outliers: Whether slices whose centre leaves the cord's course are.
    """

    vertebrae: tuple[int, int] | None = None
    slices: tuple[int, int] | None = None
    distance_mm: tuple[float, float] | None = None
    per_slice: bool = False
    per_level: bool = False
    partial: bool = False
    outliers: bool = False

    def rows(self, table: Table) -> Table:
        """The rows wanted of a table with a row per slice.

        Raises:
            InputError: If nothing is left, or the options contradict one another.
        """
        if self.per_slice and self.per_level:
            raise InputError("choose --per-slice or --per-level, not both")
        if self.per_slice:
            return select(table, **self._choice)
        return aggregate(
            table,
            **self._choice,
            per_level=self.per_level,
            partial=self.partial,
            outliers=self.outliers,
        )

    @property
    def _choice(self) -> dict[str, tuple[float, float] | None]:
        return {name: getattr(self, name) for name in ("vertebrae", "slices", "distance_mm")}


def measure_many(
    masks: Sequence[Path],
    wanted: CsaOptions,
    say: Callable[[str], None],
    *,
    fail: Callable[[str], None] | None = None,
    images: Sequence[Path] | None = None,
    **options: object,
) -> tuple[Columns, Columns, int]:
    """Measure every mask and put the chosen rows into one table.

    Args:
        masks: Files.
        wanted: Which rows.
        say: Told in one line what is unusual about a mask.
        fail: And what is wrong with one, or that levels looked for are unknown; `say` if not given.
        images: The image of each mask, where levels are to be found in it; discs that are given
            as points are then where to count from.
        **options: Those of `measure`.

    Returns:
        The chosen rows, every slice, and how many masks could not be measured.

    Raises:
        InputError: If not one mask could be measured; with one mask, what is wrong with it.
    """
    rows, slices, failures, fail = [], [], [], fail or say
    sure = disc_confidence(options.get("discs"))
    for number, mask in enumerate(masks):
        record = record_of_unchanged(Path(mask))
        if record.get("CordFound") is False and not Volume.load(mask).data.any():
            say(f"{mask}: {record.get('Note') or 'the mask is empty'}")
            rows.append(empty_row(str(mask), wanted))
            continue
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", MaskWarning)
                if images is None:
                    table = measure(mask, **options, as_columns=True)
                    table = with_confidence(table, sure) if sure else table
                else:
                    table, reason = with_automatic_levels(mask, images[number], **options)
                    if reason:
                        fail(f"{mask}: {reason}")
                chosen = wanted.rows(table)
                if not wanted.per_slice and options.get("threshold") is None:
                    chosen = with_interval(chosen, record)
                chosen = with_flags(chosen, flags_of(record))
                if wanted.per_slice and (bare := int(np.isnan(table["area_mm2"]).sum())):
                    say(f"{mask}: {counted(bare, 'slice')} without a mask, without a row")
                rows.append(chosen)
                slices.append(table)
        except InputError as error:
            failures.append(str(error))
            continue
        for warning in caught:
            if issubclass(warning.category, MaskWarning | HeaderWarning):
                say(str(warning.message))
    if not rows:
        for failure in failures[:-1]:
            fail(failure)
        raise InputError(failures[-1])
    for failure in failures:
        fail(failure)
    return (
        stacked(rows),
        stacked(slices or [NO_AREA | filled(1, file=str(mask)) for mask in masks]),
        len(failures),
    )


def empty_row(file: str, wanted: CsaOptions) -> Columns:
    """The row, without an area, of a mask that `softseg segment` left empty."""
    if wanted.per_slice:
        return NO_AREA | filled(1, file=file)
    return filled(1, file=file, level=np.nan, n_slices=0, area_mm2=np.nan, flag=NO_MASK)


def with_automatic_levels(
    mask: Path | Volume, image: Path | Volume, *, discs: Points | None = None, **options: object
) -> tuple[Columns, str]:
    """What `measure` measures with levels found in an image, and why there are none."""
    from softseg.csa.automatic import automatic_discs  # with SciPy, which a mask alone needs not

    own = {k: v for k, v in options.items() if k in ("threshold", "full_value")}
    found = automatic_discs(image, mask, given=discs, **own)
    # Discs that contradict a picture number nothing; without a picture nothing contradicts them.
    known = found.points_mm or (discs if found.band is None else None)
    table = measure(mask, discs=known, **options, as_columns=True)
    return found.told_in(table), found.reason


def disc_confidence(discs: object) -> dict[int, float]:
    """Probabilities in the record of disc points that `softseg levels` found.

    Points that were moved or added since are somebody's own, without any.
    """
    try:
        found = record_of_unchanged(Path(discs))["Discs"]
        return {int(disc): float(one["ConfidenceLevel"]) for disc, one in found.items()}
    except (AttributeError, LookupError, OSError, TypeError, ValueError):
        return {}


def with_interval(rows: Columns, record: Mapping[str, Any]) -> Columns:
    """Mean rows with the 95 % interval of the area, if the record of an unchanged mask has it.

    What is off in an image is off in all of its slices alike, so that a level has the whole mask's.
    It is the interval of the mask as it is: one cut at a threshold has another area.
    """
    error = record.get("AreaError")
    if not isinstance(error, int | float):  # null where nobody fitted it
        return rows
    area = rows["area_mm2"]
    low, high = area * np.exp(-error), area * np.exp(error)
    return rows | {"area_mm2_low": low, "area_mm2_high": high}


def without_levels(slices: Table, wanted: CsaOptions) -> str | None:
    """Why the column `level` is empty and what a mean is over instead, in one line; else None."""
    slices = columns_of(slices)
    files, known = slices["file"], ~np.isnan(slices["level"].astype(float))
    masks = set(files[slices["flag"] != NO_MASK])
    empty = masks - set(files[known])
    if not empty or wanted.distance_mm is not None:
        return None
    averaged = wanted.slices is None and not wanted.per_slice
    whole = "the mean is over the whole cord, not over levels C2 and C3"
    told = whole if averaged else "the column level is empty"
    which = f" in {len(empty)} of {len(masks)} masks" if len(masks) > 1 else ""
    return f"no levels{which}: {told}; --levels, --discs or --disc give them"


def with_adjusted_area(rows: Columns, *, sex: str | None, height_cm: float | None) -> Columns:
    """The rows with `area_mm2_adjusted` for sex and height, where either is given.

    In rows of one level the effect is that level's share of it.
    """
    if sex is None and height_cm is None:
        return rows
    means = norm_areas_mm2()  # a mean over several levels has a text there
    share = np.array([means.get(level, REFERENCE.area_mm2) for level in rows["level"].tolist()])
    adjusted = adjust_area(rows["area_mm2"], sex=sex, height_cm=height_cm, level_area_mm2=share)
    return rows | {"area_mm2_adjusted": adjusted}
