"""Formulas as MathML, which every browser draws by itself: no page needs a script for them."""

from html import escape

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator


def render(tex: str, *, block: bool) -> str:
    """A formula's MathML, which says the TeX as well: to those who copy it, and to screen readers.

    Example:
        >>> render("a", block=False).startswith('<math alttext="a"')
        True
    """
    try:
        text = tex2mathml(tex, as_block=block)
    except (MathError, SyntaxError) as error:
        raise SphinxError(f"mathematics: {error} in {tex!r}") from error
    return text.replace("<math", f'<math alttext="{escape(" ".join(tex.split()))}"', 1)


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """A formula within a sentence."""
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(render(node.astext(), block=False) + "</span>")
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """A formula on lines of its own, with its number where it has one."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})</span>')
    self.body.append(render(node.astext(), block=True) + "</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer, to be chosen by `html_math_renderer`."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
