"""The slice viewer in a browser, opened from a file without network."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_browser import BACKGROUND, TOO_WIDE, WIDTHS, Browser
from test_viewer import person

from softseg_study.figures.viewer import slice_viewer

pytestmark = pytest.mark.browser

PICTURE = "return document.querySelector('canvas').toDataURL();"
SAYS = "return document.querySelector('output').textContent;"
NAME = "return document.querySelector('canvas').getAttribute('aria-label');"
BARS = "return document.querySelectorAll('svg line').length;"
WHITE = "background: #fff; color: #000"
BLACK = "background: #111; color: #eee"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "viewer.html"
    html = slice_viewer(*person()).html
    head = (
        '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    )
    path.write_text(f'{head}<body style="{WHITE}"><main>{html}</main>', encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, page) -> Browser:
    browser.size("desktop")
    browser.open(page)
    for _ in range(50):  # sprites are decoded after the page is there
        if browser.ask(PICTURE) != browser.ask(
            "return document.createElement('canvas').toDataURL()"
        ):
            break
        time.sleep(0.05)
    return browser


def press(browser, selector, keys):
    browser.driver.find_element("css selector", selector).send_keys(keys)


def choose(browser, selector):
    browser.driver.find_element("css selector", selector).click()


def test_the_slider_moves_the_slice_with_the_keyboard_alone(opened):
    before = opened.ask(PICTURE), opened.ask(SAYS), opened.ask(NAME)
    for _ in range(4):
        press(opened, "input[type=range]", "\ue014")  # arrow to the right
    after = opened.ask(PICTURE), opened.ask(SAYS), opened.ask(NAME)
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert opened.complaints() == []
    assert opened.requests() == []


def test_masks_can_be_taken_away_and_exchanged(opened):
    seen = {}
    for kind, said in {"image": "no mask", "hard": "drawn mask", "soft": "soft mask"}.items():
        choose(opened, f"input[value={kind}]")
        seen[kind] = opened.ask(PICTURE)
        assert said in opened.ask(NAME)
    assert len(set(seen.values())) == 3


def test_another_contrast_is_shown_at_the_same_height(opened):
    first, second = (opened.ask(SAYS), None)
    choose(opened, ".contrast input[value='1']")
    second = opened.ask(SAYS)
    assert first.split(",")[0] != second.split(",")[0]
    assert first.split(",")[1] == second.split(",")[1]
    assert "mm²" in second


def test_every_mask_has_its_bar_on_the_scale_of_areas(opened):
    assert opened.ask(BARS) == 4


@pytest.mark.parametrize("width", list(WIDTHS))
def test_it_fits_the_screen(opened, width):
    opened.size(width)
    assert opened.ask(TOO_WIDE) == []


def test_its_words_take_the_colour_of_the_page(opened):
    ink = "return getComputedStyle(document.querySelector('svg text')).fill;"
    light = opened.ask(ink)
    opened.ask(f"document.body.style.cssText = '{BLACK}';")
    assert opened.ask(ink) != light
    assert opened.ask(BACKGROUND) == "rgb(17, 17, 17)"


def test_every_control_has_a_name(opened):
    nameless = """
    return [...document.querySelectorAll("input")]
      .filter(i => !i.labels.length || !i.labels[0].textContent.trim()).length;
    """
    assert opened.ask(nameless) == 0
