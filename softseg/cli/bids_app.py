"""`softseg-bids`: the same segmentation and measurement, called as BIDS Apps are.

Levels come from disc points in `derivatives/labels` of the data set, where there are any, and with
`--levels auto` from the images.
"""

import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softseg.cli.invocation import EPILOG, run
from softseg.cli.made_masks import doubt, make_masks, unchanged_mask
from softseg.cli.options import (
    AUTO,
    FollowLinks,
    QcCrop,
    print_version,
    recorded_options,
    split_commas,
)
from softseg.cli.segment import mask_ending
from softseg.errors import InputError, counted
from softseg.events import result, tell

if TYPE_CHECKING:
    from softseg.dataset.bids_filter import Selection

app = typer.Typer(
    name="softseg-bids",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
SLICES = "_desc-slices_csa.tsv"
"""What follows a participant in the name of the table of their slices."""


class Level(StrEnum):
    """Of the analysis."""

    participant = "participant"
    group = "group"


@app.command(epilog=EPILOG)
def bids(
    context: typer.Context,
    bids_dir: Annotated[Path, typer.Argument(help="Root of the data set.")],
    output_dir: Annotated[Path, typer.Argument(help="Folder of the derivative.")],
    analysis_level: Annotated[
        Level, typer.Argument(help="participant: masks and areas; group: one table, one page.")
    ],
    participant_label: Annotated[
        list[str] | None,
        typer.Option(callback=split_commas, help="Only these, with or without sub-; repeat."),
    ] = None,
    session_label: Annotated[
        list[str] | None,
        typer.Option(callback=split_commas, help="Only these, with or without ses-; repeat."),
    ] = None,
    bids_filter_file: Annotated[
        Path | None,
        typer.Option(help='JSON: images to take, as {"t2": {"suffix": "T2w", "session": "1"}}.'),
    ] = None,
    n_cpus: Annotated[int | None, typer.Option(min=1, help="Processes at once.")] = None,
    skip_bids_validation: Annotated[
        bool, typer.Option("--skip-bids-validation", help="Take a data set without description.")
    ] = False,
    probseg: Annotated[
        bool, typer.Option("--probseg", help="Call masks …_label-SC_desc-T2w_probseg, as BIDS.")
    ] = False,
    average: Annotated[
        str | None, typer.Option(help="Of 4-D images: mean, or rms for echoes; else left out.")
    ] = None,
    weights: Annotated[str, typer.Option(help="Shipped weights, a file, or a folder.")] = "axial",
    levels: Annotated[
        str | None,
        typer.Option(help="`auto` finds levels in images without disc points in labels."),
    ] = None,
    qc_crop: QcCrop = None,
    follow_links: FollowLinks = False,
    version: Annotated[
        bool,
        typer.Option(
            "-V", "--version", callback=print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Segment and measure the spinal cord in every image of a BIDS data set.

    participant writes a soft mask of each image and a table of slices a participant; group puts
    all of them into group_csa.tsv, a row an image, and report/index.html, a page of pictures. For
    research, not for diagnosis.

    Example: `softseg-bids /data /out participant --participant-label 01,02`
    """
    from softseg.dataset.bids_filter import Selection

    if levels not in (None, AUTO):
        raise InputError(f"--levels takes {AUTO}, found {levels!r}")
    if not skip_bids_validation:
        _validate(bids_dir)
    wanted = Selection.read(bids_dir, participant_label, session_label, bids_filter_file)
    used = recorded_options(context)
    if analysis_level is Level.group:
        _group(output_dir, wanted, used, qc_crop)
        return
    masks, unmade = _segment(
        bids_dir, output_dir, wanted, used,
        ending=mask_ending(False, probseg), average=average, weights=weights, processes=n_cpus,
        follow_links=follow_links,
    )  # fmt: skip
    by_participant: dict[str, list[Path]] = {}
    for mask in masks:
        by_participant.setdefault(mask.relative_to(output_dir).parts[0], []).append(mask)
    for name, own in by_participant.items():
        _write_slices(bids_dir, output_dir, name, own, used, automatic=levels == AUTO)
    if unmade:
        raise typer.Exit(1 if masks else 2)


def _validate(root: Path) -> None:
    """Refuse what is no raw BIDS data set by its description; names are judged image by image."""
    from softseg.dataset.description import DESCRIPTION
    from softseg.provenance.records import read_json

    said = read_json(root / DESCRIPTION)
    advice = "mend it, or go on with --skip-bids-validation"
    if not isinstance(said, dict) or not {"Name", "BIDSVersion"} <= set(said):
        raise InputError(f"{root / DESCRIPTION}: must name Name and BIDSVersion; {advice}")
    if said.get("DatasetType", "raw") != "raw":
        raise InputError(f"{root}: raw data are segmented, found {said['DatasetType']}; {advice}")


def _segment(
    root: Path,
    out: Path,
    wanted: "Selection",
    used: dict,
    *,
    ending: str,
    average: str | None,
    weights: str,
    processes: int | None,
    follow_links: bool,
) -> tuple[list[Path], int]:
    """Masks of the wanted images that are there now, and how many should be there and are not."""
    from softseg.segmentation.batch import SegmentationOptions, describe
    from softseg.segmentation.engine import Model
    from softseg.segmentation.jobs import find_jobs, kept

    found, left_out = find_jobs([root], out, ending=ending, series=average is not None)
    found = [job for job in found if wanted.takes(job.image)]
    left_out = [each for each in left_out if wanted.takes(each.path)]
    if not (found or left_out):
        raise InputError(f"{root}: none of its images is chosen; see --bids-filter-file and labels")
    found, left_out = kept(found, left_out, [] if follow_links else [root])
    source = {"weights": weights, "device": "cpu"}
    model = Model.load(**source)
    used = used | {"weights": Path(weights).name, "weights_checksum": model.card.get("checksum")}
    failed, unmade = make_masks(
        found, left_out, model, SegmentationOptions(average=average), used,
        describe=lambda: describe(out, [root], model), source=source, processes=processes,
    )  # fmt: skip
    failures = {id(outcome.item) for outcome in failed}
    return [job.mask for job in found if id(job) not in failures], unmade


def _write_slices(
    root: Path, out: Path, name: str, masks: Iterable[Path], used: dict, *, automatic: bool
) -> None:
    """Areas of all masks of a participant; a mask without an area has a row that says so."""
    from softseg.csa.batch import CsaOptions, measure_many
    from softseg.csa.columns import filled, stacked
    from softseg.csa.table import NO_AREA, write_signed
    from softseg.dataset.derivatives import discs_of, image_of

    tables = []
    for mask in masks:
        place = mask.relative_to(out)
        discs = discs_of(root / "derivatives/labels" / place)
        shown = image_of(mask) if automatic and discs is None else None
        source = {"discs": discs} if shown is None else {"images": [shown]}
        try:
            rows = measure_many([mask], CsaOptions(per_slice=True), tell, **source)[0]
        except InputError as error:
            tell(f"softseg: no area: {error}")
            rows = NO_AREA
        rows = rows | filled(len(rows["slice"]), file=place.as_posix())
        made = unchanged_mask(mask)
        tables.append(rows | (doubt(made, rows["slice"].tolist()) if made else {}))
    about = {"step": "bids participant", "parameters": used, "sources": masks}
    write_signed({out / name / f"{name}{SLICES}": stacked(tables)}, **about)


def _group(out: Path, wanted: "Selection", used: dict, qc_crop: float | None) -> None:
    import pandas as pd

    from softseg.csa.batch import CsaOptions, empty_row, without_levels
    from softseg.csa.table import NO_MASK, write_signed
    from softseg.dataset.derivatives import image_of
    from softseg.quality_control.page import Item, write_page

    places = sorted(out.glob(f"sub-*/sub-*{SLICES}"))
    if not places:
        raise InputError(f"{out}: no tables of participants; run the level participant first")
    rows, items, slices = [], [], []
    for path in places:
        kinds = {"level": "Int64", "flag": str, "session_id": str, "run": str}
        table = pd.read_csv(path, sep="\t", dtype=kinds).fillna({"flag": ""})
        for file, one in table.groupby("file", sort=False):
            mask = out / str(file)
            if not wanted.takes(mask):
                continue
            try:
                row = CsaOptions().rows(one)
            except InputError as error:
                flag = one["flag"].iloc[0]
                if flag != NO_MASK:
                    tell(f"softseg: no mean: {error}")
                row = pd.DataFrame(empty_row(str(file), CsaOptions())).assign(flag=flag)
            made = unchanged_mask(mask)
            if made:
                row = row.assign(**doubt(made, [None]))
                row["uncertain"] = "; ".join(dict.fromkeys(made.reasons.values()))
            rows.append(row)
            slices.append(one)
            flags = [made.note] if made and made.note else []
            flags += [flag for flag in row["flag"].iloc[0].split(";") if flag]
            area = row["area_mm2"].iloc[0]
            name = mask.name.partition(".")[0]
            known = None if one["level"].isna().all() else one
            said = f"mean area {area:.1f} mm²" if area == area else ""
            items.append(Item(name, image_of(mask), {"cord": mask}, flags, said, known))
    if not rows:
        raise InputError(f"{out}: none of its {len(places)} tables is of the images chosen")
    about = {"step": "bids group", "parameters": used, "sources": places}
    write_signed({out / "group_csa.tsv": pd.concat(rows, ignore_index=True)}, **about)
    if said := without_levels(pd.concat(slices), CsaOptions()):
        advice = "put disc points into derivatives/labels, or give --levels auto"
        tell(f"softseg: {said.partition(';')[0]}; {advice}")
    page = write_page(out / "report", items, title="Spinal cord segmentation", crop_mm=qc_crop)
    told = f"{counted(len(rows), 'image')} of {counted(len(places), 'participant')}"
    result(f"{out / 'group_csa.tsv'}: {told}")
    result(f"to look at: {page}")


def main(arguments: list[str] | None = None) -> None:
    """Run the BIDS App and leave with its exit code, as `softseg` does."""
    sys.exit(run(app, sys.argv[1:] if arguments is None else arguments, "softseg-bids"))
