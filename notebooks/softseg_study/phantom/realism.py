"""Do phantoms look as real images do? The same figures from both, by one estimator.

`REAL` holds what public images with manual masks give (gm challenge, Spinal Cord Toolbox, Spine
Generic; 3 T, Siemens and Philips); `real_figures` reads them anew where the images are at hand.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from softseg.phantom.acquisition import acquire
from softseg.phantom.artefacts import ArtefactOptions
from softseg.phantom.subjects import CohortOptions, contrast_rng, draw_subject, subject_label
from softseg.volume import Volume

FIGURES = {
    "fluid": "brightness of the fluid beside the cord over the cord's",
    "texture": "standard deviation within the cord of a slice over its mean",
    "noise": "standard deviation between neighbouring voxels of the cord over its mean",
    "surroundings": "brightness 6 to 16 mm outside the cord over the cord's",
    "behind": "brightness there behind the cord over that in front",
    "along": "standard deviation of the cord's brightness along its top 140 mm over its mean",
}
"""What is compared."""

REAL: dict[str, dict[str, tuple[float, float]]] = {
    "T1w": {
        "fluid": (0.08, 0.37), "texture": (0.040, 0.130), "noise": (0.029, 0.084),
        "surroundings": (0.34, 0.53), "behind": (1.02, 1.66), "along": (0.03, 0.21),
    },
    "T2w": {
        "fluid": (3.21, 5.03), "texture": (0.117, 0.248), "noise": (0.102, 0.222),
        "surroundings": (0.47, 0.59), "behind": (0.56, 0.96), "along": (0.01, 0.15),
    },
    "T2star": {
        "fluid": (1.31, 2.29), "texture": (0.076, 0.108), "noise": (0.049, 0.075),
        "surroundings": (0.42, 0.53), "behind": (1.71, 2.09), "along": (0.02, 0.10),
    },
    "MT-on": {
        "fluid": (1.46, 2.34), "texture": (0.070, 0.086), "noise": (0.054, 0.072),
        "surroundings": (0.69, 0.97), "behind": (1.37, 1.65), "along": (0.06, 0.39),
    },
}  # fmt: skip
"""Smallest and largest figure of a real image: T2w 6, T2star 12, T1w 2, MT-on 6. Of these 4, 9, 1
and 1 have manual masks; for the others `softseg segment` or a half level drew them, which pure cord
hardly depends on."""

_NEAR_MM, _FAR_MM = 6.0, 16.0
_CORE_MM = 1.2
_FEWEST = 12
_LENGTH_MM = 140.0


def image_figures(image: Volume, cord: Volume) -> dict[str, float]:
    """The `FIGURES` of an image: medians over slices, which hold at least 12 voxels of pure cord.

    Args:
        image: In working orientation, X and Y across the cord.
        cord: Mask on the same grid, soft or binary.

    Returns:
        Empty if no slice has enough voxels.
    """
    inside = cord.data > 0.5
    rows, heights = [], np.flatnonzero(inside.any(axis=(0, 1)))
    for z in heights[-round(_LENGTH_MM / image.spacing_mm[2]) :]:
        rows += _slice_figures(image.data[:, :, z].astype(float), inside[:, :, z], image.spacing_mm)
    if not rows:
        return {}
    table = pd.DataFrame(rows)
    level = table.pop("level")
    return table.median().to_dict() | {"along": float(level.std(ddof=0) / level.mean())}


def _slice_figures(data: np.ndarray, inside: np.ndarray, spacing_mm) -> list[dict[str, float]]:
    depth = ndimage.distance_transform_edt(inside, sampling=spacing_mm[:2])
    away = ndimage.distance_transform_edt(~inside, sampling=spacing_mm[:2])
    core = depth > min(_CORE_MM, 0.5 * depth.max())
    if core.sum() < _FEWEST:
        return []
    cord = data[core].mean()
    steps = np.concatenate([
        (data[1:] - data[:-1])[core[1:] & core[:-1]],
        (data[:, 1:] - data[:, :-1])[core[:, 1:] & core[:, :-1]],
    ])  # fmt: skip
    ring = (away > _NEAR_MM) & (away < _FAR_MM) & (data > 0)
    y_mm = (np.arange(data.shape[1]) - np.nonzero(inside)[1].mean()) * spacing_mm[1]
    fluid = data[(away > 0.5) & (away < 2.5)]
    return [{
        "fluid": np.percentile(fluid, 90 if np.median(fluid) > cord else 10) / cord,
        "texture": data[core].std() / cord,
        "noise": steps.std() / np.sqrt(2) / cord,
        "surroundings": data[ring].mean() / cord,
        "behind": data[ring & (y_mm < -3)].mean() / data[ring & (y_mm > 3)].mean(),
        "level": cord,
    }]  # fmt: skip


def real_figures(root: Path, masks: Path | None = None) -> pd.DataFrame:
    """`image_figures` of every real image with a mask.

    Args:
        root: BIDS data set.
        masks: Folder of its masks, named as by BIDS; None for the manual ones of
            `derivatives/labels`.

    Returns:
        Columns `subject`, `contrast` and the `FIGURES`, one row an image.
    """
    rows = []
    for path in sorted((masks or root / "derivatives/labels").rglob("*_label-SC_*seg.nii.gz")):
        stem = path.name.rsplit("_label-SC_", 1)[0]
        images = [p for p in root.glob(f"sub-*/**/{stem}.nii.gz") if "fullfov" not in stem]
        contrast = next((name for key, name in _ENDINGS.items() if stem.endswith(key)), None)
        if images and contrast:
            found = image_figures(Volume.load(images[0]).oriented(), Volume.load(path).oriented())
            rows.append({"subject": stem.split("_")[0], "contrast": contrast, **found})
    return pd.DataFrame(rows)


_ENDINGS = {"_T1w": "T1w", "_T2w": "T2w", "_T2star": "T2star", "mt-on_MTS": "MT-on"}


def phantom_figures(
    subjects: Iterable[int],
    *,
    seed: int,
    contrasts: Iterable[str] = tuple(REAL),
    severity: str | ArtefactOptions = "mild",
) -> pd.DataFrame:
    """`image_figures` of simulated images of a cohort's participants.

    Returns:
        As `real_figures`.
    """
    options = CohortOptions(seed, tuple(contrasts), severity=severity)
    rows = []
    for index in subjects:
        subject = draw_subject(options, index)
        for name in options.contrasts:
            rng = contrast_rng(options, index, name, 0)
            scan = acquire(subject.anatomy, name, rng=rng, vendor=subject.vendor, severity=severity)
            found = image_figures(scan.image, scan.truth)
            rows.append({"subject": subject_label(index), "contrast": name, **found})
    return pd.DataFrame(rows)


def compare_with_real(figures: pd.DataFrame) -> pd.DataFrame:
    """The phantom's figures beside the real images' smallest and largest.

    Args:
        figures: As `phantom_figures` returns.

    Returns:
        Columns `contrast`, `figure`, `meaning`, `phantom` (mean), `real_low`, `real_high`.
    """
    mean = figures.drop(columns="subject").groupby("contrast").mean()
    return pd.DataFrame([
        {
            "contrast": contrast, "figure": figure, "meaning": FIGURES[figure],
            "phantom": float(mean.loc[contrast, figure]), "real_low": low, "real_high": high,
        }
        for contrast in REAL if contrast in mean.index
        for figure, (low, high) in REAL[contrast].items()
    ])  # fmt: skip
