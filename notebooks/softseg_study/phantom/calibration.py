"""Do the raters err as published masks do? Areas at C2-C3 of many participants, without images."""

from collections.abc import Sequence
from functools import partial

import nibabel as nib
import numpy as np
import pandas as pd

from softseg.batch import map_batch
from softseg.contrasts import CONTRASTS
from softseg.phantom.placement import Placement, place
from softseg.phantom.raters import PUBLISHED_MM2, rate
from softseg.phantom.subjects import (
    CohortOptions,
    contrast_rng,
    draw_subject,
    size_at_c2_c3,
    subject_label,
)
from softseg.phantom.true_areas import true_areas
from softseg.volume import Volume

_MARGIN_MM = 13.0


def rated_areas(
    subjects: int,
    *,
    seed: int,
    contrasts: Sequence[str] = tuple(CONTRASTS),
    scans: int = 1,
    jobs: int = 1,
) -> pd.DataFrame:
    """Mean area at C2-C3 of raters' masks and of the truth, for the participants of a cohort.

    The participants, their position in the scanner and, for the first scan, the raters' habits are
    those that `write_cohort` gives the same seed. Only the levels C1 to C4 are drawn, which leaves
    the mask's lower end out.

    Args:
        subjects: How many participants.
        seed: Which participants.
        contrasts: Keys of `softseg.contrasts`.
        scans: How often each participant is drawn anew in each contrast.
        jobs: Processes.

    Returns:
        Columns `subject`, `vendor`, `site`, `contrast`, `scan`, `true_mm2`, `area_mm2`.
    """
    options = CohortOptions(seed, tuple(contrasts))
    rows = map_batch(partial(_rate_participant, options, scans=scans), range(subjects), jobs=jobs)
    return pd.DataFrame([row for participant in rows for row in participant])


def compare_with_published(areas: pd.DataFrame) -> pd.DataFrame:
    """Mean and SD by contrast beside the published ones.

    Args:
        areas: As `rated_areas` returns.

    Returns:
        Indexed by contrast: `mean_mm2`, `sd_mm2`, `published_mean_mm2`, `published_sd_mm2`,
        `rescan_sd_mm2` (not a number with one scan a participant).
    """
    rows = []
    for contrast in areas["contrast"].unique():
        here = areas[areas["contrast"] == contrast]
        first = here[here["scan"] == 0]["area_mm2"]
        between = here.groupby("subject")["area_mm2"].var()
        mean, deviation = PUBLISHED_MM2[contrast]
        rows.append(
            {
                "contrast": contrast,
                "mean_mm2": float(first.mean()),
                "sd_mm2": float(first.std()),
                "published_mean_mm2": mean,
                "published_sd_mm2": deviation,
                "rescan_sd_mm2": float(np.sqrt(between.mean())),
            }
        )
    return pd.DataFrame(rows).set_index("contrast")


def paired_difference(areas: pd.DataFrame, contrast: str = "T1w", other: str = "T2w") -> dict:
    """The difference between two contrasts of the same participants.

    Returns:
        `mean_mm2`, `sd_mm2`, `slope` (of the difference on the other contrast) and `correlation`.
    """
    first = areas[areas["scan"] == 0]
    wide = first.pivot_table(index="subject", columns="contrast", values="area_mm2").dropna()
    difference = wide[contrast] - wide[other]
    return {
        "mean_mm2": float(difference.mean()),
        "sd_mm2": float(difference.std()),
        "slope": float(np.polyfit(wide[other], difference, 1)[0]),
        "correlation": float(np.corrcoef(wide[contrast], wide[other])[0, 1]),
    }


def _rate_participant(options: CohortOptions, index: int, *, scans: int) -> list[dict]:
    subject = draw_subject(options, index)
    rows = []
    for name in options.contrasts:
        placement = place(
            subject.anatomy, name, rng=contrast_rng(options, index, name, 0), vendor=subject.vendor
        )
        size = size_at_c2_c3(true_areas(subject.anatomy, placement.body_grid))
        placement = placement.cropped(_box(placement))
        areas = true_areas(subject.anatomy, placement.body_grid)
        here = areas[areas["level"].isin([2, 3])]
        truth = Volume(np.zeros(placement.grid.shape, np.uint8), placement.grid.affine)
        outlines = placement.outlines()
        for scan in range(scans):
            mask = rate(
                truth,
                name,
                rng=contrast_rng(options, index, name, 1 + scan),
                vendor=subject.vendor,
                site=subject.site,
                size_mm2=size,
                outlines=outlines,
            )
            rows.append(
                {
                    "subject": subject_label(index),
                    "vendor": subject.vendor,
                    "site": subject.site,
                    "contrast": name,
                    "scan": scan,
                    "true_mm2": float(here["area_mm2"].mean()),
                    "area_mm2": _mean_area(mask, here),
                }
            )
    return rows


def _mean_area(mask: Volume, slices: pd.DataFrame) -> float:
    """Volume of each slice over the length of centreline in it, over the slices that were drawn."""
    volume = mask.data.sum(axis=(0, 1), dtype=float) * np.prod(mask.spacing_mm)
    area = volume[slices["slice"].to_numpy()] / slices["length_mm"].to_numpy()
    return float(area[area > 0].mean()) if (area > 0).any() else float("nan")


def _box(placement: Placement) -> tuple[slice, slice, slice]:
    """The voxels around the cord from C1 to C4."""
    anatomy = placement.anatomy
    s_mm = anatomy.centreline.s_mm
    low, high = anatomy.profiles.disc_mm[5], anatomy.profiles.top_mm
    cord = anatomy.centreline.position[(s_mm >= low) & (s_mm <= high + 6)]
    voxels = nib.affines.apply_affine(np.linalg.inv(placement.body_grid.affine), cord)
    margin = np.array([_MARGIN_MM, _MARGIN_MM, 0]) / placement.grid.spacing_mm
    first = np.maximum(np.floor(voxels.min(axis=0) - margin), 0).astype(int)
    last = np.minimum(np.ceil(voxels.max(axis=0) + margin) + 1, placement.grid.shape).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
