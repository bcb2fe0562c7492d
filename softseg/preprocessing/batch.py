"""A data set of raw scans made into one of preprocessed images."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nibabel as nib

from softseg.contrasts import CONTRASTS, Contrast
from softseg.dataset.writing import BIDS_VERSION, generated_by
from softseg.errors import InputError
from softseg.files import write_json
from softseg.preprocessing.diffusion import mean_diffusion
from softseg.preprocessing.images import WORKING_SPACING_MM, combine_echoes, to_working_grid
from softseg.volume import Volume

_SCANNER_TEXTS = {
    "Manufacturer", "ManufacturersModelName", "MRAcquisitionType", "PhaseEncodingDirection",
    "ScanningSequence", "SequenceVariant", "SliceEncodingDirection", "Units",
}  # fmt: skip


def preprocess(
    raw: Path | str, out: Path | str, *, subjects: Iterable[str] | None = None
) -> list[Path]:
    """Make a BIDS data set of preprocessed images from one of raw scans.

    T1w and T2w go to their working grids, the echoes of T2star are combined, the mean of the
    diffusion-weighted volumes becomes `rec-average_dwi`; all are brought to working orientation.
    Images that are there already are kept, so that an interrupted run goes on.

    Args:
        raw: Data set of raw scans, `sourcedata` of Spine Generic for example.
        out: Data set to write.
        subjects: Only these.

    Returns:
        The images written.

    Raises:
        InputError: If `raw` holds no participants or an image cannot be read.
    """
    raw, out = Path(raw), Path(out)
    people = sorted(p.name for p in raw.glob("sub-*") if p.is_dir())
    chosen = people if subjects is None else sorted(subjects)
    unknown = [s for s in chosen if s not in people]
    if unknown or not people:
        raise InputError(f"{raw}: no participant {', '.join(unknown) or 'at all (sub-* folders)'}")
    write_json(
        out / "dataset_description.json",
        {
            "Name": f"{raw.name}, preprocessed",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "raw",
            "GeneratedBy": generated_by("preprocessing"),
        },
    )
    written = []
    for subject in chosen:
        sessions = sorted(p.name for p in (raw / subject).glob("ses-*")) or [None]
        for session in sessions:
            for contrast in CONTRASTS.values():
                path = _preprocess_one(raw, out, subject, session, contrast)
                written += [path] if path else []
    return written


def _preprocess_one(
    raw: Path, out: Path, subject: str, session: str | None, contrast: Contrast
) -> Path | None:
    target = out / f"{contrast.stem(subject, session)}.nii.gz"
    sources = _sources(raw, subject, session, contrast)
    if not sources or target.exists():
        return None
    if (
        contrast.name == "DWI"
        and sources[0].name.endswith("_dwi.nii.gz")
        and _is_series(sources[0])
    ):
        volume = mean_diffusion(sources[0]).mean
    elif len(sources) > 1:
        volume = combine_echoes(sources)
    else:
        volume = Volume.load(sources[0], average="rms" if contrast.name == "T2star" else "mean")
    volume = to_working_grid(volume, WORKING_SPACING_MM.get(contrast.name))
    beside = sources[0].with_name(
        sources[0].name.removesuffix(".gz").removesuffix(".nii") + ".json"
    )
    described = json.loads(beside.read_text("utf-8")) if beside.is_file() else {}
    names = [f"bids:raw:{path.relative_to(raw).as_posix()}" for path in sources]
    volume.save(target)
    write_json(
        target.with_name(target.name.removesuffix(".nii.gz") + ".json"),
        about_the_scan(described)
        | {"GeneratedBy": generated_by("preprocessing"), "Sources": names},
    )
    return target


def about_the_scan(described: dict[str, Any]) -> dict[str, Any]:
    """What a sidecar says about the scan; what could say who was scanned, when or where is dropped.

    Numbers are kept unless they are the person's, texts only where their words are the standard's.

    Example:
        >>> about_the_scan({"EchoTime": 0.003, "PatientName": "Doe", "PatientWeight": 70.0})
        {'EchoTime': 0.003}
    """
    return {
        name: value
        for name, value in described.items()
        if name in _SCANNER_TEXTS or (_is_numbers(value) and not name.startswith("Patient"))
    }


def _is_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_numbers(item) for item in value)
    return isinstance(value, int | float)


def _is_series(path: Path) -> bool:
    shape = nib.load(path).shape
    return len(shape) > 3 and shape[3] > 1


def _sources(raw: Path, subject: str, session: str | None, contrast: Contrast) -> list[Path]:
    """The raw files of a contrast: its own name, an older one, its echoes, or the plain `dwi`."""
    parts = [subject] if session is None else [subject, session]
    folder = raw.joinpath(*parts, contrast.datatype)
    prefix = "_".join(parts)
    plain = ("dwi",) if contrast.name == "DWI" else ()
    for suffix in (contrast.suffix, *contrast.older_suffixes, *plain):
        for extension in (".nii.gz", ".nii"):
            path = folder / f"{prefix}_{suffix}{extension}"
            if path.is_file():
                return [path]
    return sorted(folder.glob(f"{prefix}_echo-*_{contrast.suffix}.nii*"))
