"""A data set of digital participants on disk, with raters' masks and the truth beside the images.

Each participant is written to a temporary folder and moved into place whole, the raw folder last:
where `sub-XXX` exists, all of its files do. A cohort that was stopped goes on where it stopped, and
one that is whole can be extended.
"""

import errno
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softseg.batch import map_batch
from softseg.contrasts import CONTRASTS
from softseg.dataset.description import describe_pipeline
from softseg.errors import InputError
from softseg.events import event
from softseg.files import remove_leftovers, replacing, scratch_folder, write_json
from softseg.phantom.artefacts import get_severity
from softseg.phantom.pathology import parse_pathology
from softseg.phantom.placement import FIELDS_OF_VIEW, VOXEL_SCALES
from softseg.phantom.protocols import PROTOCOLS, VENDORS, get_protocol, imaged
from softseg.phantom.subjects import (
    EDGES,
    CohortOptions,
    draw_subject,
    subject_label,
    write_subject,
)
from softseg.phantom.tissues import FIELDS_T
from softseg.provenance.records import generated_by

OPTIONS_FILE = "code/softseg_phantom.json"
"""What made the cohort; by it a folder is known as ours."""

MOST_SUBJECTS = 10_000

_README = """Digital spinal cords

People who do not exist, imaged by a simulated scanner. Each image has a hard mask as a rater might
draw it and vertebral labels (derivatives/labels) and the truth: the fraction of cord in every voxel
and the exact cross-sectional area of every slice (derivatives/truth). Made by `softseg phantom`
with the settings in {options}.
"""

_COLUMNS = {
    "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
    "age": {"Description": "Age", "Units": "year"},
    "height": {"Description": "Height", "Units": "cm"},
    "manufacturer": {"Description": "Vendor of the simulated scanner"},
    "institution_id": {"Description": "Invented site; each has its own habit of drawing"},
    "pathology": {"Description": "What is wrong with the cord"},
}


def write_cohort(
    out: Path | str,
    *,
    subjects: int,
    contrasts: Sequence[str] | str | None = None,
    jobs: int | None = None,
    progress: Callable[[str], None] | None = None,
    **settings: Any,
) -> Path:
    """Write a BIDS data set of digital participants whose true cord area is known.

    Args:
        out: Folder of the data set: new, empty, or a cohort of the same settings to go on with.
        subjects: How many participants.
        contrasts: Keys of `softseg.contrasts`, as a list or separated by commas; None for the six
            of the paper, `all` for the unseen ones too.
        jobs: Processes; None for one a core.
        progress: Told the label of each participant whose files are in place.
        settings: The other fields of `CohortOptions`; `seed` has no default.

    Returns:
        `out` as a path.

    Raises:
        InputError: If a setting is wrong or `out` holds something else; nothing is touched.
    """
    floats = [f.name for f in fields(CohortOptions) if f.type is float and f.name in settings]
    settings |= {name: float(settings[name]) for name in floats}  # 3 and 3.0 are the same cohort
    options = CohortOptions(contrasts=_names(contrasts), **settings)
    check_options(options, subjects)
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be at least 1, found {jobs}")
    out = Path(out)
    content = json.loads(json.dumps(options.content))
    check_folder(out, OPTIONS_FILE, content, subjects)
    readme = _README.format(options=OPTIONS_FILE)
    describe(out, OPTIONS_FILE, content, title="Digital spinal cords", readme=readme)
    remove_leftovers(out)
    map_batch(
        partial(_make_subject, out, options),
        range(subjects),
        jobs=jobs,
        finished=lambda index: (out / subject_label(index)).exists() or None,
        name=subject_label,
        progress=progress,
    )
    write_participants(out, options, subjects)
    return out


def check_options(options: CohortOptions, subjects: int) -> None:
    """Refuse what cannot be made.

    Raises:
        InputError: If a setting is unknown or out of range.
    """
    ranges = {
        "subjects": (subjects, 1, MOST_SUBJECTS),
        "seed": (options.seed, 0, 2**32 - 1),
        "mean_area_mm2": (options.mean_area_mm2, 40, 110),
        "rule_mm": (options.rule_mm, -1, 1),
        "voxel_scale": (options.voxel_scale, *VOXEL_SCALES),
    }
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            raise InputError(f"{name} must be {low:.10g} to {high:.10g}, found {value:.10g}")
    vendor = VENDORS[0] if options.vendor is None else options.vendor
    for contrast in options.contrasts or ("",):
        get_protocol(contrast, vendor)
    names = {
        "field of view": (options.field_of_view, FIELDS_OF_VIEW),
        "field strength": (options.field_t, FIELDS_T),
        "edges": (options.edges, EDGES),
    }
    for name, (value, known) in names.items():
        if value not in known:
            raise InputError(f"unknown {name} {value!r}; known are {', '.join(map(str, known))}")
    get_severity(options.severity)
    for name in (options.pathology or "healthy").split(","):
        parse_pathology(name.strip(), np.random.default_rng(0))


def _names(contrasts: Sequence[str] | str | None) -> tuple[str, ...]:
    if contrasts is None:
        return imaged(CONTRASTS)
    if contrasts in ("all", ["all"]):
        return tuple(PROTOCOLS)
    names = contrasts.split(",") if isinstance(contrasts, str) else list(contrasts)
    names = [name.strip() for name in names]
    known = [name for name in PROTOCOLS if name in names]
    return tuple(known + [name for name in names if name not in known])


def _make_subject(out: Path, options: CohortOptions, index: int) -> None:
    subject = draw_subject(options, index)
    make_subject(out, subject.label, partial(write_subject, subject=subject, options=options))


def check_folder(out: Path, file: str, content: dict, subjects: int) -> None:
    """Refuse a folder that holds something else than a cohort of these settings.

    `file` below it says what made the cohort, by which a folder is known as ours, and should hold
    `content`.

    Raises:
        InputError: If it is a file, holds other things, other settings or more participants.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; choose a folder")
    # Listed before the file is looked for: another process may be beginning the same cohort.
    others = (
        {each.name for each in out.iterdir()} - {Path(file).parts[0]} if out.exists() else set()
    )
    path = out / file
    if not path.is_file():
        if others:
            raise InputError(f"{out}: holds something that is not a phantom cohort; choose another")
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); choose another folder") from error
    for name, value in content.items():
        if found.get(name) != value:
            raise InputError(
                f"{out}: holds a cohort with {name} {found.get(name)!r} instead of {value!r}; "
                "choose another folder"
            )
    present = sorted(p.name for p in out.glob("sub-*"))
    if present and present[-1] > subject_label(subjects - 1):
        raise InputError(
            f"{out}: already holds {len(present)} participants, {subjects} wanted; choose another "
            "folder"
        )


def describe(out: Path, file: str, content: dict, *, title: str, readme: str) -> None:
    """Write what a data set says about itself, once: what made it, its name, its derivatives."""
    if (out / file).exists():
        return
    write_json(out / file, content)
    write_json(
        out / "dataset_description.json",
        {
            "Name": title,
            "BIDSVersion": "1.9.0",
            "DatasetType": "raw",
            "License": "CC0",
            "Authors": ["softseg phantom"],
            "GeneratedBy": generated_by("phantom", **content),
        },
    )
    with replacing(out / "README") as temporary:
        temporary.write_text(readme, encoding="utf-8")
    labels, truth = out / "derivatives" / "labels", out / "derivatives" / "truth"
    describe_pipeline(labels, "Masks and labels of simulated raters", "phantom")
    describe_pipeline(truth, "Exact cord fractions and areas", "phantom")


def make_subject(out: Path, label: str, write: Callable[[Path], None]) -> None:
    """Write one participant beside the data set and move them in, raw images last.

    `write` puts all of their files below the folder that it is given, in folders named `label`.
    """
    if (out / label).exists():  # another process has made this participant meanwhile
        return
    with scratch_folder(out, f"{label}-") as scratch:
        write(scratch)
        for part in ("sourcedata", "derivatives/labels", "derivatives/truth", "."):
            if (scratch / part / label).exists():  # not every cohort has a series
                _move_in(scratch / part / label, out / part / label, scratch)


def _move_in(folder: Path, target: Path, scratch: Path) -> None:
    """Put a whole folder in the place of another, which is never seen half-deleted."""
    target.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            os.replace(folder, target)
            event("write", file=target)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        with suppress(FileNotFoundError):  # another process may move it at the same moment
            os.replace(target, tempfile.mkdtemp(dir=scratch))


def write_participants(out: Path, options: CohortOptions, subjects: int) -> None:
    """Write `participants.tsv` and what its columns mean."""
    write_json(out / "participants.json", _COLUMNS)
    rows = pd.DataFrame([draw_subject(options, index).row for index in range(subjects)])
    with replacing(out / "participants.tsv") as temporary:
        rows.to_csv(temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
