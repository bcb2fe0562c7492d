"""Docstrings are written to be read in an editor; this makes them safe to read as reStructuredText.

The package writes code between single backticks, as Markdown does, and absolute values between
bars. reStructuredText takes the first for a title and the second for a substitution.
"""

import re

from sphinx.application import Sphinx

CODE = re.compile(r"(?<![`:\w\\])`([^`\n]+)`(?![`_])")
BAR = re.compile(r"(?<!\\)\|")


def plain(line: str) -> str:
    """One line of a docstring with code as a literal and bars as themselves.

    Example:
        >>> plain("`|p - y|` is |p - y|, see :func:`measure`")
        '``|p - y|`` is \\\\|p - y\\\\|, see :func:`measure`'
    """
    if line.lstrip().startswith((">>>", "...")):
        return line
    pieces = re.split(r"(``[^`\n]*``)", CODE.sub(r"``\1``", line))
    return "".join(piece if piece.startswith("``") else BAR.sub(r"\\|", piece) for piece in pieces)


def rewrite(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Autodoc's hook: change `lines` in place, code blocks and doctest output left alone."""
    in_example = False
    for number, line in enumerate(lines):
        if not line.strip():
            in_example = False
        in_example |= line.lstrip().startswith(">>>")
        if not in_example:
            lines[number] = plain(line)


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before napoleon, which splits the docstring into its sections."""
    app.connect("autodoc-process-docstring", rewrite, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
