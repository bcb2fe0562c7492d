"""The book, rendered once for every test that looks at its pages."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = "http://127.0.0.1:9"
"""A proxy that nothing answers at: a build that asks the network for anything fails."""


@dataclass(frozen=True)
class Rendered:
    """A build and what it said."""

    source: Path
    returncode: int
    log: str

    @property
    def html(self) -> Path:
        """The folder to open."""
        return self.source / "_build" / "html"

    @property
    def pages(self) -> list[Path]:
        """Every page but the redirect at the top."""
        return sorted(set(self.html.rglob("*.html")) - set((self.html / "_static").rglob("*")))


def copy_sources(target: Path) -> Path:
    """What the book is made of, and nothing else of the checkout."""
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, target)
    shutil.copytree(ROOT / "book", target / "book", ignore=shutil.ignore_patterns("__pycache__"))
    return target


@cache
def rendered_book() -> Rendered:
    """The committed book, built as strictly as `make book` builds it, without network."""
    folder = Path(tempfile.mkdtemp(prefix="softseg-book-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source = copy_sources(folder)
    environment = os.environ | dict.fromkeys(
        ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE
    )
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [jupyter_book, "build", ".", "-W", "-n", "--keep-going"]
    done = subprocess.run(
        command,
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    return Rendered(source, done.returncode, done.stdout + done.stderr)
