"""The book as a reader's browser shows it: whole, quiet, and without asking the network."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rendered_book import Rendered

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    pytest.skip("Debian's chromium and chromium-driver are not installed", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
RAW_TEX = re.compile(r"\\\(|\\\[|\$\$|\\begin\{|\\frac|\\sum|\\mathrm|\\left|\\omega")

READY = """
const done = arguments[arguments.length - 1];
const pictures = [...document.images].map(i => i.decode().catch(() => null));
Promise.all(pictures).then(() => done(true));
"""
MISSING_IMAGES = """
return [...document.images].filter(i => !(i.complete && i.naturalWidth)).map(i => i.src);
"""
READABLE_TEXT = """
const skip = "pre, code, script, style, math, noscript";
const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
const texts = [];
while (walker.nextNode())
  if (!walker.currentNode.parentElement.closest(skip)) texts.push(walker.currentNode.data);
return texts.join(" ");
"""
MATH = """
const drawn = e => e.getBoundingClientRect().width > 2 && e.getBoundingClientRect().height > 2;
return {sources: document.querySelectorAll("span.math, div.math").length,
        drawn: [...document.querySelectorAll("span.math > math, div.math > math")]
          .filter(drawn).length,
        errors: document.querySelectorAll("merror").length};
"""
TOO_WIDE = """
const wide = document.documentElement.clientWidth;
const scrolls = e => e && e.tagName != "BODY" &&
  (getComputedStyle(e).overflowX != "visible" || scrolls(e.parentElement));
return document.documentElement.scrollWidth <= wide + 1 ? [] :
  [...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > wide + 1)
    .filter(e => !scrolls(e.parentElement)).slice(0, 5)
    .map(e => e.tagName + "." + e.className + ": " + e.textContent.slice(0, 60));
"""
BACKGROUND = "return getComputedStyle(document.body).backgroundColor;"


class Browser:
    """Chromium, with what a test asks of a page."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(DRIVER)
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_script_timeout(30)

    def size(self, name: str) -> None:
        """Take the size of a screen."""
        width, height = WIDTHS[name]
        phone = name == "phone"
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def open(self, page: Path) -> None:
        """Open a page and wait until its pictures are drawn."""
        self.driver.get_log("browser"), self.driver.get_log("performance")
        self.driver.get(page.as_uri())
        self.driver.execute_async_script(READY)

    def ask(self, script: str) -> Any:
        """What a piece of JavaScript returns."""
        return self.driver.execute_script(script)

    def complaints(self) -> list[str]:
        """Errors on the console since the page was opened."""
        log = self.driver.get_log("browser")
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """Addresses that the page asked for, other than files and inline data.

        What the browser fetches for a new tab of its own, before the page, is not the page's.
        """
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        asked = [e["request"]["url"] for e in sent if not e["documentURL"].startswith("chrome")]
        return [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.driver.quit()


@pytest.fixture(scope="module")
def pages(built: Rendered) -> list[Path]:
    if built.returncode:
        pytest.fail(f"the book does not build:\n{built.log[-4000:]}")
    return [page for page in built.pages if page.parent != built.html]


@pytest.fixture(scope="module")
def findings(browser: Browser, pages: list[Path]) -> dict[str, dict[str, Any]]:
    """Every page opened once, looked at on a desktop and then on a phone."""
    found = {}
    for page in pages:
        browser.size("desktop")
        browser.open(page)
        seen = {
            "missing": browser.ask(MISSING_IMAGES),
            "text": browser.ask(READABLE_TEXT),
            "math": browser.ask(MATH),
            "desktop": browser.ask(TOO_WIDE),
        }
        browser.size("phone")
        seen["phone"] = browser.ask(TOO_WIDE)
        seen |= {"complaints": browser.complaints(), "requests": browser.requests()}
        found[page.stem] = seen
    return found


def only_problems(findings: dict[str, dict[str, Any]], key: str) -> dict[str, Any]:
    return {page: seen[key] for page, seen in findings.items() if seen[key]}


def test_no_page_writes_an_error_to_the_console(findings):
    assert only_problems(findings, "complaints") == {}


def test_no_page_asks_the_network_for_anything(findings):
    assert only_problems(findings, "requests") == {}


def test_every_image_is_drawn(findings):
    assert only_problems(findings, "missing") == {}


def test_no_reader_sees_raw_tex(findings):
    raw = {page: RAW_TEX.findall(seen["text"]) for page, seen in findings.items()}
    assert {page: found for page, found in raw.items() if found} == {}


def test_every_formula_is_drawn(findings):
    math = {page: seen["math"] for page, seen in findings.items()}
    assert math["method"]["drawn"] > 10
    assert [page for page, m in math.items() if m["drawn"] < m["sources"] or m["errors"]] == []


@pytest.mark.parametrize("width", list(WIDTHS))
def test_no_page_is_wider_than_the_screen(findings, width):
    assert only_problems(findings, width) == {}


@pytest.mark.parametrize("width", list(WIDTHS))
def test_light_and_dark_differ_and_are_quiet(browser, pages, width):
    page = next(page for page in pages if page.stem == "intro")
    browser.size(width)
    seen = {}
    for mode in ("light", "dark"):
        browser.open(page)
        store = f"localStorage.setItem('mode', '{mode}'); localStorage.setItem('theme', '{mode}')"
        browser.ask(store)
        browser.open(page)
        seen[mode] = browser.ask(BACKGROUND)
        assert browser.complaints() == []
    assert seen["light"] != seen["dark"]


def test_the_search_finds_a_word_without_network(browser, built):
    search = built.html / "search.html"
    browser.size("desktop")
    browser.driver.get(f"{search.as_uri()}?q=centreline")
    wait = """
    const done = arguments[arguments.length - 1];
    const look = () => document.querySelectorAll("#search-results li a").length || null;
    const timer = setInterval(() => { if (look()) { clearInterval(timer); done(look()); } }, 100);
    """
    assert browser.driver.execute_async_script(wait) > 0


def test_a_faulty_page_is_noticed(browser, tmp_path):
    page = tmp_path / "faulty.html"
    page.write_text(
        "<body><main><p>Raw \\(x^2\\)</p><img src='gone.png' alt='gone'>"
        "<div style='width: 3000px'>wide</div></main>"
        "<script src='https://elsewhere.example/a.js'></script>"
        "<script>throw new Error('broken')</script></body>"
    )
    browser.size("desktop")
    browser.open(page)
    assert len(browser.ask(MISSING_IMAGES)) == 1
    assert RAW_TEX.search(browser.ask(READABLE_TEXT))
    assert browser.ask(TOO_WIDE)
    assert any("broken" in complaint for complaint in browser.complaints())
    assert browser.requests() == ["https://elsewhere.example/a.js"]
