"""One participant of a cohort: who they are, where they are scanned, and the files of the scans."""

import zlib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from softseg.files import replacing, write_json
from softseg.phantom.acquisition import Acquired, acquire
from softseg.phantom.anatomy import Anatomy, Participant, random_anatomy, random_participant
from softseg.phantom.artefacts import ArtefactOptions
from softseg.phantom.pathology import parse_pathology
from softseg.phantom.profiles import NAMES
from softseg.phantom.protocols import Protocol, get_protocol
from softseg.phantom.raters import RATER, SITES, VENDOR_SHARES, draw
from softseg.volume import Volume

POPULATION_MEAN_MM2 = 72.0
"""Mean true area at C2-C3 of the drawn population."""
EDGES = ("by-contrast", "same")


@dataclass(frozen=True)
class CohortOptions:
    """What makes a cohort: two cohorts of equal options are equal byte by byte.

    Attributes:
        seed: Which participants; the same seed gives the same bytes.
        contrasts: Keys of `softseg.contrasts`.
        pathology: As `softseg.phantom.pathology.parse_pathology` reads it, for example
            `compression=30`; several separated by commas take turns. None for healthy participants.
        vendor: `Siemens`, `Philips` or `GE` for all; None for the shares of Spine Generic.
        field_of_view: `cord` or `full`.
        severity: `mild`, `realistic` or your own `ArtefactOptions`.
        series: Whether echoes, diffusion directions and functional volumes are kept below
            `sourcedata`.
        field_t: Field strength: 1.5, 3 or 7 T.
        voxel_scale: Factor on every side of each contrast's nominal voxel.
        same_people: Whether pathology is drawn apart from the participant, so that two cohorts of
            one seed hold the same participants with and without it.
        mean_area_mm2: Mean true area at C2-C3 that the population is scaled to, 40 to 110; canals
            stay.
        rule_mm: Where raters draw, seen from the edge in the image, outward positive; -1 to 1.
        edges: `by-contrast`, or `same`: no layer on the cord, no echo train's blur and no
            convention of a contrast moves the edge in images and masks.
    """

    seed: int
    contrasts: tuple[str, ...]
    pathology: str | None = None
    vendor: str | None = None
    field_of_view: str = "cord"
    severity: str | ArtefactOptions = "mild"
    series: bool = False
    field_t: float = 3.0
    voxel_scale: float = 1.0
    same_people: bool = False
    mean_area_mm2: float = POPULATION_MEAN_MM2
    rule_mm: float = RATER.rule_mm
    edges: str = "by-contrast"

    def protocol(self, contrast: str, vendor: str) -> Protocol:
        """A contrast's settings on a vendor's scanner; read in no time where edges are the same."""
        protocol = get_protocol(contrast, vendor)
        if self.edges == "same":
            protocol = replace(protocol, train_s=0.0, readout_s=0.0, partial_fourier=1.0)
        return protocol

    @property
    def content(self) -> dict[str, object]:
        """What a cohort's description says of it; options that came later only where they matter,
        so that cohorts of earlier versions are still recognised.
        """
        shown = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            name: asdict(value) if isinstance(value, ArtefactOptions) else value
            for name, value in shown.items()
            if name not in _LATER or value != _LATER[name]
        }


_LATER = {
    f.name: f.default
    for f in fields(CohortOptions)
    if f.name in ("field_t", "voxel_scale", "same_people", "mean_area_mm2", "rule_mm", "edges")
}


@dataclass(frozen=True, eq=False)
class Subject:
    """One participant of a cohort and where they are scanned."""

    label: str
    index: int
    anatomy: Anatomy
    vendor: str
    site: str

    @property
    def row(self) -> dict[str, object]:
        """The participant's line of `participants.tsv`."""
        participant = self.anatomy.participant
        return {
            "participant_id": self.label,
            "sex": participant.sex,
            "age": participant.age,
            "height": round(participant.height_cm, 1),
            "manufacturer": self.vendor,
            "institution_id": self.site,
            "pathology": self.anatomy.pathology.name,
        }


def subject_label(index: int) -> str:
    """The name of the participant at a position, counted from 0: `sub-001` first."""
    return f"sub-{index + 1:03d}"


def draw_subject(options: CohortOptions, index: int) -> Subject:
    """The participant at a position of a cohort: a function of the seed and the position alone."""
    rng = np.random.default_rng([options.seed, index])
    names = [name.strip() for name in (options.pathology or "healthy").split(",")]
    vendors = list(VENDOR_SHARES)
    drawn = vendors[rng.choice(len(vendors), p=list(VENDOR_SHARES.values()))]
    vendor = options.vendor or drawn
    site = SITES[vendor][rng.integers(len(SITES[vendor]))]
    apart = np.random.default_rng([options.seed, index, zlib.crc32(b"pathology")])
    pathology = parse_pathology(names[index % len(names)], apart if options.same_people else rng)
    participant = _scaled(random_participant(rng), options.mean_area_mm2 / POPULATION_MEAN_MM2)
    anatomy = random_anatomy(rng, pathology=pathology, participant=participant)
    if options.edges == "same":
        table = anatomy.profiles.table.copy()
        table[:, NAMES.index("pia")] = 0
        anatomy = replace(anatomy, profiles=replace(anatomy.profiles, table=table))
    return Subject(subject_label(index), index, anatomy, vendor, site)


def _scaled(participant: Participant, area: float) -> Participant:
    """The same participant with a cord of so many times the area."""
    sizes = {
        name: {
            level: mm * (np.sqrt(area) if name in ("AP", "RL") else 1) for level, mm in row.items()
        }
        for name, row in participant.diameters_mm.items()
    }
    return replace(participant, diameters_mm=sizes)


def contrast_rng(
    options: CohortOptions, index: int, contrast: str, purpose: int
) -> np.random.Generator:
    """A stream of randomness that does not depend on which other contrasts are made."""
    return np.random.default_rng([options.seed, index, zlib.crc32(contrast.encode()), purpose])


def scan_and_rate(
    subject: Subject, options: CohortOptions, contrast: str, *, visit: int = 0
) -> tuple[Acquired, Volume]:
    """One scan and the mask that a rater draws on it that day.

    Another `visit` is another position, other noise and another day of the rater.
    """
    scan = acquire(
        subject.anatomy,
        contrast,
        rng=contrast_rng(options, subject.index, contrast, 2 * visit),
        vendor=subject.vendor,
        severity=options.severity,
        field_of_view=options.field_of_view,
        field_t=options.field_t,
        voxel_scale=options.voxel_scale,
        series=options.series,
        protocol=options.protocol(contrast, subject.vendor),
    )
    return scan, rate_scan(scan, subject, options, visit=visit)


def rate_scan(
    scan: Acquired, subject: Subject, options: CohortOptions, *, visit: int = 0, **changes: Any
) -> Volume:
    """The mask that a rater draws on a scan; `changes` are options of `draw`."""
    contrast = scan.placement.contrast.name
    return draw(
        scan.image,
        scan.visible,
        contrast,
        rng=contrast_rng(options, subject.index, contrast, 2 * visit + 1),
        vendor=subject.vendor,
        site=subject.site,
        **{"constants": options.edges != "same", "rater": replace(RATER, rule_mm=options.rule_mm)}
        | changes,
    )


def session_label(visit: int) -> str:
    """The name of a visit, counted from 0: `ses-1` first."""
    return f"ses-{visit + 1}"


def write_subject(
    root: Path, subject: Subject, options: CohortOptions, *, visit: int | None = None
) -> None:
    """Write every file of one participant, or of one session of theirs, below `root`."""
    keys = {"subject": subject.label}
    if visit is not None:
        keys["session"] = session_label(visit)
    labels, truth = root / "derivatives" / "labels", root / "derivatives" / "truth"
    tables = []
    for name in options.contrasts:
        scan, mask = scan_and_rate(subject, options, name, visit=visit or 0)
        stem = scan.placement.contrast.stem(*keys.values())
        sidecar = _sidecar(subject, scan, options.field_t)
        _write_raw(root / stem, scan, sidecar)
        if scan.series is not None:
            series = _SERIES_STEM[name].format(subject.label)
            _write_series(root / "sourcedata" / subject.label / series, scan, sidecar)
        _write_labels(labels / stem, scan, mask)
        scan.truth.save(truth / f"{stem}_label-SC_softseg.nii.gz", np.float32)
        table = scan.areas.assign(**keys, contrast=name)
        tables.append(table[[*keys, "contrast", "slice", "level", "area_mm2"]])
    table = pd.concat(tables, ignore_index=True)
    with replacing(truth.joinpath(*keys.values(), f"{'_'.join(keys.values())}_csa.csv")) as file:
        table.to_csv(file, index=False, float_format="%.5f", lineterminator="\n")


def _write_raw(stem: Path, scan: Acquired, sidecar: dict) -> None:
    datatype = scan.placement.contrast.datatype
    if datatype == "func":
        _save_volumes(scan.image.data[..., None], scan, Path(f"{stem}.nii.gz"))
    else:
        scan.image.save(Path(f"{stem}.nii.gz"), np.int16)
    write_json(Path(f"{stem}.json"), sidecar)
    if datatype == "dwi":
        b_value = scan.protocol.b_value
        _write_gradients(stem, np.array([b_value]), np.array([[float(b_value > 0), 0.0, 0.0]]))


def _sidecar(subject: Subject, scan: Acquired, field_t: float) -> dict:
    """A protocol in the words of BIDS, for the JSON file beside an image."""
    protocol, contrast = scan.protocol, scan.placement.contrast
    content = {
        "Manufacturer": subject.vendor,
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
    if contrast.datatype == "func":
        content["TaskName"] = "rest"
    if contrast.suffix.endswith("MTS"):
        content["RepetitionTimeExcitation"] = content["RepetitionTime"]
    content["SliceThickness"] = contrast.spacing_mm[2 if contrast.plane == "axial" else 0]
    content["InstitutionName"] = subject.site
    return content


def _save_volumes(data: np.ndarray, scan: Acquired, path: Path) -> None:
    """Volumes over time, `(X, Y, Z, V)`; the mean that motion correction leaves is one of them."""
    picture = nib.Nifti1Image(data.astype(np.int16), scan.image.affine)
    picture.set_qform(scan.image.affine, 1)
    picture.set_sform(scan.image.affine, 1)
    picture.header.set_xyzt_units("mm", "sec")
    picture.header["pixdim"][4] = scan.protocol.tr_s
    with replacing(path) as temporary:
        nib.save(picture, temporary)


def _write_gradients(stem: Path, b_values: np.ndarray, directions: np.ndarray) -> None:
    """The `.bval` and `.bvec` beside a diffusion scan, one column a volume."""
    weighting = " ".join(f"{b:g}" for b in b_values)
    vectors = "\n".join(" ".join(f"{x:.6g}" for x in row) for row in directions.T)
    for ending, text in ((".bval", weighting), (".bvec", vectors)):
        with replacing(Path(f"{stem}{ending}")) as temporary:
            temporary.write_text(text + "\n", encoding="ascii")


_SERIES_STEM = {"DWI": "dwi/{0}_dwi", "EPI": "func/{0}_task-rest_bold", "T2star": "anat/{0}_T2star"}


def _write_series(stem: Path, scan: Acquired, sidecar: dict) -> None:
    """The scan before averaging, where Spine Generic keeps it."""
    series = scan.series
    _save_volumes(series.data, scan, Path(f"{stem}.nii.gz"))
    write_json(Path(f"{stem}.json"), sidecar | {"EchoTimes": list(scan.protocol.te_s)})
    if series.b_values is not None:
        _write_gradients(stem, series.b_values, series.directions)


def _write_labels(stem: Path, scan: Acquired, mask: Volume) -> None:
    mask.save(Path(f"{stem}_label-SC_seg.nii.gz"), np.uint8)
    inside = (scan.truth.data >= 0.5) | (mask.data > 0)
    vertebrae = scan.truth.like(inside * scan.levels.astype(np.uint8))
    vertebrae.save(Path(f"{stem}_label-vertebrae_dseg.nii.gz"), np.uint8)
    discs = np.zeros(scan.truth.data.shape, np.uint8)
    for disc, voxel in scan.discs.items():
        discs[voxel] = disc
    scan.truth.like(discs).save(Path(f"{stem}_label-discs_dlabel.nii.gz"), np.uint8)
