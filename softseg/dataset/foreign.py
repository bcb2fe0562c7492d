"""What is no image that can be read, and the one line that says what to do with it."""

from collections.abc import Iterator
from pathlib import Path

from softseg.dataset.names import EXTENSIONS

_OTHER_IMAGES = (".mha", ".mhd", ".nrrd", ".nhdr", ".mgz", ".mgh", ".img", ".hdr", ".mnc", ".par")
WRONG_ENDING = "an image's name must end in .nii or .nii.gz, in lower case; rename it"
_DICOM = "DICOM; convert it first, for example with dcm2niix -z y -o FOLDER {}"
_LOOKED_AT = 50
"""Files of a folder that are looked into for DICOM."""


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
        return f"NIfTI is read (.nii, .nii.gz), found {ending}; convert it first"
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


def dicom_in(folder: Path) -> str | None:
    """What is said of a folder with DICOM files in it; None for another."""
    if any(is_dicom(path) for path in _first_files(folder)):
        return f"{folder}: {_DICOM.format(folder)}"
    return None


def _first_files(folder: Path) -> Iterator[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    yield from (path for _, path in zip(range(_LOOKED_AT), files, strict=False))
