"""From a mask to the image that it was drawn on, and the masks of a folder."""

from pathlib import Path

from softseg.dataset.names import EXTENSIONS, image_stem, sidecar_path
from softseg.errors import InputError
from softseg.provenance.records import listed, read_json, visible_files

_MASK_WORDS = ("seg", "softseg", "probseg", "mask", "seg-manual")


def masks_in(path: Path) -> list[Path]:
    """A mask, or all masks of a folder, sorted: what is called `…_seg`, `…_softseg`, `…_probseg`.

    Raises:
        InputError: If a folder holds none.
    """
    if not path.is_dir():
        return [path]
    found = [
        file
        for file in sorted(visible_files(path))
        if file.name.endswith(EXTENSIONS)
        and file.name.partition(".")[0].rsplit("_", 1)[-1] in _MASK_WORDS
    ]
    if not found:
        raise InputError(f"{path}: no masks (…_seg, …_softseg, …_probseg or …_mask .nii.gz) in it")
    return found


def image_of(mask: Path) -> Path | None:
    """The image that a mask belongs to: by its record, by BIDS, or beside it; None if absent.

    A mask in `derivatives/NAME` of a data set belongs to the image at the same place of the raw
    data; the file name is the image's with more words.
    """
    mask = mask.absolute()
    sources = listed(read_json(sidecar_path(mask)), "SourcesSHA256")
    places = [mask.parent / name for name in sources]
    folders = [mask.parent]
    for above in mask.parents:
        if above.parent.name == "derivatives":
            folders.append(above.parent.parent / mask.parent.relative_to(above))
    stem = image_stem(mask)
    places += [folder / f"{stem}{ending}" for folder in folders for ending in EXTENSIONS]
    return next((place for place in places if place.is_file() and place != mask), None)


def discs_of(mask: Path) -> Path | None:
    """Disc points in the same folder as a mask, of the same image; None if none are there."""
    names = (f"{image_stem(mask)}_label-discs_dlabel{ending}" for ending in EXTENSIONS)
    return next((p for p in (mask.with_name(name) for name in names) if p.is_file()), None)
