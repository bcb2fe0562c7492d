"""Sums of an overlap and an error per voxel."""

import torch

from softseg.losses.common import reduced, samples
from softseg.losses.entropy import soft_cross_entropy
from softseg.losses.overlap import soft_dice
from softseg.losses.regression import mean_absolute_error


def dice_cross_entropy(
    prediction: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean"
) -> torch.Tensor:
    """`soft_dice` plus `soft_cross_entropy`, equally weighted, both right on soft targets.

    Reference: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, with the Dice of Wang et al.
    2023, doi:10.1007/978-3-031-43898-1_46. (What the paper ran under this name was Dice alone: a
    softmax over one channel is 1 everywhere.)

    Args:
        prediction: `(B, …)`.
        target: Same shape, values in [0, 1].
        reduction: Over the samples: `mean`, `sum` or `none`, which gives `(B,)`; within a sample
            the cross-entropy is a mean.

    Raises:
        ValueError: If the shapes differ or `reduction` is unknown.

    Example:
        >>> soft = torch.tensor([[0.2, 0.7, 0.0]])
        >>> dice_cross_entropy(soft, soft)
        tensor(0.)
    """
    entropy = soft_cross_entropy(prediction, target, reduction="none")
    dice = soft_dice(prediction, target, reduction="none")
    return reduced(dice + samples(entropy).mean(dim=1), reduction)


def absolute_dice(
    prediction: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean"
) -> torch.Tensor:
    """`soft_dice` plus the mean absolute error: Dice sees the area, the error sees haze far off.

    Reference: Wang et al. 2023, doi:10.1007/978-3-031-43898-1_46, for the first term.

    Args:
        prediction: `(B, …)`.
        target: Same shape, values in [0, 1].
        reduction: Over the samples: `mean`, `sum` or `none`, which gives `(B,)`.

    Raises:
        ValueError: If the shapes differ or `reduction` is unknown.

    Example:
        >>> soft = torch.tensor([[0.2, 0.7, 0.0]])
        >>> absolute_dice(soft, soft)
        tensor(0.)
    """
    error = mean_absolute_error(prediction, target, reduction="none")
    dice = soft_dice(prediction, target, reduction="none")
    return reduced(dice + samples(error).mean(dim=1), reduction)
