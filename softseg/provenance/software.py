"""Which code ran."""

import hashlib
import json
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import softseg

PACKAGE = Path(softseg.__file__).resolve().parent


def made_by(step: str, **parameters: Any) -> dict[str, Any]:
    """The entry of BIDS' `GeneratedBy` for a step: version, commit, code and parameters.

    Example:
        >>> made_by("csa", threshold=0.5)["Parameters"]
        {'threshold': 0.5}
    """
    entry = {"Name": f"softseg {step}", **software()}
    return entry | ({"Parameters": parameters} if parameters else {})


@cache
def software() -> dict[str, str]:
    """Version, commit where one is known, and a checksum of the package's code.

    The checksum also tells code apart that was changed after its commit.
    """
    commit = _checked_out(PACKAGE.parent) or _installed()
    found = {"Version": softseg.__version__, "CodeSHA256": _code()}
    return found | ({"Commit": commit} if commit else {})


def _code() -> str:
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _checked_out(root: Path) -> str | None:
    """The commit of a git checkout, read from its files: no program is started for it."""
    try:
        folder = root / ".git"
        if folder.is_file():
            folder = root / folder.read_text("utf-8").removeprefix("gitdir:").strip()
        head = (folder / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref: "):
            return _commit(head)
        name = head.removeprefix("ref: ")
        common = folder / "commondir"  # of a worktree, whose branches are in the main checkout
        shared = folder / common.read_text("utf-8").strip() if common.is_file() else folder
        if (shared / name).is_file():
            return _commit((shared / name).read_text("utf-8").strip())
        packed = (shared / "packed-refs").read_text("utf-8").splitlines()
        return next((_commit(line[:-len(name)].strip()) for line in packed
                     if line.endswith(f" {name}")), None)  # fmt: skip
    except (OSError, ValueError):
        return None


def _installed() -> str | None:
    """The commit from which pip installed the package, if it did."""
    try:
        text = distribution("softseg").read_text("direct_url.json")
        return _commit(json.loads(text or "{}")["vcs_info"]["commit_id"])
    except (PackageNotFoundError, OSError, ValueError, LookupError, TypeError):
        return None


def _commit(text: str) -> str | None:
    return text if re.fullmatch(r"[0-9a-f]{40,64}", text) else None
