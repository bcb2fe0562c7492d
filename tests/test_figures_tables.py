"""Tables for readers: the same bytes everywhere, units, numbers in line, any theme."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from softseg_study.figures.tables import MISSING, THOUSANDS, show_table


def summary():
    return pd.DataFrame(
        {
            "method": ["labels", "soft_all", "hard_all"],
            "n": [24, 24, 23],
            "mean_area_mm2": [72.04, -1.5, np.nan],
            "ci_low": [70.0, -2.0, np.nan],
            "ci_high": [74.0, -1.0, np.nan],
            "n_voxels": [1234567, 12, 0],
            "p_adjusted": [0.0002, 0.0312, np.nan],
            "note": ["", "", ""],
        }
    )


class Cells(HTMLParser):
    """Texts of a table's cells by tag, and its caption."""

    def __init__(self, page):
        super().__init__()
        self.found = {"th": [], "td": [], "caption": []}
        self.tag = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tag = tag if tag in self.found else self.tag
        if tag in self.found:
            self.found[tag].append("")

    def handle_endtag(self, tag):
        self.tag = None if tag == self.tag else self.tag

    def handle_data(self, data):
        if self.tag:
            self.found[self.tag][-1] += data


def cells(table):
    return Cells(table._repr_html_()).found


def test_headings_carry_units_intervals_are_one_column_and_empty_notes_none():
    assert cells(show_table(summary()))["th"] == [
        "method", "n", "mean area (mm²)", "95 % interval", "voxels", "p (adjusted)",
    ]  # fmt: skip


def test_numbers_of_a_column_have_equally_many_decimals_and_thousands_stand_apart():
    shown = show_table(summary(), decimals={"mean_area_mm2": 1}).shown
    assert shown["mean area (mm²)"].tolist() == ["72.0", "−1.5", MISSING]
    assert shown["95 % interval"].tolist() == ["70.00 to 74.00", "−2.00 to −1.00", MISSING]
    assert shown["voxels"].tolist() == [f"1{THOUSANDS}234{THOUSANDS}567", "12", "0"]
    assert shown["p (adjusted)"].tolist() == ["< 0.001", "0.031", MISSING]


def test_every_execution_gives_the_same_bytes_in_another_process_too():
    code = (
        "import sys; sys.path.insert(0, 'tests');"
        "from test_figures_tables import summary;"
        "from softseg_study.figures.tables import show_table;"
        "t = show_table(summary(), 'People'); sys.stdout.buffer.write((t.html + repr(t)).encode())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    here = show_table(summary(), "People")
    assert there.stdout.decode() == here.html + repr(here)
    assert not re.search(r"0x[0-9a-f]{6}", repr(here))


def test_two_tables_of_a_page_have_identifiers_of_their_own():
    names = [
        re.search(r'id="(T_\w+)"', show_table(summary(), caption).html)[1]
        for caption in ("first", "second")
    ]
    assert names[0] != names[1]


def test_colours_are_left_to_the_page_and_nothing_is_fetched():
    page = show_table(summary(), "People", strong=["soft_all"]).html
    assert 'class="dataframe"' in page  # the theme's own dark and light colours
    assert not re.search(r"#[0-9a-f]{3,6};|rgb|background|url\(|http", page)
    assert set(re.findall(r"(?<![\w-])color: (\w+)", page)) == {"inherit"}


def test_text_stands_left_and_numbers_right_in_headings_and_cells():
    page = show_table(summary(), columns=["method", "n"]).html
    assert re.search(r"th\.col0 \{\s*text-align: left", page)
    assert "th.col1" not in page
    assert page.count('col0 text"') == 3
    assert "col1 text" not in page


def test_an_index_without_name_is_dropped_and_a_named_one_becomes_columns():
    assert "index" not in cells(show_table(summary().iloc[::2]))["th"]
    named = show_table(summary().set_index("method"), columns=["method", "n"])
    assert named.shown["method"].tolist() == [
        "drawn masks",
        "one network, soft masks",
        "one network, drawn masks",
    ]


def test_a_pivoted_table_of_contrasts_is_shown_with_their_titles():
    tidy = pd.DataFrame({"method": "m", "contrast": ["T1w", "T2star"], "area_mm2": [1.0, 2.0]})
    wide = tidy.pivot_table(index="method", columns="contrast", values="area_mm2")
    assert cells(show_table(wide))["th"] == ["method", "T1w", "T2*w"]


def test_captions_headings_and_cells_are_text_and_never_markup():
    table = show_table(
        pd.DataFrame({"method": ["<i>m</i>"]}), "a < b & c", headings={"method": "<b>"}
    )
    assert cells(table) == {"th": ["<b>"], "td": ["<i>m</i>"], "caption": ["a < b & c"]}


def test_rows_named_strong_are_bold_and_no_others():
    page = show_table(summary(), columns=["method", "n"], strong=["soft_all"]).html
    bold = re.findall(r'class="([^"]*strong[^"]*)"', page)
    assert len(bold) == 2
    assert all("row1" in names for names in bold)


def test_an_empty_table_and_one_of_missing_values_are_shown_without_a_warning():
    assert cells(show_table(summary().iloc[:0]))["td"] == []
    assert show_table(pd.DataFrame()).shown.empty
    lacking = show_table(pd.DataFrame({"method": ["a"], "sd_mm2": [None], "x": [pd.NA]}))
    assert lacking.shown["method"].tolist() == ["a"]


def test_an_unknown_column_is_named():
    with pytest.raises(ValueError, match="'sd' in the table; found method"):
        show_table(summary(), columns=["sd"])


def test_the_table_that_is_shown_is_not_changed():
    table = summary()
    show_table(table, strong=["labels"])
    pd.testing.assert_frame_equal(table, summary())


def test_a_table_without_rows_is_a_sentence():
    table = show_table(summary().head(0), "Spread <1>")
    assert str(table) == "Spread <1>: nothing to show for these data."
    assert table.html == "<p>Spread &lt;1&gt;: nothing to show for these data.</p>"


def test_a_long_name_may_break_and_still_reads_the_same():
    table = show_table(pd.DataFrame({"method": ["their_own_tool"], "n": [3]}))
    assert "their_<wbr>own_<wbr>tool" in table.html
    assert cells(table)["td"][0] == "their_own_tool"


@pytest.mark.parametrize(("rows", "folded"), [(20, False), (21, True)])
def test_a_table_of_more_than_twenty_rows_is_folded_behind_its_caption(rows, folded):
    found = show_table(pd.DataFrame({"area_mm2": range(rows)}), "Areas")
    page = found._repr_html_()
    assert page.startswith("<details") is folded
    assert (f"<summary>Areas ({rows} rows)</summary>" in page) is folded
    assert page.count("<table") == 1
