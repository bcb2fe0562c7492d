"""Any number of small pictures: augmented patches, worst cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

from softseg.volume import WORKING, Volume
from softseg_study.figures.gallery import bright, middle_of, outline, show_slice
from softseg_study.figures.style import DARK, hide_spare, method_colors, method_title, new_figure


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


def case_gallery(cases: Sequence[Case], *, columns: int = 4, size_mm: float = 35.0) -> Figure:
    """A picture a case with the outlines of all its masks, for failures and worst cases.

    Args:
        cases: What to show, in order.
        columns: Pictures side by side.
        size_mm: Side of a picture.
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
        show_slice(ax, image, z, centre_mm=centre, size_mm=size_mm)
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
