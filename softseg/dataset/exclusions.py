"""Participants and images to leave out, as YAML: a reason, and who it holds for."""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from softseg.dataset.names import entities_of, image_stem
from softseg.errors import InputError
from softseg.files import read_text

SPINE_GENERIC_EXCLUDED = "spine-generic"
"""Name of the list that the paper used on the Spine Generic database."""

VERDICTS = "exclude.yml"
"""The list that a page of pictures makes, in the folder of the masks."""

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


def verdicts_on(masks: Iterable[Path]) -> Exclusions:
    """What is left out by an `exclude.yml` in the folder of masks, or around their participants.

    Raises:
        InputError: If such a file is no list of exclusions.
    """
    folders = {}
    for mask in masks:
        folder = mask.absolute().parent
        subject = next((p for p in (folder, *folder.parents) if p.name.startswith("sub-")), None)
        folders |= dict.fromkeys([folder, *([subject.parent] if subject else [])])
    return read_exclusions([p for p in (f / VERDICTS for f in folders) if p.is_file()])


def why_excluded(path: Path, exclusions: Exclusions) -> str | None:
    """The reason for which an image, or a mask of it, is left out; None if it is not.

    A mask that somebody called otherwise than its image is named by its own name, with folders
    before it where a page of pictures has several of that name.

    Example:
        >>> bad = read_exclusions(["sub-1", "sub-2/T2w", "sub-3_ses-1_T1w_label-SC_softseg"])
        >>> names = "sub-1_T1w.nii", "sub-3_ses-1_T1w.nii", "sub-2_T1w.nii"
        >>> [why_excluded(Path(name), bad) is not None for name in names]
        [True, True, False]
        >>> why_excluded(Path("softseg.nii.gz"), {"sub-softseg": "blurred"})
        'excluded: blurred'
        >>> [why_excluded(Path(f"{k}/m.nii"), read_exclusions(["a/m"])) for k in "ab"]
        ['excluded: excluded by option', None]
    """
    if not exclusions:
        return None
    who, name = entities_of(path), path.name.partition(".")[0]
    own = {_entry(name), _entry(image_stem(path) or name)}
    asked = {who["participant_id"], f"{who['participant_id']}/{who['contrast']}"}
    folders = path.absolute().parent.parts[1:]
    asked |= {_entry("/".join((*folders[k:], name))) for k in range(len(folders))}
    for entry, reason in exclusions.items():
        if entry in asked or ("/" not in entry and {entry, image_stem(entry)} & own):
            return f"excluded: {reason}"
    return None


def _read_file(path: Path) -> Exclusions:
    if not path.is_file():
        raise InputError(f"{path}: no readable list of exclusions; name a YAML file")
    return _parse(read_text(path), str(path))


def _parse(text: str, name: str) -> Exclusions:
    import yaml  # 0.05 s at start-up, for a list that most folders have not

    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{name}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise InputError(f"{name}: exclusions map a reason to a list of participants")
    return {_entry(str(who)): str(why) for why, entries in content.items() for who in entries}


def _entry(text: str) -> str:
    return text if text.startswith("sub-") else f"sub-{text}"
