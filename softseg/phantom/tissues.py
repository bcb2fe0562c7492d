"""What a voxel can be made of, and what each tissue does to protons, with sources.

The table is `softseg/data/tissues.csv`, one row a tissue and field strength. Its `source` column
says what comes from a paper and what is an estimate. The papers:

* smith2008: doi:10.1002/mrm.21596, T1 and T2 of the cervical cord at 3 T
* stanisz2005: doi:10.1002/mrm.20605, T1 and T2 of many tissues at 1.5 and 3 T
* debazelaire2004: doi:10.1148/radiol.2303021331, T1 and T2 of fat and marrow at 1.5 and 3 T
* henkelman1992: doi:10.1002/jmri.1880020511, why fat is bright in echo trains
* rooney2007: doi:10.1002/mrm.21122, T1 of cerebrospinal fluid and blood
* PMC4718756: T2 of cervical discs at 3 T
* tofts2003: doi:10.1002/0470869526, proton densities
* cohenadad2021: doi:10.1038/s41597-021-00941-8, MT ratio and diffusivity of the cord at 3 T
* reina2004: doi:10.1213/01.ane.0000113240.09354.e9, the pia mater of the human cord is collagen
  under a thin layer of cells. Its row is `PIA_BLOOD` of blood in collagen, rates averaged by
  protons: dark with short T2 and T2*, so that it looks like fluid where fluid is dark and like
  nerve where fluid is bright.
"""

from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd

from softseg.errors import InputError

TISSUES = (
    "air",
    "white_matter",
    "grey_matter",
    "lesion",  # demyelinated white matter
    "oedema",  # swollen cord after injury
    "cavity",  # fluid inside the cord
    "pia",  # with the fine vessels on it: covers the cord, outside the truth
    "brainstem",
    "csf",
    "roots",
    "dura",
    "epidural_fat",
    "marrow",
    "cortical_bone",  # and ligaments: dark everywhere
    "disc",
    "muscle",
    "fat",
    "skin",
    "vessel",  # arteries and veins of the neck and in the canal
    "soft_tissue",  # throat, thyroid, oesophagus
    "brain",  # cerebellum
)
"""In the order of `partial_volume.blend`'s values."""

CORD_TISSUES = ("white_matter", "grey_matter", "lesion", "oedema", "cavity")
"""What the truth counts as cord."""

INDEX = {name: row for row, name in enumerate(TISSUES)}
"""Row of each tissue."""


PIA_BLOOD = 0.3
"""Share of blood in the layer `pia`, by volume: plexus and larger vessels (estimated)."""

FIELDS_T = (1.5, 3.0, 7.0)
"""Field strengths of the table."""


@dataclass(frozen=True)
class Tissue:
    """How one tissue answers to radio waves; times in seconds, diffusivities in mm²/s.

    Attributes:
        proton_density: Relative to water.
        t1_s, t2_s, t2star_s: Relaxation times.
        t2_train_s: Apparent T2 in a train of refocusing pulses, longer than `t2_s` for fat.
        mtr: Fraction of the signal that the protocol's magnetisation transfer pulse removes.
        axial_mm2_s, radial_mm2_s: Diffusivity along and across the fibres.
        fat: Fraction of the signal that a fat saturation pulse removes.
    """

    proton_density: float
    t1_s: float
    t2_s: float
    t2_train_s: float
    t2star_s: float
    mtr: float
    axial_mm2_s: float
    radial_mm2_s: float
    fat: float

    def varied(self, rng: np.random.Generator, spread: float = 0.04) -> "Tissue":
        """The same tissue in another participant: each time and density off by about `spread`."""
        factors = np.exp(spread * rng.standard_normal(len(_VARYING)))
        changed = {k: getattr(self, k) * f for k, f in zip(_VARYING, factors, strict=True)}
        return replace(self, **changed)


_VARYING = ("t1_s", "t2_s", "t2_train_s", "t2star_s", "axial_mm2_s", "radial_mm2_s")

_SCALES = {
    "t1_s": ("t1_ms", 1e-3), "t2_s": ("t2_ms", 1e-3), "t2_train_s": ("t2_train_ms", 1e-3),
    "t2star_s": ("t2star_ms", 1e-3), "axial_mm2_s": ("axial_um2_ms", 1e-3),
    "radial_mm2_s": ("radial_um2_ms", 1e-3),
}  # fmt: skip

LIKE: dict[str, str] = {
    "brainstem": "white_matter",
    "brain": "grey_matter",
    "roots": "nerve",
    "dura": "fibrous",
    "cortical_bone": "bone",
    "cavity": "csf",
    "vessel": "blood",
    "soft_tissue": "muscle",
}
"""Tissues of the anatomy that are made of one of the table's."""


@cache
def tissue_table() -> pd.DataFrame:
    """The table as it is on disk, with its `source` column."""
    with resources.files("softseg").joinpath("data/tissues.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file)


@cache
def tissue_properties(name: str, field_t: float = 3.0) -> Tissue:
    """The properties of a tissue of the anatomy or of the table.

    Args:
        name: A key of `LIKE` or a `tissue` of the table.
        field_t: One of `FIELDS_T`.

    Raises:
        InputError: If there is no such tissue or field strength.

    Example:
        >>> round(tissue_properties("brainstem", 3.0).t1_s, 3)
        0.876
    """
    table = tissue_table()
    rows = table[(table["tissue"] == LIKE.get(name, name)) & (table["field_t"] == field_t)]
    if rows.empty:
        known = sorted({*table["tissue"], *LIKE})
        raise InputError(
            f"tissue {name!r} at {field_t} T is not in the table; fields are {FIELDS_T} T, tissues "
            f"{', '.join(known)}"
        )
    row = rows.iloc[0]
    values = {}
    for field in fields(Tissue):
        column, scale = _SCALES.get(field.name, (field.name, 1.0))
        values[field.name] = float(row[column]) * scale
    return Tissue(**values)
