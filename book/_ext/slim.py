"""Take out of the built book what no page of it asks for, and store its figures in fewer colours.

The theme brings its icons twice, as a font and as a script of 1.5 MB on every page, the sources of
its style sheets, and translations of its menus. The font stays, and of the icons those in use.
"""

import io
import re
from pathlib import Path

from PIL import Image
from sphinx.application import Sphinx

UNUSED = ("_static/**/*.map", "_static/**/*.ttf", "_static/locales/**/*", "_static/webpack*")
SCRIPT = re.compile(r"\s*<(?:script|link)\b[^>]*scripts/fontawesome\.js[^>]*>(?:</script>)?")
ICON = re.compile(r"\bfa-[a-z0-9-]+")
ICON_RULE = re.compile(r"((?:\.fa-[\w-]+:{1,2}before,?)+)\{[^}]*\}")


def slim(app: Sphinx, failed: Exception | None) -> None:
    """Delete files, the script from every page, and from the style sheet the icons of no page."""
    if failed or app.builder.format != "html":
        return
    out = Path(app.outdir)
    unused = {path for pattern in UNUSED for path in out.glob(pattern) if path.is_file()}
    for path in unused | set(out.glob("_static/scripts/fontawesome.js*")):
        path.unlink()
    pages = list(out.rglob("*.html"))
    for page in pages:
        rewrite(page, SCRIPT.sub("", page.read_text(encoding="utf-8")))
    used = {name for path in (*pages, *out.glob("_static/**/*.js"))
            for name in ICON.findall(path.read_text(encoding="utf-8"))}  # fmt: skip
    for sheet in out.glob("_static/styles/pydata-sphinx-theme.css"):
        rewrite(sheet, keep_icons(sheet.read_text(encoding="utf-8"), used))
    for picture in out.glob("_images/*.png"):
        store_in_a_palette(picture)


def rewrite(path: Path, text: str) -> None:
    """Write where something has changed."""
    if text != path.read_text(encoding="utf-8"):
        path.write_text(text, encoding="utf-8")


def keep_icons(style: str, used: set[str]) -> str:
    """A style sheet without the rules of icons that are not in use.

    Example:
        >>> keep_icons('.fa-0:before{content:"0"}.fa-bars:before{content:"="}', {"fa-bars"})
        '.fa-bars:before{content:"="}'
    """
    return ICON_RULE.sub(lambda rule: rule[0] if used & set(ICON.findall(rule[1])) else "", style)


def store_in_a_palette(path: Path) -> None:
    """Store an opaque picture in 256 colours where that takes less than three quarters."""
    with Image.open(path) as picture:
        if picture.mode == "P" or (picture.mode == "RGBA" and picture.getextrema()[3][0] < 255):
            return
        few = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    packed = io.BytesIO()
    few.save(packed, "PNG", optimize=True)
    if packed.tell() < 0.75 * path.stat().st_size:
        path.write_bytes(packed.getvalue())


def setup(app: Sphinx) -> dict[str, bool]:
    """Run once everything is written."""
    app.connect("build-finished", slim, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
