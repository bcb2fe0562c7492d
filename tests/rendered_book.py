"""The book, rendered once for every test that looks at its pages, in whatever process."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from softseg.files import one_at_a_time, write_json

ROOT = Path(__file__).resolve().parents[1]
NOWHERE = "http://127.0.0.1:9"
"""A proxy that nothing answers at: a build that asks the network for anything fails."""


@dataclass(frozen=True)
class Rendered:
    """A build and what it said."""

    source: str
    returncode: int
    log: str

    @property
    def html(self) -> Path:
        """The folder to open."""
        return Path(self.source) / "_build" / "html"

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


def rendered_book(folder: Path) -> Rendered:
    """The committed book in `folder`, built by whichever process of the tests needs it first."""
    said = folder / "build.json"
    with one_at_a_time(folder):
        if not said.exists():
            write_json(said, asdict(_render(copy_sources(folder))))
    return Rendered(**json.loads(said.read_text(encoding="utf-8")))


def _render(source: Path) -> Rendered:
    """Build as strictly as `make book` does, without network."""
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
    return Rendered(str(source), done.returncode, done.stdout + done.stderr)
