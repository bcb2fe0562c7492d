"""Sorting a table by its headings, in a browser and without network."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_browser import Browser

from softseg_study.figures.tables import LONG, show_table

pytestmark = pytest.mark.browser

SCRIPT = Path(__file__).resolve().parents[1] / "book/_static/sort_tables.js"
COLUMN = "return [...document.querySelectorAll('tbody tr')].map(r => r.cells[{}].textContent);"
ARROW = "return document.querySelectorAll('th')[{}].getAttribute('aria-sort');"


def table(rows: int = LONG) -> str:
    values = [-1.5, 12000.0, np.nan, 0.2, -30.0, 3.0, np.inf, 7.0, 1.0][:rows]
    found = {
        "method": [f"name_{k}" for k in "hbagcfed"][:rows],
        "error_mm2": values,
        "ci_low": values,
        "ci_high": values,
        "p_adjusted": [0.5, 0.0001, np.nan, 0.001, 0.04, 0.02, 0.03, 1.0][:rows],
    }
    return show_table(pd.DataFrame(found), "Some").html


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.driver.quit()


@pytest.fixture
def opened(browser, tmp_path) -> Browser:
    path = tmp_path / "table.html"
    script = f"<script>{SCRIPT.read_text(encoding='utf-8')}</script>"
    path.write_text(f'<!doctype html><meta charset="utf-8">{table()}{script}', encoding="utf-8")
    browser.open(path)
    return browser


def press(browser, column, key="\ue007"):  # the return key: a mouse is not needed
    browser.driver.find_elements("css selector", "th button")[column].send_keys(key)


def test_numbers_are_sorted_as_numbers_and_missing_ones_come_last(opened):
    wanted = ["−30.00", "−1.50", "0.20", "3.00", "7.00", "12 000.00", "∞", "–"]
    press(opened, 1)
    shown = [cell.replace("\u202f", " ") for cell in opened.ask(COLUMN.format(1))]
    assert shown == wanted
    assert opened.ask(ARROW.format(1)) == "ascending"
    press(opened, 1)
    shown = [cell.replace("\u202f", " ") for cell in opened.ask(COLUMN.format(1))]
    assert shown == [*wanted[-2::-1], "–"]
    assert opened.requests() == []


def test_intervals_p_values_and_names_are_sorted_by_what_they_mean(opened):
    press(opened, 2)
    assert opened.ask(COLUMN.format(2))[0].startswith("−30.00 to")
    press(opened, 3)
    assert opened.ask(COLUMN.format(3))[:2] == ["< 0.001", "0.001"]
    press(opened, 0)
    assert opened.ask(COLUMN.format(0)) == [f"name_{k}" for k in "abcdefgh"]
    assert opened.ask(ARROW.format(3)) is None


def test_a_third_click_puts_the_rows_back(opened):
    before = opened.ask(COLUMN.format(0))
    for _ in range(3):
        press(opened, 1)
    assert opened.ask(COLUMN.format(0)) == before


def test_a_short_table_is_left_alone():
    assert "sortable" in table(LONG)
    assert "sortable" not in table(LONG - 1)
