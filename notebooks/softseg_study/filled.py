"""A chapter that somebody runs alone is readable: its sentences get their numbers.

In a source a sentence says {glue:text}`sd:.2f`, which the book's builder turns into a number. Where
a notebook is executed without the book, either of these puts the numbers in:

    papermill --engine softseg notebooks/04_csa_variability.ipynb out.ipynb -p run demo
    jupyter nbconvert --to html --Exporter.preprocessors=softseg_study.filled.Fill out.ipynb
"""

import ast
import re
from functools import cache
from typing import Any

import nbformat
from nbconvert.preprocessors import Preprocessor

KEY = "application/papermill.record/text/plain"
ROLE = re.compile(r"\{(?P<role>[\w:]+)\}`(?P<text>[^`]+)`")
MISSING = "(not known)"


def glued(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """Values that the cells of an executed notebook have glued, by name."""
    found = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if KEY in output.get("data", {}):
                name = output.metadata["scrapbook"]["name"]
                found[name] = _value("".join(output["data"][KEY]))
    return found


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):  # nan, inf
        try:
            return float(text)
        except ValueError:
            return text


def fill(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Put glued values into the Markdown of an executed notebook, and plain words for other roles.

    Example:
        >>> said = nbformat.v4.new_output("display_data", {KEY: "1.234"},
        ...                               metadata={"scrapbook": {"name": "sd"}})
        >>> cells = [nbformat.v4.new_markdown_cell("An SD of {glue:text}`sd:.1f` mm²."),
        ...          nbformat.v4.new_code_cell("glue('sd', 1.234)", outputs=[said])]
        >>> fill(nbformat.v4.new_notebook(cells=cells)).cells[0].source
        'An SD of 1.2 mm².'
    """
    values = glued(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = ROLE.sub(lambda match: _said(match, values), cell.source)
    return notebook


def _said(match: re.Match, values: dict[str, Any]) -> str:
    role, text = match["role"], match["text"]
    if role.startswith("cite"):
        return f"({text})" if role.endswith("p") else text
    if not role.startswith("glue"):
        return text.partition("<")[0].strip() or text.strip("<>")
    name, _, form = text.partition(":")
    if name not in values:
        return MISSING
    try:
        return format(values[name], form)
    except (ValueError, TypeError):
        return str(values[name])


class Fill(Preprocessor):
    """`fill` for nbconvert."""

    def preprocess(self, nb: nbformat.NotebookNode, resources: dict) -> tuple:
        """The notebook with its numbers, and `resources` as they were."""
        return fill(nb), resources


@cache
def _filling_engine() -> type:
    from papermill.engines import NBClientEngine

    class FillingEngine(NBClientEngine):
        """papermill's own engine, and then `fill`."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, *arguments: Any, **options: Any) -> None:
            """Execute, then put the numbers into the sentences."""
            super().execute_managed_notebook(nb_man, *arguments, **options)
            nb_man.nb = fill(nb_man.nb)

    return FillingEngine


def __getattr__(name: str) -> type:
    """`FillingEngine`, made when asked for: papermill imports this module while it is imported."""
    if name == "FillingEngine":
        return _filling_engine()
    raise AttributeError(name)
