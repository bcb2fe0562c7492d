"""`softseg segment`."""

import logging
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from softseg.cli.made_masks import make_masks
from softseg.cli.options import (
    AUTO,
    Device,
    FollowLinks,
    Jobs,
    QcCrop,
    asked_for,
    recorded_options,
)
from softseg.errors import InputError

BESIDE = Path(":beside:")
"""What `--csa` without a name of its own stands for."""
AFTER_CSA = "softseg.after_csa"
"""Where the image that follows such a `--csa` is kept, in case that a table was meant by it."""


class Command(TyperCommand):
    """`--csa` may stand alone."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Fill in the value where an option, an image or nothing follows."""
        end = args.index("--") if "--" in args else len(args)
        for place in reversed([n for n, word in enumerate(args[:end]) if word == "--csa"]):
            value = args[place + 1] if place + 1 < end else "-"
            image = value.lower().endswith((".nii", ".nii.gz")) or Path(value).is_dir()
            if image:
                ctx.meta[AFTER_CSA] = Path(value)
            if value.startswith("-") or image:
                args = [*args[: place + 1], str(BESIDE), *args[place + 1 :]]
        return super().parse_args(ctx, args)


def segment(
    context: typer.Context,
    images: Annotated[
        list[Path],
        typer.Argument(help="Images (.nii, .nii.gz), or folders: a BIDS data set, sub-01 of one."),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--output", help="A file for one image, a folder for several.")
    ],
    weights: Annotated[
        str, typer.Option(help="Name of shipped weights, a file, or a model's folder.")
    ] = "axial",
    binary: Annotated[bool, typer.Option("--binary", help="Write 0 and 1, not fractions.")] = False,
    threshold: Annotated[
        float, typer.Option(help="With --binary: fraction from which a voxel is cord.")
    ] = 0.5,
    probseg: Annotated[
        bool,
        typer.Option("--probseg", help="Call soft masks …_label-SC_desc-T2w_probseg, as BIDS."),
    ] = False,
    largest_component: Annotated[
        bool, typer.Option(help="Keep one cord and fill its gaps of up to 5 mm.")
    ] = True,
    keep: Annotated[
        bool, typer.Option("--keep", help="Write what was seen even where no cord is likely.")
    ] = False,
    average: Annotated[
        str | None, typer.Option(help="Of a 4-D image: mean, or rms for echoes.")
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="Instead of the network's: clamp, normalised_relu, sigmoid.")
    ] = None,
    tta: Annotated[
        bool, typer.Option("--tta", help="Average over mirrored and shifted variants: 4 x slower.")
    ] = False,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Also write the SD over these variants.")
    ] = False,
    csa: Annotated[
        Path | None,
        typer.Option(
            help="Also measure every slice's area into this CSV table; without a name, beside the "
            "masks."
        ),
    ] = None,
    levels: Annotated[
        str | None, typer.Option(help="With --csa: `auto` finds vertebral levels in the image.")
    ] = None,
    qc: Annotated[
        Path | None, typer.Option(help="Also write a page with a picture of every mask there.")
    ] = None,
    qc_crop: QcCrop = None,
    follow_links: FollowLinks = False,
    jobs: Jobs = None,
    device: Device = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="Of a network in PyTorch. auto: 16-bit products where they are faster; or float32."
        ),
    ] = "auto",
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Make again what a batch has made; replace what softseg did not make.",
        ),
    ] = False,
) -> None:
    """Segment the spinal cord: a soft mask in [0, 1] on the image's own grid.

    Any contrast, orientation and voxel size. Several images are a batch: a failing one does
    not stop it (exit code 1), and an interrupted batch goes on where it was. Of a BIDS data set
    every image is segmented but what .bidsignore lists, maps, masks, field maps and phase images;
    each image left out is named with its reason. For research, not for diagnosis.

    Examples:

    softseg segment t2.nii.gz -o t2_cord.nii.gz

    softseg segment a.nii.gz b.nii.gz -o masks --binary --csa areas.csv

    softseg segment t2.nii.gz -o t2_cord.nii.gz --csa --qc look

    softseg segment my_bids_dataset -o my_bids_dataset/derivatives/softseg
    """
    from softseg.dataset.foreign import passed_over
    from softseg.dataset.raw_images import data_set_of
    from softseg.events import event, tell
    from softseg.files import check_writable
    from softseg.network.config import ACTIVATIONS
    from softseg.provenance.records import foreign, record_of
    from softseg.segmentation.batch import SegmentationOptions, describe
    from softseg.segmentation.engine import Model
    from softseg.segmentation.jobs import find_jobs, kept, opened

    _check_choice("--average", average, ("mean", "rms"))
    _check_choice("--activation", activation, ACTIVATIONS)
    _check_choice("--precision", precision, ("auto", "float32"))
    _check_choice("--levels", levels, (AUTO,))
    if levels and not csa:
        raise InputError("--levels is of the table; give --csa")
    options = SegmentationOptions(
        binary=binary,
        threshold=threshold,
        largest_component=largest_component,
        keep=keep,
        tta=tta,
        uncertainty=uncertainty,
        activation=activation,
        average=average,
    )
    _check_table(csa, context.meta.get(AFTER_CSA), images, out)
    series = average is not None
    ending = mask_ending(binary, probseg)
    found, left_out = find_jobs(images, out, ending=ending, series=series)
    if csa == BESIDE:
        csa = out / "csa.csv" if len(found) > 1 else _beside(found[0].mask)
    roots = [] if follow_links else map(data_set_of, filter(Path.is_dir, images))
    found, left_out = kept(found, left_out, roots)
    source = {"weights": weights, "device": device, "precision": precision}
    model = Model.load(**source)
    if model.precision != precision and asked_for(context, "precision"):
        tell("softseg: --precision is of PyTorch; this network is exported and runs in 32 bits")
    for path in (found[0].mask, csa, qc and qc / "index.html"):
        if path:
            check_writable(path)
    if csa and csa.is_file() and not overwrite and (said := foreign(csa, record_of(csa))):
        raise InputError(f"--csa: {said}; --overwrite replaces it")
    checksum = model.card.get("checksum")
    event("weights", name=Path(weights).name, checksum=checksum)
    used = recorded_options(context) | {
        "weights": Path(weights).name,
        "weights_checksum": checksum,
        "temperature": model.temperature,
    }
    plain = (path for path in images if path.is_dir() and opened(path) != [path])
    for said in filter(None, map(passed_over, plain)):
        tell(f"softseg: {said}")
    failed, unmade = make_masks(
        found, left_out, model, options, used,
        describe=lambda: describe(out, images, model),
        source=source, processes=jobs, overwrite=overwrite,
        csa=csa, levels=levels == AUTO, qc=qc, qc_crop=qc_crop,
        advice="--keep writes what was seen",
    )  # fmt: skip
    total = len(found) + len(left_out)
    if failed and total == 1:
        raise InputError(failed[0].message) from failed[0].error
    if total == 1 and sys.stderr.isatty():
        tell(how_to_look(found[0].image, found[0].mask))
    if unmade:
        tell(f"{unmade} of {total} images failed", level=logging.ERROR)
        raise typer.Exit(2 if len(failed) == len(found) else 1)


def mask_ending(binary: bool, probseg: bool) -> str:
    """What masks are called by.

    Raises:
        InputError: If both are wanted.
    """
    from softseg.dataset.names import PROBABILITY
    from softseg.segmentation.jobs import BINARY, SOFT

    if binary and probseg:
        raise InputError("--probseg is the name of soft masks; leave out --binary")
    return BINARY if binary else PROBABILITY if probseg else SOFT


def how_to_look(image: Path, mask: Path) -> str:
    """How three viewers show a mask on its image, in one line.

    Example:
        >>> how_to_look(Path("a.nii.gz"), Path("b.nii.gz")).partition(";")[0]
        'look: fsleyes a.nii.gz b.nii.gz -cm hot -dr 0.05 1 -a 50'
    """
    one, other = shlex.quote(str(image)), shlex.quote(str(mask))
    return (
        f"look: fsleyes {one} {other} -cm hot -dr 0.05 1 -a 50; itksnap -g {one} -o {other}; "
        f"Slicer {one} {other}"
    )


def _check_table(csa: Path | None, after: Path | None, images: list[Path], out: Path) -> None:
    """Refuse a table that is called as another file; no image, mask or record ends in .csv."""
    if csa == BESIDE:
        one = out.name.endswith((".nii", ".nii.gz")) and not out.is_dir()
        image = after is None or after.is_file() or any(after.glob("sub-*"))
        csa = after if len(images) > 1 and (one or not image) else None
    if csa and csa.suffix.lower() != ".csv":
        raise InputError(f"--csa: {csa} must end in .csv")


def _beside(mask: Path) -> Path:
    from softseg.dataset.names import strip_extension

    return mask.with_name(strip_extension(mask.name) + "_csa.csv")


def _check_choice(option: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise InputError(f"{option} takes {', '.join(choices)}, found {value!r}")
