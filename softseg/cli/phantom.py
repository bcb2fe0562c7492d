"""`softseg phantom`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from softseg.cli.options import SIX, Jobs, recorded_options, split_commas


def phantom(
    context: typer.Context,
    out: Annotated[
        Path, typer.Argument(help="Folder of the data set: new, empty or one to go on with.")
    ],
    subjects: int = typer.Option(24, help="How many participants."),
    seed: int = typer.Option(1, help="Which participants: the same seed gives the same bytes."),
    contrasts: Annotated[
        list[str] | None,
        typer.Option(
            callback=split_commas, help=f"Contrasts, or `all`; commas or repeat. Default: {SIX}."
        ),
    ] = None,
    pathology: str = typer.Option(
        None,
        help="healthy, compression, lesions, injury, atrophy or local-atrophy, with a number as in "
        "`compression=30`; join by `+`, take turns by `,`.",
    ),
    vendor: str = typer.Option(None, help="Siemens, Philips or GE; by default a mixture."),
    field_of_view: str = typer.Option("cord", help="`cord`, or `full` as scanned."),
    severity: str = typer.Option("mild", help="`mild` or `realistic` artefacts."),
    mean_area_mm2: float = typer.Option(
        72.0, help="Mean true area at C2-C3 in mm², by the cords' size."
    ),
    rule_mm: float = typer.Option(
        -0.10, help="Where raters draw, from the edge in the image, outward positive, in mm."
    ),
    edges: str = typer.Option(
        "by-contrast", help="`by-contrast`, or `same`: no contrast moves the edge."
    ),
    series: bool = typer.Option(
        False, "--series", help="Keep echoes and repeated volumes below sourcedata/."
    ),
    jobs: Jobs = None,
) -> None:
    """Write a BIDS data set of digital participants whose true cord area is known.

    Beside the images lie masks as raters draw them, vertebral labels, and the truth: the fraction
    of cord in each voxel and the exact area of each slice. A run that was stopped goes on; one
    process a core works at it by default.

    Example: `softseg phantom data/phantom --subjects 24 --contrasts T1w,T2w`
    """
    from softseg.cli.progress import progress
    from softseg.errors import counted
    from softseg.events import result
    from softseg.phantom.cohort import OPTIONS_FILE, write_cohort
    from softseg.provenance.records import MANIFEST, write_record

    since = time.time()
    with progress(subjects, "imaging") as (_, advance):
        folder = write_cohort(
            out,
            subjects=subjects,
            seed=seed,
            contrasts=contrasts,
            pathology=pathology,
            vendor=vendor,
            field_of_view=field_of_view,
            severity=severity,
            mean_area_mm2=mean_area_mm2,
            rule_mm=rule_mm,
            edges=edges,
            series=series,
            jobs=jobs,
            progress=advance,
        )
    # Not the derivatives of others.
    made = (
        "dataset_description.json", "participants.*", "README", OPTIONS_FILE, "sub-*", "sourcedata",
        "derivatives/labels", "derivatives/truth",
    )  # fmt: skip
    write_record(
        folder / MANIFEST,
        [path for pattern in made for path in sorted(folder.glob(pattern))],
        step="phantom",
        parameters=recorded_options(context),
        since=since,
    )
    result(f"{folder}: {counted(subjects, 'participant')}")
