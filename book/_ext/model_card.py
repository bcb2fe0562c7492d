"""Sphinx directive that shows what the weights that ship say about themselves.

The card is the JSON file beside the weights (`softseg/weights/axial.json`), written with them; this
extension only prints it. In a page, ```` ```{model-card} real ```` makes the part called so, and
`:name:` chooses other weights. Where no weights ship, each part says so.
"""

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from softseg_study.names import contrast_title, method_title

FOLDER = Path("softseg/weights")
ABSENT = "No weights ship with this version yet."
MEASURES = {
    "people": ("People", "{}"),
    "sd_of_contrast_means_mm2": ("SD of the contrasts' mean areas", "{:.2f} mm²"),
    "sd_over_contrasts_mm2": ("SD of a person's area over contrasts, mean", "{:.2f} mm²"),
    "bias_percent": ("Bias of the area", "{:+.2f} %"),
    "absolute_error_percent": ("Absolute error of the area, mean", "{:.2f} %"),
    "slope_on_true_area": ("Measured per true mm² between people", "{:.2f}"),
    "calibration_error": ("Soft values: mean distance from the true fraction", "{:.3f}"),
    "worst_calibration_bin": ("Soft values: largest error of a bin of ten", "{:.3f}"),
}
"""Key of the card's phantom scores → words and format."""

Rows = list[Sequence[str]]


def number(form: str, value: Any) -> str:
    """A value in a format; as it is where it is no number.

    Example:
        >>> number("{:.2f} mm²", 1.234), number("{:.2f}", None), number("{}", "without end")
        ('1.23 mm²', '–', 'without end')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    try:
        return form.format(value)
    except (TypeError, ValueError):
        return str(value)


def sources(card: dict[str, Any]) -> tuple[Rows, Rows]:
    """What the network was trained on, under which licence."""
    rows = [
        (entry.get("name", "–"), entry.get("licence", "–"), str(entry.get("people", "–")))
        for entry in card.get("sources", [])
    ]
    return [("Source", "Licence", "People")], rows


def real(card: dict[str, Any]) -> tuple[Rows, Rows]:
    """Scores on real images of people whom the scored network had not seen."""
    rows = [
        (
            contrast_title(entry.get("contrast", "–")),
            str(entry.get("images", "–")),
            str(entry.get("people", "–")),
            f"{number('{:.3f}', entry.get('dice'))} ± {number('{:.3f}', entry.get('dice_sd'))}",
            number("{:.3f}", entry.get("dice_lowest")),
            number("{:+.1f} %", entry.get("area_bias_percent")),
        )
        for entry in card.get("scores_real", [])
    ]
    return [("Contrast", "Images", "People", "Dice ± SD", "Lowest Dice", "Area bias")], rows


def images(card: dict[str, Any], folder: Path = FOLDER) -> tuple[Rows, Rows]:
    """How many images lie above PropSeg, from the table of single images beside the card."""
    path = folder / f"{card.get('name', 'axial')}_crossvalidation.csv"
    if not path.exists():
        return [], []
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    both = [
        (float(row["dice"]), float(row["dice_propseg"]))
        for row in found
        if row.get("dice") and row.get("dice_propseg")
    ]
    repeats = [abs(float(row["repeat_difference_percent"])) for row in found
               if row.get("repeat_difference_percent")]  # fmt: skip
    rows = [
        ("Images with a manual mask", str(len(found))),
        ("Dice under .90", str(sum(ours < 0.9 for ours, _ in both))),
        (
            "Above PropSeg from the manual centreline",
            f"{sum(a > b for a, b in both)} of {len(both)}",
        ),
    ]
    if repeats:
        worst = number("{:.2f} %", max(repeats))
        rows.append(("Area between two runs of a session, largest difference", worst))
    return [("Single images", "")], rows


def phantom(card: dict[str, Any]) -> tuple[Rows, Rows]:
    """Scores on digital people whose true area is known."""
    scores = card.get("scores_phantom", {})
    rows = [
        (words, number(form, scores[key]))
        for key, (words, form) in MEASURES.items()
        if key in scores
    ]
    rows += [(key.replace("_", " "), str(scores[key])) for key in scores if key not in MEASURES]
    return [("Unseen digital people", "")], rows


def failures(card: dict[str, Any]) -> tuple[Rows, Rows]:
    """What is known to go wrong."""
    known = [*card.get("known_failures", []), *card.get("warnings", [])]
    return [("Known failures",)], [(text,) for text in known]


def identity(card: dict[str, Any]) -> tuple[Rows, Rows]:
    """What these weights are."""
    config = card.get("config", {})
    versions = card.get("versions", {})
    spacing = " × ".join(f"{mm:g}" for mm in config.get("spacing_mm", []))
    rows = [
        ("Name", card.get("name")),
        ("Intended use", card.get("intended_use")),
        ("Licence", card.get("licence")),
        ("Network", f"{config.get('architecture')} U-Net, {config.get('dimension')}-dimensional"),
        ("Parameters", number("{:,}", card.get("parameters"))),
        ("Working voxels", f"{spacing} mm" if spacing else None),
        ("Loss", method_title(card.get("loss", ""))),
        ("Augmentation", card.get("augmentation")),
        ("Steps", card.get("steps")),
        ("Temperature of soft values", card.get("temperature")),
        ("Seed", card.get("seed")),
        ("Made with", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("Checksum (SHA-256 of the numbers)", card.get("checksum")),
    ]
    return [("Entry", "Value")], [(name, str(v)) for name, v in rows if v not in (None, "")]


PARTS = {
    "identity": identity,
    "sources": sources,
    "real": real,
    "images": images,
    "phantom": phantom,
    "failures": failures,
}


def table(head: Rows, body: Rows) -> nodes.table:
    """A table as wide as its rows."""

    def row(cells: Sequence[str]) -> nodes.row:
        return nodes.row("", *(nodes.entry("", nodes.paragraph(text=cell)) for cell in cells))

    columns = len(body[0])
    group = nodes.tgroup(cols=columns)
    group += [nodes.colspec(colwidth=100 // columns) for _ in range(columns)]
    group += [nodes.thead("", *map(row, head)), nodes.tbody("", *map(row, body))]
    return nodes.table("", group, classes=["model-card"])


class ModelCard(SphinxDirective):
    """One part of a model card."""

    required_arguments = 1
    option_spec: ClassVar[dict] = {"name": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        part = self.arguments[0]
        if part not in PARTS:
            raise self.error(f"model-card: {part!r} is none of {', '.join(PARTS)}")
        folder = Path(self.env.srcdir) / FOLDER
        path = folder / f"{self.options.get('name', 'axial')}.json"
        if not path.exists():
            return [nodes.paragraph(text=ABSENT)]
        self.env.note_dependency(str(path))
        card = json.loads(path.read_text(encoding="utf-8"))
        head, body = images(card, folder) if part == "images" else PARTS[part](card)
        if not body:
            return [nodes.paragraph(text="The card says nothing about this.")]
        if part == "failures":
            items = (nodes.list_item("", nodes.paragraph(text=text)) for (text,) in body)
            return [nodes.bullet_list("", *items)]
        return [table(head, body)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("model-card", ModelCard)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
