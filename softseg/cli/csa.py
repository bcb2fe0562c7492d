"""`softseg csa`."""

from pathlib import Path
from typing import Annotated

import typer


def csa(
    masks: Annotated[list[Path], typer.Argument(help="Soft or binary masks (NIfTI).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Table to write (CSV).")],
    levels: Annotated[
        Path | None, typer.Option(help="Label image with the level inside the cord (2 = C2).")
    ] = None,
    discs: Annotated[
        Path | None, typer.Option(help="Label image with posterior disc points (3 = C2-C3).")
    ] = None,
    disc: Annotated[
        list[str] | None,
        typer.Option(help="A disc's point in scanner millimetres, `3:X,Y,Z`; repeat it."),
    ] = None,
    vertebrae: Annotated[
        str | None, typer.Option(help="Levels to average, `2:3` by default where levels are known.")
    ] = None,
    slices: Annotated[
        str | None, typer.Option(help="Slices to average, `10:30`; 0 is the most inferior.")
    ] = None,
    per_slice: Annotated[bool, typer.Option("--per-slice", help="A row per slice.")] = False,
    per_level: Annotated[bool, typer.Option("--per-level", help="A row per level.")] = False,
    angle_correction: Annotated[
        bool,
        typer.Option("--angle-correction/--no-angle-correction", help="Correct for obliquity."),
    ] = True,
    threshold: Annotated[
        float | None, typer.Option(help="Binarise the masks: values above it become 1.")
    ] = None,
    centreline: Annotated[
        Path | None, typer.Option(help="Mask or CSV of points that gives the cord's direction.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Average partly covered end slices too.")
    ] = False,
) -> None:
    """Measure the cord's cross-sectional area and shape in masks; one tidy table.

    Areas are perpendicular to the cord and keep partial volume. Rows are flagged where an end
    slice is only partly covered, a gap was bridged, or too few slices allow no angle.

    Example: `softseg csa sub-01_softseg.nii.gz -o csa.csv --disc 3:0,-12,40 --per-level`
    """
    from softseg.csa.batch import Choice, measure_many
    from softseg.csa.options import one_source, parse_discs, parse_range
    from softseg.errors import InputError
    from softseg.files import replacing

    if not output.name.endswith(".csv"):
        raise InputError(f"{output}: the table's name must end in .csv")
    one_source(levels, discs, disc)
    choice = Choice(
        vertebrae=parse_range(vertebrae, "--vertebrae"),
        slices=parse_range(slices, "--slices"),
        per_slice=per_slice,
        per_level=per_level,
        partial=partial,
    )
    table, failures = measure_many(
        masks,
        choice,
        lambda line: typer.echo(f"softseg: {line}", err=True),
        levels=levels,
        discs=parse_discs(disc or []) or discs,
        centreline=centreline,
        angle_correction=angle_correction,
        threshold=threshold,
    )
    with replacing(output) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    if failures:
        raise typer.Exit(1)
