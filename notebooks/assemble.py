"""Put executed chapters into the book: build a book of a run, or refresh the committed chapters.

python notebooks/assemble.py runs/demo/chapters runs/demo/book     # book of a run
python notebooks/assemble.py --commit runs/book/chapters           # refresh book/chapters
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FRAME = ("_config.yml", "_toc.yml", "CHANGELOG.md")
EVIDENCE = re.compile(r"\.\./tables/([\w-]+\.csv(?:\.json)?)")
"""How a chapter links to a table of its run, or to the table's record."""
STDERR = ("stderr_output: warn", "stderr_output: show")
"""What the book's pages do with a warning of a chapter, and what those of a run do."""


def assemble(chapters: Path, target: Path) -> None:
    """A copy of the book's frame and pages in `target` with these chapters in place."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(ROOT / "book", target / "book", ignore=shutil.ignore_patterns("_build"))
    for name in FRAME:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, target)
    # Other data may warn where the book's do not: their page shows it, and the book is built.
    config = target / "_config.yml"
    shown = config.read_text(encoding="utf-8").replace(*STDERR)
    config.write_text(shown, encoding="utf-8")
    refresh(chapters, target / "book" / "chapters")


def refresh(chapters: Path, target: Path) -> None:
    """Replace the chapters in `target` by these, and drop those that no longer exist."""
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        old.unlink()
    for file in sorted(chapters.iterdir()):
        if file.suffix in (".ipynb", ".json"):
            shutil.copy(file, target)
            if file.suffix == ".ipynb":
                add_evidence(file, chapters.parent / "tables", target.parent / "tables")


def add_evidence(chapter: Path, tables: Path, target: Path) -> None:
    """Copy the tables and records that a chapter links to, where its links look for them."""
    target.mkdir(parents=True, exist_ok=True)
    for name in sorted(set(EVIDENCE.findall(chapter.read_text(encoding="utf-8")))):
        if not (tables / name).exists():
            sys.exit(f"{chapter}: links to {tables / name}, which is not there")
        shutil.copy(tables / name, target)


def build(folder: Path) -> None:
    """Strict build; ends the program where it fails."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(folder)]
    done = subprocess.run([*command, "-W", "-n", "--keep-going"], check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"{folder}: the book does not build")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commit", action="store_true", help="refresh book/chapters instead")
    parser.add_argument("chapters", type=Path)
    parser.add_argument("target", type=Path, nargs="?")
    options = parser.parse_args()
    if options.commit:
        refresh(options.chapters, ROOT / "book" / "chapters")
    elif options.target is None:
        parser.error("say where the book goes")
    else:
        assemble(options.chapters, options.target)
        build(options.target)


if __name__ == "__main__":
    main()
