"""Who is in a cohort, and where they are scanned."""

import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from softseg.phantom.anatomy import Anatomy, random_anatomy
from softseg.phantom.raters import SITES, VENDOR_SHARES


@dataclass(frozen=True)
class Recipe:
    """What makes a cohort: two cohorts of equal recipe are equal byte by byte.

    Attributes:
        seed: Number from which every person is drawn.
        contrasts: Keys of `softseg.contrasts`.
        pathology: As `softseg.phantom.pathology.parse_pathology` reads it; several names separated
            by commas take turns. None for healthy people.
        vendor: Vendor of every scanner, or None for the shares of Spine Generic.
        field_of_view: `cord` or `full`.
        severity: `mild` or `realistic`.
        series: Whether echoes and repeated volumes are kept below `sourcedata`.
    """

    seed: int
    contrasts: tuple[str, ...]
    pathology: str | None = None
    vendor: str | None = None
    field_of_view: str = "cord"
    severity: str = "mild"
    series: bool = False


@dataclass(frozen=True, eq=False)
class Subject:
    """One person of a cohort and where they are scanned."""

    label: str
    index: int
    anatomy: Anatomy
    vendor: str
    site: str

    @property
    def row(self) -> dict[str, object]:
        """The person's line of `participants.tsv`."""
        person = self.anatomy.person
        return {
            "participant_id": self.label,
            "sex": person.sex,
            "age": person.age,
            "height": round(person.height_cm, 1),
            "manufacturer": self.vendor,
            "institution_id": self.site,
            "pathology": self.anatomy.pathology.name,
        }


def subject_label(index: int) -> str:
    """The name of the person at a position, counted from 0.

    Example:
        >>> subject_label(0)
        'sub-001'
    """
    return f"sub-{index + 1:03d}"


def draw_subject(recipe: Recipe, index: int) -> Subject:
    """The person at a position of a cohort: a function of the seed and the position alone."""
    rng = np.random.default_rng([recipe.seed, index])
    names = [name.strip() for name in (recipe.pathology or "healthy").split(",")]
    vendors = list(VENDOR_SHARES)
    drawn = vendors[rng.choice(len(vendors), p=list(VENDOR_SHARES.values()))]
    vendor = recipe.vendor or drawn
    site = SITES[vendor][rng.integers(len(SITES[vendor]))]
    anatomy = random_anatomy(rng, pathology=names[index % len(names)])
    return Subject(subject_label(index), index, anatomy, vendor, site)


def contrast_rng(recipe: Recipe, index: int, contrast: str, purpose: int) -> np.random.Generator:
    """A stream of randomness that does not depend on which other contrasts are made."""
    return np.random.default_rng([recipe.seed, index, zlib.crc32(contrast.encode()), purpose])


def size_at_c2_c3(areas: pd.DataFrame) -> float | None:
    """Mean true area at C2 and C3, or None where a scan does not reach them."""
    here = areas[areas["level"].isin([2, 3])]
    return float(here["area_mm2"].mean()) if len(here) else None
