"""Participants and images to leave out, as YAML: a reason, and who it holds for."""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import yaml

from softseg.errors import InputError
from softseg.files import read_text

SPINE_GENERIC_EXCLUDED = "spine-generic"
"""Name of the list that the paper used on the Spine Generic database."""

Exclusions = dict[str, str]


def read_exclusions(source: str | Path | Iterable[str | Path]) -> Exclusions:
    """Who is left out and why.

    Args:
        source: One or several of: a participant (`sub-01`), one image of a participant
            (`sub-01/T1w`), a YAML file that maps reasons to lists of these, or `spine-generic`, the
            list of the paper.

    Returns:
        Reason by entry.

    Raises:
        InputError: If a file is absent or does not map reasons to lists.

    Example:
        >>> len(read_exclusions("spine-generic"))
        24
        >>> read_exclusions(["sub-01", "sub-02/T1w"])
        {'sub-01': 'excluded by option', 'sub-02/T1w': 'excluded by option'}
    """
    found: Exclusions = {}
    for item in [source] if isinstance(source, str | Path) else source:
        text = str(item)
        if text == SPINE_GENERIC_EXCLUDED:
            file = resources.files("softseg") / "data" / "spine-generic_exclude.yml"
            found |= _parse(file.read_text("utf-8"), file.name)
        elif text.endswith((".yml", ".yaml")):
            found |= _read_file(Path(item))
        else:
            found[_entry(text)] = "excluded by option"
    return found


def _read_file(path: Path) -> Exclusions:
    if not path.is_file():
        raise InputError(f"{path}: no readable list of exclusions; name a YAML file")
    return _parse(read_text(path), str(path))


def _parse(text: str, name: str) -> Exclusions:
    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{name}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise InputError(f"{name}: exclusions map a reason to a list of participants")
    return {_entry(str(who)): str(why) for why, entries in content.items() for who in entries}


def _entry(text: str) -> str:
    return text if text.startswith("sub-") else f"sub-{text}"
