"""Overlap: one number per sample, in the forms that are right for soft targets."""

import torch

from softseg.losses.common import cut, excess, paired, reduced, samples


def soft_dice(
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
        prediction: `(B, …)`; cut at 0 and 1.
        target: Same shape, values in [0, 1].
        smooth: `s`, keeps a sample without cord finite.
        reduction: Over the samples: `mean`, `sum` or `none`, which gives `(B,)`.

    Raises:
        ValueError: If the shapes differ or `reduction` is unknown.

    Example:
        >>> soft = torch.tensor([[0.2, 0.7, 0.0]])
        >>> soft_dice(soft, soft), soft_dice(torch.zeros(1, 4), torch.ones(1, 4), smooth=0.0)
        (tensor(0.), tensor(1.))
    """
    prediction, target = paired(prediction, target)
    inside = cut(prediction)
    apart = samples((inside - target).abs() + excess(prediction)).sum(dim=1)
    total = samples(inside + target).sum(dim=1)
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
    `I = Σ min(p, y)`; `a = b = .5` is `soft_dice` but for the smoothing. The product form
    `I = Σpy` is not smallest at `p = y` when `y` is soft.

    Reference: Salehi, Erdogmus and Gholipour 2017, doi:10.1007/978-3-319-67389-9_44.

    Args:
        prediction: `(B, …)`; cut at 0 and 1.
        target: Same shape, values in [0, 1].
        too_much: `a`, price of area outside the cord.
        too_little: `b`, price of area missed.
        smooth: `s`, keeps a sample without cord finite.
        reduction: Over the samples: `mean`, `sum` or `none`, which gives `(B,)`.

    Raises:
        ValueError: If the shapes differ or `reduction` is unknown.

    Example:
        >>> cord = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
        >>> more, less = torch.tensor([[1.0, 1.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0, 0.0]])
        >>> bool(tversky(more, cord) < tversky(less, cord))
        True
    """
    prediction, target = paired(prediction, target)
    difference = cut(prediction) - target
    outside, missed = difference.relu(), (-difference).relu()
    price = samples(too_much * outside + too_little * missed + excess(prediction)).sum(dim=1)
    shared = samples(target - missed).sum(dim=1)
    return reduced(price / (shared + price + smooth).clamp_min(1e-12), reduction)
