"""Changes that a training makes to images and their soft masks.

Example:
    >>> import torch
    >>> images, softs = torch.randn(2, 1, 32, 32), torch.rand(2, 1, 32, 32)
    >>> images, softs = get_augmentation("light")(images, softs, [[0, 1], [0, 2]])
    >>> images.shape, bool((softs >= 0).all() and (softs <= 1).all())
    (torch.Size([2, 1, 32, 32]), True)
"""

from collections.abc import Callable
from functools import partial

import torch

from softseg.augmentation.light import Light, augment_lightly
from softseg.augmentation.published import NAMES, Published, effects
from softseg.errors import InputError

Augmentation = Callable[
    [torch.Tensor, torch.Tensor, list[list[int]]], tuple[torch.Tensor, torch.Tensor]
]


def _nothing(
    images: torch.Tensor, softs: torch.Tensor, seeds: list[list[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    return images, softs


__all__ = ["AUGMENTATIONS", "Augmentation", "Light", "effects", "get_augmentation"]

AUGMENTATIONS: dict[str, Augmentation] = {
    "none": _nothing,
    "light": partial(augment_lightly, settings=Light()),
    **{name: Published(name) for name in NAMES},
    "synthseg": partial(augment_lightly, settings=Light()),
}


def get_augmentation(name: str) -> Augmentation:
    """The augmentation called `name`: from images, soft masks and one seed a sample to new ones.

    Raises:
        InputError: If there is none.
    """
    if name not in AUGMENTATIONS:
        raise InputError(f"augmentation: must be one of {', '.join(AUGMENTATIONS)}, found {name!r}")
    return AUGMENTATIONS[name]
