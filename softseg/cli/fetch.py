"""`softseg fetch`."""

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from softseg.cli.options import Contrasts, Subjects, recorded_options


def fetch(
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET", help="spine-generic, sct-testing, sct-example, or pam50."
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    subjects: Subjects = None,
    contrasts: Contrasts = None,
    release: Annotated[str, typer.Option(help="Tag of spine-generic to check out.")] = "r20250310",
    source: Annotated[
        str | None, typer.Option(help="Another address or folder to fetch from.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="What the SHA-256 of a small set's archive must be.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Files at once.")] = 2,
) -> None:
    """Download a public data set: only what is needed, checked, and resumable.

    `spine-generic` comes through DataLad and git-annex, small sets through pooch; both are in the
    optional `softseg[fetch]`. All of `spine-generic` are 26 GB. What came is listed with its
    checksums: `softseg verify OUT`.

    Example: `softseg fetch spine-generic data/amu --subjects sub-amu01`
    """
    from softseg import fetch as fetching
    from softseg.events import form, result, tell

    since = time.time()
    if dataset == "spine-generic":
        fetched = fetching.fetch_spine_generic(
            out,
            subjects=subjects,
            contrasts=contrasts,
            release=release,
            source=source or fetching.SPINE_GENERIC,
            jobs=jobs,
        )
    else:
        fetched = fetching.fetch_archive(
            dataset, out, url=source, known_sha256=sha256, progress=form() != "json"
        )
    fetched.record(since=since, **recorded_options(context) | {"source": fetched.origin["source"]})
    result(f"{fetched.path}: {len(fetched.new)} files fetched, {len(fetched.there)} already there")
    for name, reason in fetched.failed:
        tell(f"{name}: could not be fetched ({reason})", level=logging.ERROR)
    if fetched.failed:
        raise typer.Exit(1)
