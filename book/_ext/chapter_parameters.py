"""Sphinx directive that lists the parameters of every chapter, as the chapters themselves say.

In a page, ```` ```{chapter-parameters} ```` makes a section and a table for each committed chapter:
name, type, default and meaning from its cell tagged `parameters`, and what it was given in this
book from the cell that papermill put after it. Nothing is typed twice, so nothing goes stale.
"""

import ast
import io
import json
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = Path("book/chapters")
HEAD = ("parameter", "type", "default", "here", "meaning")
WIDTHS = (18, 8, 18, 18, 38)


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell; `default` is the Python that stands there."""

    name: str
    kind: str
    default: str
    meaning: str


def read_parameters(source: str) -> list[Parameter]:
    """The parameters of a cell: annotated assignments, each with a comment at its end.

    Example:
        >>> read_parameters("run: str = 'tiny'  # folder # one\\nseeds: list = [1, 2]  # of each")
        [Parameter(name='run', kind='str', default="'tiny'", meaning='folder # one'), \
Parameter(name='seeds', kind='list', default='[1, 2]', meaning='of each')]
    """
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    return [
        Parameter(
            ast.unparse(node.target),
            ast.unparse(node.annotation),
            ast.get_source_segment(source, node.value) or "",
            comments.get(node.end_lineno, ""),
        )
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign)
    ]


def read_values(source: str) -> dict[str, str]:
    """What papermill injected: plain assignments, name to Python.

    Example:
        >>> read_values("# Parameters\\nrun = \\"book\\"\\nseeds = [1, 2]")
        {'run': "'book'", 'seeds': '[1, 2]'}
    """
    return {
        ast.unparse(target): ast.unparse(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
    }


def read_chapter(path: Path) -> tuple[str, list[Parameter], dict[str, str]]:
    """Title, parameters and the values that this book gave to those it changed."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    title = re.search(r"^# (.+)$", "".join(cells[0]["source"]), flags=re.MULTILINE)
    by_tag = {
        tag: "".join(cell["source"])
        for cell in cells
        for tag in cell["metadata"].get("tags", [])
        if tag in ("parameters", "injected-parameters")
    }
    found = read_parameters(by_tag.get("parameters", ""))
    default = {p.name: ast.dump(ast.parse(p.default)) for p in found}
    given = read_values(by_tag.get("injected-parameters", ""))
    changed = {k: v for k, v in given.items() if default.get(k) != ast.dump(ast.parse(v))}
    return title[1] if title else path.stem, found, changed


def table(parameters: list[Parameter], values: dict[str, str]) -> nodes.table:
    """A line each, code where the notebook has code."""

    def cell(text: str, *, code: bool) -> nodes.entry:
        inner = nodes.literal(text=text) if code else nodes.Text(text)
        return nodes.entry("", nodes.paragraph("", "", *([inner] if text else [])))

    def row(*cells: nodes.entry) -> nodes.row:
        return nodes.row("", *cells)

    group = nodes.tgroup(cols=len(HEAD))
    group += [nodes.colspec(colwidth=width) for width in WIDTHS]
    group += nodes.thead("", row(*(cell(text, code=False) for text in HEAD)))
    lines = [
        row(
            *(cell(text, code=True) for text in (p.name, p.kind, p.default)),
            cell(values.get(p.name, ""), code=True),
            cell(p.meaning, code=False),
        )
        for p in parameters
    ]
    group += nodes.tbody("", *lines)
    return nodes.table("", group, classes=["chapter-parameters"])


class ChapterParameters(SphinxDirective):
    """A section and a table for each chapter."""

    def run(self) -> list[nodes.Node]:
        paths = sorted((Path(self.env.srcdir) / FOLDER).glob("*.ipynb"))
        return [self._section(path) for path in paths]

    def _section(self, path: Path) -> nodes.section:
        self.env.note_dependency(str(path))
        title, parameters, values = read_chapter(path)
        number = path.stem.partition("_")[0]
        link = pending_xref(
            "", nodes.inline(text=title), refdomain="std", reftype="doc", refexplicit=True,
            reftarget=f"/{FOLDER / path.stem}", refdoc=self.env.docname, refwarn=True,
        )  # fmt: skip
        return nodes.section(
            "",
            nodes.title("", f"Chapter {number}"),
            nodes.paragraph("", "", link),
            table(parameters, values),
            ids=[f"parameters-{number}"],
            names=[f"parameters-{number}"],
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("chapter-parameters", ChapterParameters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
