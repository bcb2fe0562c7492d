"""Cross-entropy for soft targets, alone and with others."""

import torch

from softseg.losses.common import cut, excess, paired, reduced

EDGE = 1e-3
"""How far from 0 and 1 cross-entropy keeps predictions and targets."""


def soft_cross_entropy(
    prediction: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean"
) -> torch.Tensor:
    """`y ln(y/p) + (1−y) ln((1−y)/(1−p))`: binary cross-entropy less the target's own entropy.

    A proper scoring rule. Without the entropy, which no prediction changes, a perfect soft
    prediction would not score 0. Both are first squeezed into [EDGE, 1 − EDGE], which keeps the
    gradient finite and the minimum at `p = y`.

    Reference: Kullback and Leibler 1951, doi:10.1214/aoms/1177729694.

    Args:
        prediction: Any shape; cut at 0 and 1.
        target: Same shape, values in [0, 1].
        reduction: `mean`, `sum` or `none`.

    Raises:
        ValueError: If the shapes differ or `reduction` is unknown.

    Example:
        >>> soft_cross_entropy(torch.tensor([0.5]), torch.tensor([1.0])).item() < 0.7
        True
    """
    prediction, target = paired(prediction, target)
    p, y = _squeezed(cut(prediction)), _squeezed(target)
    divergence = y * torch.log(y / p) + (1 - y) * torch.log((1 - y) / (1 - p))
    return reduced(divergence + excess(prediction), reduction)


def focal(
    prediction: torch.Tensor,
    target: torch.Tensor,
    *,
    gamma: float = 2.0,
    reduction: str = "mean",
) -> torch.Tensor:
    """`|p − y|^γ` times the cross-entropy: voxels that are nearly right hardly count.

    The quality form, whose modulating factor is the distance to a soft target; the original
    `(1 − p_t)^γ` is not smallest at `p = y` unless `y` is 0 or 1.

    Reference: Li et al. 2020, generalized focal loss, doi:10.48550/arXiv.2006.04388; Lin et al.
    2017, doi:10.1109/ICCV.2017.324.

    Args:
        prediction: Any shape.
        target: Same shape, values in [0, 1].
        gamma: At least 1; 0 would be `soft_cross_entropy`.
        reduction: `mean`, `sum` or `none`.

    Raises:
        ValueError: If the shapes differ or `reduction` is unknown.

    Example:
        >>> focal(torch.tensor([0.3]), torch.tensor([0.3]))
        tensor(0.)
    """
    entropy = soft_cross_entropy(prediction, target, reduction="none")
    return reduced((cut(prediction) - target).abs() ** gamma * entropy, reduction)


def _squeezed(values: torch.Tensor) -> torch.Tensor:
    return EDGE + (1 - 2 * EDGE) * values
