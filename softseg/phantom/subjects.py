"""Who is in a cohort, and the files of one of them."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from softseg.contrasts import Contrast, get_contrast
from softseg.files import replacing, write_json
from softseg.phantom.acquisition import Acquired, acquire
from softseg.phantom.anatomy import Anatomy, random_anatomy
from softseg.phantom.protocols import Protocol
from softseg.phantom.raters import SITES, VENDOR_SHARES, rate
from softseg.volume import Volume


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
    """

    seed: int
    contrasts: tuple[str, ...]
    pathology: str | None = None
    vendor: str | None = None
    field_of_view: str = "cord"
    severity: str = "mild"


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


def write_subject(root: Path, recipe: Recipe, index: int) -> None:
    """Write every file of one person below `root`, which holds only this person."""
    subject = draw_subject(recipe, index)
    tables = []
    for name in recipe.contrasts:
        scan = acquire(
            subject.anatomy,
            name,
            rng=contrast_rng(recipe, index, name, 0),
            vendor=subject.vendor,
            severity=recipe.severity,
            field_of_view=recipe.field_of_view,
        )
        mask = rate(
            scan.truth,
            name,
            rng=contrast_rng(recipe, index, name, 1),
            vendor=subject.vendor,
            site=subject.site,
            size_mm2=size_at_c2_c3(scan.areas),
            outlines=scan.scene.outlines(),
        )
        contrast = get_contrast(name)
        _write_raw(root, subject, contrast, scan)
        _write_labels(root / "derivatives" / "labels", subject, contrast, scan, mask)
        truth = root / "derivatives" / "truth"
        stem = contrast.stem(subject.label)
        scan.truth.save(truth / f"{stem}_label-SC_softseg.nii.gz", np.float32)
        table = scan.areas.assign(subject=subject.label, contrast=name)
        tables.append(table[["subject", "contrast", "slice", "level", "area_mm2"]])
    _write_areas(root / "derivatives" / "truth", subject, tables)


def _write_areas(truth: Path, subject: Subject, tables: Sequence[pd.DataFrame]) -> None:
    table = pd.concat(tables, ignore_index=True)
    with replacing(truth / subject.label / f"{subject.label}_csa.csv") as temporary:
        table.to_csv(temporary, index=False, float_format="%.5f", lineterminator="\n")


def _write_raw(root: Path, subject: Subject, contrast: Contrast, scan: Acquired) -> None:
    path = root / contrast.stem(subject.label)
    if contrast.datatype == "func":
        _save_series(scan.image, path.with_name(path.name + ".nii.gz"), scan.protocol.tr_s)
    else:
        scan.image.save(path.with_name(path.name + ".nii.gz"), np.int16)
    content = sidecar(scan.protocol, vendor=subject.vendor)
    if contrast.datatype == "func":
        content["TaskName"] = "rest"
    if contrast.suffix.endswith("MTS"):
        content["RepetitionTimeExcitation"] = content["RepetitionTime"]
    content["SliceThickness"] = contrast.spacing_mm[2 if contrast.plane == "axial" else 0]
    content["InstitutionName"] = subject.site
    write_json(path.with_name(path.name + ".json"), content)
    if contrast.datatype == "dwi":
        weighting = f"{scan.protocol.b_value:g}\n"
        directions = "0\n0\n0\n" if scan.protocol.b_value == 0 else "1\n0\n0\n"
        for ending, text in ((".bval", weighting), (".bvec", directions)):
            with replacing(path.with_name(path.name + ending)) as temporary:
                temporary.write_text(text, encoding="ascii")


def sidecar(protocol: Protocol, *, vendor: str, field_t: float = 3.0) -> dict:
    """A protocol in the words of BIDS, for the JSON file beside an image."""
    content = {
        "Manufacturer": vendor,
        "MagneticFieldStrength": field_t,
        "EchoTime": protocol.te_s[0] if len(protocol.te_s) == 1 else float(np.mean(protocol.te_s)),
        "FlipAngle": protocol.flip_deg[0],
        "RepetitionTime": protocol.tr_s,
        "PulseSequenceType": protocol.sequence.replace("_", " "),
        "MTState": protocol.mt,
    }
    if protocol.ti_s:
        content["InversionTime"] = protocol.ti_s[0]
    return content


def _save_series(image: Volume, path: Path, tr_s: float) -> None:
    """A time series of one volume: the mean that motion correction leaves."""
    picture = nib.Nifti1Image(image.data[..., None].astype(np.int16), image.affine)
    picture.set_qform(image.affine, 1)
    picture.set_sform(image.affine, 1)
    picture.header.set_xyzt_units("mm", "sec")
    picture.header["pixdim"][4] = tr_s
    with replacing(path) as temporary:
        nib.save(picture, temporary)


def _write_labels(
    folder: Path, subject: Subject, contrast: Contrast, scan: Acquired, mask: Volume
) -> None:
    stem = contrast.stem(subject.label)
    mask.save(folder / f"{stem}_label-SC_seg.nii.gz", np.uint8)
    inside = (scan.truth.data >= 0.5) | (mask.data > 0)
    vertebrae = scan.truth.like(inside * scan.levels.astype(np.uint8))
    vertebrae.save(folder / f"{stem}_label-vertebrae_dseg.nii.gz", np.uint8)
    discs = np.zeros(scan.truth.data.shape, np.uint8)
    for disc, voxel in scan.discs.items():
        discs[voxel] = disc
    scan.truth.like(discs).save(folder / f"{stem}_label-discs_dlabel.nii.gz", np.uint8)


def recipe_json(recipe: Recipe) -> str:
    """The recipe as text whose equality means equality of cohorts."""
    return json.dumps(recipe.__dict__, sort_keys=True)
