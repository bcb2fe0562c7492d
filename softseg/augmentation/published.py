"""The published lists of random transforms, from MONAI, one sample at a time.

The paper's list exists twice: `paper_meant` is what its parameters say to a reader, `paper_ran`
what MONAI made of them. A pair given for three axes is one bound for each of the first two axes
and nothing for the third; a shift of 0.1 is a tenth of a voxel; noise of 0.1 on intensities of
hundreds is none; and the flip mirrors all axes together or none.

References: Bédard et al. 2025, doi:10.1016/j.media.2025.103473; BigAug: Zhang et al. 2020,
doi:10.1109/TMI.2020.2973595.
"""

from collections.abc import Sequence
from math import radians
from typing import Any

import numpy as np
import torch

BOTH = ("image", "soft")
NAMES = ("paper_meant", "paper_ran", "bigaug")


class Published:
    """One of the lists as a change of a batch.

    Args:
        name: `paper_meant`, `paper_ran` or `bigaug`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._composed: dict[tuple[int, ...], Any] = {}

    def __call__(
        self, images: torch.Tensor, softs: torch.Tensor, seeds: list[list[int]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`(B, 1, …)` images and soft masks, each sample changed by its own seed."""
        from monai.transforms import Compose

        shape = tuple(images.shape[2:])
        if shape not in self._composed:
            self._composed[shape] = Compose(list(transforms(self.name, shape).values()))
        samples = [
            _run(self._composed[shape], image, soft, seed)
            for image, soft, seed in zip(images, softs, seeds, strict=True)
        ]
        return torch.stack([i for i, _ in samples]), torch.stack([s for _, s in samples])


def published_effects(
    name: str, image: torch.Tensor, soft: torch.Tensor, seed: int
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Each transform of a list alone, with certainty: name → `(1, …)` image and mask."""
    from monai.transforms import Compose

    listed = transforms(name, image.shape[1:], always=True)
    positive = [listed.pop("positive intensities")] if "positive intensities" in listed else []
    return {
        title: _run(Compose([*positive, transform]), image, soft, [seed])
        for title, transform in listed.items()
    }


def transforms(name: str, shape: Sequence[int], *, always: bool = False) -> dict[str, Any]:
    """MONAI's dictionary transforms of a list, in order, for `image` and `soft`.

    Args:
        name: `paper_meant`, `paper_ran` or `bigaug`.
        shape: Voxels along the two or three axes of space.
        always: Each with probability one instead of its own.
    """
    from softseg.augmentation import monai_parts as parts

    certain = 1.0 if always else None
    if name == "bigaug":
        return _bigaug(parts, shape, certain)
    return _paper(parts, shape, certain, meant=name == "paper_meant")


def _paper(parts: Any, shape: Sequence[int], certain: float | None, *, meant: bool) -> dict:
    turn = radians(20)
    if meant:
        bounds = parts.affine_bounds(shape, rotation=turn, scale=0.2, shift=0.1)
    else:
        bounds = {
            "rotate_range": (-turn, turn), "scale_range": (-0.2, 0.2),
            "translate_range": (-0.1, 0.1),
        }  # fmt: skip
    monai = parts.monai
    noise = monai.RandGaussianNoised("image", prob=certain or 0.1, mean=0.0, std=0.1)
    if meant:
        # In units of the image's standard deviation, as 0.1 can only have been meant.
        noise = monai.Compose([monai.NormalizeIntensityd("image"), noise])
    flip = monai.RandAxisFlipd if meant else monai.RandFlipd
    return {
        "positive intensities": parts.Positive("image"),
        "affine": parts.affine(certain or 0.9, bounds),
        "elastic": parts.elastic(shape, certain or 0.5, sigma=(3.5, 5.5), magnitude=(25, 35)),
        "low resolution": parts.low_resolution(shape, certain or 0.25, zoom=(0.5, 1.0)),
        "gamma": monai.RandAdjustContrastd("image", prob=certain or 0.5, gamma=(0.5, 3.0)),
        "bias field": monai.RandBiasFieldd(
            "image", prob=certain or 0.3, degree=3, coeff_range=(0.0, 0.5)
        ),
        "noise": noise,
        "blur": parts.blur(certain or 0.3, (0.0, 2.0)),
        "brightness": monai.RandScaleIntensityd(
            "image", prob=certain or 0.15, factors=(-0.25, 1.0)
        ),
        "flip": flip(BOTH, prob=certain or 0.3),
        "z-score": monai.NormalizeIntensityd("image"),
    }


def _bigaug(parts: Any, shape: Sequence[int], certain: float | None) -> dict[str, Any]:
    half = certain or 0.5
    monai = parts.monai
    bounds = parts.affine_bounds(shape, rotation=radians(20), scale=0.6, shift=0.1)
    return {
        "z-score": monai.NormalizeIntensityd("image"),
        "blur": parts.blur(half, (0.25, 1.5)),
        "noise": monai.RandGaussianNoised("image", prob=half, mean=0.0, std=1.0),
        "sharpen": monai.RandGaussianSharpend("image", prob=half, alpha=(10.0, 30.0)),
        "shift": monai.RandShiftIntensityd("image", prob=half, offsets=0.1),
        "scale": monai.RandScaleIntensityd("image", prob=half, factors=0.1),
        "gamma": monai.RandAdjustContrastd("image", prob=half, gamma=(0.5, 3.0)),
        "affine": parts.affine(half, bounds),
        "elastic": parts.elastic(shape, half, sigma=(10, 13), magnitude=(25, 35)),
    }


def _run(
    transform: Any, image: torch.Tensor, soft: torch.Tensor, seed: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    from monai.data import get_track_meta, set_track_meta

    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    tracked = get_track_meta()
    # Without MONAI's record of what was done to each array, everything is twice as fast.
    set_track_meta(False)
    try:
        transform.set_random_state(seed=number)
        changed = transform({"image": image, "soft": soft})
    finally:
        set_track_meta(tracked)
    return changed["image"].float(), changed["soft"].float().clamp(0.0, 1.0)
