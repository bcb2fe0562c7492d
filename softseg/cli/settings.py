"""The settings of a run, as records name them."""

from typing import Any

import typer

NO_SETTINGS = {
    "csa", "device", "force", "images", "jobs", "masks", "out", "output", "overwrite", "page",
    "plot", "profile", "qc", "root",
}  # fmt: skip
"""Where something lies and how fast it goes: the result does not depend on these."""


def settings(context: typer.Context) -> dict[str, Any]:
    """The options that a command ran with, defaults among them; of files the names only."""
    return {
        name: value
        for name, value in sorted(context.params.items())
        if name not in NO_SETTINGS and value not in (None, [], ())
    }
