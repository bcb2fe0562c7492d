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
    from softseg.errors import counted
    from softseg.events import event, result
    from softseg.provenance.checking import verify as compare

    checked = compare(folder)
    for finding in checked.findings:
        event("finding", file=finding.file, status=finding.status, record=finding.record)
        where = f" (recorded in {finding.record})" if finding.record else ""
        typer.echo(f"{finding.status}: {finding.file}{where}")
    if checked.unsigned:
        count = counted(len(checked.unsigned), "file")
        typer.echo(f"{count} whose record holds no checksum of theirs, as {checked.unsigned[0]}")
    compared = f"{counted(checked.files, 'file')} and {counted(checked.sources, 'source')}"
    if checked.findings:
        typer.echo(f"{counted(len(checked.findings), 'finding')} in {compared}")
        raise typer.Exit(1)
    result(f"{compared} as in {counted(checked.records, 'record')}")
