"""A person's visits: one cord that shrinks by a known share, and a new scan every time.

Every visit is another position in the scanner, other noise and another day of the rater. What
differs in the person is the cord alone, smaller by an exact share of its area along its whole
length.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from softseg.contrasts import CONTRASTS, Contrast
from softseg.errors import InputError
from softseg.files import replacing, write_json
from softseg.phantom.acquisition import Acquired, acquire
from softseg.phantom.artefacts import get_severity
from softseg.phantom.protocols import VENDORS
from softseg.phantom.raters import rate
from softseg.phantom.subjects import (
    Recipe,
    Subject,
    contrast_rng,
    draw_subject,
    sidecar,
    size_at_c2_c3,
)
from softseg.volume import Volume

MOST_ATROPHY_PERCENT = 60.0


@dataclass(frozen=True)
class VisitPlan:
    """What makes a set of visits: two sets of equal plan are equal byte by byte.

    Attributes:
        recipe: Who is scanned, and how; of healthy people.
        atrophies_percent: Exact loss of area at each visit, against the healthy person.
    """

    recipe: Recipe
    atrophies_percent: tuple[float, ...]

    def check(self) -> None:
        """Refuse what cannot be made.

        Raises:
            InputError: If a setting is unknown or out of range.
        """
        recipe, losses = self.recipe, self.atrophies_percent
        if not 0 <= recipe.seed < 2**32:
            raise InputError(f"seed must be 0 to {2**32 - 1}, found {recipe.seed}")
        unknown = [name for name in recipe.contrasts if name not in CONTRASTS]
        if unknown or not recipe.contrasts:
            raise InputError(
                f"unknown contrast {(unknown or [''])[0]!r}; known are {', '.join(CONTRASTS)}"
            )
        if recipe.vendor is not None and recipe.vendor not in VENDORS:
            raise InputError(f"unknown vendor {recipe.vendor!r}; known are {', '.join(VENDORS)}")
        get_severity(recipe.severity)
        wrong = [a for a in losses if not 0 <= a <= MOST_ATROPHY_PERCENT]
        if wrong or len(losses) < 2:
            raise InputError(
                f"atrophies_percent must be two or more of 0 to {MOST_ATROPHY_PERCENT:g}, found "
                f"{', '.join(f'{a:g}' for a in losses) or 'none'}"
            )

    @property
    def content(self) -> dict:
        """The plan as JSON writes it."""
        return {
            "seed": self.recipe.seed,
            "contrasts": list(self.recipe.contrasts),
            "vendor": self.recipe.vendor,
            "field_of_view": self.recipe.field_of_view,
            "severity": self.recipe.severity,
            "atrophies_percent": list(self.atrophies_percent),
        }


def session_label(visit: int) -> str:
    """The name of a visit, counted from 0.

    Example:
        >>> session_label(0)
        'ses-1'
    """
    return f"ses-{visit + 1}"


def visited_subject(plan: VisitPlan, index: int, visit: int) -> Subject:
    """The person at a position of the set, as they are at a visit: the cord alone differs."""
    # A loss that is given draws no random number, so that all else is the healthy person's.
    shrunk = replace(plan.recipe, pathology=f"atrophy={plan.atrophies_percent[visit]!r}")
    return draw_subject(shrunk, index)


def scan_visit(plan: VisitPlan, index: int, visit: int, contrast: str) -> tuple[Acquired, Volume]:
    """One scan of one visit and the mask that a rater draws on it that day.

    Visit 0 is, scan for scan, the person of the cohort of the same recipe.

    Args:
        plan: Who and when.
        index: Position of the person, counted from 0.
        visit: Position of the visit, counted from 0.
        contrast: Key of `softseg.contrasts`.
    """
    subject, recipe = visited_subject(plan, index, visit), plan.recipe
    scan = acquire(
        subject.anatomy,
        contrast,
        rng=contrast_rng(recipe, index, contrast, 2 * visit),
        vendor=subject.vendor,
        severity=recipe.severity,
        field_of_view=recipe.field_of_view,
    )
    mask = rate(
        scan.truth,
        contrast,
        rng=contrast_rng(recipe, index, contrast, 2 * visit + 1),
        vendor=subject.vendor,
        site=subject.site,
        size_mm2=size_at_c2_c3(scan.areas),
        outlines=scan.scene.outlines(),
    )
    return scan, mask


def write_visit(root: Path, plan: VisitPlan, index: int, visit: int) -> None:
    """Write every file of one visit of one person below `root`."""
    subject, session = visited_subject(plan, index, visit), session_label(visit)
    tables = []
    for name in plan.recipe.contrasts:
        scan, mask = scan_visit(plan, index, visit, name)
        stem = CONTRASTS[name].stem(subject.label, session)
        _write_raw(root / stem, subject, CONTRASTS[name], scan)
        _write_labels(root / "derivatives" / "labels" / stem, scan, mask)
        truth = root / "derivatives" / "truth"
        scan.truth.save(truth / f"{stem}_label-SC_softseg.nii.gz", np.float32)
        table = scan.areas.assign(subject=subject.label, session=session, contrast=name)
        columns = ["subject", "session", "contrast", "slice", "level", "area_mm2"]
        tables.append(table[columns])
    name = f"{subject.label}_{session}_csa.csv"
    with replacing(truth / subject.label / session / name) as temporary:
        table = pd.concat(tables, ignore_index=True)
        table.to_csv(temporary, index=False, float_format="%.5f", lineterminator="\n")


def _write_raw(stem: Path, subject: Subject, contrast: Contrast, scan: Acquired) -> None:
    scan.image.save(stem.with_name(f"{stem.name}.nii.gz"), np.int16)
    content = sidecar(scan.protocol, vendor=subject.vendor)
    content["RepetitionTimeExcitation"] = content["RepetitionTime"]
    content["InstitutionName"] = subject.site
    write_json(stem.with_name(f"{stem.name}.json"), content)
    if contrast.datatype == "dwi":
        for ending, text in ((".bval", f"{scan.protocol.b_value:g}\n"), (".bvec", "1\n0\n0\n")):
            with replacing(stem.with_name(stem.name + ending)) as temporary:
                temporary.write_text(text, encoding="ascii")


def _write_labels(stem: Path, scan: Acquired, mask: Volume) -> None:
    mask.save(stem.with_name(f"{stem.name}_label-SC_seg.nii.gz"), np.uint8)
    inside = (scan.truth.data >= 0.5) | (mask.data > 0)
    vertebrae = scan.truth.like(inside * scan.levels.astype(np.uint8))
    vertebrae.save(stem.with_name(f"{stem.name}_label-vertebrae_dseg.nii.gz"), np.uint8)
