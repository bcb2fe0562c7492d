"""`softseg qc`."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from softseg.cli.options import QcCrop
from softseg.errors import InputError


def qc(
    masks: Annotated[
        list[Path], typer.Argument(help="Masks of anybody, or folders with masks in them.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the page.")],
    image: Annotated[
        list[Path] | None,
        typer.Option(
            help="Image of each mask, in their order; repeat. Without, it is found by the mask's "
            "record, by BIDS, or beside the mask."
        ),
    ] = None,
    levels: Annotated[
        Path | None, typer.Option(help="Label image with the level inside the cord (2 = C2).")
    ] = None,
    discs: Annotated[
        Path | None,
        typer.Option(
            help="Label image with posterior disc points (3 = C2-C3). Without, "
            "…_label-discs_dlabel beside a mask is read."
        ),
    ] = None,
    qc_crop: QcCrop = None,
) -> None:
    """Write a page with a picture of every mask, to look at them and to leave some out.

    Any mask will do, soft or binary, ours, drawn or of another tool. Slices with the outline, a
    map of fractional values, a strip along the cord, and the levels where they are known. What is
    ticked on the page is saved as exclude.yml, which the next `segment` and `csa` read.

    Example: `softseg qc my-dataset/derivatives/labels -o look`
    """
    from softseg.dataset.derivatives import image_of, masks_in
    from softseg.events import result, tell
    from softseg.files import check_writable
    from softseg.nifti import read_geometry
    from softseg.quality_control.page import write_page

    chosen = [mask for path in masks for mask in masks_in(path)]
    if image and len(image) != len(chosen):
        raise InputError(f"--image: one for each mask, found {len(image)} for {len(chosen)} masks")
    if levels and discs:
        raise InputError("levels have one source: give --levels or --discs, not both")
    for given in filter(None, (*(image or []), levels, discs)):
        read_geometry(given)
    broken = {mask: said for mask in chosen if (said := _broken(mask, read_geometry))}
    if len(broken) == len(set(chosen)):
        raise InputError(broken[chosen[0]])
    check_writable(output / "index.html")
    items = [
        _item(mask, shown, levels, discs, broken)
        for mask, shown in zip(chosen, image or map(image_of, chosen), strict=True)
    ]
    if len(broken) == len(set(chosen)):
        raise InputError(broken[chosen[0]])
    if alone := sum(item.image is None for item in items):
        tell(f"softseg: {alone} of {len(items)} masks are drawn on black; --image gives an image")
    result(f"to look at: {write_page(output, items, title='Masks', crop_mm=qc_crop)}")
    if broken:
        for said in broken.values():
            tell(f"failed: {said}", level=logging.ERROR)
        raise typer.Exit(1)


def _broken(mask: Path, read: Callable[[Path], object]) -> str | None:
    """Why a mask, or its header, cannot be read; None if it can."""
    try:
        read(mask)
    except InputError as error:
        return str(error)
    return None


def _item(
    mask: Path, image: Path | None, levels: Path | None, discs: Path | None, broken: dict[Path, str]
):
    """The picture of a mask; what its record and `csa` say of it are flags.

    What cannot be read is added to `broken`.
    """
    import warnings

    from softseg.csa.measure import measure
    from softseg.dataset.derivatives import discs_of
    from softseg.provenance.records import record_of_unchanged
    from softseg.quality_control.page import Item
    from softseg.volume import Volume

    discs = discs or (discs_of(mask) if levels is None else None)
    name, flags, table = mask.name.partition(".")[0], [], None
    record = record_of_unchanged(mask)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            table = measure(mask, levels=levels, discs=discs, shape=False)
        except InputError as error:
            if record.get("CordFound") is not False:  # else its note says so
                flags.append(str(error).replace(str(mask), mask.name))
            if mask not in broken and (said := _broken(mask, Volume.load)):
                broken[mask] = said
    flags += [str(warning.message).replace(str(mask), mask.name) for warning in caught]
    if mask not in broken and (note := record.get("Note")):
        flags.insert(0, str(note))
    details = "" if table is None else f"median area {table['area_mm2'].median():.1f} mm²"
    return Item(name, image, {"mask": mask}, flags, details, table)
