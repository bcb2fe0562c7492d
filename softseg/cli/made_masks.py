"""What `softseg segment` and `softseg-bids` do alike with images: their masks are made, signed,
measured, shown on a page and counted."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from softseg.cli.progress import progress

if TYPE_CHECKING:
    from softseg.batch import Outcome
    from softseg.dataset.raw_images import LeftOut
    from softseg.segmentation.batch import SegmentationOptions
    from softseg.segmentation.engine import Model
    from softseg.segmentation.jobs import Job


def make_masks(
    jobs: "list[Job]",
    left_out: "list[LeftOut]",
    model: "Model",
    options: "SegmentationOptions",
    used: dict,
    *,
    describe: Callable[[], None],
    source: dict,
    processes: int | None = None,
    overwrite: bool = False,
    csa: Path | None = None,
    levels: bool = False,
    qc: Path | None = None,
    qc_crop: float | None = None,
    advice: str = "",
) -> "tuple[list[Outcome], int]":
    """Segment images and tell of each what came of it.

    Args:
        jobs: Images and where their masks go.
        left_out: Images that are told of only.
        model: The network.
        options: How images are segmented.
        used: Options that records name.
        describe: Makes the folder a BIDS derivative, when its first mask is there.
        source: What `Model.load` takes, for further processes.
        processes: How many; by default, of an exported network, one a core for four images each.
        overwrite: Whether what was made is made again, and what softseg did not make is replaced.
        csa: Where a table of all slices goes.
        levels: Whether levels are found in the images.
        qc: Folder of a page with a picture of every mask.
        qc_crop: Of the pictures.
        advice: What to do where a mask is withheld.

    Returns:
        Outcomes that failed, and how many images should have a mask and have none.
    """
    from softseg.segmentation.batch import segment_images

    count = processes or _processes(len(jobs), model)
    outcomes = segment_images(
        jobs, model, options, overwrite=overwrite, processes=count, source=source
    )
    outcomes = _signed(outcomes, used, describe)
    shown = {"csa": csa, "levels": levels, "qc": qc, "qc_crop": qc_crop, "advice": advice}
    failed = _report(outcomes, len(jobs) + len(left_out), used, left_out=left_out, **shown)
    return failed, len(failed) + sum(not each.deliberate for each in left_out)


def _processes(images: int, model: "Model") -> int:
    from softseg.batch import cores
    from softseg.network.onnx_session import MOST_THREADS, OnnxNetwork

    exported = isinstance(model.network, OnnxNetwork)
    return max(1, min(images // 4, cores(), MOST_THREADS)) if exported else 1


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
    used: dict,
    *,
    left_out: list,
    csa: Path | None,
    levels: bool,
    qc: Path | None,
    qc_crop: float | None,
    advice: str,
) -> list:
    """Show what happens, write the table of areas and the page, return what failed."""
    from softseg.events import event, result

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
                    withheld = made.presence > 0 and not made.mask.data.any()
                    more = f"; {advice}" if advice and withheld else ""
                    say(f"{name}: {made.note}{more}", style="yellow")
                found = _discs(job, made, say) if levels else None
                if csa:
                    tables.append(_areas(job, made, say, found))
                if qc:
                    items.append(_picture(job, made, found, tables[-1] if found else None))
            advance(name)
    if tables:
        from softseg.csa.columns import stacked
        from softseg.csa.table import write_signed

        table = stacked(tables)
        sources = sorted({Path(file) for file in table["file"]})
        write_signed({csa: table}, step="segment", parameters=used, sources=sources)
    if items:
        from softseg.quality_control.page import write_page

        page = write_page(qc, items, title="Spinal cord segmentation", crop_mm=qc_crop)
        result(f"to look at: {page}")
    if total > 1:
        result(", ".join(f"{n} {what}" for what, n in counts.items() if n))
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
    from softseg.csa.columns import filled
    from softseg.csa.measure import measure
    from softseg.csa.table import NO_AREA, with_flags

    table = NO_AREA
    if made.mask.data.any():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            known = found.points_mm or None if found else None
            table = select(measure(made.mask, discs=known, as_columns=True))
            table = with_flags(found.told_in(table) if found else table, made.flags)
        for warning in caught:
            say(f"{job.image.name}: {warning.message}", style="yellow")
    table = table | filled(len(table["slice"]), file=str(job.mask))
    return table | doubt(made, table["slice"].tolist())


def doubt(made, slices: list) -> dict:
    """What is said of a mask, as columns of its table of slices."""
    from softseg.csa.columns import filled

    uncertain = [made.reasons.get(k) for k in slices]
    told = {name: getattr(made, name) for name in ("presence", "quality", "area_error", "edge_mm")}
    return filled(len(slices), uncertain=uncertain, **told)


def unchanged_mask(mask: Path):
    """`MadeMask` of a mask that is as softseg wrote it; None of any other."""
    from softseg.provenance.records import record_of_unchanged
    from softseg.segmentation.batch import MadeMask

    try:
        return MadeMask.recorded(mask, record_of_unchanged(mask))
    except (AttributeError, LookupError, OSError, TypeError, ValueError):
        return None  # drawn, corrected, or of an earlier version


def _picture(job, made, found=None, levels=None):
    import pandas as pd

    from softseg.quality_control.page import Item

    # By path, so that a page over a thousand images holds none of them.
    flags = (made.note,) if made.note else ()
    known = "" if made.quality != made.quality else f", quality {made.quality:.2f}"
    details = f"presence {made.presence:.2f}{known}" if made.presence == made.presence else ""
    name = job.mask.name.split(".")[0]
    levels = None if levels is None else pd.DataFrame(levels)
    return Item(name, job.image, {"cord": job.mask}, flags, details, levels, found)
