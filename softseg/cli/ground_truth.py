"""`softseg ground-truth`."""

import logging
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from softseg.cli.options import (
    Contrasts,
    FollowLinks,
    Jobs,
    QcCrop,
    Subjects,
    check_name,
    recorded_options,
)
from softseg.cli.progress import progress
from softseg.errors import InputError
from softseg.events import result, tell

NOT_RECORDED = ("quality_control", "exclude.yml", "code")
"""What lies in the folder beside the soft truths: pages, and what users write."""


def ground_truth(
    context: typer.Context,
    root: Annotated[Path, typer.Argument(metavar="BIDS_ROOT", help="The data set's folder.")],
    reference: Annotated[
        str, typer.Option(help="Contrast on whose grid the masks are averaged.")
    ] = "T2w",
    contrasts: Contrasts = None,
    subjects: Subjects = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            help="Participant, sub-XX/CONTRAST, YAML list, or spine-generic; repeat. "
            "The output folder's exclude.yml is always read."
        ),
    ] = None,
    entity: Annotated[
        list[str] | None,
        typer.Option(help="Where several images could be one contrast: run=1, acq=…; repeat."),
    ] = None,
    labels: Annotated[
        str, typer.Option(help="Folder of the hard masks in derivatives/.")
    ] = "labels",
    output: Annotated[
        str, typer.Option(help="Folder to write in derivatives/, and OUTPUT_bin beside it.")
    ] = "labels_softseg",
    registration: Annotated[
        str, typer.Option(help="none, translation, or translation+rotation.")
    ] = "translation",
    average: Annotated[str, typer.Option(help="mean, median, or staple.")] = "mean",
    coverage: Annotated[
        str,
        typer.Option(help="segmented, or published: empty slices of T1w and T2w mean no cord."),
    ] = "segmented",
    trim: Annotated[
        list[str] | None,
        typer.Option(
            help="Millimetres to leave out at either end of a mask: 8, or DWI=8; repeat. "
            "Default: 8 for axial contrasts, 0 for others."
        ),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(help="Weight in the mean: T1w=0.5; 0 leaves a contrast out; repeat."),
    ] = None,
    smoothing: Annotated[
        float, typer.Option(help="Smoothing of the shifts along the cord, in millimetres.")
    ] = 0.0,
    threshold: Annotated[float, typer.Option(help="Of the binary truth.")] = 0.5,
    jobs: Jobs = 1,
    force: Annotated[bool, typer.Option(help="Make again what is up to date.")] = False,
    qc_crop: QcCrop = None,
    follow_links: FollowLinks = False,
    page: Annotated[bool, typer.Option(help="Write the quality-control page.")] = True,
) -> None:
    """Average the hard masks of several contrasts into one soft mask per participant.

    Reads `derivatives/labels`; writes `derivatives/labels_softseg` and `labels_softseg_bin` on each
    contrast's own grid, a report, and a quality-control page. Resumes; skips what is up to date.

    Example: `softseg ground-truth data/phantom --reference T2w --jobs 2`
    """
    from softseg.dataset.index import Dataset
    from softseg.files import check_inside
    from softseg.ground_truth.batch import make_ground_truth
    from softseg.ground_truth.soft import GroundTruthOptions
    from softseg.provenance.records import MANIFEST, write_record

    check_name("--labels", labels)
    check_name("--output", output)
    known_bad = root / "derivatives" / output / "exclude.yml"
    dataset = Dataset.index(
        root,
        contrasts=contrasts,
        subjects=subjects,
        exclude=[*(exclude or []), *([known_bad] if known_bad.is_file() else [])],
        entities=_pairs("--entity", entity),
        labels=labels,
    )
    folders = [dataset.root / "derivatives" / name for name in (output, f"{output}_bin")]
    if not follow_links:
        check_inside(dataset.root, folders)
    unread = _wrong_endings(dataset, labels)
    new = [folder for folder in folders if not folder.exists()]
    since = time.time()
    options = GroundTruthOptions(
        reference=reference,
        trim_mm=_trim(trim),
        registration=registration,
        smoothing_mm=smoothing,
        weights={name: _number("--weight", w) for name, w in _pairs("--weight", weight).items()},
        average=average,
        coverage=coverage,
        threshold=threshold,
    )
    total = sum(len(dataset.sessions(subject)) for subject in dataset.everybody)
    with progress(total, "averaging") as (_, advance):
        table = make_ground_truth(
            dataset,
            options=options,
            jobs=jobs,
            labels=labels,
            pipeline=output,
            force=force,
            follow_links=follow_links,
            progress=advance,
        )
    if (table["status"] == "failed").all():
        for folder in new:  # a description of nothing
            shutil.rmtree(folder, ignore_errors=True)
        _tell(table, unread)
    # Shards fill a folder together, in any order: what was made is listed, not what was asked for.
    asked = {name: value for name, value in recorded_options(context).items() if name != "subjects"}
    for folder in folders:
        write_record(
            folder / MANIFEST,
            (path for path in folder.glob("[!.]*") if path.name not in NOT_RECORDED),
            step="ground-truth",
            parameters=asked,
            since=since,
        )
    if page and (folders[0] / "report.csv").is_file():
        from softseg.quality_control.page import write_ground_truth_page

        written = write_ground_truth_page(dataset, pipeline=output, labels=labels, crop_mm=qc_crop)
        result(f"page: {written}")
    _tell(table, unread)


def _wrong_endings(dataset, labels: str) -> list[Path]:
    """Images and masks whose names end in upper case, which are not found as what they are."""
    from softseg.dataset.names import EXTENSIONS

    drawn = dataset.root / "derivatives" / labels
    folders = [place / subject for subject in dataset.everybody for place in (dataset.root, drawn)]
    found = (path for folder in folders for path in sorted(folder.glob("**/*.[nN][iI][iI]*")))
    return [path for path in found if not path.name.endswith((*EXTENSIONS, ".json"))]


def _tell(table, unread: list[Path]) -> None:
    for path in unread:
        said = "an image's name must end in .nii or .nii.gz, in lower case; rename it"
        tell(f"{path}: {said}", level=logging.ERROR)
    for path in table.attrs.get("set_aside", []):
        result(f"masks that were there already are now in {path}")
    participants = table.drop_duplicates(["subject", "session"])
    counts = participants["status"].value_counts()
    result(", ".join(f"{count} {status}" for status, count in counts.items()))
    for row in participants[participants["message"] != ""].itertuples():
        for line in row.message.splitlines():
            level = logging.ERROR if row.status == "failed" else logging.WARNING
            tell(line if row.subject in line else f"{row.subject}: {line}", level=level)
    flagged = table[table["flags"].fillna("") != ""] if "flags" in table else table[:0]
    for row in flagged.itertuples():
        tell(f"{row.subject} {row.contrast}: out of bounds: {row.flags}")
    failed = participants["status"] == "failed"
    if failed.any() or unread:
        raise typer.Exit(2 if failed.all() else 1)


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        name, sign, value = text.partition("=")
        if not sign:
            raise InputError(f"{option}: NAME=VALUE, found {text!r}")
        pairs[name] = value
    return pairs


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{option}: a number is needed, found {text!r}") from error


def _trim(texts: list[str] | None) -> float | dict[str, float] | None:
    if not texts:
        return None
    if len(texts) == 1 and "=" not in texts[0]:
        return _number("--trim", texts[0])
    return {name: _number("--trim", mm) for name, mm in _pairs("--trim", texts).items()}
