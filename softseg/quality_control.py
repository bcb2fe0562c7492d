"""A page of pictures to check masks by eye, and the list of what to leave out.

Works for any masks over any images: soft truths, segmentations, a rater's masks.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd
from scipy import ndimage

from softseg.dataset import Dataset
from softseg.errors import InputError
from softseg.files import replacing
from softseg.volume import WORKING, Volume

COLORS = ("#D55E00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442")
"""Of the masks' contours, in the order given."""
HALF_MM = 15.0
PIXELS_PER_MM = 4
SAGITTAL_PIXELS_PER_MM = 2

Source = Volume | Path | str | None


@dataclass(frozen=True)
class Item:
    """One picture of the page.

    Attributes:
        name: Shown, and written into the list of exclusions.
        image: The image, as a volume or a path; None draws the masks on black.
        masks: By name, drawn in this order; fractional ones get a row of their own.
        flags: What is out of bounds; flagged items come first.
        details: One line under the picture.
    """

    name: str
    image: Source
    masks: Mapping[str, Source]
    flags: Sequence[str] = ()
    details: str = field(default="")


def write_page(
    folder: Path | str,
    items: Iterable[Item | tuple],
    *,
    title: str = "Quality control",
    slices: int = 10,
    jobs: int = 1,
) -> Path:
    """Write `index.html` and one picture an item.

    Each picture shows axial slices spread along the cord, 3 cm wide, front up and the subject's
    right on the left, with the masks' outlines at 0.5; fractional masks also as a map; and a
    sagittal strip that follows the cord. The page works offline; ticking pictures makes the list of
    exclusions to save.

    Args:
        folder: Where to write.
        items: Items, or tuples `(name, image, masks, flags)`.
        title: Of the page.
        slices: Axial slices per picture.
        jobs: Threads that draw.

    Returns:
        Path of the page.

    Raises:
        InputError: If the folder cannot be written to.
    """
    folder = Path(folder)
    listed = [item if isinstance(item, Item) else Item(*item) for item in items]
    listed.sort(key=lambda item: (not item.flags, item.name))

    def write(item: Item) -> str:
        path = folder / "pictures" / f"{_safe(item.name)}.png"
        try:
            picture = draw(item.image, item.masks, slices=slices)
        except InputError as error:
            return f'<p class="error">{escape(str(error))}</p>'
        _save(picture, path)
        source = f"pictures/{path.name}"
        return f'<img src="{source}" alt="{escape(item.name)}" loading="lazy">'

    with ThreadPoolExecutor(max(1, jobs)) as pool:
        pictures = list(pool.map(write, listed))
    page = _page(title, listed, pictures)
    with replacing(folder / "index.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return folder / "index.html"


def write_ground_truth_page(
    dataset: Dataset,
    *,
    pipeline: str = "labels_softseg",
    labels: str = "labels",
    subjects: Iterable[str] | None = None,
    jobs: int = 1,
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
    chosen = set(dataset.subjects if subjects is None else subjects)
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
    return write_page(folder / "quality_control", items, title=title, jobs=jobs)


def draw(image: Source, masks: Mapping[str, Source], *, slices: int = 10) -> np.ndarray:
    """The picture of one item.

    Returns:
        `(rows, columns, 3)` uint8.

    Raises:
        InputError: If no mask is given or one cannot be read.
    """
    if not masks:
        raise InputError("quality control: at least one mask is needed to find the cord")
    volumes = {name: _working(source) for name, source in masks.items()}
    first = next(iter(volumes.values()))
    back = _working(image) if image is not None else first.like(np.zeros_like(first.data))
    union = np.max([_on(v, back) for v in volumes.values()], axis=0)
    heights = np.flatnonzero((union > 0).any(axis=(0, 1)))
    if not heights.size:
        return np.zeros((int(2 * HALF_MM * PIXELS_PER_MM),) * 2 + (3,), dtype=np.uint8)
    centre = _centres(union, heights)
    gray = _window(back.data, union)
    chosen = heights[
        np.round(np.linspace(0, len(heights) - 1, min(slices, len(heights)))).astype(int)
    ]
    on_image = [_on(v, back) for v in volumes.values()]
    rows = [
        np.concatenate(
            [_axial(gray, on_image if row else [], back, centre, z) for z in chosen], axis=1
        )
        for row in (0, 1)
    ]
    for values in on_image:
        if ((values > 0) & (values < 1)).any():
            rows.append(np.concatenate([_map(values, back, centre, z) for z in chosen], axis=1))
    mosaic = np.concatenate(rows, axis=0)
    strip = _sagittal(gray, on_image, back, centre, heights)
    height = max(len(mosaic), len(strip))
    padded = [np.pad(p, ((0, height - len(p)), (0, 4), (0, 0))) for p in (strip, mosaic)]
    return np.concatenate(padded, axis=1)


def _working(source: Source) -> Volume:
    volume = source if isinstance(source, Volume) else Volume.load(source, average="mean")
    return volume.oriented(WORKING)


def _on(mask: Volume, image: Volume) -> np.ndarray:
    return mask.data if mask.grid.matches(image.grid, 0.01) else mask.resampled(image.grid).data


def _centres(union: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """In-plane centre on every slice `(Z, 2)`, carried on beyond the masks' ends."""
    x, y = np.indices(union.shape[:2])
    weight = union[..., heights].sum(axis=(0, 1))
    found = [(union[..., heights] * axis[..., None]).sum(axis=(0, 1)) / weight for axis in (x, y)]
    every = np.arange(union.shape[2])
    return np.stack([np.interp(every, heights, values) for values in found], axis=-1)


def _window(data: np.ndarray, union: np.ndarray) -> np.ndarray:
    """Grey values in [0, 1], set by what lies in and around the cord."""
    near = ndimage.binary_dilation(union > 0, iterations=8)
    low, high = np.percentile(data[near], [1, 99.5])
    return np.clip((data - low) / max(float(high - low), 1e-6), 0, 1)


def _plane(
    values: np.ndarray, spacing: Sequence[float], centre: np.ndarray, order: int
) -> np.ndarray:
    """A slice around a point on the display's pixels: rows from front to back."""
    reach = (np.arange(2 * HALF_MM * PIXELS_PER_MM) + 0.5) / PIXELS_PER_MM - HALF_MM
    x = centre[0] + reach / spacing[0]
    y = centre[1] - reach / spacing[1]
    points = np.stack(np.meshgrid(y, x, indexing="ij"))[::-1]
    return ndimage.map_coordinates(values, points, order=order, mode="constant")


def _axial(
    gray: np.ndarray, masks: list[np.ndarray], image: Volume, centre: np.ndarray, z: int
) -> np.ndarray:
    plane = _plane(gray[..., z], image.spacing_mm, centre[z], 1)
    picture = np.repeat(plane[..., None], 3, axis=-1)
    for color, mask in zip(COLORS, masks, strict=False):
        # Binary masks show their voxels; soft ones the line where half is cord.
        order = 1 if ((mask > 0) & (mask < 1)).any() else 0
        _outline(picture, _plane(mask[..., z], image.spacing_mm, centre[z], order), color)
    return _bytes(picture)


def _map(values: np.ndarray, image: Volume, centre: np.ndarray, z: int) -> np.ndarray:
    """Fractions from black over orange to white."""
    plane = _plane(values[..., z], image.spacing_mm, centre[z], 0)
    colors = np.clip(np.stack([2 * plane, 1.5 * plane - 0.25, 3 * plane - 2], axis=-1), 0, 1)
    return _bytes(colors)


def _sagittal(
    gray: np.ndarray,
    masks: list[np.ndarray],
    image: Volume,
    centre: np.ndarray,
    heights: np.ndarray,
) -> np.ndarray:
    """A strip through the cord's middle on every slice, head up, front to the left."""
    scale = SAGITTAL_PIXELS_PER_MM
    spacing = image.spacing_mm
    low = max(heights[0] - 10 / spacing[2], -0.5)
    high = min(heights[-1] + 10 / spacing[2], gray.shape[2] - 0.5)
    rows = max(1, round((high - low) * spacing[2] * scale))
    z = high - (np.arange(rows) + 0.5) / (scale * spacing[2])
    reach = (np.arange(2 * HALF_MM * scale) + 0.5) / scale - HALF_MM
    here = np.stack([np.interp(z, np.arange(len(centre)), c) for c in centre.T], axis=-1)
    middle = here[:, 1].mean()
    y = np.broadcast_to(middle - reach / spacing[1], (rows, len(reach)))
    points = np.stack(
        [np.repeat(here[:, :1], len(reach), axis=1), y, np.repeat(z[:, None], len(reach), axis=1)]
    )
    plane = ndimage.map_coordinates(gray, points, order=1, mode="nearest")
    picture = np.repeat(plane[..., None], 3, axis=-1)
    for color, mask in zip(COLORS, masks, strict=False):
        _outline(picture, ndimage.map_coordinates(mask, points, order=0, mode="nearest"), color)
    return _bytes(picture)


def _outline(picture: np.ndarray, mask: np.ndarray, color: str) -> None:
    inside = mask >= 0.5
    edge = inside & ~ndimage.binary_erosion(inside)
    picture[edge] = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.round(255 * np.pad(picture, ((1, 1), (1, 1), (0, 0)))).astype(np.uint8)


def _save(picture: np.ndarray, path: Path) -> None:
    from PIL import Image

    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name)


def _page(title: str, items: list[Item], pictures: list[str]) -> str:
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
        summary=f"{len(items)} pictures, {flagged} flagged",
        legend=legend,
        cards="\n".join(cards),
        names=json.dumps([item.name for item in items]).replace("</", "<\\/"),
    )


def _card(item: Item, picture: str) -> str:
    flags = "".join(f"<b>{escape(flag)}</b> " for flag in item.flags)
    kind = "flagged" if item.flags else "fine"
    name = escape(item.name, quote=True)
    return (
        f'<section class="{kind}"><label><input type="checkbox" value="{name}"> {name}</label> '
        f"{flags}<small>{escape(item.details)}</small><br>{picture}</section>"
    )
