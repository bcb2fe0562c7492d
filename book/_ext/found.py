"""Sphinx role that puts a value which a chapter has found into another page.

``{found}`04_csa_variability::sd_labels:.1f` `` reads what the executed chapter glued by that name.
Unlike `glue:text` it can say that there is no such value yet, as long as the committed chapters are
known to be of earlier sources (`stale_since` in `run.json`); otherwise a missing value is an error.
"""

from pathlib import Path

import nbformat
from docutils import nodes
from run_record import FOLDER, load
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

from softseg_study.filled import glued

LATER = "(after the next run)"


class Found(SphinxRole):
    """One value of a chapter, in the format that stands behind its name."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        chapter, _, rest = self.text.partition("::")
        name, _, style = rest.partition(":")
        source = Path(self.env.srcdir)
        path = source / FOLDER / f"{chapter}.ipynb"
        self.env.note_dependency(str(path))
        values = glued(nbformat.read(path, as_version=4)) if path.exists() else {}
        if name in values:
            return [nodes.inline(text=format(values[name], style))], []
        if (load(source, "run.json") or {}).get("stale_since"):
            return [nodes.inline(text=LATER)], []
        message = self.inliner.reporter.error(f"found: {chapter} has no {name!r}")
        return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the role."""
    app.add_role("found", Found())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
