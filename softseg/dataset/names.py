"""File names: which contrast an image is, and how derivatives were called over the years."""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path

from softseg.contrasts import CONTRASTS, UNSEEN_CONTRASTS, Contrast
from softseg.errors import InputError

EXTENSIONS = (".nii.gz", ".nii")

OLDER_ENDINGS = {
    "label-SC_seg": ("seg-manual", "seg"),
    "label-SC_softseg": ("softseg",),
    "desc-softseg_label-SC_seg": ("softseg_bin",),
    "label-discs_dlabel": ("label-discs_desc-warp_dlabel", "labels-disc-manual", "discs"),
}
"""What today's derivative endings were called in earlier releases of Spine Generic."""

PROBABILITY = "probseg"
"""The standard's suffix of a soft mask."""

SEED = "_seed-"
"""What stands between a method and the seed of its training in the name of a folder."""

_WHO_AND_WHEN = ("sub", "ses", "run")


def parse_contrasts(names: Iterable[str] | str | None) -> dict[str, Contrast]:
    """Contrasts by name, in the order given; the paper's six by default.

    A lab's own contrast is written `NAME=SUFFIX`, where SUFFIX is what follows `sub-XX_` in its
    file names. `all` stands for every contrast that the package knows.

    Raises:
        InputError: If a name is unknown or given twice.

    Example:
        >>> list(parse_contrasts(["T2w", "MT-off=flip-1_mt-off_MTS"]))
        ['T2w', 'MT-off']
        >>> parse_contrasts(["all"]) == parse_contrasts("all")
        True
    """
    known = CONTRASTS | UNSEEN_CONTRASTS
    if names is None:
        return dict(CONTRASTS)
    if names in ("all", ["all"]):
        return known
    names = [names] if isinstance(names, str) else list(names)
    found: dict[str, Contrast] = {}
    for text in names:
        name, _, suffix = text.partition("=")
        if name in found:
            raise InputError(f"contrast {name}: given twice; name each contrast once")
        if suffix:
            found[name] = _own_contrast(name, suffix)
        elif name in known:
            found[name] = known[name]
        else:
            raise InputError(
                f"contrast {name!r}: not one of {', '.join(known)}; "
                "write a contrast of your own as NAME=SUFFIX, for example MT-off=flip-1_mt-off_MTS"
            )
    return found


def _own_contrast(name: str, suffix: str) -> Contrast:
    ends = {"dwi": "dwi", "bold": "func", "epi": "fmap"}
    datatype = ends.get(suffix.rsplit("_", 1)[-1], "anat")
    return Contrast(name, name, datatype, suffix, "axial", (1.0, 1.0, 1.0), "#666666")


def match_contrast(path: str, contrasts: Iterable[Contrast]) -> tuple[str, int] | None:
    """Which contrast an image's name means, and how loosely it fits.

    Args:
        path: Path below the data set's root.
        contrasts: The contrasts looked for.

    Returns:
        Name of the contrast and looseness: 0 for its name, 1 for a name of earlier releases, 2 for
        its name with further entities; None if it is none of them.

    Example:
        >>> match_contrast("sub-1/anat/sub-1_acq-MTon_MTS.nii.gz", CONTRASTS.values())
        ('MT-on', 1)
        >>> match_contrast("sub-1/dwi/sub-1_dwi.nii.gz", CONTRASTS.values()) is None
        True
    """
    # Compared against every known contrast, so that an STIR `acq-stir_T2w` is no loose T2w.
    contrasts = list(contrasts)
    wanted = {contrast.name for contrast in contrasts}
    others = [c for c in (CONTRASTS | UNSEEN_CONTRASTS).values() if c.name not in wanted]
    entities = _entities(path)
    words = suffix_of(path)
    best = None
    for contrast in [*contrasts, *others]:
        looseness = _looseness(entities, words, contrast)
        if looseness is not None and (best is None or looseness < best[1]):
            best = (contrast.name, looseness)
    return best if best is not None and best[0] in wanted else None


def _looseness(entities: dict[str, str], words: str, contrast: Contrast) -> int | None:
    asked = _entities(f"sub-x_{contrast.suffix}")
    if words == contrast.suffix or entities == asked:
        return 0
    if words in contrast.older_suffixes:
        return 1
    return 2 if asked.items() <= entities.items() else None


def _entities(path: str) -> dict[str, str]:
    """The `key-value` words of a file name and its suffix, without who, when and which run."""
    words = Path(path).name.partition(".")[0].split("_")
    pairs = dict(word.split("-", maxsplit=1) for word in words if "-" in word)
    suffix = {} if "-" in words[-1] else {"suffix": words[-1]}
    return {key: value for key, value in pairs.items() if key not in _WHO_AND_WHEN} | suffix


def entities_of(path: Path | str) -> dict[str, str | None]:
    """Who, when, which run and which contrast an image or one of its masks shows, by its name.

    Example:
        >>> entities_of("sub-1_ses-2_run-3_T2w_label-SC_softseg.nii.gz")
        {'participant_id': 'sub-1', 'session_id': 'ses-2', 'run': '3', 'contrast': 'T2w'}
        >>> entities_of("sub-1_label-SC_desc-T1w_probseg.nii.gz")["contrast"]
        'T1w'
    """
    stem = image_stem(path)
    pairs = dict(word.split("-", maxsplit=1) for word in stem.split("_") if "-" in word)
    known = match_contrast(stem, (CONTRASTS | UNSEEN_CONTRASTS).values())
    return {
        "participant_id": f"sub-{pairs['sub']}" if "sub" in pairs else None,
        "session_id": f"ses-{pairs['ses']}" if "ses" in pairs else None,
        "run": pairs.get("run"),
        "contrast": (known[0] if known else suffix_of(stem)) if "sub" in pairs else None,
    }


def image_stem(path: Path | str) -> str:
    """The name, without ending, of the image that a mask was made of; an image's own.

    Example:
        >>> image_stem("sub-1_run-2_label-SC_desc-T2w_probseg.nii.gz"), image_stem("b_T1w.nii")
        ('sub-1_run-2_T2w', 'b_T1w')
    """
    words = Path(path).name.partition(".")[0].split("_")
    image = list(takewhile(lambda word: not word.startswith(("label-", "seg", "softseg")), words))
    if words[-1] == PROBABILITY:
        image += [word.removeprefix("desc-") for word in words if word.startswith("desc-")]
    return "_".join(image)


def suffix_of(path: str) -> str:
    """What follows subject, session and run in the file name.

    Example:
        >>> suffix_of("sub-1_ses-2_run-1_T2star.nii.gz")
        'T2star'
    """
    words = strip_extension(Path(path).name).split("_")
    return "_".join(w for w in words if not w.startswith(("sub-", "ses-", "run-")))


def strip_extension(name: str) -> str:
    """File name without `.nii.gz` or `.nii`."""
    for extension in EXTENSIONS:
        name = name.removesuffix(extension)
    return name


def sidecar_path(image: Path | str) -> Path:
    """The JSON file that says what an image is.

    Example:
        >>> sidecar_path("anat/sub-01_T2w.nii.gz").as_posix()
        'anat/sub-01_T2w.json'
    """
    return Path(image).with_name(f"{strip_extension(Path(image).name)}.json")


def candidate_stems(
    subject: str, session: str | None, contrast: Contrast, image: str | None
) -> Iterator[str]:
    """Stems that a derivative of a contrast may have, the likeliest first."""
    stems = [image] if image else []
    stems.append(contrast.stem(subject, session))
    parts = [subject] if session is None else [subject, session]
    for suffix in contrast.older_suffixes:
        stems.append("/".join([*parts, contrast.datatype, "_".join([*parts, suffix])]))
    yield from dict.fromkeys(stems)


def parse_method(folder: str) -> tuple[str, str]:
    """Method and seed of a folder of masks or of a model; without a seed it is `0`.

    Example:
        >>> parse_method("soft_all_seed-2"), parse_method("labels")
        (('soft_all', '2'), ('labels', '0'))
    """
    method, _, seed = folder.partition(SEED)
    return method, seed or "0"


def method_folder(method: str, seed: str = "0") -> str:
    """The folder that `parse_method` takes apart.

    Example:
        >>> method_folder("soft_all", "2"), method_folder("labels")
        ('soft_all_seed-2', 'labels')
    """
    return method if seed == "0" else f"{method}{SEED}{seed}"
