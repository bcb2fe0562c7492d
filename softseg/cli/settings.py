"""The settings of a run, as records name them."""

from typing import Any

import typer

from softseg.errors import InputError

NO_SETTINGS = {
    "csa", "device", "follow_links", "force", "images", "jobs", "masks", "out", "output",
    "overwrite", "page", "plot", "profile", "qc", "qc_crop", "root",
}  # fmt: skip
"""Where something lies and how fast it goes: the result does not depend on these."""


def settings(context: typer.Context) -> dict[str, Any]:
    """The options that a command ran with, defaults among them; of files the names only."""
    return {
        name: value
        for name, value in sorted(context.params.items())
        if name not in NO_SETTINGS and value not in (None, [], ())
    }


def check_crop(crop_mm: float | None) -> None:
    """Refuse a crop that cannot be, before any work.

    Raises:
        InputError: If it is negative or no number.
    """
    if crop_mm is not None and not 0 <= crop_mm < float("inf"):
        raise InputError(f"--qc-crop takes 0 or more millimetres, found {crop_mm:g}")
