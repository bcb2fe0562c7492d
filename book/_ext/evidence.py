"""The line of evidence below a figure or a table also leads to the cell that made it.

A source says `[Table](../tables/spread.csv) · [record](../tables/spread.csv.json)`; where the
page is read, the link to the nearest code above is added, so that nobody has to look for it.
"""

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

TABLES = "../tables/"


def link_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Append `· cell` to every paragraph that begins with a link to a table."""
    cell, number = None, 0
    for node in list(doctree.findall()):
        if isinstance(node, nodes.container) and node.get("nb_element") == "cell_code":
            cell, number = node, number + 1
        elif isinstance(node, nodes.paragraph) and cell is not None and _is_evidence(node):
            name = f"cell-{number}"
            if name not in cell["ids"]:
                cell["ids"].append(name)
            node += [nodes.Text(" · "), nodes.reference("", "cell", refid=name, internal=True)]
            node["classes"].append("evidence")


def _is_evidence(paragraph: nodes.paragraph) -> bool:
    first = paragraph.children[0] if paragraph.children else None
    target = first.get("reftarget", "") if isinstance(first, addnodes.download_reference) else ""
    return target.startswith(TABLES)


def setup(app: Sphinx) -> dict[str, bool]:
    """Run on every page once it is read."""
    app.connect("doctree-read", link_cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
