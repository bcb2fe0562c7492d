"""A table for a reader: caption, units in the headings, numbers in line, no index.

Columns name their unit by a suffix through the whole package (`sd_mm2`, `error_percent`), so that
headings can be made from names. Colours are the page's own, in its light and its dark theme, and
nothing in the HTML depends on when or where it was made.
"""

import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from pandas.api import types

from softseg_study.figures.style import contrast_title
from softseg_study.names import method_title

UNITS = {
    "_mm2_per_year": "mm² per year",
    "_mm2": "mm²",
    "_mm3": "mm³",
    "_mm": "mm",
    "_percent": "%",
    "_deg": "°",
    "_seconds": "s",
    "_hours": "h",
}
"""Ends of column names, and how the heading writes them; the longest that fits counts."""

HEADINGS = {
    "angle_ap_deg": "angle, front–back (°)",
    "ci_low": "95 % interval",
    "diameter_ap_mm": "front–back (mm)",
    "diameter_rl_mm": "right–left (mm)",
    "icc": "ICC",
    "method_a": "method",
    "method_b": "against",
    "p_adjusted": "p (adjusted)",
    "n_contrasts": "contrasts",
    "n_slices": "slices",
    "n_voxels": "voxels",
    "rank_biserial": "effect (rank-biserial)",
    "sd": "SD",
}
"""Headings that a column's name does not give."""

WORDS = {
    "sd": "SD", "cov": "CoV", "csa": "area", "icc": "ICC", "hausdorff95": "Hausdorff 95",
    "dice": "Dice",
}  # fmt: skip
MISSING = "–"
THOUSANDS = "\u202f"  # a narrow space that does not break

LONG = 8
"""Rows from which a table can be sorted by its headings, by `book/_static/sort_tables.js`."""

FOLDED = 20
"""Rows above which a table is shown behind its caption, to be opened."""

_STYLES = [
    {"selector": "", "props": "font-variant-numeric: tabular-nums;"},
    {
        "selector": "caption",
        "props": "caption-side: top; text-align: left; color: inherit; padding: 0.3rem 0.6rem; "
        "max-width: 85vw;",
    },
    {"selector": "th", "props": "text-align: right; vertical-align: bottom; font-weight: 600;"},
    {"selector": "td", "props": "text-align: right; white-space: nowrap;"},
    {"selector": "td.text", "props": "text-align: left; white-space: normal; min-width: 5rem;"},
    {"selector": "td.strong", "props": "font-weight: 700;"},
]


@dataclass(frozen=True)
class Table:
    """What a notebook shows: HTML on a page, plain text elsewhere.

    Attributes:
        shown: Headings and cells as text.
        html: The same, styled.
        caption: What the table shows.
    """

    shown: pd.DataFrame = field(repr=False)
    html: str = field(repr=False)
    caption: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        if self.shown.empty:
            return _nothing(self.caption)
        # A Styler's own text is its address in memory, another at every execution.
        text = self.shown.to_string(index=False, max_colwidth=None)
        return f"{self.caption}\n{text}" if self.caption else text


def show_table(
    table: pd.DataFrame,
    caption: str = "",
    *,
    columns: Sequence[str] | None = None,
    headings: Mapping[str, str] | None = None,
    decimals: int | Mapping[str, int] = 2,
    strong: Sequence[str] = (),
) -> Table:
    """A tidy table as a reader wants to see it.

    Headings come from the columns' names: `mean_area_mm2` becomes `mean area (mm²)`. `ci_low` and
    `ci_high` become one column, columns `p` and `p_…` are written as p-values, `n` and `n_…` as
    whole numbers, methods and contrasts as the figures write them. A named index becomes columns,
    any other is dropped; a text column that is empty everywhere is left out. A table of `LONG` rows
    or more can be sorted on the page, one of more than `FOLDED` is folded behind its caption.

    Args:
        table: One row a line, of any column types.
        caption: What the rows are and whom they are about; plain text.
        columns: Which, in which order; all by default. Names of the index count as columns.
        headings: Column → heading, where the name's own does not do.
        decimals: Of numbers; one for all columns or by column (others get 2).
        strong: Values of the first column whose rows are set in bold.

    Returns:
        An object that a notebook shows; put it last in a cell, or `display` it. A table without
        rows becomes a sentence that says so.

    Raises:
        ValueError: If a column is not there.

    Example:
        >>> found = pd.DataFrame({"method": ["soft", "hard"], "n": [24, 24], "sd_mm2": [1.474, 6.1],
        ...     "ci_low": [1.3, 5.2], "ci_high": [1.65, 7.0], "p_adjusted": [0.0001, np.nan]})
        >>> show_table(found, "Spread", decimals=1)
        Spread
        method  n SD (mm²) 95 % interval p (adjusted)
          soft 24      1.5    1.3 to 1.6      < 0.001
          hard 24      6.1    5.2 to 7.0            –
    """
    table = _flat(table)
    columns = list(table.columns if columns is None else columns)
    unknown = [name for name in (*columns, *(headings or {})) if name not in table]
    if unknown:
        known = ", ".join(map(str, table.columns))
        raise ValueError(f"no column {unknown[0]!r} in the table; found {known}")
    cells, names, text_columns = {}, {}, []
    paired = {"ci_low", "ci_high"} <= set(columns)
    for name in columns:
        values = table[name]
        if (paired and name == "ci_high") or _is_empty_text(values):
            continue
        places = decimals if isinstance(decimals, int) else decimals.get(name, 2)
        if paired and name == "ci_low":
            ends = zip(values, table["ci_high"], strict=True)
            cells[name] = [_interval(low, high, places) for low, high in ends]
        else:
            cells[name] = [_cell(value, name, places, values) for value in values]
        names[name] = (headings or {}).get(name, _heading(name))
        if not _is_number(values):
            text_columns.append(name)
    shown = pd.DataFrame(cells, index=range(len(table)), dtype=object)
    first = table[columns[0]] if columns else pd.Series(dtype=object)
    bold = np.isin(first.astype(str), [str(value) for value in strong])
    readable = shown.rename(columns=names)
    if readable.empty:
        return Table(readable, f"<p>{html.escape(_nothing(caption))}</p>", caption)
    page = _as_html(shown, names, text_columns, caption, bold)
    if len(shown) > FOLDED:
        title = f"{html.escape(caption or 'Table')} ({len(shown)} rows)"
        page = f'<details class="long-table"><summary>{title}</summary>{page}</details>'
    return Table(readable, page, caption)


def _nothing(caption: str) -> str:
    return f"{caption or 'Table'}: nothing to show for these data."


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    named = [name for name in table.index.names if name is not None]
    table = table.reset_index() if named else table.reset_index(drop=True)
    if isinstance(table.columns, pd.MultiIndex):
        table.columns = [" ".join(str(part) for part in name if part != "") for name in table]
    return table.rename_axis(columns=None)


def _is_number(values: pd.Series) -> bool:
    return types.is_numeric_dtype(values) and not types.is_bool_dtype(values)


def _is_empty_text(values: pd.Series) -> bool:
    if len(values) == 0 or _is_number(values) or types.is_bool_dtype(values):
        return False
    return bool((values.isna() | (values.astype(str) == "")).all())


def _heading(name: object) -> str:
    """How a column's name reads.

    Example:
        >>> _heading("mean_area_mm2"), _heading("T2star"), _heading("sd_mm2")
        ('mean area (mm²)', 'T2*w', 'SD (mm²)')
    """
    name = str(name)
    if name in HEADINGS:
        return HEADINGS[name]
    if contrast_title(name) != name:
        return contrast_title(name)
    fitting = [end for end in UNITS if name.endswith(end)]
    end = max(fitting, key=len, default="")
    words = [WORDS.get(word, word) for word in name.removesuffix(end).split("_")]
    text = " ".join(word for word in words if word)
    return f"{text} ({UNITS[end]})" if end else text


def _cell(value: object, name: str, places: int, values: pd.Series) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not _is_number(values):
        if name in ("method", "method_a", "method_b"):
            return method_title(str(value))
        return contrast_title(str(value)) if name == "contrast" else str(value)
    if name == "p" or str(name).startswith("p_"):
        return "< 0.001" if value < 0.001 else f"{value:.3f}"
    counted = name == "n" or str(name).startswith("n_") or types.is_integer_dtype(values)
    return _number(float(value), 0 if counted else places)


def _number(value: float, places: int) -> str:
    """A number with its decimals, thousands apart and a true minus sign.

    Example:
        >>> _number(-0.001, 2), _number(-1.5, 1)
        ('0.00', '−1.5')
    """
    if not np.isfinite(value):
        return MISSING if np.isnan(value) else ("∞" if value > 0 else "−∞")
    text = f"{abs(value):,.{places}f}".replace(",", THOUSANDS)
    return f"−{text}" if value < 0 and text.strip("0.") else text


def _interval(low: float, high: float, places: int) -> str:
    if pd.isna(low) or pd.isna(high):
        return MISSING
    return f"{_number(float(low), places)} to {_number(float(high), places)}"


def _breaking(text: object) -> str:
    """A cell's text in HTML; a long name may break after an underscore.

    Example:
        >>> _breaking("soft_all < 1")
        'soft_<wbr>all &lt; 1'
    """
    return html.escape(str(text)).replace("_", "_<wbr>")


def _as_html(
    shown: pd.DataFrame,
    names: Mapping[str, str],
    text_columns: Sequence[str],
    caption: str,
    bold: np.ndarray,
) -> str:
    """HTML by pandas' Styler, with an identifier that follows from the contents."""
    contents = repr((caption, list(names.items()), shown.to_dict("list"), bold.tolist()))
    classes = pd.DataFrame("", index=shown.index, columns=shown.columns)
    classes[list(text_columns)] = "text"
    classes.loc[bold] = (classes.loc[bold] + " strong").map(str.strip)
    styler = shown.style.set_uuid(hashlib.sha256(contents.encode()).hexdigest()[:10])
    styler = styler.hide(axis="index").format(_breaking)
    styler = styler.format_index(lambda name: html.escape(names[name]), axis=1)
    left = ", ".join(f"th.col{shown.columns.get_loc(name)}" for name in text_columns)
    styles = [*_STYLES, {"selector": left, "props": "text-align: left;"}] if left else _STYLES
    # Without the class the book's dark theme would put the table on a light ground.
    classes_of_table = "dataframe sortable" if len(shown) >= LONG else "dataframe"
    styler = styler.set_table_attributes(f'class="{classes_of_table}"').set_table_styles(styles)
    styler = styler.set_td_classes(classes)
    return (styler.set_caption(html.escape(caption)) if caption else styler).to_html()
