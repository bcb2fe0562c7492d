"""Every NIfTI file of a raw BIDS data set, and why one of them shows no anatomy to segment."""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from softseg.dataset.foreign import WRONG_ENDING, foreign_in
from softseg.dataset.names import EXTENSIONS, sidecar_path, strip_extension
from softseg.errors import InputError
from softseg.files import read_text
from softseg.nifti import read_geometry

SERIES = ("dwi", "func", "perf")
"""Folders in which an image of several volumes is the rule."""
OTHER_FOLDERS = {
    "fmap": "a field map",
    **dict.fromkeys(
        ("beh", "eeg", "ieeg", "meg", "micr", "motion", "mrs", "nirs", "pet"),
        "no magnetic resonance image",
    ),
}
"""Folders of BIDS whose images are not segmented, and why."""

_MAP = re.compile(r".*map|MTsat|MTR|ADC|FA|MD", re.IGNORECASE)
_MASK = re.compile(
    r".*(mask|seg|lesion)|uncertainty|dlabel|labels?|discs?|levels|centerline|centreline"
    r"|(.*seg|lesion|labels?|discs?|centerline|centreline)-.*|.*-manual",
    re.IGNORECASE,
)
"""Last word of a name; tools that know no BIDS write masks beside images."""
_PHASE = re.compile(r"phase\d?|phasediff|ph", re.IGNORECASE)
_PARTS = {"part-phase": "a phase image", "part-imag": "the imaginary part of an image"}
_POINTERS = (b"/annex/objects/", b"../.git/annex/objects/", b"version https://git-lfs")
NOT_FETCHED = "not fetched (datalad get, or git lfs pull)"


@dataclass(frozen=True)
class LeftOut:
    """An image that is not segmented.

    Attributes:
        path: The image.
        reason: Why.
        deliberate: Whether that is as it should be; otherwise something is to be mended.
    """

    path: Path
    reason: str
    deliberate: bool = True


def choose_images(root: Path, *, series: bool) -> tuple[list[Path], list[LeftOut]]:
    """The images of a data set that can show a cord, whatever their contrast, and all others.

    Left out on purpose are what `.bidsignore` lists, parametric maps, phase images, masks, field
    maps, folders of other techniques, and series in `dwi`, `func` and `perf` if not asked for.

    Args:
        root: Folder with the `sub-XX` folders.
        series: Whether those series are wanted.

    Raises:
        InputError: If there is no data set.
    """
    root = Path(root).expanduser().absolute()
    names = list(raw_images(root))
    if not names:
        raise no_data_set(root)
    ignored = ignored_names(root)
    chosen, left_out = [], []
    for name in names:
        path = root / name
        reason = "listed in .bidsignore" if ignored(name) else _not_anatomy(path, name)
        if reason is None and is_fetched(path):
            reason = None if series else _series(path, name)
        elif reason is None:
            left_out.append(LeftOut(path, NOT_FETCHED, deliberate=False))
            continue
        if reason is None and not name.endswith(EXTENSIONS):
            left_out.append(LeftOut(path, WRONG_ENDING, deliberate=False))
        elif reason is None:
            chosen.append(path)
        else:
            left_out.append(LeftOut(path, reason))
    chosen, twins = without_twins(chosen)
    return chosen, sorted([*left_out, *twins], key=lambda each: each.path)


def data_set_of(folder: Path) -> Path:
    """The root of the data set that a participant's or a session's folder lies in; else itself.

    Example:
        >>> data_set_of(Path("/data/set/sub-01/ses-1")).as_posix()
        '/data/set'
    """
    inside = [p for p in (folder, *folder.parents) if p.name.startswith("sub-")]
    return inside[-1].parent if inside and not any(folder.glob("sub-*/")) else folder


def raw_images(root: Path) -> Iterator[str]:
    """Every NIfTI file below the `sub-*` folders of `root`, links to nothing among them, sorted.

    Names are relative to `root`, with slashes. Hidden files and folders are not looked into.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the root of a BIDS data set")
    for subject in sorted(root.glob("sub-*")):
        seen: set[str] = set()
        for folder, inner, files in os.walk(subject, followlinks=True):
            place = os.path.realpath(folder)
            if place in seen:  # a link that leads back
                inner.clear()
                continue
            seen.add(place)
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            for name in sorted(files):
                if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                    yield (Path(folder) / name).relative_to(root).as_posix()


def no_data_set(root: Path) -> InputError:
    """What is said of a folder without participants."""
    if said := foreign_in(root):
        return InputError(said)
    return InputError(f"{root}: no sub-* folders with images in them; is it a BIDS data set?")


def is_fetched(path: Path) -> bool:
    """Whether a file's content is here, and not only a link or a pointer to it."""
    if not path.exists():
        return False
    if path.stat().st_size > 1000:  # a NIfTI header alone has 348 bytes, compressed fewer
        return True
    try:
        with open(path, "rb") as file:
            return not file.read(40).startswith(_POINTERS)
    except OSError:
        return True  # said when it is read


def without_twins(images: Iterable[Path]) -> tuple[list[Path], list[LeftOut]]:
    """Of a `.nii` beside a `.nii.gz` of its name only the latter, for both would get one mask."""
    images = list(images)
    packed = {path for path in images if path.name.endswith(".gz")}
    twins = {path for path in images if path.with_name(f"{path.name}.gz") in packed}
    said = "{}.gz lies beside it and its mask would have the same name; remove or rename one"
    left_out = [LeftOut(path, said.format(path.name), deliberate=False) for path in sorted(twins)]
    return [path for path in images if path not in twins], left_out


def phase_name(name: str) -> str | None:
    """What a file is by its name, if it holds no magnitudes.

    Example:
        >>> phase_name("sub-1_part-phase_T2star.nii.gz"), phase_name("sub-1_T2star.nii.gz")
        ('a phase image (part-phase)', None)
    """
    words = strip_extension(PurePosixPath(name).name).split("_")
    for word in words:
        if word in _PARTS:
            return f"{_PARTS[word]} ({word})"
    if len(words) > 1 and _PHASE.fullmatch(words[-1]):
        return f"a phase image ({words[-1]})"
    return None


def phase_image(path: Path) -> str | None:
    """What a file is by its name or the JSON file beside it, if it holds no magnitudes."""
    by_name = phase_name(path.name)
    if by_name is not None:
        return by_name
    try:
        kinds = json.loads(sidecar_path(path).read_text("utf-8"))["ImageType"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    phase = isinstance(kinds, list) and {"P", "PHASE"} & {str(kind).upper() for kind in kinds}
    return "a phase image (ImageType in its JSON file)" if phase else None


def mask_image(path: Path) -> str | None:
    """What a file is by its name, if it holds a mask, labels or points.

    Example:
        >>> mask_image(Path("t2_seg.nii.gz")), mask_image(Path("t2.nii.gz"))
        ('a mask (seg)', None)
    """
    words = strip_extension(path.name).split("_")
    labels = [word for word in words if word.startswith("label-")]
    if labels or _MASK.fullmatch(words[-1]):
        return f"a mask ({(labels or words)[-1]})"
    return None


def ignored_names(root: Path) -> Callable[[str], bool]:
    """Whether the `.bidsignore` of a data set, written as a `.gitignore` is, lists a name.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> _ = (root / ".bidsignore").write_text("*_PDw.nii*\\nsub-02/\\n!sub-02/keep.nii\\n")
        >>> ignored = ignored_names(root)
        >>> [ignored(n) for n in ("sub-01/a_PDw.nii.gz", "sub-02/b.nii", "sub-02/keep.nii")]
        [True, True, False]
    """
    file = root / ".bidsignore"
    lines = read_text(file).splitlines() if file.is_file() else []
    rules = []
    for line in map(str.strip, lines):
        if line and not line.startswith("#"):
            wanted = not line.startswith("!")
            rules.append((wanted, _pattern(line.removeprefix("!"))))

    def ignored(name: str) -> bool:
        found = [wanted for wanted, pattern in rules if pattern.fullmatch(name)]
        return bool(found) and found[-1]

    return ignored


_GLOBS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def _pattern(line: str) -> re.Pattern:
    """A line of `.gitignore` as an expression for whole names."""
    anywhere = "" if "/" in line.rstrip("/") else "(?:.*/)?"
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", line.strip("/"))
    body = "".join(
        _GLOBS.get(part)
        or (f"[{re.sub('^!', '^', part[1:-1])}]" if part[:1] == "[" else re.escape(part))
        for part in parts
    )
    return re.compile(anywhere + body + ("/.*" if line.endswith("/") else "(?:/.*)?"))


def _not_anatomy(path: Path, name: str) -> str | None:
    folders = PurePosixPath(name).parts[1:-1]
    for folder in folders:
        if folder in OTHER_FOLDERS:
            return f"{OTHER_FOLDERS[folder]} ({folder}/)"
    phase = phase_image(path)
    if phase is not None:
        return phase
    words = strip_extension(path.name).split("_")
    if mask := mask_image(path):
        return mask
    if _MAP.fullmatch(words[-1]):
        return f"a parametric map ({words[-1]})"
    return None


def _series(path: Path, name: str) -> str | None:
    if not set(PurePosixPath(name).parts[1:-1]) & set(SERIES):
        return None
    try:
        volumes = read_geometry(path).volumes
    except InputError:
        return None  # said when it is segmented
    said = f"a series of {volumes} volumes; segment their mean with --average mean"
    return said if volumes > 1 else None
