"""The whole book as one file that opens anywhere and prints: pictures and styles are inside.

python notebooks/single_page.py runs/demo/book softseg-book.html
"""

import argparse
import base64
import mimetypes
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from softseg.files import replacing

SHEET = re.compile(r'<link\b(?=[^>]*rel="stylesheet")[^>]*href="([^"]+)"[^>]*>')
LINK = re.compile(r"<link\b[^>]*>")
SCRIPT = re.compile(r"<script\b[^>]*\ssrc=[^>]*>\s*</script>")
PICTURE = re.compile(r'(<img\b[^>]*\ssrc=")([^":]+)(")')
ANCHOR = re.compile(r'<a\b[^>]*\shref="([^"]+)"[^>]*>(.*?)</a>', re.DOTALL)
FETCHED = re.compile(r"@font-face\s*\{[^}]*\}|@import[^;]*;")
EXTRA = """
.bd-header-article, .bd-sidebar-secondary, .prev-next-footer, .search-button-field,
button.copybtn, .headerlink, .only-dark { display: none !important; }
@page { margin: 18mm; }
"""
"""What needs scripts or other pages is not shown."""


def single_page(html: Path, page: Path) -> str:
    """A page of the builder `singlehtml` with everything it fetches inside.

    Args:
        html: The builder's folder.
        page: The page in it.
    """

    def found(address: str) -> Path | None:
        path = unquote(urlsplit(address).path)
        return next((p for p in (page.parent / path, html / path) if p.is_file()), None)

    def style(match: re.Match) -> str:
        sheet = found(match[1])
        return f"<style>{FETCHED.sub('', sheet.read_text('utf-8'))}</style>" if sheet else ""

    def picture(match: re.Match) -> str:
        path = found(match[2])
        kind = mimetypes.guess_type(path.name)[0]
        data = base64.b64encode(path.read_bytes()).decode()
        return f"{match[1]}data:{kind};base64,{data}{match[3]}"

    def anchor(match: re.Match) -> str:
        parts = urlsplit(match[1])
        if parts.scheme or not parts.path:
            return match[0]
        if parts.fragment and found(match[1]) == page:
            return match[0].replace(match[1], f"#{parts.fragment}", 1)
        return match[2]  # a file beside the book, which this one is not

    text = SCRIPT.sub("", SHEET.sub(style, page.read_text("utf-8")))
    text = LINK.sub("", text)
    text = ANCHOR.sub(anchor, PICTURE.sub(picture, text))
    return text.replace("</head>", f"<style>{EXTRA}</style></head>", 1)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("book", type=Path, help="folder with _config.yml and _toc.yml")
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(options.book)]
        command += ["-W", "-n", "--keep-going", "--builder", "singlehtml", "--path-output", folder]
        if subprocess.run(command, check=False).returncode:  # noqa: S603
            sys.exit(f"{options.book}: the book does not build on one page")
        html = Path(folder) / "_build/singlehtml"
        text = single_page(html, html / "book/intro.html")
    with replacing(options.target) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
