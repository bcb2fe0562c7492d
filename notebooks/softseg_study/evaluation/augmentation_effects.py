"""What each change of an augmentation does to one image alone, for a figure."""

from dataclasses import fields, replace

import torch

from softseg.augmentation.light import LightOptions, augment_lightly
from softseg.augmentation.registry import PUBLISHED, get_augmentation
from softseg.training.config import TrainingConfig
from softseg.training.data import find_data
from softseg.training.module import make_network
from softseg.training.patches import Batches, PatchOrder


def example_patch(config: TrainingConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """The first patch of a training as it is before augmentation, for pictures.

    Returns:
        `(1, …)` image and soft mask.

    Raises:
        InputError: As `softseg.training.fitting.fit`.
    """
    _, network = make_network(config)
    pairs, _ = find_data(config.replaced(validation_subjects=()), network)
    order = PatchOrder(config.seed, network.patch_size, config.crop, cord_share=1.0)
    batch = Batches(pairs, order, get_augmentation("none"), batch_size=1, last_step=1)
    images, softs = batch[0]
    return images[0], softs[0]


def effects(
    image: torch.Tensor, soft: torch.Tensor, *, name: str, seed: int = 0
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What each change of an augmentation does to one image alone, for a figure.

    Args:
        image: `(1, …)` with two or three axes of space.
        soft: The same shape, values in [0, 1].
        name: Key of `AUGMENTATIONS`.
        seed: Of the random strengths.

    Returns:
        The change's name → changed image and mask; empty for `none`.

    Raises:
        InputError: If there is no such augmentation.
    """
    get_augmentation(name)
    if name == "none":
        return {}
    if name in PUBLISHED:
        return _published_effects(name, image, soft, seed)
    return _light_effects(image, soft, seed, LightOptions())


def _light_effects(
    image: torch.Tensor, soft: torch.Tensor, seed: int, options: LightOptions
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Each change alone, with certainty: name → `(1, …)` image and mask."""
    none = LightOptions(**dict.fromkeys((f.name for f in fields(LightOptions)), 0.0))
    parts = {
        "affine": ("rotation_deg", "scale", "shift_voxels"),
        "blur": ("blur_voxels",), "gamma": ("gamma",), "gain": ("gain",), "offset": ("offset",),
        "noise": ("noise",),
    }  # fmt: skip
    shown = {}
    for title, names in parts.items():
        only = replace(none, probability=1.0, **{name: getattr(options, name) for name in names})
        mirror = title == "affine"
        images, softs = augment_lightly(image[None], soft[None], [[seed]], only, mirror=mirror)
        shown[title] = images[0], softs[0]
    return shown


def _published_effects(
    name: str, image: torch.Tensor, soft: torch.Tensor, seed: int
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Each transform of a list alone, with certainty: name → `(1, …)` image and mask."""
    import monai.transforms  # seconds, for those who look at its transforms alone

    from softseg.augmentation.published import run_transform, transforms

    listed = transforms(name, image.shape[1:], always=True)
    positive = [listed.pop("positive intensities")] if "positive intensities" in listed else []
    return {
        title: run_transform(monai.transforms.Compose([*positive, transform]), image, soft, [seed])
        for title, transform in listed.items()
    }
