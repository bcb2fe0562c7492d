"""Losses for soft targets: each is smallest where the prediction equals the target.

Every loss is called as `loss(prediction, target, reduction="mean")` on tensors of one shape,
`(B, 1, …)`, with targets in [0, 1]. The regression losses take any real prediction, so that a
network's raw output can be trained on; the others cut it at 0 and 1 and pull it back there gently.

To add a loss, write one function of that form and enter it in `LOSSES`.
"""

from softseg.losses.combined import absolute_dice, dice_cross_entropy
from softseg.losses.entropy import focal, soft_cross_entropy
from softseg.losses.overlap import soft_dice, tversky
from softseg.losses.regression import (
    adaptive_wing,
    mean_absolute_error,
    mean_squared_error,
    smooth_l1,
    weighted_adaptive_wing,
)
from softseg.losses.supervision import Loss, deep_supervision

LOSSES: dict[str, Loss] = {
    "adaptive_wing": adaptive_wing,
    "weighted_adaptive_wing": weighted_adaptive_wing,
    "soft_dice": soft_dice,
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

REGRESSION = (
    "adaptive_wing",
    "weighted_adaptive_wing",
    "mean_squared_error",
    "mean_absolute_error",
    "smooth_l1",
)
"""Those that take a raw output as it is; the others want an activation that ends in [0, 1]."""

__all__ = ["LOSSES", "REGRESSION", "Loss", "deep_supervision", *LOSSES]
