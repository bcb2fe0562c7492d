"""The page of the weights that ship prints their card, whole or not there yet."""

import json
from pathlib import Path

import pytest
from scripts import loaded_script

ROOT = Path(__file__).resolve().parents[1]
CARD = {
    "name": "axial",
    "intended_use": "research",
    "licence": "MIT",
    "config": {"architecture": "plain", "dimension": 2, "spacing_mm": [0.5, 0.5]},
    "parameters": 844852,
    "temperature": 0.64,
    "checksum": "0123abcd",
    "versions": {"torch": "2.8"},
    "sources": [{"name": "a set", "licence": "CC-BY-4.0", "people": 3}],
    "scores_real": [
        {"contrast": "T2w", "images": 9, "people": 4, "dice": 0.94321, "dice_sd": 0.0123,
         "dice_lowest": 0.9, "area_bias_percent": -1.25}
    ],
    "scores_phantom": {"people": 24, "bias_percent": 0.5, "brand_new": 7},
    "known_failures": ["It fails at night."],
}  # fmt: skip


@pytest.fixture(scope="module")
def extension():
    return loaded_script("book/_ext/model_card.py")


@pytest.fixture
def page(tmp_path):
    """A book of one page with every part of a card; returns the page's text."""
    from html import unescape
    from re import sub

    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    def build(card: dict | None, scores: str | None = None) -> str:
        source = tmp_path / "source"
        weights = source / "softseg" / "weights"
        weights.mkdir(parents=True)
        parts = ("identity", "sources", "real", "images", "phantom", "failures")
        body = "\n".join(f"```{{model-card}} {part}\n```\n" for part in parts)
        (source / "index.md").write_text(f"# Page\n\n{body}")
        if card is not None:
            (weights / "axial.json").write_text(json.dumps(card))
        if scores is not None:
            (weights / "axial_crossvalidation.csv").write_text(scores)
        (source / "conf.py").write_text(
            f"import sys\nsys.path.insert(0, {str(ROOT / 'book' / '_ext')!r})\n"
            'extensions = ["myst_parser", "model_card"]\n'
        )
        out = tmp_path / "out"
        with docutils_namespace():  # several books in one process know nothing of each other
            app = Sphinx(source, source, out, tmp_path / "trees", "html", status=None,
                         warning=None, warningiserror=True)  # fmt: skip
            app.build()
        assert app.statuscode == 0
        return unescape(sub(r"<[^>]+>", " ", (out / "index.html").read_text(encoding="utf-8")))

    return build


def test_every_entry_of_the_card_is_on_the_page(page):
    scores = "subject,dice,dice_propseg,repeat_difference_percent\na,.95,.9,-1.5\nb,.88,.89,\n"
    words = " ".join(page(CARD, scores).split())
    for said in (
        "844,852", "soft values 0.64",
        "0.5 × 0.5 mm", "0123abcd", "a set CC-BY-4.0 3", "T2w 9 4 0.943 ± 0.012 0.900",
        "-1.2 %", "24", "+0.50 %", "brand new 7", "It fails at night.", "torch 2.8",
        "Dice under .90 1", "1 of 2", "1.50 %",
    ):  # fmt: skip
        assert said in words, said


def test_without_weights_or_with_a_bare_card_the_page_still_builds(page):
    assert page(None).count("No weights ship with this version yet.") == 6


def test_a_bare_card_says_what_it_does_not_say(page):
    text = page({"name": "axial", "checksum": "77"})
    assert text.count("The card says nothing about this.") == 5
    assert "77" in text


def test_the_shipped_card_is_complete_and_that_of_the_weights(extension):
    path = ROOT / "softseg" / "weights" / "axial.json"
    if not path.exists():
        pytest.skip("no weights ship yet (softseg/weights holds none)")
    from softseg.network.weights import read_card

    card = json.loads(path.read_text(encoding="utf-8"))
    assert card == read_card("axial")
    for part in ("identity", "sources", "real", "phantom", "failures"):
        assert extension.PARTS[part](card)[1], part
    assert all(entry["licence"] for entry in card["sources"])


def test_the_page_shows_every_part(extension):
    text = (ROOT / "book" / "models.md").read_text(encoding="utf-8")
    for part in extension.PARTS:
        assert f"{{model-card}} {part}\n" in text
