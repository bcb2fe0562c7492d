"""Hundreds of participants imaged at C2 and C3 alone: what is true, seen and drawn there.

Position in the scanner and habits of raters are those that `write_cohort` gives the same seed; the
noise differs, since less is imaged.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from softseg.batch import map_batch
from softseg.contrasts import CONTRASTS
from softseg.files import replacing
from softseg.phantom.acquisition import Acquired, picture
from softseg.phantom.outline import SliceOutlines
from softseg.phantom.placement import Placement, place
from softseg.phantom.protocols import imaged
from softseg.phantom.raters import RATER
from softseg.phantom.subjects import (
    CohortOptions,
    Subject,
    contrast_rng,
    draw_subject,
    rate_scan,
    subject_label,
)
from softseg.phantom.visible_edge import visible_outlines
from softseg.volume import Volume

ATROPHY_PERCENT = 5.0
"""What participants who are scanned after a loss have lost."""
_AROUND_MM = 11.0
_BEYOND_MM = 4.0


def cervical_areas(
    subjects: int,
    *,
    seed: int,
    contrasts: Sequence[str] = imaged(CONTRASTS),
    options: CohortOptions | None = None,
    first: int = 0,
    rescanned: int = 0,
    atrophied: int = 0,
    folder: Path | str | None = None,
    jobs: int | None = 1,
) -> pd.DataFrame:
    """Mean areas at C2-C3 of the truth, of the edge in the noise-free image and of raters' masks.

    Bad ends and gross failures of raters are left out, as they are corrected in published masks.

    Args:
        subjects: How many participants.
        seed: Which participants.
        contrasts: Keys of `softseg.contrasts`.
        options: What else is special about them; `seed` and `contrasts` are put in.
        first: Position of the first participant in the cohort of this seed.
        rescanned: How many of them are scanned and drawn a second time.
        atrophied: How many of them are scanned again after losing `ATROPHY_PERCENT`.
        folder: Where participants that are done are kept, to go on from.
        jobs: Processes, None for one a core.

    Returns:
        Columns `subject`, `vendor`, `site`, `contrast`, `scan`, `lost_percent`, `true_mm2`,
        `visible_mm2` (half level of the noise-free image), `one_rule_mm2` and `area_mm2` (masks
        by one rule on every day and in every contrast, and with the constants of the contrast and
        of the scan; none are drawn after a loss).
    """
    options = options or CohortOptions(seed, tuple(contrasts))
    options = replace(options, seed=seed, contrasts=tuple(contrasts), same_people=True)
    rows_of = partial(_measure, options, first + rescanned, first + atrophied)
    indices = range(first, first + subjects)
    if folder is None:
        tables = map_batch(rows_of, indices, jobs=jobs)
    else:
        Path(folder).mkdir(parents=True, exist_ok=True)
        keep, kept = partial(_keep, rows_of, Path(folder)), partial(_kept, Path(folder))
        tables = map_batch(keep, indices, jobs=jobs, finished=kept)
    return pd.concat(tables, ignore_index=True)


def _kept(folder: Path, index: int) -> pd.DataFrame | None:
    path = folder / f"{subject_label(index)}.csv"
    return pd.read_csv(path) if path.exists() else None


def _keep(rows_of: partial, folder: Path, index: int) -> pd.DataFrame:
    table = rows_of(index)
    with replacing(folder / f"{subject_label(index)}.csv") as temporary:
        table.to_csv(temporary, index=False)
    return table


def _measure(options: CohortOptions, rescanned: int, atrophied: int, index: int) -> pd.DataFrame:
    """All rows of the participant at a position, in scans and losses as the position says."""
    visits = [(0, 0.0)]
    visits += [(1, 0.0)] if index < rescanned else []
    visits += [(0, ATROPHY_PERCENT)] if index < atrophied else []
    rows = []
    for visit, lost in visits:
        here = replace(options, pathology=f"atrophy={lost:g}") if lost else options
        subject = draw_subject(here, index)
        for name in options.contrasts:
            scan = scan_c2_c3(subject, options, name, visit=visit)
            slices = scan.areas[scan.areas["level"].isin([2, 3])]
            visible = visible_outlines(scan.clean, scan.outlines)
            rows.append(
                {
                    "subject": subject.label,
                    "vendor": subject.vendor,
                    "site": subject.site,
                    "contrast": name,
                    "scan": visit,
                    "lost_percent": lost,
                    "true_mm2": float(slices["area_mm2"].mean()),
                    "visible_mm2": mean_area_mm2(visible, slices),
                }
            )
            if lost:
                continue
            steady = replace(RATER, rule_mm=options.rule_mm, scan_sd_mm=0.0)
            one_rule = {"constants": False, "rater": steady}
            for column, habits in (("one_rule_mm2", one_rule), ("area_mm2", {})):
                mask = rate_scan(scan, subject, options, visit=visit, failures=False, **habits)
                rows[-1][column] = mean_area_mm2(mask, slices)
    return pd.DataFrame(rows)


def scan_c2_c3(
    subject: Subject, options: CohortOptions, contrast: str, *, visit: int = 0
) -> Acquired:
    """The part of a scan that holds the cord at C2 and C3, with noise and without.

    Args:
        subject: Who is scanned.
        options: How.
        contrast: Key of `softseg.contrasts`.
        visit: Another number is another position and other noise.
    """
    rng = contrast_rng(options, subject.index, contrast, 2 * visit)
    placement = place(
        subject.anatomy, contrast, rng=rng, vendor=subject.vendor, severity=options.severity,
        voxel_scale=options.voxel_scale, protocol=options.protocol(contrast, subject.vendor),
    )  # fmt: skip
    part = placement.cropped(_box(placement))
    return picture(part, rng=rng, severity=options.severity, field_t=options.field_t, clean=True)


def mean_area_mm2(drawn: Volume | SliceOutlines, slices: pd.DataFrame) -> float:
    """Volume of each slice over the length of centreline in it; mean of those that were drawn."""
    count = int(slices["slice"].max()) + 1
    volume = np.zeros(count)
    if isinstance(drawn, SliceOutlines):
        kept = drawn.slices < count
        volume[drawn.slices[kept]] = drawn.area_mm2[kept] * drawn.step_mm
    else:
        volume = drawn.data.sum(axis=(0, 1), dtype=float)[:count] * np.prod(drawn.spacing_mm)
    area = volume[slices["slice"].to_numpy()] / slices["length_mm"].to_numpy()
    return float(area[area > 0].mean()) if (area > 0).any() else float("nan")


def _box(placement: Placement) -> tuple[slice, slice, slice]:
    """The voxels around the cord from C2 to C3."""
    anatomy = placement.anatomy
    s_mm, disc_mm = anatomy.centreline.s_mm, anatomy.profiles.disc_mm
    inside = (s_mm >= disc_mm[4] - _BEYOND_MM) & (s_mm <= disc_mm[2] + _BEYOND_MM)
    cord = anatomy.centreline.position[inside]
    voxels = nib.affines.apply_affine(np.linalg.inv(placement.body_grid.affine), cord)
    margin = np.array([_AROUND_MM, _AROUND_MM, 0]) / placement.grid.spacing_mm
    first = np.maximum(np.floor(voxels.min(axis=0) - margin), 0).astype(int)
    last = np.minimum(np.ceil(voxels.max(axis=0) + margin) + 1, placement.grid.shape).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
