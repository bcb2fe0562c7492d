"""Who is in a cohort, and where they are scanned."""

import zlib
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from softseg.phantom.anatomy import Anatomy, random_anatomy
from softseg.phantom.pathology import Pathology, parse_pathology
from softseg.phantom.raters import SITES, VENDOR_SHARES
from softseg.phantom.severity import Severity


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
        severity: `mild`, `realistic` or settings of your own.
        series: Whether echoes and repeated volumes are kept below `sourcedata`.
        field_t: Field strength in tesla.
        voxel_scale: Factor on every side of each contrast's nominal voxel.
        same_people: Whether pathology is drawn apart from the person, so that two cohorts of one
            seed hold the same people with and without it.
    """

    seed: int
    contrasts: tuple[str, ...]
    pathology: str | None = None
    vendor: str | None = None
    field_of_view: str = "cord"
    severity: str | Severity = "mild"
    series: bool = False
    field_t: float = 3.0
    voxel_scale: float = 1.0
    same_people: bool = False

    @property
    def settings(self) -> dict[str, object]:
        """What a cohort's description says of it; options that came later only where they matter,
        so that cohorts of earlier versions are still recognised.
        """
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: asdict(value) if isinstance(value, Severity) else value
            for name, value in shown.items()
            if name not in _LATER or value != _LATER[name]
        }


_LATER = {"field_t": 3.0, "voxel_scale": 1.0, "same_people": False}


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
    pathology: str | Pathology = names[index % len(names)]
    if recipe.same_people:
        apart = np.random.default_rng([recipe.seed, index, zlib.crc32(b"pathology")])
        pathology = parse_pathology(pathology, apart)
    anatomy = random_anatomy(rng, pathology=pathology)
    return Subject(subject_label(index), index, anatomy, vendor, site)


def contrast_rng(recipe: Recipe, index: int, contrast: str, purpose: int) -> np.random.Generator:
    """A stream of randomness that does not depend on which other contrasts are made."""
    return np.random.default_rng([recipe.seed, index, zlib.crc32(contrast.encode()), purpose])


def size_at_c2_c3(areas: pd.DataFrame) -> float | None:
    """Mean true area at C2 and C3, or None where a scan does not reach them."""
    here = areas[areas["level"].isin([2, 3])]
    return float(here["area_mm2"].mean()) if len(here) else None
