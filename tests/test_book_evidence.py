"""Lines of evidence lead to table, record and the cell above them; other paragraphs stay."""

from pathlib import Path

import pytest
from docutils import nodes
from docutils.utils import new_document
from scripts import loaded_script
from sphinx import addnodes


@pytest.fixture(scope="module")
def evidence():
    return loaded_script("book/_ext/evidence.py")


def code() -> nodes.container:
    return nodes.container(nb_element="cell_code")


def linked(target: str) -> nodes.paragraph:
    link = addnodes.download_reference("", "Table", reftarget=target)
    return nodes.paragraph("", "", link)


def page(evidence, *content: nodes.Node) -> nodes.document:
    document = new_document("chapter")
    document += list(content)
    evidence.link_cells(None, document)
    return document


def cells_of(document: nodes.document) -> list[str]:
    links = document.findall(nodes.reference)  # a link to a file to save is one, too
    return [link["refid"] for link in links if link.hasattr("refid")]


def test_evidence_leads_to_the_nearest_code_above_it(evidence):
    cells = [code(), code(), code()]
    first, second = linked("../tables/a.csv"), linked("../tables/b.csv")
    document = page(evidence, cells[0], first, cells[1], cells[2], second)
    assert cells_of(document) == ["cell-1", "cell-3"]
    assert [cell["ids"] for cell in cells] == [["cell-1"], [], ["cell-3"]]
    assert first.astext() == "Table · cell"
    assert first["classes"] == ["evidence"]


def test_two_lines_below_one_cell_lead_to_one_place(evidence):
    cell = code()
    document = page(evidence, cell, linked("../tables/a.csv"), linked("../tables/b.csv"))
    assert cells_of(document) == ["cell-1", "cell-1"]
    assert cell["ids"] == ["cell-1"]


@pytest.mark.parametrize("target", ["elsewhere/a.csv", "data.zip", ""])
def test_other_links_and_plain_paragraphs_stay_as_they_are(evidence, target):
    other, plain = linked(target), nodes.paragraph(text="A finding.")
    document = page(evidence, code(), other, plain)
    assert cells_of(document) == []
    assert "evidence" not in other["classes"] + plain["classes"]


def test_evidence_above_the_first_cell_has_no_cell(evidence):
    assert cells_of(page(evidence, linked("../tables/a.csv"), code())) == []


def test_every_chapter_of_the_built_book_has_tables_that_can_be_fetched(built):
    """Links of evidence in sources are downloads in pages, where the chapter is not an old one."""
    for path in sorted((built.html / "book/chapters").glob("[0-9]*.html")):
        text = path.read_text("utf-8")
        for link in text.split('class="evidence"')[1:]:
            line = link.split("</p>")[0]
            assert "reference download internal" in line, path.name
            assert 'href="#cell-' in line, path.name
        assert Path(path).stat().st_size
