"""One person of a cohort: who they are, where they are scanned, and the files of their scans."""

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from softseg.contrasts import Contrast, get_contrast
from softseg.files import replacing, write_json
from softseg.phantom.acquisition import Acquired, acquire
from softseg.phantom.anatomy import Anatomy, random_anatomy
from softseg.phantom.artefacts import Severity
from softseg.phantom.pathology import Pathology, parse_pathology
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
            field_t=recipe.field_t,
            voxel_scale=recipe.voxel_scale,
            series=recipe.series,
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
        _write_raw(root, subject, contrast, scan, recipe.field_t)
        if scan.series is not None:
            _write_series(root / "sourcedata", subject, contrast, scan, recipe.field_t)
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


def _write_raw(
    root: Path, subject: Subject, contrast: Contrast, scan: Acquired, field_t: float
) -> None:
    path = root / contrast.stem(subject.label)
    name = path.with_name(path.name + ".nii.gz")
    if contrast.datatype == "func":
        data = scan.image.data[..., None]
        _save_series(data, scan.image.affine, name, scan.protocol.tr_s)
    else:
        scan.image.save(name, np.int16)
    content = _sidecar_of(subject, scan, field_t)
    write_json(path.with_name(path.name + ".json"), content)
    if contrast.datatype == "dwi":
        b_value = scan.protocol.b_value
        _write_gradients(path, np.array([b_value]), np.array([[float(b_value > 0), 0.0, 0.0]]))


def _sidecar_of(subject: Subject, scan: Acquired, field_t: float) -> dict:
    contrast = scan.scene.contrast
    content = sidecar(scan.protocol, vendor=subject.vendor, field_t=field_t)
    if contrast.datatype == "func":
        content["TaskName"] = "rest"
    if contrast.suffix.endswith("MTS"):
        content["RepetitionTimeExcitation"] = content["RepetitionTime"]
    content["SliceThickness"] = contrast.spacing_mm[2 if contrast.plane == "axial" else 0]
    content["InstitutionName"] = subject.site
    return content


def sidecar(protocol: Protocol, *, vendor: str, field_t: float = 3.0) -> dict:
    """A protocol in the words of BIDS, for the JSON file beside an image."""
    content = {
        "Manufacturer": vendor,
        "ManufacturersModelName": "simulated",
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


def _save_series(data: np.ndarray, affine: np.ndarray, path: Path, tr_s: float) -> None:
    """Volumes over time, `(X, Y, Z, V)`; the mean that motion correction leaves is one of them."""
    picture = nib.Nifti1Image(data.astype(np.int16), affine)
    picture.set_qform(affine, 1)
    picture.set_sform(affine, 1)
    picture.header.set_xyzt_units("mm", "sec")
    picture.header["pixdim"][4] = tr_s
    with replacing(path) as temporary:
        nib.save(picture, temporary)


def _write_gradients(path: Path, b_values: np.ndarray, directions: np.ndarray) -> None:
    """The `.bval` and `.bvec` beside a diffusion scan, one column a volume."""
    weighting = " ".join(f"{b:g}" for b in b_values)
    vectors = "\n".join(" ".join(f"{x:.6g}" for x in row) for row in directions.T)
    for ending, text in ((".bval", weighting), (".bvec", vectors)):
        with replacing(path.with_name(path.name + ending)) as temporary:
            temporary.write_text(text + "\n", encoding="ascii")


_SERIES_STEM = {"DWI": "dwi/{0}_dwi", "EPI": "func/{0}_task-rest_bold", "T2star": "anat/{0}_T2star"}


def _write_series(
    sourcedata: Path, subject: Subject, contrast: Contrast, scan: Acquired, field_t: float
) -> None:
    """The scan before averaging, where Spine Generic keeps it."""
    series = scan.series
    stem = _SERIES_STEM[contrast.name].format(subject.label)
    path = sourcedata / subject.label / stem
    name = path.with_name(path.name + ".nii.gz")
    _save_series(series.data, scan.image.affine, name, scan.protocol.tr_s)
    content = _sidecar_of(subject, scan, field_t)
    content["EchoTimes"] = list(scan.protocol.te_s)
    write_json(path.with_name(path.name + ".json"), content)
    if series.b_values is not None:
        _write_gradients(path, series.b_values, series.directions)


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
