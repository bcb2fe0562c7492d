"""Losses of a prediction cut at 0 and 1: overlap, cross-entropy, and their sums.

Arguments and errors are those of `softseg.losses.regression`. Losses with a Dice or Tversky term
take `(B, …)` and have one value a sample, so that `none` gives `(B,)`; the others have one a voxel.
"""

import torch

from softseg.losses.regression import mean_absolute_error, paired, reduced

LEAK = 0.01
"""Price of a raw output beyond [0, 1] in losses that cut it there: without one it would get no
gradient and a network whose output starts negative would never learn."""
EDGE = 1e-3
"""How far from 0 and 1 cross-entropy keeps predictions and targets, if not told otherwise."""


def soft_dice_loss(
    prediction: torch.Tensor,
    target: torch.Tensor,
    *,
    smooth: float = 1.0,
    reduction: str = "mean",
) -> torch.Tensor:
    """One minus the Dice coefficient in the form that is right for soft targets.

    `1 − (Σp + Σy − Σ|p − y| + s) / (Σp + Σy + s)` per sample. On binary masks it is the usual
    `1 − 2Σpy / (Σp + Σy)`; the product form is not smallest at `p = y` when `y` is soft.

    Reference: Wang et al. 2023, Dice semimetric losses, doi:10.1007/978-3-031-43898-1_46.

    Args:
        smooth: `s`, keeps a sample without cord finite.

    Example:
        >>> soft = torch.tensor([[0.2, 0.7, 0.0]])
        >>> soft_dice_loss(soft, soft)
        tensor(0.)
        >>> soft_dice_loss(torch.zeros(1, 4), torch.ones(1, 4), smooth=0.0)
        tensor(1.)
    """
    prediction, target = paired(prediction, target)
    inside = _cut(prediction)
    apart = _samples((inside - target).abs() + _excess(prediction)).sum(dim=1)
    total = _samples(inside + target).sum(dim=1)
    # As apart / total, not 1 − …, which would round away small losses.
    return reduced(apart / (total + smooth).clamp_min(1e-12), reduction)


def tversky(
    prediction: torch.Tensor,
    target: torch.Tensor,
    *,
    too_much: float = 0.3,
    too_little: float = 0.7,
    smooth: float = 1.0,
    reduction: str = "mean",
) -> torch.Tensor:
    """Dice that weighs area outside the cord and area missed differently.

    `1 − (I + s) / (I + a Σ(p − y)₊ + b Σ(y − p)₊ + s)` per sample with the intersection
    `I = Σ min(p, y)`; `a = b = .5` is `soft_dice_loss` but for the smoothing. The product form
    `I = Σpy` is not smallest at `p = y` when `y` is soft.

    Reference: Salehi, Erdogmus and Gholipour 2017, doi:10.1007/978-3-319-67389-9_44.

    Args:
        too_much: `a`, price of area outside the cord.
        too_little: `b`, price of area missed.
        smooth: `s`, keeps a sample without cord finite.

    Example:
        >>> cord = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
        >>> more, less = torch.tensor([[1.0, 1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
        >>> bool(tversky(more, cord) < tversky(less, cord))
        True
    """
    prediction, target = paired(prediction, target)
    difference = _cut(prediction) - target
    outside, missed = difference.relu(), (-difference).relu()
    price = _samples(too_much * outside + too_little * missed + _excess(prediction)).sum(dim=1)
    shared = _samples(target - missed).sum(dim=1)
    return reduced(price / (shared + price + smooth).clamp_min(1e-12), reduction)


def soft_cross_entropy(
    prediction: torch.Tensor,
    target: torch.Tensor,
    *,
    edge: float = EDGE,
    reduction: str = "mean",
) -> torch.Tensor:
    """`y ln(y/p) + (1−y) ln((1−y)/(1−p))`: binary cross-entropy less the target's own entropy.

    A proper scoring rule. Without the entropy, which no prediction changes, a perfect soft
    prediction would not score 0. Both are first squeezed into [edge, 1 − edge], which keeps the
    gradient finite and the minimum at `p = y`.

    Reference: Kullback and Leibler 1951, doi:10.1214/aoms/1177729694.

    Args:
        edge: How far from 0 and 1 both are kept. Behind a sigmoid, whose slope is `p (1 − p)`, a
            voxel of cord pulls with `p / (p + edge)`: an output that has fallen far below `edge`
            never rises again. There 1e-6 keeps a network from dying in the empty mask.

    Example:
        >>> soft_cross_entropy(torch.tensor([0.5]), torch.tensor([1.0])).item() < 0.7
        True
    """
    prediction, target = paired(prediction, target)
    p, y = _squeezed(_cut(prediction), edge), _squeezed(target, edge)
    divergence = y * torch.log(y / p) + (1 - y) * torch.log((1 - y) / (1 - p))
    return reduced(divergence + _excess(prediction), reduction)


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
        gamma: At least 1; 0 would be `soft_cross_entropy`.

    Example:
        >>> focal(torch.tensor([0.3]), torch.tensor([0.3]))
        tensor(0.)
    """
    entropy = soft_cross_entropy(prediction, target, reduction="none")
    return reduced((_cut(prediction) - target).abs() ** gamma * entropy, reduction)


def dice_cross_entropy(
    prediction: torch.Tensor,
    target: torch.Tensor,
    *,
    edge: float = EDGE,
    reduction: str = "mean",
) -> torch.Tensor:
    """`soft_dice_loss` plus `soft_cross_entropy`, equally weighted, both right on soft targets.

    Reference: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, with the Dice of Wang et al.
    2023, doi:10.1007/978-3-031-43898-1_46. (What the paper ran under this name was Dice alone: a
    softmax over one channel is 1 everywhere.)

    Within a sample the cross-entropy is a mean; `edge` is that of `soft_cross_entropy`.

    Example:
        >>> soft = torch.tensor([[0.2, 0.7, 0.0]])
        >>> dice_cross_entropy(soft, soft)
        tensor(0.)
    """
    entropy = soft_cross_entropy(prediction, target, edge=edge, reduction="none")
    dice = soft_dice_loss(prediction, target, reduction="none")
    return reduced(dice + _samples(entropy).mean(dim=1), reduction)


def absolute_dice(
    prediction: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean"
) -> torch.Tensor:
    """`soft_dice_loss` plus the mean absolute error, which sees a low-probability background.

    Reference: Wang et al. 2023, doi:10.1007/978-3-031-43898-1_46, for the first term.

    Example:
        >>> soft = torch.tensor([[0.2, 0.7, 0.0]])
        >>> absolute_dice(soft, soft)
        tensor(0.)
    """
    error = mean_absolute_error(prediction, target, reduction="none")
    dice = soft_dice_loss(prediction, target, reduction="none")
    return reduced(dice + _samples(error).mean(dim=1), reduction)


def _cut(prediction: torch.Tensor) -> torch.Tensor:
    """The prediction in [0, 1]."""
    return prediction.clamp(0.0, 1.0)


def _excess(prediction: torch.Tensor) -> torch.Tensor:
    """The price of what is cut away."""
    return LEAK * (prediction.detach().clamp(0.0, 1.0) - prediction).abs()


def _samples(values: torch.Tensor) -> torch.Tensor:
    """`(B, …)` to `(B, voxels)`."""
    return values.flatten(start_dim=1)


def _squeezed(values: torch.Tensor, edge: float) -> torch.Tensor:
    return edge + (1 - 2 * edge) * values
