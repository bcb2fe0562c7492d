"""Options that several commands have, what is checked of them, and how records name them."""

from pathlib import PurePath
from typing import Annotated, Any

import typer

import softseg
from softseg.contrasts import CONTRASTS
from softseg.errors import InputError

AUTO = "auto"
"""What `--levels` is given so that levels are found in the image."""

SIX = ", ".join(CONTRASTS)
"""The contrasts that are meant where none is named."""

NOT_RECORDED = {
    "csa", "device", "follow_links", "force", "image", "images", "jobs", "masks", "out", "output",
    "overwrite", "page", "plot", "profile", "qc", "qc_crop", "root", "version",
}  # fmt: skip
"""Where something lies and how fast it goes: the result does not depend on these."""


def print_version(wanted: bool) -> None:
    """Print the version and end, if it is asked for."""
    if wanted:
        typer.echo(f"softseg {softseg.__version__}")
        raise typer.Exit


def split_commas(texts: list[str] | None) -> list[str] | None:
    """What a repeated option means when its values may also be separated by commas.

    Example:
        >>> split_commas(["T2w,T1w", "DWI"])
        ['T2w', 'T1w', 'DWI']
    """
    if not texts:
        return None
    return [word for text in texts for word in text.split(",") if word]


def _check_crop(crop_mm: float | None) -> float | None:
    if crop_mm is not None and not 0 <= crop_mm < float("inf"):
        raise InputError(f"--qc-crop takes 0 or more millimetres, found {crop_mm:g}")
    return crop_mm


Contrasts = Annotated[
    list[str] | None,
    typer.Option(
        callback=split_commas,
        help="Contrasts, `all`, or NAME=SUFFIX in a data set of yours; commas or repeat. "
        f"Default: {SIX}.",
    ),
]
Subjects = Annotated[
    list[str] | None,
    typer.Option(callback=split_commas, help="Participants; commas or repeat. Default: all."),
]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes at once.")]
Device = Annotated[str, typer.Option(help="auto, cpu, or with PyTorch cuda, cuda:1, mps.")]
QcCrop = Annotated[
    float | None,
    typer.Option(
        callback=_check_crop,
        help="In pictures, black out what is farther from the cord (millimetres).",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(help="Binarise masks: values above it (times --full-value) become 1."),
]
FullValue = Annotated[
    float,
    typer.Option(help="Value of a voxel wholly inside the cord: 255 or 100 where it is not 1."),
]
FollowLinks = Annotated[
    bool, typer.Option("--follow-links", help="Read links that leave the data set.")
]


def asked_for(context: typer.Context, option: str) -> bool:
    """Whether an option stands in the command line."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def recorded_options(context: typer.Context) -> dict[str, Any]:
    """The options that a command ran with, defaults among them; of files the names only."""
    # Typer gives paths as text, and its class of them has another home in each version.
    paths = {p.name for p in context.command.params if type(p.type).__name__.endswith("Path")}
    return {
        name: PurePath(value).name if name in paths else value
        for name, value in sorted(context.params.items())
        if name not in NOT_RECORDED and value not in (None, [], ())
    }


def check_name(option: str, name: str) -> None:
    """Refuse a folder in `derivatives` that would lie elsewhere.

    Raises:
        InputError: If the name is empty, absolute or leads upwards.
    """
    path = PurePath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name:
        raise InputError(
            f"{option}: the name of a folder in derivatives/ is needed, found {name!r}"
        )
