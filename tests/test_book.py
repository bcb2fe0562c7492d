"""The book: it builds strictly and offline, and its pages are whole."""

import json
import pkgutil
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from rendered_book import Rendered

import softseg

ROOT = Path(__file__).resolve().parents[1]
FETCHED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "track": ("src",),
}
"""Attributes that a browser fetches by itself when the page opens."""
LINK_RELATIONS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch",
                  "modulepreload", "shortcut", "apple-touch-icon", "manifest"}  # fmt: skip


class Page(HTMLParser):
    """What a page fetches, where it links to, its anchors, images and inline scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.images: list[dict[str, str]] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        self.fetched += [values[key] for key in FETCHED.get(tag, ()) if values.get(key)]
        if tag == "link" and LINK_RELATIONS & set(values.get("rel", "").split()):
            self.fetched.append(values.get("href", ""))
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values)
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


def is_external(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in ("http", "https", "ftp")


@pytest.fixture(scope="module")
def book(built: Rendered) -> Rendered:
    if built.returncode:
        pytest.fail(f"the book does not build:\n{built.log[-4000:]}")
    return built


@pytest.fixture(scope="module")
def pages(book: Rendered) -> dict[Path, Page]:
    return {path: Page(path) for path in book.pages}


def test_the_book_builds_without_a_warning_and_without_network(built):
    assert built.returncode == 0, built.log[-4000:]
    assert (built.html / "book" / "intro.html").exists()


def test_no_page_fetches_anything_from_elsewhere(pages):
    found = {str(path): [a for a in page.fetched if is_external(a)] for path, page in pages.items()}
    assert {path: outside for path, outside in found.items() if outside} == {}


def test_the_built_book_and_each_of_its_pages_are_light(book, pages):
    """At most 12 MB together, and 1.5 MB for a page with all that a browser fetches for it."""
    assert sum(path.stat().st_size for path in book.html.rglob("*") if path.is_file()) < 12e6
    icons = (book.html / "_static/vendor/fontawesome/webfonts/fa-solid-900.woff2").stat().st_size
    for path, page in pages.items():
        files = {(path.parent / unquote(urlsplit(a).path)).resolve() for a in page.fetched}
        total = path.stat().st_size + sum(f.stat().st_size for f in files if f.is_file())
        assert total + icons < 1.5e6, f"{path.name}: {(total + icons) / 1e6:.2f} MB"


def test_mathematics_is_markup_that_needs_no_script(pages):
    assert [p.name for p, page in pages.items() if any("athjax" in a for a in page.fetched)] == []
    method = next(path for path in pages if path.name == "method.html")
    assert method.read_text("utf-8").count("<math ") > 10


def test_no_inline_script_names_an_address_to_load_from(pages):
    loading = re.compile(r"""(import|require|fetch|src)\W{1,12}https?://|cdn\.|cdnjs|unpkg""")
    found = {str(path): [s[:200] for s in page.scripts if loading.search(s)]
             for path, page in pages.items()}  # fmt: skip
    assert {path: scripts for path, scripts in found.items() if scripts} == {}


def test_no_style_sheet_loads_from_elsewhere(book):
    loading = re.compile(r"""(?:@import\s+|url\()\s*["']?(?:https?:)?//""")
    sheets = [path for path in book.html.rglob("*.css") if loading.search(path.read_text("utf-8"))]
    assert sheets == []


def test_everything_that_a_page_fetches_is_there(pages):
    missing = [
        f"{path.name}: {address}"
        for path, page in pages.items()
        for address in page.fetched
        if not address.startswith("data:")
        and not (path.parent / unquote(urlsplit(address).path)).exists()
    ]
    assert missing == []


def leads_somewhere(link: str, path: Path, pages: dict[Path, Page]) -> bool:
    """Whether a link on the page at `path` has a page to go to, and its anchor on that page."""
    parts = urlsplit(link)
    if parts.scheme in ("mailto", "javascript", "data"):
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
    if target not in pages:
        return target.exists()
    return not parts.fragment or unquote(parts.fragment) in pages[target].anchors


def test_every_internal_link_leads_to_a_page_and_to_a_place_on_it(pages):
    resolved = {path.resolve(): page for path, page in pages.items()}
    broken = [
        f"{path.name}: {link}"
        for path, page in pages.items()
        for link in page.links
        if not is_external(link) and not leads_somewhere(link, path, resolved)
    ]
    assert broken == []


def test_every_image_says_in_words_what_it_shows(pages):
    silent = [
        f"{path.name}: {image.get('src', '')[:80]}"
        for path, page in pages.items()
        for image in page.images
        if not image.get("alt", "").strip() or image["alt"].startswith(("../", "_images", "data:"))
    ]
    assert silent == []


def test_the_title_page_says_what_it_is_not_for(book):
    text = (book.html / "book" / "intro.html").read_text(encoding="utf-8")
    assert "for research, not for diagnosis" in text
    assert "was not run" in text


def test_every_prose_page_and_every_chapter_is_in_the_contents():
    def files(entry):
        own = [entry["file"]] if "file" in entry else []
        below = entry.get("parts", []) + entry.get("chapters", []) + entry.get("sections", [])
        return own + [file for part in below for file in files(part)]

    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [contents["root"], *files(contents)]
    sources = [*(ROOT / "book").glob("*.md"), *(ROOT / "book" / "chapters").glob("*.ipynb")]
    assert sorted(listed) == sorted(str(p.relative_to(ROOT).with_suffix("")) for p in sources)


def public_modules() -> set[str]:
    """Modules and packages that a user may import; what a package's modules hold it re-exports."""
    top = {f"softseg.{module.name}" for module in pkgutil.iter_modules(softseg.__path__)}
    hidden = {"softseg.__main__", "softseg.cli"}
    return {name for name in top if not name.split(".")[-1].startswith("_")} - hidden


def test_the_reference_covers_every_public_module():
    text = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "book").glob("api*.md"))
    documented = set(re.findall(r"automodule:: (softseg[\w.]*)", text))
    assert public_modules() - documented == set()


def test_what_is_cited_is_in_the_bibliography_and_the_other_way_round():
    sources = [*(ROOT / "book").glob("*.md"), *(ROOT / "book" / "chapters").glob("*.ipynb")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    cited = {key.strip() for keys in re.findall(r"\{cite:\w+\}`([^`]+)`", text)
             for key in keys.split(",")}  # fmt: skip
    entries = set(re.findall(r"^@\w+\{([^,]+),", (ROOT / "book/references.bib").read_text(), re.M))
    assert cited == entries


def test_the_readme_and_the_book_link_to_files_that_exist():
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text)
        assert [
            link for link in links if not is_external(link) and not (ROOT / link).exists()
        ] == []


def test_the_citation_names_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{citation["version"]}"' in project
    assert softseg.__version__ == citation["version"]
    assert citation["license"] == "MIT"


RECORD = {
    "scale": "demo",
    "seeds": [1, 2],
    "commit": "abc1234",
    "machine": {"processor": "two cores"},
    "versions": {"torch": "2.0", "python": "3.11"},
}


def build_page(folder: Path, text: str, record: dict | None) -> tuple[int, str]:
    """Build a book of one page with the extension, and what came of it."""
    extensions = str(ROOT / "book" / "_ext")
    (folder / "conf.py").write_text(
        f"import sys; sys.path.insert(0, {extensions!r})\n"
        'extensions = ["myst_parser", "run_record"]\n'
    )
    (folder / "index.md").write_text(text, encoding="utf-8")
    if record is not None:
        chapters = folder / "book" / "chapters"
        chapters.mkdir(parents=True)
        (chapters / "run.json").write_text(json.dumps(record))
        (chapters / "times.json").write_text(json.dumps({"01_dataset": 65.2, "02_truth": 10}))
    command = [sys.executable, "-m", "sphinx", "-b", "text", "-W", "-q", folder, folder / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    page = folder / "out" / "index.txt"
    return done.returncode, (page.read_text() if page.exists() else "") + done.stderr


def test_every_chapter_says_whether_its_numbers_are_of_an_earlier_version(book):
    since = json.loads((ROOT / "book/chapters/run.json").read_text("utf-8")).get("stale_since")
    pages = sorted((book.html / "book" / "chapters").glob("[0-9]*.html"))
    assert len(pages) == 9
    for page in pages:
        assert ("stale-chapter" in page.read_text("utf-8")) == bool(since)


def test_the_record_of_the_run_is_shown_as_tables_and_in_sentences(tmp_path):
    text = (
        "# Page\n\nScale {run}`scale`, torch {run}`versions.torch`, in {run}`times.total`.\n\n"
        "```{run-record} settings\n```\n\n```{run-record} versions\n```\n\n"
        "```{run-record} times\n```\n"
    )
    code, shown = build_page(tmp_path, text, RECORD)
    assert code == 0, shown
    assert "Scale demo, torch 2.0, in 1 min 15 s." in shown
    for words in ("abc1234", "1, 2", "processor two cores", "01_dataset", "1 min 5 s", "python"):
        assert words in shown


def test_a_value_that_the_record_does_not_hold_fails_the_build(tmp_path):
    code, shown = build_page(tmp_path, "# Page\n\n{run}`versions.nothing`\n", RECORD)
    assert code != 0
    assert "versions.nothing" in shown


def test_without_a_record_the_page_says_that_nothing_was_executed(tmp_path):
    code, shown = build_page(tmp_path, "# Page\n\n```{run-record} times\n```\n", None)
    assert code == 0, shown
    assert "not executed yet" in shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(7.4, "7 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (7322, "2 h 2 min")],
)
def test_durations_are_said_as_a_reader_says_them(monkeypatch, seconds, words):
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    from run_record import duration

    assert duration(seconds) == words


def test_a_page_from_elsewhere_would_be_noticed(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        '<link rel="stylesheet" href="https://fonts.example/a.css">'
        '<script src="//cdn.example/b.js"></script>'
        '<a href="https://doi.org/1">paper</a><link rel="canonical" href="https://here/">'
    )
    outside = [address for address in Page(path).fetched if is_external(address)]
    assert outside == ["https://fonts.example/a.css", "//cdn.example/b.js"]
