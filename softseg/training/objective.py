"""What a training minimises, and how fast it goes."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from softseg.errors import InputError
from softseg.losses.registry import LOSSES, deep_supervision
from softseg.network.config import NetworkConfig
from softseg.network.unet import activate
from softseg.training.config import TrainingConfig

Loss = Callable[[Any, torch.Tensor], torch.Tensor]


def rate_factor(step: int, steps: int, warmup_steps: int) -> float:
    """Learning rate after `step` steps as a share of its peak: a line up, half a cosine down.

    Example:
        >>> [round(rate_factor(step, 100, 10), 3) for step in (0, 9, 10, 55, 100)]
        [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def make_loss(config: TrainingConfig, network: NetworkConfig) -> Loss:
    """The loss of a network's raw output, of one or of several resolutions.

    Raises:
        InputError: If the loss is unknown.
    """
    if config.loss not in LOSSES:
        raise InputError(f"loss: must be one of {', '.join(LOSSES)}, found {config.loss!r}")
    loss = partial(LOSSES[config.loss], **config.loss_options)
    seen = config.loss_sees == "activation" or (
        config.loss_sees == "auto" and network.activation == "sigmoid"
    )
    kind = network.activation if seen else "none"

    def of_output(output: Any, target: torch.Tensor) -> torch.Tensor:
        heads = output if isinstance(output, list | tuple) else [output]
        return deep_supervision(loss, [activate(head.float(), kind) for head in heads], target)

    return of_output
