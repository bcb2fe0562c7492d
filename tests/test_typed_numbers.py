"""No result is typed by hand: numbers in prose are computed, or somebody is cited for them."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "book").glob("*.md")),
    *sorted((ROOT / "notebooks").glob("0*.ipynb")),
]

COMPUTED = re.compile(r"\{(?:glue:\w+|run|found)\}`[^`]*`")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
SENTENCES = re.compile(r"\n\s*\n|(?<=[.!?])\s+(?=[A-Z*{`\[])|\n(?=[|*:-])|(?<=\|)")
TYPED = re.compile(
    r"\d\s*(?:mm²|mm2|mm³|%|per cent\b|percent\b|seconds?\b|minutes?\b|hours?\b|s\b|min\b|h\b)"
    r"|\d\.\d+\s*(?:mm\b|°|times\b)|\bp\s*[<=>≤]\s*\.?\d|±\s*\d|\bn\s*=\s*\d"
    r"|\b(?:Dice|ICC|CoV|SD|slope|score|correlation)\b[^.;:|]{0,30}?\s[<>=]?\s?\d*\.\d+",
)
"""What a result looks like when it was typed: a number with a unit, a p-value, a score."""
SETTINGS = {
    "csa.md": (
        "a mask that is 20 % fainter has an area 20 % smaller",
        "A tube of 70 mm²",
        "make more than 3 % of its area",
    ),
    "method.md": ("a method that always returns 70 mm²",),
    "safety.md": ("more than 20 s of processor time",),
    "speed.md": ("voxels of 0.8 mm",),
    "07_partial_volume.ipynb": ("Is a value of 0.3 really 30 per cent cord?",),
}
"""Numbers that were chosen, not found, by page: settings, limits and examples."""


def prose(path: Path) -> str:
    """What a page says in words."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return text


def typed_numbers(text: str, settings: tuple[str, ...] = ()) -> list[str]:
    """Sentences with a result that was neither computed nor taken from somebody cited there."""
    for setting in settings:
        text = text.replace(setting, "")
    plain = CODE.sub("", COMPUTED.sub("", text))
    return [s for s in SENTENCES.split(plain) if TYPED.search(s) and "{cite:" not in s]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_result_is_typed_by_hand(path):
    assert typed_numbers(prose(path), SETTINGS.get(path.name, ())) == []


PLANTED = [
    "The SD is 1.5 mm².",
    "It differs, p < .001.",
    "The area was 4.1 ± 0.3 in all.",
    "Errors fell by 12 %.",
    "The surface distance is 0.28 mm.",
    "It reaches a Dice of 0.93.",
    "The slope was only 0.86.",
    "Training took 94 seconds.",
    "That is 9.5 times as many.",
    "It was so in most people (n = 24).",
]


@pytest.mark.parametrize("planted", PLANTED)
def test_a_result_typed_by_hand_is_noticed(planted):
    assert typed_numbers(f"It is so. {planted} And so on.") == [planted]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_result_typed_into_any_paragraph_of_a_page_is_noticed(path):
    paragraphs = re.split(r"\n\s*\n", prose(path))
    inside_code, planted = 0, []
    for i, paragraph in enumerate(paragraphs):
        if inside_code % 2 == 0 and "```" not in paragraph:
            planted.append(PLANTED[len(planted) % len(PLANTED)])
            paragraphs[i] = f"{paragraph.rstrip().rstrip('.')}. {planted[-1]}"
        inside_code += paragraph.count("```")
    found = typed_numbers("\n\n".join(paragraphs), SETTINGS.get(path.name, ()))
    for sentence in PLANTED:
        noticed = sum(sentence in each for each in found)
        assert noticed == planted.count(sentence), sentence


def test_a_computed_result_is_none_typed_by_hand():
    text = (
        "The SD is {glue:text}`sd_soft_all:.1f` mm² (p = {glue:text}`p:.3f`), run in {run}`time`."
    )
    assert typed_numbers(text) == []


def test_settings_are_still_on_their_pages():
    missing = {
        name: [s for s in settings if s not in prose(next(p for p in PAGES if p.name == name))]
        for name, settings in SETTINGS.items()
    }
    assert {name: gone for name, gone in missing.items() if gone} == {}
