"""The whole book as one file: everything inside, nothing fetched, links that lead somewhere."""

import re
from pathlib import Path

import pytest
from scripts import ROOT, loaded_script

PAGE = """<html><head><title>Book</title>
<link rel="stylesheet" href="../_static/a.css?v=1"><link rel="icon" href="../_static/i.svg">
<script src="../_static/a.js"></script></head><body>
<p><a class="x" href="intro.html#more">inside</a> <a href="https://example.org">outside</a>
<a href="../_downloads/t.csv">table</a> <a href="#here">here</a></p>
<img alt="a dot" src="../_images/dot.png"/><h2 id="more">More</h2>
<script>document.title = "Book"</script></body></html>"""


@pytest.fixture(scope="module")
def single():
    return loaded_script("notebooks/single_page.py")


@pytest.fixture
def html(tmp_path) -> Path:
    files = {
        "book/intro.html": PAGE.encode(),
        "_static/a.css": b"@import url(b.css); @font-face { src: url(f.woff2) } p { color: red }",
        "_static/a.js": b"alert(1)",
        "_images/dot.png": b"\x89PNG",
        "_downloads/t.csv": b"a,b",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def test_styles_and_pictures_are_inside_and_nothing_is_fetched(single, html):
    text = single.single_page(html, html / "book/intro.html")
    assert "p { color: red }" in text
    assert 'src="data:image/png;base64,' in text
    assert not re.search(r"<link|<script[^>]*src=|@import|@font-face|src=\"(?!data:)", text)


def test_links_lead_to_a_place_in_the_file_or_elsewhere_and_to_no_file_beside_it(single, html):
    text = single.single_page(html, html / "book/intro.html")
    assert '<a class="x" href="#more">inside</a>' in text
    assert '<a href="https://example.org">outside</a>' in text
    assert "table" in text
    assert "t.csv" not in text
    assert '<a href="#here">here</a>' in text
    targets = set(re.findall(r'href="#([^"]+)"', text)) - {"here"}
    assert targets <= set(re.findall(r'id="([^"]+)"', text))


def test_the_workflow_makes_the_one_file_and_so_does_a_release():
    assert "notebooks/single_page.py" in (ROOT / "notebooks/Snakefile").read_text("utf-8")
    assert "single_page.py . dist/" in (ROOT / "Makefile").read_text("utf-8")
