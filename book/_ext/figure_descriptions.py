"""A figure without a description of its own takes its caption for one.

Otherwise the name of the file, a checksum, would be read to those who cannot see the picture.
"""

from docutils import nodes
from sphinx.application import Sphinx


def describe(app: Sphinx, doctree: nodes.document) -> None:
    """Give every picture of a captioned figure an `alt`."""
    for figure in doctree.findall(nodes.figure):
        captions = [node.astext() for node in figure.findall(nodes.caption)]
        for image in figure.findall(nodes.image):
            if captions and not image.get("alt"):
                image["alt"] = " ".join(captions[0].split())


def setup(app: Sphinx) -> dict[str, bool]:
    """Run on every page once it is read."""
    app.connect("doctree-read", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
