"""A BIDS cohort of bright and dark tubes: small enough to train on within a test."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softseg.contrasts import CONTRASTS
from softseg.volume import Volume

SHAPE, SPACING_MM = (40, 44, 8), (1.0, 1.0, 4.0)


def write_tubes(
    root: Path, subjects: Sequence[str], contrasts: Sequence[str] = ("T1w", "T2w"), seed: int = 0
) -> Path:
    """Images, soft and hard truths of straight tubes with a radius of 4 to 6 mm.

    In the first contrast the tube is brighter than what surrounds it, in the second darker, and
    so on; the soft truth is the fraction of each voxel but for the curvature of the edge.
    """
    root.mkdir(parents=True, exist_ok=True)
    description = {"Name": "tubes", "BIDSVersion": "1.9.0"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    (root / "participants.tsv").write_text("\n".join(["participant_id", *subjects]) + "\n")
    affine = np.diag([-SPACING_MM[0], *SPACING_MM[1:], 1.0])
    for number, subject in enumerate(subjects):
        rng = np.random.default_rng([seed, number])
        soft = _tube(rng)
        for index, name in enumerate(contrasts):
            dark, bright = (100, 200) if index % 2 == 0 else (300, 150)
            image = dark + (bright - dark) * soft + rng.normal(0, 8, soft.shape)
            stem = CONTRASTS[name].stem(subject)
            Volume(image, affine).save(root / f"{stem}.nii.gz")
            folder = root / "derivatives"
            Volume(soft, affine).save(folder / "labels_softseg" / f"{stem}_label-SC_softseg.nii.gz")
            Volume(soft > 0.5, affine).save(
                folder / "labels" / f"{stem}_label-SC_seg.nii.gz", dtype=np.uint8
            )
    return root


def _tube(rng: np.random.Generator) -> np.ndarray:
    radius, centre = rng.uniform(4, 6), rng.uniform(-4, 4, 2)
    x, y = np.mgrid[: SHAPE[0], : SHAPE[1]]
    away = np.hypot(x - SHAPE[0] / 2 - centre[0], y - SHAPE[1] / 2 - centre[1])
    disc = np.clip(radius - away + 0.5, 0, 1)
    return np.repeat(disc[..., None], SHAPE[2], axis=2).astype(np.float32)
