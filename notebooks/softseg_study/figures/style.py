"""One look for every figure of the book: sizes, colours, and how a figure is made.

Figures are seven inches wide, the width of a page, with text of nine points and more, so that they
can still be read when a phone shrinks them. Contrasts keep the colours of `softseg.contrasts`
everywhere; methods have colours of their own, far from those (CIE 1976 distances are tested) and
from each other, to colour-blind readers too, and no figure depends on colour alone. Figures have a
white ground, which the page keeps in its dark theme.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from softseg.contrasts import CONTRASTS, UNSEEN_CONTRASTS
from softseg.dataset.names import parse_method
from softseg_study.names import CONSTANTS, method_title
from softseg_study.names import contrast_title as contrast_title

WIDTH_IN = 7.0
"""Width of a page, in inches."""

DARK, GREY, LIGHT = "#222222", "#777777", "#D9D9D9"

_METHOD_COLORS = {
    "truth": "#222222",
    "labels": "#F08080",
    "labels_softseg": "#006400",
    "soft_all": "#332288",
    "hard_all": "#C4001A",
    "soft_per_contrast": "#7B68EE",
    "hard_per_contrast": "#C71585",
    "contour_following": "#00CED1",
    "contour": "#00CED1",
}
"""Methods of the main comparison look the same in every figure of every chapter."""
_MORE_COLORS = (
    "#332288", "#C4001A", "#00CED1", "#C71585", "#006400", "#7B68EE", "#F08080", "#661100",
    "#8B8000",
)  # fmt: skip
_SETTINGS = {
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "figure.figsize": (WIDTH_IN, 3.6),
    "figure.constrained_layout.use": True,
    "savefig.dpi": 144,
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=_MORE_COLORS),
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.hashsalt": "softseg",
}


def use_style() -> None:
    """Set matplotlib to the book's look, and a notebook to show a returned figure as one PNG.

    Example:
        >>> use_style()
        >>> plt.rcParams["axes.spines.top"]
        False
    """
    mpl.rcParams.update(_SETTINGS)
    # Seaborn moves points of a strip aside by NumPy's global generator, unlike intervals unseeded.
    np.random.seed(0)  # noqa: NPY002
    # Seaborn lays its grids of panels out itself, and says so on stderr.
    warnings.filterwarnings("ignore", message="The figure layout has changed to tight")
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # no notebook
        return
    if get_ipython() is not None:
        set_matplotlib_formats("png", dpi=144)


def new_figure(
    rows: int = 1, columns: int = 1, *, height_in: float = 3.6, **options: object
) -> tuple[Figure, np.ndarray]:
    """A figure of page width and its axes as an array `(rows, columns)`.

    The figure is not registered with pyplot: a notebook shows it once, where it is returned, and
    a hundred figures do not pile up in memory.
    """
    with mpl.rc_context(_SETTINGS):
        figure, axes = plt.subplots(
            rows, columns, figsize=(WIDTH_IN, height_in), squeeze=False, **options
        )
    plt.close(figure)
    return figure, axes


def contrast_color(name: str) -> str:
    """The contrast's colour through the book; grey for one that the package does not know."""
    known = CONTRASTS | UNSEEN_CONTRASTS
    return known[name].color if name in known else GREY


def contrast_order(names: Iterable[str]) -> list[str]:
    """The contrasts present, in the order of the paper's plots, unknown ones last."""
    present = list(dict.fromkeys(names))
    known = [c for c in (*CONTRASTS, *UNSEEN_CONTRASTS) if c in present]
    return known + sorted(c for c in present if c not in known)


def method_colors(methods: Sequence[str]) -> dict[str, str]:
    """A colour for each method: its own, or for one that has none the next that is free.

    Several trainings of one method, `soft_all_seed-1` and so on, look like the method if only one
    of them is there.

    Example:
        >>> method_colors(["mine", "soft_all"])
        {'mine': '#C4001A', 'soft_all': '#332288'}
    """
    bases = {method: str(method).removesuffix(CONSTANTS) for method in methods}
    colors = _assign(list(bases.values()), _METHOD_COLORS, _MORE_COLORS)
    return {method: colors[base] for method, base in bases.items()}


def method_palette(methods: Iterable[str]) -> dict[str, str]:
    """Plain name → colour, for plots whose table went through `plain`.

    Example:
        >>> method_palette(["soft_all", "soft_all + constants"])
        {'one network, soft masks': '#332288', 'one network, soft masks + constants': '#332288'}
    """
    return {
        method_title(m): color for m, color in method_colors(list(dict.fromkeys(methods))).items()
    }


def _assign(methods: Sequence[str], own: Mapping[str, str], more: Sequence[str]) -> dict[str, str]:
    """What is a method's own if nobody else here has it, else the next free one in order."""
    names = list(dict.fromkeys(methods))
    base = {name: parse_method(str(name))[0] for name in names}
    single = {name for name in names if list(base.values()).count(base[name]) == 1}
    found = {name: own[base[name]] for name in names if name in single and base[name] in own}
    free = [value for value in more if value not in found.values()] or list(more)
    others = [name for name in names if name not in found]
    return {
        name: found[name] if name in found else free[others.index(name) % len(free)]
        for name in names
    }


SLANTED = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"}
"""How names stand under an axis where they would run into one another."""


def spread_points(n: int, width: float = 0.2) -> np.ndarray:
    """Sideways offsets that keep `n` points from hiding one another, the same every time."""
    golden = (np.sqrt(5) - 1) / 2
    return width * (((np.arange(n) + 0.5) * golden) % 1 * 2 - 1)


def hide_spare(axes: Iterable[Axes]) -> None:
    """Blank the axes that a grid has too many."""
    for ax in axes:
        ax.set_axis_off()


def empty_figure(why: str) -> Figure:
    """A figure that says why it shows nothing, so that a page keeps its place for it."""
    figure, axes = new_figure(height_in=1.0)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0.5, 0.5, why, ha="center", va="center", color=GREY)
    return figure
