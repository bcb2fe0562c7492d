"""`softseg levels`."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from softseg.cli.options import FullValue, Threshold, recorded_options
from softseg.errors import InputError
from softseg.events import result, tell


def levels(
    context: typer.Context,
    image: Annotated[
        Path, typer.Argument(help="Image (NIfTI) of any contrast; a series is averaged.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Disc points to write, …_label-discs_dlabel.")
    ],
    mask: Annotated[
        Path | None, typer.Option(help="Soft or binary mask of its cord; without, it is segmented.")
    ] = None,
    threshold: Threshold = None,
    full_value: FullValue = 1.0,
    disc: Annotated[
        list[str] | None,
        typer.Option(
            help="A disc that you know, `3:X,Y,Z` (3 = disc C2-C3, 8 = C7-T1) in scanner "
            "millimetres (x right, y front, z up); repeat. The others are counted from it, also "
            "where the top of the neck is not in the field."
        ),
    ] = None,
    qc: Annotated[
        Path | None, typer.Option(help="Also write a page with the straightened picture there.")
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace a file that softseg did not write."),
    ] = False,
) -> None:
    """Find and number the discs beside the cord: where each vertebral level begins.

    Written is a label image of posterior disc points, for `csa --discs`, with a probability of each
    in the record beside it: 3 is disc C2-C3, the lower border of vertebra C2. Discs are numbered
    only if vertebra C2 and disc C2-C3 are seen, or from a disc that --disc names: otherwise, or
    where slices are too thick along the body to show discs, nothing is written and a line says
    that levels are unknown (exit code 1). Tried on phantoms and a few real necks. For research,
    not for diagnosis.

    Example: `softseg levels t2.nii.gz -o t2_label-discs_dlabel.nii.gz --qc look`
    """
    from softseg.cli.csa import parse_discs
    from softseg.csa.automatic import automatic_discs, read_image, too_thick
    from softseg.csa.levels import disc_name
    from softseg.csa.region import cord_fractions
    from softseg.files import check_writable
    from softseg.provenance.records import foreign, record_of, signed
    from softseg.volume import Volume

    if not output.name.endswith((".nii", ".nii.gz")):
        raise InputError(f"{output}: an image's name must end in .nii or .nii.gz")
    if output.resolve() in {path.resolve() for path in (image, mask) if path}:
        raise InputError(f"{output}: is read by this command; choose another name to write to")
    if mask is None and (threshold is not None or full_value != 1):
        raise InputError("--threshold and --full-value say how a mask is read; give --mask")
    if output.is_file() and not overwrite and (said := foreign(output, record_of(output))):
        raise InputError(f"{said}; --overwrite replaces it")
    given = parse_discs(disc or [])
    for path in (output, record_of(output), qc and qc / "index.html"):
        if path:
            check_writable(path)
    shown = read_image(image)
    if said := too_thick(shown):  # before the cord is segmented
        tell(f"{image}: {said}", level=logging.ERROR)
        raise typer.Exit(1)
    cord = Volume.load(mask) if mask else _segmented(shown)
    values = {"threshold": threshold, "full_value": full_value}
    found = automatic_discs(shown, cord, given=given, **values)
    for doubt in found.doubts:
        tell(f"{image}: {doubt}; look at the picture (--qc)")
    if qc and found.band is not None:
        fractions = cord.like(cord_fractions(cord.data, cord.name, **values).astype("float32"))
        _write_page(qc, image, shown, fractions, found)
    if found.reason:
        tell(f"{image}: {found.reason}", level=logging.ERROR)
        raise typer.Exit(1)
    discs = {
        str(k): {
            "Name": disc_name(k),
            "ConfidenceLevel": round(found.confidence[k], 4),
            "PointMillimetres": point.round(2).tolist(),
        }
        for k, point in found.points_mm.items()
    }
    about = {"step": "levels", "parameters": recorded_options(context)}
    sources = [image, mask] if mask else [image]
    with signed(output, notes={output: {"Discs": discs}}, sources=sources, **about) as temporary:
        found.label_image(shown).save(temporary[output], dtype="int16")
    names = (f"{k} = {disc_name(k)} ({sure:.2f})" for k, sure in found.confidence.items())
    result(f"{output}: discs {', '.join(names)}")


def _segmented(image):
    """The mask of the shipped weights."""
    from softseg.segmentation.engine import segment

    found = segment(image, weights="axial")
    if not found.cord_found:
        raise InputError(f"{image.path}: {found.note}")
    return found.soft


def _write_page(folder: Path, path: Path, image, mask, found) -> None:
    from softseg.csa.measure import measure
    from softseg.quality_control.page import Item, write_page

    table = measure(mask, discs=found.points_mm, shape=False) if found.points_mm else None
    flags = (found.reason,) if found.reason else ()
    item = Item(path.name.partition(".")[0], image, {"cord": mask}, flags, "", table, found)
    result(f"to look at: {write_page(folder, [item], title='Vertebral levels')}")
