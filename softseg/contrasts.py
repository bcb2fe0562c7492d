"""The six contrasts of the paper, and five that no model is trained on.

Names, geometry and order follow the Spine Generic protocol (Cohen-Adad et al. 2021,
doi:10.1038/s41596-021-00588-0); colours are Okabe and Ito's, safe for colour-blind readers.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Contrast:
    """One way to image the cord.

    Attributes:
        name: Key in every table's `contrast` column and on the command line.
        title: How figures write it.
        datatype: BIDS folder, `anat`, `dwi` or `func`.
        suffix: What follows `sub-XX_` in the file's name.
        older_suffixes: Names of earlier Spine Generic releases.
        plane: `sagittal` (three-dimensional) or `axial` (thick slices).
        spacing_mm: Nominal voxel size right-left, anterior-posterior, inferior-superior.
        color: Fixed through the book.
    """

    name: str
    title: str
    datatype: str
    suffix: str
    plane: str
    spacing_mm: tuple[float, float, float]
    color: str
    older_suffixes: tuple[str, ...] = ()

    def stem(self, subject: str, session: str | None = None) -> str:
        """Path below the data set's root without extension.

        Example:
            >>> CONTRASTS["MT-on"].stem("sub-01")
            'sub-01/anat/sub-01_flip-1_mt-on_MTS'
        """
        parts = [subject] if session is None else [subject, session]
        return "/".join([*parts, self.datatype, "_".join([*parts, self.suffix])])


_AXIAL, _SAGITTAL = "axial", "sagittal"

CONTRASTS: dict[str, Contrast] = {
    c.name: c
    for c in (
        Contrast(
            "DWI", "DWI", "dwi", "rec-average_dwi", _AXIAL, (0.9, 0.9, 5.0), "#0072B2",
            ("dwi_moco_dwi_mean",),
        ),
        Contrast(
            "MT-on", "MT-on", "anat", "flip-1_mt-on_MTS", _AXIAL, (0.9, 0.9, 5.0), "#E69F00",
            ("acq-MTon_MTS",),
        ),
        Contrast(
            "GRE-T1w", "GRE-T1w", "anat", "flip-2_mt-off_MTS", _AXIAL, (0.9, 0.9, 5.0), "#009E73",
            ("acq-T1w_MTS",),
        ),
        Contrast("T1w", "T1w", "anat", "T1w", _SAGITTAL, (1.0, 1.0, 1.0), "#CC79A7"),
        Contrast("T2star", "T2*w", "anat", "T2star", _AXIAL, (0.5, 0.5, 5.0), "#D55E00"),
        Contrast("T2w", "T2w", "anat", "T2w", _SAGITTAL, (0.8, 0.8, 0.8), "#56B4E9"),
    )
}  # fmt: skip
"""The paper's six, in the order of its plots."""

UNSEEN_CONTRASTS: dict[str, Contrast] = {
    c.name: c
    for c in (
        Contrast("UNIT1", "MP2RAGE", "anat", "UNIT1", _SAGITTAL, (1.0, 1.0, 1.0), "#000000"),
        Contrast("STIR", "STIR", "anat", "acq-stir_T2w", _SAGITTAL, (3.0, 0.7, 0.7), "#6A3D9A"),
        Contrast("PSIR", "PSIR", "anat", "acq-psir_T1w", _SAGITTAL, (3.0, 0.7, 0.7), "#B15928"),
        Contrast("EPI", "GRE-EPI", "func", "task-rest_bold", _AXIAL, (1.0, 1.0, 5.0), "#999933"),
        Contrast("b0", "b=0", "dwi", "acq-b0_dwi", _AXIAL, (0.9, 0.9, 5.0), "#882255"),
    )
}  # fmt: skip
"""Contrasts that only chapter 06 shows to a model."""

REFERENCE = "T2w"
"""The contrast on whose grid the soft truth is made."""


def get_contrast(name: str) -> Contrast:
    """The contrast called `name`.

    Raises:
        KeyError: If there is none, with the known names.
    """
    known = CONTRASTS | UNSEEN_CONTRASTS
    if name not in known:
        raise KeyError(f"unknown contrast {name!r}; known are {', '.join(known)}")
    return known[name]
