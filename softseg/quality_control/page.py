"""A page of pictures to check masks by eye, and the list of what to leave out.

Works for any masks over any images: soft truths, segmentations, a rater's masks.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import pandas as pd

from softseg.csa.automatic import AutomaticDiscs
from softseg.csa.levels import disc_name
from softseg.dataset.index import Dataset
from softseg.errors import InputError, counted
from softseg.files import replacing
from softseg.quality_control.drawing import COLORS, Source, draw
from softseg.quality_control.lettering import png

MARKS = (
    "Blue marks on the straightened midline, at the left of a picture, are discs that were found "
    "in the image or given, each at its posterior edge."
)


@dataclass(frozen=True)
class Item:
    """One picture of the page.

    Attributes:
        name: Shown, and written into the list of exclusions; where masks of several files have one,
            behind as many of their folders as tell them apart.
        image: The image, as a volume or a path; None draws the masks on black.
        masks: By name, drawn in this order; fractional ones get a row of their own.
        flags: What is out of bounds; flagged items come first.
        details: One line under the picture.
        levels: What `draw` takes: a table with the level of each slice.
        found: And discs that were found in the image.
    """

    name: str
    image: Source
    masks: Mapping[str, Source]
    flags: Sequence[str] = ()
    details: str = ""
    levels: pd.DataFrame | None = None
    found: AutomaticDiscs | None = None


def write_page(
    folder: Path | str,
    items: Iterable[Item],
    *,
    title: str = "Quality control",
    jobs: int = 1,
    crop_mm: float | None = None,
) -> Path:
    """Write `index.html` and one picture an item.

    Each picture shows axial slices spread along the cord, 3 cm wide, front up and the subject's
    right on the left, with the masks' outlines at 0.5; fractional masks also as a map; and a
    sagittal strip that follows the cord. The page works offline; ticking pictures makes the list of
    exclusions to save.

    Args:
        folder: Where to write.
        items: What is shown.
        title: Of the page.
        jobs: Threads that draw.
        crop_mm: Black out what is farther than this from the masks.

    Returns:
        Path of the page.

    Raises:
        InputError: If the folder cannot be written to.
    """
    folder = Path(folder)
    listed = sorted(_told_apart(list(items)), key=lambda item: (not item.flags, item.name))
    files = _picture_names([item.name for item in listed])

    def write(item: Item, file: str) -> str:
        path = folder / "pictures" / file
        try:
            own = {"levels": item.levels, "found": item.found}
            picture = draw(item.image, item.masks, crop_mm=crop_mm, **own)
        except InputError as error:
            return f'<p class="error">{escape(_without_folders(error, item))}</p>'
        with replacing(path) as temporary:
            temporary.write_bytes(png(picture))
        source = f"pictures/{path.name}"
        return f'<img src="{source}" alt="{escape(item.name)}" loading="lazy">'

    with ThreadPoolExecutor(max(1, jobs)) as pool:
        pictures = list(pool.map(write, listed, files))
    marked = crop_mm is None and any(_discs_in(item) for item in listed)
    page = _page(title, listed, pictures, f" {MARKS}" if marked else "")
    with replacing(folder / "index.html") as temporary:
        temporary.write_text(page, encoding="utf-8", errors="backslashreplace")
    return folder / "index.html"


def write_ground_truth_page(
    dataset: Dataset,
    *,
    pipeline: str = "labels_softseg",
    labels: str = "labels",
    subjects: Iterable[str] | None = None,
    jobs: int = 1,
    crop_mm: float | None = None,
) -> Path:
    """The page of soft truths: each contrast with its hard and its soft outline.

    Reads `report.csv` of `pipeline` for flags, writes `quality_control/index.html` beside it.

    Raises:
        InputError: If no soft truth was made yet.
    """
    folder = dataset.root / "derivatives" / pipeline
    if not (folder / "report.csv").is_file():
        raise InputError(f"{folder}: no report.csv; make the soft truth first")
    report = pd.read_csv(folder / "report.csv", dtype={"session": object, "flags": str})
    report["flags"] = report["flags"].fillna("")
    chosen = set(dataset.everybody if subjects is None else subjects)
    items = []
    for row in report[report["subject"].isin(chosen)].itertuples():
        session = row.session if isinstance(row.session, str) else None
        key = (row.subject, row.contrast)
        if row.contrast not in dataset.contrasts:
            continue
        masks = {
            "hard": dataset.existing(labels, *key, "label-SC_seg", session),
            "soft": dataset.existing(pipeline, *key, "label-SC_softseg", session),
        }
        if None in masks.values():
            continue
        name = f"{row.subject}/{row.contrast}"
        items.append(
            Item(
                name if session is None else f"{name} {session}",
                dataset.image(*key, session),
                masks,
                tuple(row.flags.split()),
                f"shift {row.median_shift_mm:.1f} mm (largest {row.max_shift_mm:.1f}), "
                f"Dice {row.dice:.3f}, disagreement {row.disagreement:.2f}, "
                f"{row.used_mm:.0f} mm used, area {row.area_mm2:.1f} mm², "
                f"soft {row.soft_area_mm2:.1f} mm²",
            )
        )
    title = f"Soft ground truth: {dataset.root.name}"
    return write_page(folder / "quality_control", items, title=title, jobs=jobs, crop_mm=crop_mm)


def _told_apart(items: list[Item]) -> list[Item]:
    """Items whose masks are other files under one name, with folders before the name."""
    places = [
        next((Path(m).absolute() for m in item.masks.values() if isinstance(m, Path | str)), None)
        for item in items
    ]
    same = defaultdict(set)
    for item, place in zip(items, places, strict=True):
        if place is not None:
            same[item.name].add(place.parent)

    def named(item: Item, place: Path | None) -> Item:
        others = same[item.name] - {place and place.parent}
        if place is None or not others:
            return item
        parts = place.parent.parts[1:]
        needed = (
            k
            for k in range(1, len(parts))
            if all(other.parts[1:][-k:] != parts[-k:] for other in others)
        )
        return replace(item, name="/".join((*parts[-next(needed, len(parts)) :], item.name)))

    return [named(*each) for each in zip(items, places, strict=True)]


def _picture_names(names: list[str]) -> list[str]:
    """Names of files, all different on any disk, the same whichever items are flagged."""
    files, taken = [""] * len(names), set()
    for place in sorted(range(len(names)), key=names.__getitem__):
        plain = stem = re.sub(r"[^A-Za-z0-9.-]+", "_", names[place])
        number = 1
        while stem.lower() in taken:
            number += 1
            stem = f"{plain}_{number}"
        taken.add(stem.lower())
        files[place] = f"{stem}.png"
    return files


def _without_folders(error: InputError, item: Item) -> str:
    """The message without the folders of its files: a page is sent to others."""
    text = str(error)
    for source in (item.image, *item.masks.values()):
        if isinstance(source, Path | str):
            text = text.replace(str(source), Path(source).name)
    return text


def _discs_in(item: Item) -> str:
    """Discs that were found and how probable each is, in words."""
    sure = item.found.confidence if item.found is not None else {}
    return ", ".join(f"{disc_name(disc)} {sure[disc]:.2f}" for disc in sorted(sure))


def _page(title: str, items: list[Item], pictures: list[str], marks: str = "") -> str:
    names = list(dict.fromkeys(name for item in items for name in item.masks))
    legend = " ".join(
        f'<span style="color:{color}">&#9632; {escape(name)}</span>'
        for name, color in zip(names, COLORS, strict=False)
    )
    cards = [_card(item, picture) for item, picture in zip(items, pictures, strict=True)]
    flagged = sum(bool(item.flags) for item in items)
    template = Template((resources.files("softseg") / "data" / "quality_control.html").read_text())
    return template.substitute(
        title=escape(title),
        summary=f"{counted(len(items), 'picture')}, {flagged} flagged",
        legend=legend + marks,
        cards="\n".join(cards),
        names=json.dumps([item.name for item in items]).replace("</", "<\\/"),
    )


def _card(item: Item, picture: str) -> str:
    flags = "".join(f"<b>{escape(flag)}</b> " for flag in item.flags)
    kind = "flagged" if item.flags else "fine"
    name = escape(item.name, quote=True)
    discs = _discs_in(item)
    details = "; ".join(filter(None, (item.details, discs and f"probability of discs: {discs}")))
    return (
        f'<section class="{kind}"><label><input type="checkbox" value="{name}"> {name}</label> '
        f"{flags}<small>{escape(details)}</small><br>{picture}</section>"
    )
