"""Are the committed chapters those of today's sources? `make release` stops here where not.

Executing the chapters takes hours, so work on the notebooks may land before it is done: then
`book/chapters/run.json` says `stale_since`, the last commit whose sources the chapters show, and
every chapter's page carries a banner. `make chapters` writes the record anew and ends that state.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "book" / "chapters" / "run.json"


def stale_since(record: Path = RECORD) -> str | None:
    """The declared commit, None where the chapters are said to be up to date."""
    return json.loads(record.read_text(encoding="utf-8")).get("stale_since")


def file_at(commit: str, path: Path) -> bytes | None:
    """Content of a file of the checkout at a commit, None where this clone does not know it."""
    name = path.relative_to(ROOT).as_posix()
    shown = subprocess.run(  # noqa: S603
        ["git", "show", f"{commit}:{name}"],  # noqa: S607
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    return None if shown.returncode else shown.stdout


def main() -> None:
    """Command line."""
    commit = stale_since()
    if commit:
        sys.exit(
            f"{RECORD.relative_to(ROOT)}: the chapters are stale since {commit}; execute them by "
            "`make chapters` before a release"
        )


if __name__ == "__main__":
    main()
