"""`softseg verify`."""

from pathlib import Path
from typing import Annotated

import typer


def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder that softseg wrote to.")
    ],
) -> None:
    """Check that files and their sources are what their records say.

    Beside what softseg writes lies a record: version and commit, parameters, checksums of the
    weights, of the sources and of the file itself. Reports files that changed, sources that changed
    or are missing, and files without a record. Exit code 0 if nothing is found, 1 otherwise.

    Example: `softseg verify my-dataset/derivatives/labels_softseg`
    """
    from softseg.events import event
    from softseg.provenance import checking

    checked = checking.verify(folder)
    for finding in checked.findings:
        event("finding", file=finding.file, status=finding.status, record=finding.record)
    for line in checking.lines(checked):
        typer.echo(line)
    if checked.findings:
        raise typer.Exit(1)
