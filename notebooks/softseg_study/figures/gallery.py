"""Axial pictures with the outlines of masks: every contrast, single cases, one image of yours."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

from softseg.volume import WORKING, Volume
from softseg_study.figures.style import (
    DARK,
    contrast_order,
    contrast_title,
    hide_spare,
    method_colors,
    new_figure,
)
from softseg_study.names import method_title

Extent = tuple[float, float, float, float]


def shared_height_mm(masks: Iterable[Volume]) -> float | None:
    """Middle, in scanner millimetres, of the heights that all masks cover; None if there is none.

    Args:
        masks: In working orientation.
    """
    ends = []
    for mask in masks:
        filled = np.flatnonzero(np.asarray(mask.data).any(axis=(0, 1)))
        if filled.size:
            heights = mask.affine[2, 3] + mask.affine[2, 2] * filled[[0, -1]]
            ends.append(heights)
    if not ends:
        return None
    low, high = max(e[0] for e in ends), min(e[1] for e in ends)
    return float((low + high) / 2) if low <= high else None


def middle_of(mask: Volume, z_mm: float | None = None) -> tuple[tuple[float, float], int]:
    """Where a picture is centred, in millimetres within the slice, and which slice it shows.

    Args:
        mask: In working orientation.
        z_mm: Height in scanner millimetres; None for the middle of what the mask covers.
    """
    data = np.asarray(mask.data, dtype=float)
    filled = np.flatnonzero(data.any(axis=(0, 1)))
    if z_mm is None:
        z = int(filled[filled.size // 2]) if filled.size else data.shape[2] // 2
    else:
        heights = mask.affine[2, 3] + mask.affine[2, 2] * np.arange(data.shape[2])
        z = int(np.abs(heights - z_mm).argmin())
    weight = data[:, :, z]
    total = weight.sum()
    x, y = np.indices(weight.shape)
    if total <= 0:
        weight, total = np.ones_like(weight), weight.size
    dx, dy, _ = mask.spacing_mm
    return (float((x * weight).sum() / total * dx), float((y * weight).sum() / total * dy)), z


def show_slice(
    ax: Axes,
    volume: Volume,
    z: int,
    *,
    centre_mm: tuple[float, float],
    size_mm: float,
    cmap: str = "gray",
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw an axial slice as the radiologist sees it: anterior up, the person's right on the left.

    Args:
        ax: Where.
        volume: In working orientation.
        z: Slice.
        centre_mm: Centre of the picture within the slice, from the first voxel.
        size_mm: Side of the picture.
        cmap: Colour map.
        limits: Values of black and white; percentiles of what is visible by default.
    """
    data, extent = np.asarray(volume.data[:, :, z], dtype=float), _extent(volume)
    half = size_mm / 2
    (cx, cy), (dx, dy, _) = centre_mm, volume.spacing_mm
    x, y = np.arange(data.shape[0]) * dx, np.arange(data.shape[1]) * dy
    seen = data[np.ix_(np.abs(x - cx) <= half, np.abs(y - cy) <= half)]
    if limits is None:
        limits = tuple(np.percentile(seen if seen.size else data, [1, 99.5]))
    ax.imshow(
        data.T, cmap=cmap, origin="lower", extent=extent, interpolation="nearest",
        vmin=limits[0], vmax=limits[1],
    )  # fmt: skip
    ax.set(xlim=(cx - half, cx + half), ylim=(cy - half, cy + half), xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)


def outline(ax: Axes, mask: Volume, z: int, *, color: str, width: float = 1.6) -> None:
    """Draw where a mask exceeds one half: along voxel edges if it is binary, smoothly if soft."""
    data = np.asarray(mask.data[:, :, z], dtype=float)
    if data.max() <= 0.5:
        return
    dx, dy, _ = mask.spacing_mm
    if ((data == 0) | (data == 1)).all():
        ax.plot(*_voxel_edges(data > 0.5, dx, dy), color=color, linewidth=width)
        return
    x, y = np.arange(data.shape[0]) * dx, np.arange(data.shape[1]) * dy
    ax.contour(x, y, data.T, levels=[0.5], colors=[color], linewidths=width)


def _voxel_edges(hard: np.ndarray, dx: float, dy: float) -> tuple[np.ndarray, np.ndarray]:
    """Segments between a voxel inside and one outside, as one line broken by NaN."""
    padded = np.pad(hard, 1)
    i, j = np.nonzero(padded[1:] != padded[:-1])  # edges across X
    x1 = np.stack([i - 0.5, i - 0.5, np.full(i.shape, np.nan)])
    y1 = np.stack([j - 1.5, j - 0.5, np.full(j.shape, np.nan)])
    i, j = np.nonzero(padded[:, 1:] != padded[:, :-1])
    x2 = np.stack([i - 1.5, i - 0.5, np.full(i.shape, np.nan)])
    y2 = np.stack([j - 0.5, j - 0.5, np.full(j.shape, np.nan)])
    x = np.concatenate([x1.T.ravel(), x2.T.ravel()])
    y = np.concatenate([y1.T.ravel(), y2.T.ravel()])
    return x * dx, y * dy


def _extent(volume: Volume) -> Extent:
    (nx, ny), (dx, dy, _) = volume.data.shape[:2], volume.spacing_mm
    return (-dx / 2, (nx - 0.5) * dx, -dy / 2, (ny - 0.5) * dy)


def bright(color: str) -> str:
    """Dark colours disappear on a dark image: the truths' colours are lifted."""
    lifted = {
        "#222222": "#FFFFFF",
        "#006400": "#44DD77",
        "#332288": "#8C7BFF",
        "#C71585": "#FF6EC0",
        "#C4001A": "#FF5C5C",
    }
    return lifted.get(color, color)


@dataclass(frozen=True)
class Case:
    """One image with masks of several methods.

    Attributes:
        title: What is special about it, for example its error.
        image: The image.
        masks: Method → mask on the image's grid; the picture is centred on the first, in its slice.
        z: Slice in working orientation; None for the middle of the first mask.
    """

    title: str
    image: Volume
    masks: Mapping[str, Volume] = field(default_factory=dict)
    z: int | None = None


def case_gallery(cases: Sequence[Case], *, columns: int = 4) -> Figure:
    """A picture a case with the outlines of all its masks, for failures and worst cases.

    Args:
        cases: What to show, in order.
        columns: Pictures side by side.
    """
    methods = list(dict.fromkeys(m for case in cases for m in case.masks))
    colors = {m: bright(c) for m, c in method_colors(methods).items()}
    columns = min(columns, max(1, len(cases)))
    rows = -(-len(cases) // columns)
    figure, axes = new_figure(rows, columns, height_in=0.5 + (7.0 / columns + 0.35) * rows)
    for ax, case in zip(axes.flat, cases, strict=False):
        image = case.image.oriented(WORKING)
        masks = {m: mask.oriented(WORKING) for m, mask in case.masks.items()}
        first = next(iter(masks.values()), image)
        height_mm = None if case.z is None else first.affine[2, 3] + first.affine[2, 2] * case.z
        centre, z = middle_of(first, height_mm)
        show_slice(ax, image, z, centre_mm=centre, size_mm=35.0)
        for method, mask in masks.items():
            outline(ax, mask, z, color=colors[method])
        ax.set_title(case.title, loc="center", fontsize=9)
    hide_spare(axes.flat[len(cases) :])
    if methods:
        # Light outlines are made for dark images: on the page they need an edge.
        edge = [Stroke(linewidth=4.5, foreground=DARK), Normal()]
        lines = [Line2D([], [], color=colors[m], linewidth=3, path_effects=edge) for m in methods]
        titles = [method_title(m) for m in methods]
        figure.legend(lines, titles, loc="outside lower center", ncols=min(4, len(methods)))
    return figure


def contrast_gallery(
    images: Mapping[str, Volume], masks: Mapping[str, Mapping[str, Volume]]
) -> Figure:
    """One column a contrast: the image with the outlines of its masks, at one height of the cord.

    Voxels are drawn as large as they are and not smoothed, so that a thick slice looks like one.

    Args:
        images: Contrast → image.
        masks: Method → contrast → mask on the image's grid, soft or binary.
    """
    oriented = {
        name: {method: of[name].oriented(WORKING) for method, of in masks.items() if name in of}
        for name in contrast_order(images)
    }
    z_mm = shared_height_mm(mask for of in oriented.values() for mask in of.values())
    cases = [
        Case(contrast_title(name), images[name], own,
             z=middle_of(next(iter(own.values()), images[name].oriented(WORKING)), z_mm)[1])
        for name, own in oriented.items()
    ]  # fmt: skip
    return case_gallery(cases, columns=len(cases))


def mask_mosaic(image: Volume, masks: Mapping[str, Volume]) -> Figure:
    """Axial slices spread evenly along the cord, with the outline of each mask at 0.5.

    Args:
        image: Any orientation.
        masks: Name → mask on the image's grid, soft or binary; the first says where the cord is.
    """
    first = next(iter(masks.values())).oriented(WORKING).data
    filled = np.flatnonzero(first.any(axis=(0, 1)))
    filled = filled if filled.size else np.arange(first.shape[2])
    chosen = filled[np.linspace(0, filled.size - 1, min(8, filled.size)).round().astype(int)]
    return case_gallery([Case(f"slice {z}", image, masks, int(z)) for z in chosen])
