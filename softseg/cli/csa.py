"""`softseg csa`."""

import logging
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softseg.cli.options import AUTO, FullValue, Threshold, asked_for, recorded_options
from softseg.errors import InputError

if TYPE_CHECKING:
    from softseg.csa.columns import Columns


def csa(
    context: typer.Context,
    masks: Annotated[list[Path], typer.Argument(help="Soft or binary masks (NIfTI).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Table to write (CSV).")],
    levels: Annotated[
        Path | None,
        typer.Option(
            help="Label image with the level inside the cord (2 = C2), or `auto`: found in the "
            "image of each mask, counted from the points of --disc if given."
        ),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            help="With --levels auto: image of each mask, in their order; repeat. Without, it is "
            "found by the mask's record, by BIDS, or beside the mask."
        ),
    ] = None,
    discs: Annotated[
        Path | None, typer.Option(help="Label image with posterior disc points (3 = disc C2-C3).")
    ] = None,
    disc: Annotated[
        list[str] | None,
        typer.Option(
            help="A disc's point in scanner millimetres (x right, y front, z up), `3:X,Y,Z`; "
            "repeat it."
        ),
    ] = None,
    level_names: Annotated[
        str,
        typer.Option(
            help="Numbering of the label image: `softseg` (C1 = 1, T1 = 8), `sct`, "
            "`totalsegmentator` (C1 = 50, or 25, and down) or `totalspineseg` (C1 = 11, T1 = 21; "
            "points of its step1_levels too)."
        ),
    ] = "softseg",
    vertebrae: Annotated[
        str | None,
        typer.Option(
            help="Levels to average, `2:3` (vertebrae C2 and C3) by default where levels are known."
        ),
    ] = None,
    slices: Annotated[
        str | None, typer.Option(help="Slices to average, `10:30`; 0 is the most inferior.")
    ] = None,
    pmj: Annotated[
        str | None,
        typer.Option(
            help="The pontomedullary junction or another landmark, `X,Y,Z` in scanner millimetres "
            "or an image with its point: average at a distance from it down the cord."
        ),
    ] = None,
    at_mm: Annotated[
        float | None, typer.Option(help="With --pmj: that distance, 64 by default.")
    ] = None,
    extent_mm: Annotated[
        float | None, typer.Option(help="With --pmj: length averaged there, 20 by default.")
    ] = None,
    per_slice: Annotated[bool, typer.Option("--per-slice", help="A row per slice.")] = False,
    per_level: Annotated[bool, typer.Option("--per-level", help="A row per level.")] = False,
    angle_correction: Annotated[
        bool,
        typer.Option(
            "--angle-correction/--no-angle-correction",
            help="Correct for obliquity (the default).",
            show_default=False,
        ),
    ] = True,
    threshold: Threshold = None,
    full_value: FullValue = 1.0,
    centreline: Annotated[
        Path | None, typer.Option(help="Mask or CSV of points that gives the cord's direction.")
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Average partly covered end slices too.")
    ] = False,
    outliers: Annotated[
        bool,
        typer.Option("--outliers", help="Average slices off the cord's course, or too large, too."),
    ] = False,
    sex: Annotated[
        str | None, typer.Option(help="`F` or `M`: adjust the area, compare with women or men.")
    ] = None,
    height: Annotated[
        float | None, typer.Option(help="Height in centimetres: adjust the area for it.")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="Write the profile by level and the norm's (CSV).")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the profile in front of the norm (PNG, PDF or SVG).")
    ] = None,
) -> None:
    """Measure the cord's cross-sectional area and shape in masks; one tidy table.

    Areas are perpendicular to the cord and keep partial volume. Rows are flagged where an end
    slice is only partly covered, a slice leaves the cord's course, a gap was bridged, too few
    slices allow no angle, or an area is implausible. Means leave out the first two.

    Levels come from one of --levels, --discs and --disc, and a mean is over one of --vertebrae,
    --slices and --pmj. Without a choice it is over levels C2 and C3, or, where no level is known,
    over the whole cord, which a line says. Where --levels auto finds none, rows have the flag
    levels-unknown and the exit code is 1; with --vertebrae or --per-level such a mask has no row.

    Example: `softseg csa cord.nii.gz -o csa.csv --disc 3:0,-12,40 --per-level`
    """
    from softseg.csa.batch import CsaOptions, measure_many, with_adjusted_area, without_levels
    from softseg.csa.landmark import read_landmark
    from softseg.csa.norm import check_sex_and_height
    from softseg.csa.numbering import check_level_names
    from softseg.csa.table import UNKNOWN
    from softseg.events import tell
    from softseg.files import check_writable

    automatic = levels is not None and str(levels) == AUTO
    if levels and not (automatic or levels.is_file() or ".nii" in levels.name):
        raise InputError(f"--levels takes {AUTO} or a label image (NIfTI), found {str(levels)!r}")
    levels = None if automatic else levels
    if image and not automatic:
        raise InputError("--image is where levels are found; give --levels auto")
    check_outputs(output, profile, plot, [*masks, *(image or []), levels, discs, centreline])
    if plot:
        from softseg.csa.plot import check_plot

        check_plot()
    one_source(levels or automatic, discs, None if automatic else disc)
    check_level_names(level_names)
    if asked_for(context, "level_names") and not (levels or discs):
        raise InputError(
            "--level-names is how a label image counts; leave it out, or give --levels or --discs "
            "such an image"
        )
    check_sex_and_height(sex, height)
    wanted = CsaOptions(
        vertebrae=parse_range(vertebrae, "--vertebrae"),
        slices=parse_range(slices, "--slices"),
        distance_mm=_distance(pmj, at_mm, extent_mm, per_slice),
        per_slice=per_slice,
        per_level=per_level,
        partial=partial,
        outliers=outliers,
    )
    for path in filter(None, (output, profile, plot)):
        check_writable(path)
    for path in filter(None, (levels, discs, centreline, *(image or []))):
        if not path.exists():
            raise InputError(f"{path}: no such file")
    shown = _images_of(masks, image) if automatic else None
    masks = _not_excluded(masks)
    rows, every, failures = measure_many(
        masks,
        wanted,
        lambda line: tell(f"softseg: {line}"),
        fail=lambda line: tell(f"softseg: {line}", level=logging.ERROR),
        images=shown and [shown[mask] for mask in masks],
        levels=levels,
        discs=parse_discs(disc or []) or discs,
        level_names=level_names,
        landmark_mm=pmj and read_landmark(pmj, "--pmj"),
        centreline=centreline,
        angle_correction=angle_correction,
        threshold=threshold,
        full_value=full_value,
    )
    rows = with_adjusted_area(rows, sex=sex, height_cm=height)
    measured = set(rows["file"])
    sources = [mask for mask in masks if str(mask) in measured]
    sources += filter(None, (*(shown or {}).values(), levels, discs, centreline))
    about = {"step": "csa", "parameters": recorded_options(context), "sources": sources}
    bare = _write(rows, every, output, profile, plot, sex or "all", about)
    for mask in bare:
        tell(f"softseg: {mask}: no levels on whole slices, not in the profile", level=logging.ERROR)
    if said := without_levels(every, wanted):
        tell(f"softseg: {said}")
    if failures or bare or any(UNKNOWN in flag for flag in every["flag"]):
        raise typer.Exit(1)


def _images_of(masks: list[Path], images: list[Path] | None) -> dict[Path, Path]:
    """The image of each mask: given, or found."""
    from softseg.dataset.derivatives import image_of

    if images and len(images) != len(masks):
        raise InputError(f"--image: one for each mask, found {len(images)} for {len(masks)} masks")
    found = dict(zip(masks, images or map(image_of, masks), strict=True))
    for mask, image in found.items():
        if image is None:
            raise InputError(f"{mask}: --levels auto needs its image; give --image")
    return found


def _not_excluded(masks: list[Path]) -> list[Path]:
    """Masks that no `exclude.yml` beside them leaves out; each of the others is said."""
    from softseg.dataset.exclusions import verdicts_on, why_excluded
    from softseg.events import tell

    bad = verdicts_on(masks)
    reasons = {mask: why_excluded(mask, bad) for mask in masks}
    kept = [mask for mask in masks if reasons[mask] is None]
    said = [f"{mask}: {reason}" for mask, reason in reasons.items() if reason]
    if not kept:
        raise InputError(f"{said[0]}; edit exclude.yml to measure it")
    for line in said:
        tell(f"softseg: left out: {line}")
    return kept


def parse_range(text: str | None, option: str) -> tuple[int, int] | None:
    """A range such as `2:3`, both ends included; one number is a range of one.

    Raises:
        InputError: If it is none.

    Example:
        >>> parse_range("2:3", "--vertebrae"), parse_range("4", "--vertebrae")
        ((2, 3), (4, 4))
    """
    if text is None:
        return None
    try:
        ends = [int(part) for part in text.split(":")]
    except ValueError:
        ends = []
    if len(ends) not in (1, 2) or min(ends) < 0 or ends[0] > ends[-1]:
        raise InputError(f"{option} takes two whole numbers in order such as 2:3, found {text!r}")
    return ends[0], ends[-1]


def _distance(
    pmj: str | None, at_mm: float | None, extent_mm: float | None, per_slice: bool
) -> tuple[float, float] | None:
    """From where to where down the cord; of rows per slice all, unless a distance is named."""
    from softseg.csa.landmark import AT_MM

    if pmj is None:
        if at_mm is not None or extent_mm is not None:
            raise InputError("--at-mm and --extent-mm need a landmark; give --pmj")
        return None
    if per_slice and at_mm is None:
        return None
    middle, half = AT_MM if at_mm is None else at_mm, (20.0 if extent_mm is None else extent_mm) / 2
    if not (math.isfinite(middle) and 0 < half < math.inf):
        raise InputError("--at-mm is a distance and --extent-mm a length above 0, in millimetres")
    return middle - half, middle + half


def parse_discs(texts: list[str]) -> dict[int, tuple[float, float, float]]:
    """Landmarks such as `3:1.5,-20,33`: disc and point in scanner millimetres.

    Raises:
        InputError: If one is none, or a disc is given twice.

    Example:
        >>> parse_discs(["3:1.5,-20,33"])
        {3: (1.5, -20.0, 33.0)}
    """
    points: dict[int, tuple[float, float, float]] = {}
    for text in texts:
        number, _, place = text.partition(":")
        try:
            disc, point = int(number), tuple(float(part) for part in place.split(","))
        except ValueError:
            disc, point = 0, ()
        if disc < 1 or len(point) != 3 or not all(math.isfinite(p) for p in point):
            raise InputError(
                f"--disc takes a disc and a point such as 3:1.5,-20,33, found {text!r}"
            )
        if disc in points:
            raise InputError(f"--disc must name each disc once, found {disc} twice")
        points[disc] = point
    return points


def one_source(levels: object, discs: object, points: object) -> None:
    """Refuse levels from several sources at once.

    Raises:
        InputError: If more than one is given.
    """
    if sum(bool(source) for source in (levels, discs, points)) > 1:
        raise InputError("levels have one source: give --levels, --discs or --disc, not several")


def check_outputs(
    table: Path, profile: Path | None, plot: Path | None, inputs: Iterable[Path | None] = ()
) -> None:
    """Refuse names whose ending says another format, or that another file of the command has.

    Raises:
        InputError: If one does.
    """
    taken = {path.resolve(): "read by this command" for path in inputs if path is not None}
    figure = (".png", ".pdf", ".svg")
    for path, endings in ((table, (".csv",)), (profile, (".csv",)), (plot, figure)):
        if path is None:
            continue
        if path.suffix.lower() not in endings:
            raise InputError(f"{path}: the name must end in {' or '.join(endings)}")
        if place := taken.get(path.resolve()):
            raise InputError(f"{path}: is {place}; choose another name to write to")
        taken[path.resolve()] = "another output of this command"


def _write(
    rows: "Columns",
    every: "Columns",
    output: Path,
    profile: Path | None,
    plot: Path | None,
    sex: str,
    about: dict,
) -> list[str]:
    """Write what is asked for, and name the masks that a profile asked for lacks."""
    from softseg.csa.table import write_signed

    # Everything is computed before anything is written.
    tables, figures, bare = {output: rows}, {}, []
    if profile or plot:
        import pandas as pd

        from softseg.csa.norm import against_norm, length_profile

        along = length_profile(pd.DataFrame(every))
        bare = sorted({*every["file"]} - {*along["file"]})
    if profile:
        tables[profile] = against_norm(along, sex=sex)
    if plot:
        from softseg.csa.plot import plot_profile

        figures[plot] = plot_profile(along, sex=sex)
    write_signed(tables, figures=figures, **about)
    return bare
