"""One quantity has one value whichever page says it, and pages claim what chapters found."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from softseg_study.filled import glued

ROOT = Path(__file__).resolve().parents[1]
RUNS = {"the book": ROOT / "book/chapters", "the tiny run": ROOT / "runs/tiny/chapters"}
SAME = {
    "people who are scored": ["01::n_test", "03::n_test", "04::n_people"],
    "people altogether": ["01::people", "02::n_people"],
    "SD over contrasts, one network of soft masks": ["04::sd_soft_all", "05::one_network"],
    "SD over contrasts, six networks": ["04::sd_soft_per_contrast", "05::six_networks"],
    "real images that were scored": ["06::real_images", "09::real_images"],
}
"""What several chapters say: chapter and name of the value."""
SHARED = {"images", "n_people", "real_images", "verdict", "yes_or_no"}
"""Names that mean another thing in every chapter, or are held together above."""


def number(value: object) -> float | None:
    """A glued number, or the one in a glued text, as both are printed; None where there is none."""
    found = re.search(r"\d+(?:\.\d+)?", f"{value:.1f}" if isinstance(value, float) else str(value))
    return float(found[0]) if found else None


AT_BOOK_SCALE = {"real images that were scored"}
"""The tiny run looks at two of the real images in chapter 06."""


@pytest.fixture(params=RUNS)
def values(request) -> dict[str, object]:
    """Chapter and name → value, of every chapter of a run."""
    folder = RUNS[request.param]
    paths = sorted(folder.glob("[0-9]*.ipynb"))
    if not paths:
        pytest.skip(f"{request.param} has not run here; `make tiny` runs it")
    return {
        f"{path.stem[:2]}::{name}": value
        for path in paths
        for name, value in glued(nbformat.read(path, as_version=4)).items()
    }


@pytest.mark.parametrize("quantity", SAME)
def test_a_quantity_that_two_chapters_say_has_one_value(values, quantity, request):
    if quantity in AT_BOOK_SCALE and "tiny" in request.node.callspec.params["values"]:
        pytest.skip("not all of it at the tiny scale")
    said = {place: number(values[place]) for place in SAME[quantity] if place in values}
    known = {place: value for place, value in said.items() if value is not None}
    assert len(set(known.values())) <= 1, known


def test_a_name_that_two_chapters_glue_is_one_quantity(values):
    names: dict[str, dict[str, object]] = {}
    for place, value in values.items():
        names.setdefault(place[4:], {})[place] = value
    differ = {
        name: said
        for name, said in names.items()
        if len(said) > 1 and name not in SHARED and len({str(v) for v in said.values()}) > 1
    }
    assert differ == {}


def test_two_values_of_one_quantity_would_be_noticed():
    assert number(1.52) == number("1.5 mm²") != number("1.6 mm²")
    assert number("not known") is None


def answer(stem: str) -> str:
    """Title, first sentence, question and answer of a chapter's source."""
    path = next((ROOT / "notebooks").glob(f"{stem}_*.ipynb"))
    return "".join(json.loads(path.read_text("utf-8"))["cells"][0]["source"])


def test_answers_say_what_speaks_against_the_proposal():
    """The numbers of whoever does better stand in the answer, whoever that is."""
    needed = {
        "04": ["p_contrast", "sd_means", "published_sd_means", "sd_hard_all_constants"],
        "06": ["real_soft_all", "real_hard_all", "real_propseg", "real_best"],
        "07": ["better", "over_voxels", "over_contrasts", "soft_cross_entropy", "soft_dice"],
        "08": ["one_soft", "one_drawn", "mixed_hard_constants", "cross_hard"],
    }
    for chapter, names in needed.items():
        said = set(re.findall(r"\{glue:text\}`(\w+)", answer(chapter)))
        assert set(names) <= said, (chapter, set(names) - said)


CLAIMS = re.compile(
    r"no longer depends?\b|independent of (?:the )?contrast|hard truth|hard masks? truth"
    r"|\bbecause of Adaptive Wing|Adaptive Wing (?:causes|explains)",
    re.IGNORECASE,
)


def test_no_page_claims_that_the_contrast_no_longer_matters_or_blames_one_loss():
    pages = [ROOT / "README.md", ROOT / "CITATION.cff", ROOT / "pyproject.toml"]
    pages += [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("0*.ipynb")]
    found = {p.name: CLAIMS.findall(p.read_text(encoding="utf-8")) for p in pages}
    assert {name: claims for name, claims in found.items() if claims} == {}


def test_people_of_the_database_are_called_healthy_only_as_far_as_they_are():
    pages = [ROOT / "README.md", *(ROOT / "book").glob("*.md")]
    wrong = re.compile(r"\bhealthy (?:volunteers|people|participants)\b(?! (?:are|were) most)")
    for page in pages:
        text = " ".join(page.read_text(encoding="utf-8").split())
        for match in wrong.finditer(text):
            before = text[max(0, match.start() - 24) : match.start()]
            assert re.search(r"(most|mostly)[^.]*$|not $", before), (
                f"{page.name}: {before}{match[0]}"
            )
