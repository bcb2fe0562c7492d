"""Regression: an error per voxel of a raw output.

Each loss takes `prediction`, any real values of any shape, and `target`, the same shape with values
in [0, 1]; `reduction` gives the `mean` or the `sum` over voxels, or with `none` each voxel's error.
It raises `ValueError` if the shapes differ or there is no such reduction.
"""

import torch
from torch.nn import functional


def paired(prediction: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both at 32 bits or more, since 16-bit errors have two digits.

    Raises:
        ValueError: If the shapes differ.
    """
    if prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must have one shape, found {tuple(prediction.shape)} and "
            f"{tuple(target.shape)}"
        )
    if prediction.dtype != torch.float64:
        prediction = prediction.float()
    return prediction, target.to(prediction.dtype)


def reduced(values: torch.Tensor, reduction: str) -> torch.Tensor:
    """The mean, the sum or all of `values`.

    Raises:
        ValueError: If `reduction` is none of `mean`, `sum` and `none`.
    """
    if reduction == "mean":
        return values.mean()
    if reduction == "sum":
        return values.sum()
    if reduction == "none":
        return values
    raise ValueError(f"reduction must be mean, sum or none, found {reduction!r}")


def adaptive_wing(
    prediction: torch.Tensor,
    target: torch.Tensor,
    *,
    theta: float = 0.5,
    alpha: float = 2.1,
    omega: float = 8.0,
    epsilon: float = 1.0,
    reduction: str = "mean",
) -> torch.Tensor:
    """Adaptive Wing: logarithmic for small errors, linear for large ones, steeper inside the cord.

    With `d = |y − p|`,

    `L = ω ln(1 + (d/ε)^(α−y))` where `d < θ`, else `A d − C`, with
    `A = ω (α−y) (θ/ε)^(α−y−1) / (ε (1 + (θ/ε)^(α−y)))` and `C = θA − ω ln(1 + (θ/ε)^(α−y))`,

    so that value and slope meet at `d = θ`. Unweighted, as it ran in the paper; it is no proper
    scoring rule and leans towards 1 where the target is uncertain.

    Reference: Wang, Bo and Fuxin 2019, doi:10.1109/ICCV.2019.00707.

    Args:
        theta: Error at which the loss turns linear.
        alpha: Exponent at `y = 0`; more than 2, for a slope of zero at no error.
        omega: Scale.
        epsilon: Error that counts as small.

    Example:
        >>> adaptive_wing(torch.tensor([0.1, 1.0]), torch.zeros(2), reduction="none")
        tensor([0.0633, 4.8548])
    """
    prediction, target = paired(prediction, target)
    error = (target - prediction).abs()
    power = alpha - target
    ratio = theta / epsilon
    at_theta = ratio**power
    slope = omega * power * ratio ** (power - 1) / (epsilon * (1 + at_theta))
    offset = theta * slope - omega * torch.log1p(at_theta)
    # The branch that is not taken must not overflow either, or its gradient spoils the other's.
    small = omega * torch.log1p((error.clamp(max=theta) / epsilon) ** power)
    return reduced(torch.where(error < theta, small, slope * error - offset), reduction)


def weighted_adaptive_wing(
    prediction: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: float = 10.0,
    edge: float = 0.2,
    reduction: str = "mean",
    **options: float,
) -> torch.Tensor:
    """Adaptive Wing that counts the cord and a rim of one voxel around it more.

    `L · (1 + W M)`, where `M` is 1 where the target, dilated by one voxel, is at least `edge`.
    The paper's code meant this but its map was 1 everywhere.

    Reference: Wang, Bo and Fuxin 2019, section 4.2, doi:10.1109/ICCV.2019.00707.

    Args:
        prediction: `(B, C, …)` with two or three spatial axes.
        weight: `W`.
        edge: Target value from which a voxel counts as cord.
        reduction: `mean` (over voxels, not over weights), `sum` or `none`.
        options: Of `adaptive_wing`.

    Raises:
        ValueError: As `adaptive_wing`, or if there are not two or three spatial axes.

    Example:
        >>> target = torch.zeros(1, 1, 5, 5)
        >>> target[..., 2, 2] = 1
        >>> ratio = weighted_adaptive_wing(target + 0.1, target, reduction="none") / adaptive_wing(
        ...     target + 0.1, target, reduction="none"
        ... )
        >>> ratio[0, 0, 2].round()
        tensor([ 1., 11., 11., 11.,  1.])
    """
    dilate = {4: functional.max_pool2d, 5: functional.max_pool3d}.get(target.ndim)
    if dilate is None:
        raise ValueError(f"weights need (B, C, …) with 2 or 3 spatial axes, found {target.shape}")
    values = adaptive_wing(prediction, target, reduction="none", **options)
    cord = dilate(target, kernel_size=3, stride=1, padding=1) >= edge
    return reduced(values * (1 + weight * cord), reduction)


def mean_squared_error(
    prediction: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean"
) -> torch.Tensor:
    """`(p − y)²`, a proper scoring rule: its best prediction is the expected fraction (Brier 1950,
    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2).

    Example:
        >>> mean_squared_error(torch.tensor([0.5, 1.0]), torch.tensor([0.0, 1.0]))
        tensor(0.1250)
    """
    prediction, target = paired(prediction, target)
    return reduced((prediction - target) ** 2, reduction)


def mean_absolute_error(
    prediction: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean"
) -> torch.Tensor:
    """`|p − y|`, whose best prediction is the median fraction, so edges come out sharp (Hastie,
    Tibshirani and Friedman 2009, section 10.6, doi:10.1007/978-0-387-84858-7).

    Example:
        >>> mean_absolute_error(torch.tensor([0.5, 1.0]), torch.tensor([0.0, 1.0]))
        tensor(0.2500)
    """
    prediction, target = paired(prediction, target)
    return reduced((prediction - target).abs(), reduction)


def smooth_l1(
    prediction: torch.Tensor, target: torch.Tensor, *, beta: float = 0.1, reduction: str = "mean"
) -> torch.Tensor:
    """`d²/2β` where `d = |p − y| < β`, else `d − β/2`: squared near the truth, absolute far off.

    Reference: Girshick 2015, doi:10.1109/ICCV.2015.169 (there β = 1, where on [0, 1] it would be
    half the squared error).

    Args:
        beta: Error at which it turns linear, above 0.

    Example:
        >>> smooth_l1(torch.tensor([0.1, 1.0]), torch.zeros(2), beta=0.2, reduction="none")
        tensor([0.0250, 0.9000])
    """
    prediction, target = paired(prediction, target)
    return reduced(
        functional.smooth_l1_loss(prediction, target, beta=beta, reduction="none"), reduction
    )
