"""The same digital people under one changed condition at a time.

Every condition is a cohort that differs from the reference in one setting. The people, how they
lie and the scanner's chance are drawn from the same seed, so that whatever differs between two
conditions is the condition's doing, and comparisons are paired by person.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from softseg import phantom
from softseg.contrasts import UNSEEN_CONTRASTS
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.files import write_json
from softseg.phantom.artefacts import with_options
from softseg.phantom.cohort import OPTIONS_FILE, write_cohort

REFERENCE = "reference"
"""The condition that every other one is compared with."""
REFERENCE_CONTRASTS = ("T1w", "T2star")
"""Contrasts of every condition that is not a contrast itself: bright and dark cord, thin sagittal
and thick axial slices."""
REFERENCE_OPTIONS = {
    "vendor": "Siemens",
    "severity": with_options("mild"),
    "same_people": True,
}
"""What `write_cohort` is given for the reference."""


@dataclass(frozen=True)
class Condition:
    """One setting that differs from the reference.

    Attributes:
        name: Folder and key in tables.
        title: How figures and tables write it.
        factor: What kind of change it is.
        options: Options of `write_cohort` that differ from `REFERENCE_OPTIONS`.
        contrasts: The contrasts imaged, if they are what differs.
    """

    name: str
    title: str
    factor: str
    options: Mapping[str, object] = field(default_factory=dict)
    contrasts: tuple[str, ...] | None = None


def _mild(**changes: float) -> dict[str, object]:
    return {"severity": with_options("mild", **changes)}


CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        Condition(REFERENCE, "reference (Siemens, 3 T)", "reference"),
        Condition("vendor-philips", "Philips", "vendor", {"vendor": "Philips"}),
        Condition("vendor-ge", "GE", "vendor", {"vendor": "GE"}),
        Condition("field-low", "1.5 T", "field strength", {"field_t": 1.5}),
        Condition("field-high", "7 T", "field strength", {"field_t": 7.0}),
        Condition("voxels-small", "voxels × 0.75", "resolution", {"voxel_scale": 0.75}),
        Condition("voxels-large", "voxels × 1.5", "resolution", {"voxel_scale": 1.5}),
        *(
            Condition(f"contrast-{c.name}", f"{c.title} (unseen)", "contrast", contrasts=(c.name,))
            for c in UNSEEN_CONTRASTS.values()
        ),
        Condition("compression", "compression, 40 %", "disease", {"pathology": "compression=40"}),
        Condition("lesions", "six lesions", "disease", {"pathology": "lesions=6"}),
        Condition("injury", "injury with cavity", "disease", {"pathology": "injury=40"}),
        Condition("atrophy", "atrophy, 15 %", "disease", {"pathology": "atrophy=15"}),
        Condition("motion", "motion", "artefact", _mild(jitter_mm=0.8, ghost=0.25)),
        Condition("noise", "noise × 3", "artefact", _mild(noise=2.4)),
        Condition("coil", "uneven coil", "artefact", _mild(bias=1.2)),
        Condition("realistic", "all artefacts at once", "artefact", {"severity": "realistic"}),
        Condition("full-field", "full field of view", "field of view", {"field_of_view": "full"}),
    )
}
"""What chapter 06 changes, the reference first."""


def choose_conditions(names: Iterable[str] = ()) -> list[Condition]:
    """Conditions by name, in the order of `CONDITIONS` and with the reference; all by default.

    Raises:
        InputError: If a name is unknown.

    Example:
        >>> [condition.name for condition in choose_conditions(["vendor-ge"])]
        ['reference', 'vendor-ge']
    """
    names = list(names) or list(CONDITIONS)
    unknown = [name for name in names if name not in CONDITIONS]
    if unknown:
        raise InputError(f"condition {unknown[0]!r}: not one of {', '.join(CONDITIONS)}")
    return [c for c in CONDITIONS.values() if c.name in names or c.name == REFERENCE]


def write_condition(
    condition: Condition,
    folder: Path | str,
    *,
    people: int,
    seed: int,
    contrasts: Sequence[str] = REFERENCE_CONTRASTS,
    jobs: int = 1,
) -> Dataset:
    """Write the cohort of a condition, or go on with it, or keep it where it is whole.

    A cohort of other settings, or of an earlier version of the phantom, is replaced.

    Args:
        condition: One of `CONDITIONS` or your own.
        folder: Where conditions lie; the cohort is `folder/<name>`, its settings `<name>.json`.
        people: How many.
        seed: Which people; the same in every condition.
        contrasts: Imaged unless the condition says otherwise.
        jobs: Processes.

    Raises:
        InputError: If a setting is wrong, or something else than a cohort is in the way.
    """
    out, record = Path(folder) / condition.name, Path(folder) / f"{condition.name}.json"
    contrasts = list(condition.contrasts or contrasts)
    options = {**REFERENCE_OPTIONS, **condition.options}
    settings = {
        "people": people,
        "seed": seed,
        "contrasts": contrasts,
        "options": {name: str(value) for name, value in options.items()},
        "phantom": phantom_version(),
    }
    if _recorded(record) != settings:
        _remove_cohort(out)
        write_json(record, settings)
    write_cohort(out, subjects=people, seed=seed, contrasts=contrasts, jobs=jobs, **options)
    return Dataset.index(out, contrasts=contrasts)


@cache
def phantom_version() -> str:
    """SHA-256 of the phantom's source: cohorts of an earlier one are no longer what it makes."""
    digest = hashlib.sha256()
    for path in sorted(Path(phantom.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _recorded(record: Path) -> dict | None:
    try:
        return json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _remove_cohort(out: Path) -> None:
    if not out.exists():
        return
    if not (out / OPTIONS_FILE).is_file():
        raise InputError(f"{out}: holds something that is not a phantom cohort; move it away")
    shutil.rmtree(out)
