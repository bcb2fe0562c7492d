"""What all losses share: how a prediction meets its target, and how values become one."""

import torch

LEAK = 0.01
"""Price of a raw output beyond [0, 1] in losses that cut it there: without one it would get no
gradient and a network whose output starts negative would never learn."""


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


def cut(prediction: torch.Tensor) -> torch.Tensor:
    """The prediction in [0, 1]."""
    return prediction.clamp(0.0, 1.0)


def excess(prediction: torch.Tensor) -> torch.Tensor:
    """The price of what `cut` takes away."""
    return LEAK * (prediction.detach().clamp(0.0, 1.0) - prediction).abs()


def samples(values: torch.Tensor) -> torch.Tensor:
    """`(B, …)` to `(B, voxels)`."""
    return values.flatten(start_dim=1)


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
