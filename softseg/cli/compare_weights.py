"""`softseg compare-weights`."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softseg.cli.options import Contrasts, Device, Subjects
from softseg.cli.progress import progress
from softseg.errors import InputError
from softseg.events import tell

if TYPE_CHECKING:
    import pandas as pd


def compare_weights(
    old: Annotated[str, typer.Argument(help="Shipped name, file or model's folder.")],
    new: Annotated[str, typer.Argument(help="The weights that may replace them.")],
    dataset: Annotated[Path, typer.Argument(help="BIDS data set whose images are segmented.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the table there (CSV).")
    ] = None,
    contrasts: Contrasts = None,
    subjects: Subjects = None,
    levels: Annotated[
        str | None, typer.Option(help="FOLDER:ENDING of level files below `derivatives`.")
    ] = None,
    most: Annotated[
        float | None,
        typer.Option(help="Exit with 1 if a contrast's mean area moves by more per cent."),
    ] = None,
    device: Device = "auto",
) -> None:
    """How far new weights move areas: by contrast and level, with intervals.

    Both segment every image of the data set; slices that both measured are compared. No mask is
    written. A study measured with the old weights goes on with the new ones only if nothing here
    matters to it.

    Example: `softseg compare-weights axial models/new my-dataset --most 0.5`
    """
    from softseg.dataset.index import Dataset
    from softseg.files import check_writable, replacing
    from softseg.segmentation.weights_comparison import LEVELS, compare_areas, measure_weights

    if most is not None and not most > 0:
        raise InputError(f"--most: per cent above 0, found {most:g}")
    if output:
        check_writable(output)
    index = Dataset.index(dataset, contrasts=contrasts, subjects=subjects)
    if index.images.empty:
        raise InputError(f"{dataset}: no image of the contrasts asked for; see --contrasts")
    with progress(len(index.images), "comparing") as (say, advance):
        areas = measure_weights(
            index, {"old": old, "new": new}, levels=levels or LEVELS, device=device, advance=advance
        )
        failed = _failures(areas, say)
    table = compare_areas(areas)
    if output:
        with replacing(output) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    _show(table)
    if failed or _too_far(table, most):
        raise typer.Exit(1)


def _failures(areas: "pd.DataFrame", say) -> int:
    """Say which images have no area, return how many could not be measured."""
    odd = areas[areas["status"] != "ok"]
    for row in odd.itertuples():
        say(f"{row.image}, {row.weights} weights: {row.status}", style="yellow")
    return int((odd["status"] != "no cord").sum())


def _too_far(table: "pd.DataFrame", most: float | None) -> bool:
    if most is None:
        return False
    whole = table[table["level"] == "all"]
    # What cannot be compared at all is no agreement: `nan` counts as too far.
    far = whole[~(whole["difference_percent"].abs() <= most)]
    for row in far.itertuples():
        said = f"areas move by {row.difference_percent:+.2f} %, more than {most:g}"
        tell(f"{row.contrast}: {said}", level=logging.ERROR)
    return table.empty or not far.empty


def _show(table: "pd.DataFrame") -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table("contrast", "level", title="Area with old and new weights (mm²)")
    for name in ("participants", "slices", "old", "new", "difference", "95 % interval", "%"):
        shown.add_column(name, justify="right")
    for name in ("only old", "only new"):
        shown.add_column(name, justify="right", header_style="dim")
    for row in table.itertuples():
        known = row.ci_low == row.ci_low
        interval = f"{row.ci_low:+.2f} to {row.ci_high:+.2f}" if known else "one participant"
        areas = f"{row.old_mm2:.2f}", f"{row.new_mm2:.2f}", f"{row.difference_mm2:+.2f}"
        counts = row.n_subjects, row.n_slices
        only = row.only_old, row.only_new
        percent = f"{row.difference_percent:+.2f}"
        shown.add_row(
            row.contrast, row.level, *map(str, (*counts, *areas, interval, percent, *only))
        )
    # A pipe has no width: what reads it must find every column.
    Console(width=None if sys.stdout.isatty() else 120).print(shown)
