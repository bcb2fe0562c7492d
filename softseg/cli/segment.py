"""`softseg segment`."""

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from softseg.cli.options import AUTO, Device, FollowLinks, Jobs, QcCrop, recorded_options
from softseg.cli.progress import progress
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
    from softseg.dataset.raw_images import data_set_of
    from softseg.events import event, tell
    from softseg.files import check_writable
    from softseg.network.config import ACTIVATIONS
    from softseg.provenance.records import foreign, record_of
    from softseg.segmentation import batch
    from softseg.segmentation.engine import Model
    from softseg.segmentation.jobs import find_jobs

    _check_choice("--average", average, ("mean", "rms"))
    _check_choice("--activation", activation, ACTIVATIONS)
    _check_choice("--precision", precision, ("auto", "float32"))
    _check_choice("--levels", levels, (AUTO,))
    if levels and not csa:
        raise InputError("--levels is of the table; give --csa")
    options = batch.SegmentationOptions(
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
    found = _not_excluded(found, left_out)
    found = _within(
        found, left_out, [] if follow_links else map(data_set_of, filter(Path.is_dir, images))
    )
    source = {"weights": weights, "device": device, "precision": precision}
    model = Model.load(**source)
    if model.precision != precision and _asked_for(context, "precision"):
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
    outcomes = batch.segment_images(
        found,
        model,
        options,
        overwrite=overwrite,
        processes=processes(jobs, len(found), model),
        source=source,
    )
    signed = _signed(outcomes, used, lambda: batch.describe(out, images, model))
    total = len(found) + len(left_out)
    shown = {"levels": levels == AUTO, "qc": qc, "qc_crop": qc_crop}
    failed = _report(signed, total, csa, used, left_out=left_out, **shown)
    if failed and total == 1:
        raise InputError(failed[0].message) from failed[0].error
    if total == 1 and sys.stderr.isatty():
        tell(how_to_look(found[0].image, found[0].mask))
    unmade = len(failed) + sum(not each.deliberate for each in left_out)
    if unmade:
        tell(f"{unmade} of {total} images failed")
        raise typer.Exit(2 if len(failed) == len(found) else 1)


def segment_data_set(
    root: Path,
    out: Path,
    used: dict,
    *,
    takes: Callable[[Path], bool],
    ending: str,
    average: str | None,
    weights: str,
    jobs: int | None,
    follow_links: bool,
) -> tuple[list[Path], int]:
    """Segment those images of a data set that `takes` is true of, as the command does.

    Args:
        root: The data set.
        out: The derivative.
        used: Options that records name.
        takes: Of an image's path.
        ending: Of the masks, as `find_jobs` takes it.
        average: Of `SegmentationOptions`.
        weights: Of `Model.load`.
        jobs: Processes.
        follow_links: Whether links that leave the data set are read.

    Returns:
        Masks that are there now, and how many images should have one and have none.
    """
    from softseg.segmentation import batch
    from softseg.segmentation.engine import Model
    from softseg.segmentation.jobs import find_jobs

    found, left_out = find_jobs([root], out, ending=ending, series=average is not None)
    found = [job for job in found if takes(job.image)]
    left_out = [each for each in left_out if takes(each.path)]
    if not (found or left_out):
        raise InputError(f"{root}: none of its images is chosen; see --bids-filter-file and labels")
    found = _within(_not_excluded(found, left_out), left_out, [] if follow_links else [root])
    source = {"weights": weights, "device": "cpu"}
    model = Model.load(**source)
    used = used | {"weights": Path(weights).name, "weights_checksum": model.card.get("checksum")}
    options = batch.SegmentationOptions(average=average)
    count = processes(jobs, len(found), model)
    outcomes = batch.segment_images(found, model, options, processes=count, source=source)
    signed = _signed(outcomes, used, lambda: batch.describe(out, [root], model))
    total = len(found) + len(left_out)
    failed = _report(signed, total, None, used, left_out=left_out)
    unmade = len(failed) + sum(not each.deliberate for each in left_out)
    failures = {id(outcome.item) for outcome in failed}
    return [job.mask for job in found if id(job) not in failures], unmade


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


def processes(jobs: int | None, images: int, model) -> int:
    """As many as asked for; else, of an exported network, one a core for four images each."""
    from softseg.batch import cores
    from softseg.network.onnx_session import MOST_THREADS, OnnxNetwork

    exported = isinstance(model.network, OnnxNetwork)
    return jobs or (max(1, min(images // 4, cores(), MOST_THREADS)) if exported else 1)


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


def _asked_for(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _check_table(csa: Path | None, after: Path | None, images: list[Path], out: Path) -> None:
    """Refuse a table that is called as another file; no image, mask or record ends in .csv."""
    if csa == BESIDE:
        one = out.name.endswith((".nii", ".nii.gz")) and not out.is_dir()
        image = after is None or after.is_file() or any(after.glob("sub-*"))
        csa = after if len(images) > 1 and (one or not image) else None
    if csa and csa.suffix.lower() != ".csv":
        raise InputError(f"--csa: {csa} must end in .csv")


def _not_excluded(jobs: list, left_out: list) -> list:
    """Jobs that no `exclude.yml` in the folder of their masks leaves out."""
    from softseg.dataset.exclusions import verdicts_on, why_excluded
    from softseg.dataset.raw_images import LeftOut

    bad = verdicts_on(job.mask for job in jobs)
    reasons = [why_excluded(job.image, bad) for job in jobs]
    pairs = list(zip(jobs, reasons, strict=True))
    left_out += [LeftOut(job.image, reason) for job, reason in pairs if reason is not None]
    return [job for job, reason in pairs if reason is None]


def _within(jobs: list, left_out: list, roots: Iterable[Path]) -> list:
    """Jobs whose image is no link out of its data set; the others are left out."""
    from softseg.dataset.raw_images import LeftOut
    from softseg.files import check_inside
    from softseg.segmentation.jobs import check_some

    for root in (path.expanduser().absolute() for path in roots):
        kept = []
        for job in jobs:
            try:
                read = [job.image] if job.image.is_relative_to(root) else []
                check_inside(root, read)
                kept.append(job)
            except InputError as error:
                reason = str(error).removeprefix(f"{job.image}: ")
                left_out.append(LeftOut(job.image, reason, deliberate=False))
        jobs = kept
    check_some(jobs, left_out)
    return jobs


def _beside(mask: Path) -> Path:
    from softseg.dataset.names import strip_extension

    return mask.with_name(strip_extension(mask.name) + "_csa.csv")


def _signed(outcomes: Iterable, used: dict, describe: Callable[[], None]) -> Iterator:
    """Say beside each mask where it comes from; describe the folder with the first."""
    from softseg.provenance.records import record_of, write_record

    described = False
    for outcome in outcomes:
        job = outcome.item
        if outcome.status != "failed" and not job.recorded:
            for path in filter(Path.is_file, (job.mask, job.uncertainty)):
                notes = outcome.result.record() if path == job.mask else None
                about = {"step": "segment", "parameters": used, "sources": [job.image]}
                write_record(record_of(path), [path], notes=notes, **about)
        elif outcome.status != "failed" and not described:
            describe()
            described = True
        yield outcome


def _report(
    outcomes: Iterable,
    total: int,
    csa: Path | None,
    used: dict,
    *,
    left_out: list,
    levels: bool = False,
    qc: Path | None = None,
    qc_crop: float | None = None,
) -> list:
    """Show what happens, write the table of areas and the page, return what failed."""
    from softseg.events import event

    failed, tables, items, counts = [], [], [], {"made": 0, "already done": 0, "empty": 0}
    with progress(total, "segmenting") as (say, advance):
        for each in left_out:
            word = "left out" if each.deliberate else "failed"
            say(f"{word}: {each.path}: {each.reason}", style="yellow" if each.deliberate else "red")
            event("left out", image=each.path, reason=each.reason, deliberate=each.deliberate)
            counts[word] = counts.get(word, 0) + 1
            advance(each.path.name)
        for outcome in outcomes:
            job = outcome.item
            name = job.image.name
            if outcome.status == "failed":
                failed.append(outcome)
                counts["failed"] = counts.get("failed", 0) + 1
                if total > 1:
                    say(f"failed: {outcome.message}", style="red")
            else:
                made = outcome.result
                event("segmented", image=job.image, mask=job.mask, note=made.note)
                word = "already done" if outcome.status == "skipped" else "made"
                counts[word if made.mask.data.any() else "empty"] += 1
                if made.note and outcome.status == "done":
                    say(f"{name}: {made.note}", style="yellow")
                found = _discs(job, made, say) if levels else None
                if csa:
                    tables.append(_areas(job, made, say, found))
                if qc:
                    items.append(_picture(job, made, found, tables[-1] if found else None))
            advance(name)
    if tables:
        from softseg.csa.table import stacked, write_signed

        table = stacked(tables)
        sources = sorted({Path(file) for file in table["file"]})
        write_signed({csa: table}, step="segment", parameters=used, sources=sources)
    if items:
        from softseg.quality_control.page import write_page

        page = write_page(qc, items, title="Spinal cord segmentation", crop_mm=qc_crop)
        print(f"to look at: {page}")
    if total > 1:
        print(", ".join(f"{n} {what}" for what, n in counts.items() if n))
    return failed


def _discs(job, made, say: Callable):
    """Discs found in the image, where there is a mask."""
    from softseg.csa.automatic import automatic_discs
    from softseg.volume import Volume

    if not made.mask.data.any():
        return None
    # Volumes of a series differ by no more than noise here; a mean shows discs best.
    found = automatic_discs(Volume.load(job.image, average="mean"), made.mask)
    if found.reason:
        say(f"{job.image.name}: {found.reason}; the column level is empty", style="yellow")
    return found


def _areas(job, made, say: Callable, found=None):
    """A row a slice, or one without an area where there is no mask."""
    import warnings

    from softseg.csa.aggregation import select
    from softseg.csa.measure import measure
    from softseg.csa.table import NO_AREA

    table = NO_AREA
    if made.mask.data.any():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            known = found.points_mm or None if found else None
            table = select(measure(made.mask, discs=known))
            table = found.told_in(table) if found else table
        for warning in caught:
            say(f"{job.image.name}: {warning.message}", style="yellow")
    uncertain = table["slice"].map(made.reasons)
    told = {name: getattr(made, name) for name in ("presence", "quality", "area_error")}
    return table.assign(file=str(job.mask), uncertain=uncertain, **told)


def _picture(job, made, found=None, levels=None):
    from softseg.quality_control.page import Item

    # By path, so that a page over a thousand images holds none of them.
    flags = (made.note,) if made.note else ()
    known = "" if made.quality != made.quality else f", quality {made.quality:.2f}"
    details = f"presence {made.presence:.2f}{known}"
    name = job.mask.name.split(".")[0]
    return Item(name, job.image, {"cord": job.mask}, flags, details, levels, found)


def _check_choice(option: str, value: str | None, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise InputError(f"{option} takes {', '.join(choices)}, found {value!r}")
