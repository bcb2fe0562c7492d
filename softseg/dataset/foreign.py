"""What is no image that can be read, and the one line that says what to do with it."""

from collections.abc import Iterator
from pathlib import Path

from softseg.dataset.names import EXTENSIONS

_OTHER_IMAGES = (".mha", ".mhd", ".nrrd", ".nhdr", ".mgz", ".mgh", ".img", ".hdr", ".mnc", ".par")
WRONG_ENDING = "an image's name must end in .nii or .nii.gz, in lower case; rename it"
_DICOM = "DICOM; convert it first, for example with dcm2niix -z y -o FOLDER {}"
_NOT_READ = "NIfTI is read (.nii, .nii.gz), found {}; convert it first"
_LOOKED_AT = 50
"""Files of a folder that are looked into where none of them can be read."""


def unreadable(path: Path) -> str | None:
    """Why a file is not read, by its name and first bytes; None for a NIfTI name.

    Example:
        >>> unreadable(Path("a.nii.gz")) is None, unreadable(Path("a.nrrd"))
        (True, 'NIfTI is read (.nii, .nii.gz), found .nrrd; convert it first')
    """
    if path.name.endswith(EXTENSIONS):
        return None
    if is_dicom(path):
        return _DICOM.format(path.parent)
    ending = path.suffix.lower()
    if ending in _OTHER_IMAGES:
        return _NOT_READ.format(ending)
    return WRONG_ENDING


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: 128 bytes of anything, then `DICM`."""
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM" or path.suffix.lower() == ".dcm"
    except OSError:
        return False


def plain_images(folder: Path) -> list[Path]:
    """The NIfTI files of a folder that is no BIDS data set, those of its folders not among them."""
    return sorted(p for p in folder.glob("[!.]*") if p.is_file() and p.name.endswith(EXTENSIONS))


def foreign_in(folder: Path) -> str | None:
    """What is said of a folder with DICOM or other images in it that are not read; None if none."""
    files = [*_first_files(folder)]
    if any(map(is_dicom, files)):
        return f"{folder}: {_DICOM.format(folder)}"
    if endings := sorted({path.suffix.lower() for path in files} & {*_OTHER_IMAGES}):
        return f"{folder}: {_NOT_READ.format(', '.join(endings))}"
    return None


def passed_over(folder: Path) -> str | None:
    """What is said of images beside the plain NIfTI images of a folder; None if there are none."""
    others = [
        path.name
        for path in sorted(folder.glob("[!.]*"))
        if path.is_file() and not path.name.endswith(EXTENSIONS) and _is_image(path)
    ]
    if not others:
        return None
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"left out: {folder}: {others[0]}{more}: only names in .nii or .nii.gz are read"


def _is_image(path: Path) -> bool:
    ending = path.name.lower().endswith((*EXTENSIONS, *_OTHER_IMAGES))
    return ending or is_dicom(path)


def _first_files(folder: Path) -> Iterator[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    yield from (path for _, path in zip(range(_LOOKED_AT), files, strict=False))
