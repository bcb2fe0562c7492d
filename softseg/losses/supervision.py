"""Losses over the outputs of several resolutions."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

Loss = Callable[..., torch.Tensor]


def deep_supervision(
    loss: Loss, outputs: torch.Tensor | Sequence[torch.Tensor], target: torch.Tensor, **settings
) -> torch.Tensor:
    """A loss over the outputs of every resolution: `(1/n) Σ 2⁻ⁱ loss(outputᵢ, targetᵢ)`.

    The target is brought to each output's size by linear interpolation, which keeps it soft. With
    `reduction="sum"` coarse levels also have fewer voxels, as in the paper.

    Reference: Lee et al. 2015, doi:10.48550/arXiv.1409.5185.

    Args:
        loss: Any of `LOSSES`.
        outputs: `(B, 1, …)` tensors, the finest first, or one tensor, which is passed through.
        target: `(B, 1, …)` of the finest size, values in [0, 1].
        settings: Handed to `loss`.

    Returns:
        A scalar.

    Example:
        >>> target = torch.ones(1, 1, 4, 4)
        >>> from softseg.losses import mean_squared_error
        >>> outputs = [torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)]
        >>> deep_supervision(mean_squared_error, outputs, target)
        tensor(0.7500)
    """
    if isinstance(outputs, torch.Tensor):
        return loss(outputs, target, **settings)
    mode = {4: "bilinear", 5: "trilinear"}[target.ndim]
    total = target.new_zeros(())
    for level, output in enumerate(outputs):
        coarse = target
        if output.shape != target.shape:
            coarse = functional.interpolate(
                target, size=output.shape[2:], mode=mode, align_corners=False
            )
        total = total + 0.5**level * loss(output, coarse, **settings)
    return total / len(outputs)
