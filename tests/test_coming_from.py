"""The page for people who use another tool names commands, options and columns that exist."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from softseg.csa.aggregation import MEASURES
from softseg.csa.table import data_dictionary

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "book/coming-from.md").read_text("utf-8")


def table(title: str) -> list[list[str]]:
    """Rows of the table below a heading, without its head."""
    section = PAGE.partition(f"## {title}")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def options(command: str) -> set[str]:
    function = getattr(importlib.import_module(f"softseg.cli.{command}"), command)
    names = {f"--{name.replace('_', '-')}" for name in inspect.signature(function).parameters}
    return names | {"--no-angle-correction", "--no-largest-component"}


def test_every_option_named_on_the_page_exists():
    known = options("segment") | options("csa") | options("levels") | options("qc")
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= known


def test_every_column_named_on_the_page_is_one_and_every_measure_is_named():
    named = {name for row in table("SCT: columns") for name in re.findall(r"`(\w+)`", row[1])}
    data_dictionary(named)  # KeyError for a name that is no column
    assert set(MEASURES) | {"length_mm", "file", "slice", "level"} <= named


def test_what_the_page_says_of_the_standard_tool_is_in_the_projects_account_of_it():
    account = ROOT.parent / "shared" / "csa.md"
    if not account.is_file():
        pytest.skip("no account of the standard tool beside the project")
    text = account.read_text("utf-8")
    for words in (
        "unweighted", "one cubic", "Product of cosines", "min–max normalisation",
        "obliquity of the affine never enters", "summed silently", "a single slice crashes",
    ):  # fmt: skip
        assert words in text, words
