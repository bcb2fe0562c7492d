"""Every loss by its name, and the loss over the outputs of several resolutions.

Every loss is called as `loss(prediction, target, reduction="mean")` on tensors of one shape,
`(B, 1, …)`, with targets in [0, 1], and is smallest where the prediction equals the target. The
regression losses take any real prediction, so that a network's raw output can be trained on; the
others cut it at 0 and 1 and pull it back there gently.

To add a loss, write one function of that form and enter it in `LOSSES`.
"""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from softseg.losses.overlap_entropy import (
    absolute_dice,
    dice_cross_entropy,
    focal,
    soft_cross_entropy,
    soft_dice_loss,
    tversky,
)
from softseg.losses.regression import (
    adaptive_wing,
    mean_absolute_error,
    mean_squared_error,
    smooth_l1,
    weighted_adaptive_wing,
)

Loss = Callable[..., torch.Tensor]

LOSSES: dict[str, Loss] = {
    "adaptive_wing": adaptive_wing,
    "weighted_adaptive_wing": weighted_adaptive_wing,
    "soft_dice": soft_dice_loss,
    "dice_cross_entropy": dice_cross_entropy,
    "absolute_dice": absolute_dice,
    "soft_cross_entropy": soft_cross_entropy,
    "mean_squared_error": mean_squared_error,
    "mean_absolute_error": mean_absolute_error,
    "smooth_l1": smooth_l1,
    "focal": focal,
    "tversky": tversky,
}
"""Every loss by the name that settings use."""


def deep_supervision(
    loss: Loss, outputs: Sequence[torch.Tensor], target: torch.Tensor
) -> torch.Tensor:
    """A loss over the outputs of every resolution: `(1/n) Σ 2⁻ⁱ loss(outputᵢ, targetᵢ)`.

    The target is brought to each output's size by linear interpolation, which keeps it soft. In
    sums, coarse levels also have fewer voxels, as in the paper.

    Reference: Lee et al. 2015, doi:10.48550/arXiv.1409.5185.

    Args:
        loss: Any of `LOSSES`.
        outputs: `(B, 1, …)` tensors, the finest first.
        target: `(B, 1, …)` of the finest size, values in [0, 1].

    Example:
        >>> target = torch.ones(1, 1, 4, 4)
        >>> outputs = [torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 2, 2)]
        >>> deep_supervision(mean_squared_error, outputs, target)
        tensor(0.7500)
    """
    mode = {4: "bilinear", 5: "trilinear"}[target.ndim]
    total = target.new_zeros(())
    for level, output in enumerate(outputs):
        coarse = target
        if output.shape != target.shape:
            coarse = functional.interpolate(
                target, size=output.shape[2:], mode=mode, align_corners=False
            )
        total = total + 0.5**level * loss(output, coarse)
    return total / len(outputs)
