"""Changes that a training makes to images and their soft masks, by their names.

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

from softseg.augmentation.light import LightOptions, augment_lightly
from softseg.errors import InputError

Augmentation = Callable[
    [torch.Tensor, torch.Tensor, list[list[int]]], tuple[torch.Tensor, torch.Tensor]
]


def _nothing(
    images: torch.Tensor, softs: torch.Tensor, seeds: list[list[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    return images, softs


def _published(
    images: torch.Tensor, softs: torch.Tensor, seeds: list[list[int]], *, name: str
) -> tuple[torch.Tensor, torch.Tensor]:
    # MONAI takes seconds to import: only those who use its transforms wait for it.
    from softseg.augmentation.published import augment_as_published

    return augment_as_published(images, softs, seeds, name)


PUBLISHED = ("paper_meant", "paper_ran", "bigaug")
"""Lists of transforms that others published."""

AUGMENTATIONS: dict[str, Augmentation] = {
    "none": _nothing,
    "light": partial(augment_lightly, options=LightOptions()),
    **{name: partial(_published, name=name) for name in PUBLISHED},
    "synthseg": partial(augment_lightly, options=LightOptions()),
}


def get_augmentation(name: str) -> Augmentation:
    """The augmentation called `name`: from images, soft masks and one seed a sample to new ones.

    Raises:
        InputError: If there is none.
    """
    if name not in AUGMENTATIONS:
        raise InputError(f"augmentation: must be one of {', '.join(AUGMENTATIONS)}, found {name!r}")
    return AUGMENTATIONS[name]
