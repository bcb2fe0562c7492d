"""The files of one person of a cohort."""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from softseg.contrasts import Contrast, get_contrast
from softseg.files import replacing, write_json
from softseg.phantom.acquisition import Acquired, acquire
from softseg.phantom.protocols import Protocol
from softseg.phantom.raters import rate
from softseg.phantom.subjects import (
    Recipe,
    Subject,
    contrast_rng,
    draw_subject,
    size_at_c2_c3,
)
from softseg.volume import Volume


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
