"""Figures whose points say what they are when a reader points at them: SVG in the page, no library.

Browsers show the `<title>` of a shape in an SVG that is part of the page.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class TitledFigure:
    """What a notebook shows: an SVG in the page, a PNG where there is none.

    Attributes:
        html: The SVG, as wide as the page lets it.
        figure: What it was made of.
    """

    html: str = field(repr=False)
    figure: Figure

    def _repr_html_(self) -> str:
        return self.html


def titled_points(
    figure: Figure, ax: Axes, table: pd.DataFrame, *, x: str, y: str, order: Sequence[str], alt: str
) -> TitledFigure:
    """A strip plot whose points tell participant and value.

    Args:
        figure: With the plot.
        ax: Where `seaborn.stripplot` has drawn `table`.
        table: `subject` and the columns `x` and `y`.
        x: Column of values.
        y: Column of rows.
        order: Of the rows.
        alt: What the figure shows, for those who cannot see it.
    """
    known = table.dropna(subset=[x])
    rows = [known[known[y] == name] for name in order]
    titles = {
        points: [f"{who}: {value:.2f}" for who, value in zip(one["subject"], one[x], strict=True)]
        for points, one in zip(ax.collections, rows, strict=True)
    }
    return TitledFigure(inline_svg(figure, titles, alt=alt), figure)


def inline_svg(figure: Figure, titles: Mapping[Artist, Sequence[str]], *, alt: str) -> str:
    """The figure as SVG that is part of a page, the same bytes every time.

    Args:
        figure: Any.
        titles: Collection of points → a title for each point, in their order.
        alt: What the figure shows.

    Raises:
        ValueError: If a collection has not as many points as titles.
    """
    for number, artist in enumerate(titles):
        artist.set_gid(f"titled-{number}")
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(file.getvalue())  # noqa: S314 (written the line before)
    # The style is meant for all of a file, and here would be for all of the page.
    root.remove(root.find(f"{{{SVG}}}metadata"))
    defs = root.find(f"{{{SVG}}}defs")
    defs.remove(defs.find(f"{{{SVG}}}style"))
    for number, names in enumerate(titles.values()):
        group = root.find(f".//{{{SVG}}}g[@id='titled-{number}']")
        points = [] if group is None else list(group.iter(f"{{{SVG}}}use"))
        if len(points) != len(names):
            raise ValueError(f"{len(names)} titles for {len(points)} points")
        for point, name in zip(points, names, strict=True):
            ElementTree.SubElement(point, f"{{{SVG}}}title").text = name
    width, _ = root.attrib.pop("width"), root.attrib.pop("height")
    look = f"width:100%;max-width:{width};stroke-linejoin:round;stroke-linecap:butt"
    root.attrib.update({"role": "img", "aria-label": alt, "class": "titled", "style": look})
    text = ElementTree.tostring(root, encoding="unicode")
    # Names of groups recur in every figure of a page; nothing refers to them.
    return re.sub(r'(<g\b[^>]*?) id="[^"]*"', r"\1", text)
