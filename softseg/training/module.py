"""The network, its loss and its steps, as Lightning wants them, and the scores of whole volumes."""

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from softseg.errors import InputError
from softseg.losses.registry import LOSSES, Loss, deep_supervision
from softseg.metrics.volumes import soft_dice
from softseg.network.config import PRESETS, NetworkConfig
from softseg.network.unet import activate, build_network
from softseg.network.weights import load_weights
from softseg.segmentation.engine import segment
from softseg.training.config import TrainingConfig
from softseg.training.data import Pair
from softseg.training.patches import Batches
from softseg.volume import Volume


def make_network(config: TrainingConfig) -> tuple[nn.Module, NetworkConfig]:
    """Fresh weights of a preset or of own settings, or those of `init_weights`.

    Own settings may name a `preset` whose values they change.

    Raises:
        InputError: If there is no such preset, or the settings describe no network.
    """
    own = {"preset": config.network} if isinstance(config.network, str) else dict(config.network)
    preset = own.pop("preset", None)
    if preset not in (None, *PRESETS):
        raise InputError(f"network: must be one of {', '.join(PRESETS)}, found {preset!r}")
    network_config = NetworkConfig.from_dict((PRESETS[preset].to_dict() if preset else {}) | own)
    if config.init_weights is None:
        return build_network(network_config, seed=config.seed), network_config
    network, found, _ = load_weights(config.init_weights)
    if found != network_config:
        warnings.warn(
            f"{config.init_weights}: its own network settings are taken, not those asked for",
            stacklevel=3,
        )
    return network, found


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


class Regression(lightning.LightningModule):
    """Learns soft masks from images; validates on whole volumes.

    Args:
        network: From one channel to one (or, deeply supervised, to several resolutions).
        network_config: What `network` is.
        config: Settings of the training.
        loss: Of the network's output, after `activation`, and the soft target.
        batches: From `first_step`, `last_step`, `rank` and `world` to batches.
        validate: From a network and the index of a volume to its scores.
        volumes: How many volumes are validated.
        round_ends: Steps at which a validation or a checkpoint can come, rising, the last is the
            end of the training.
    """

    def __init__(
        self,
        network: nn.Module,
        network_config: NetworkConfig,
        config: TrainingConfig,
        loss: Loss,
        *,
        batches: Callable[..., Batches],
        validate: Callable[[nn.Module, int], dict[str, float]],
        volumes: int,
        round_ends: Sequence[int],
    ) -> None:
        super().__init__()
        self.network = network
        self.average = (
            AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
            if config.ema
            else None
        )
        self.network_config, self.config = network_config, config
        self.loss = loss
        self.batches, self.validate = batches, validate
        self.volumes, self.round_ends = volumes, round_ends
        self.losses: list[tuple[int, torch.Tensor, float]] = []
        self.highest: list[torch.Tensor] = []
        self.rows: list[dict[str, float]] = []

    @property
    def kept_network(self) -> nn.Module:
        """The network that is validated and saved: the running mean where there is one."""
        if self.average is not None and self.average.n_averaged > 0:
            return self.average.module
        return self.network

    def training_step(self, batch: Sequence[torch.Tensor], batch_index: int) -> torch.Tensor:
        """Loss of one batch: `(B, 1, …)` images and soft masks."""
        images, softs = batch
        output = self.network(images)
        loss = self.loss(output, softs)
        finest = output[0] if isinstance(output, list | tuple) else output
        self.highest.append(activate(finest.detach().amax(), self.network_config.activation))
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.losses.append((self.global_step + 1, loss.detach(), rate))
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Follow the weights with their running mean."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def collect_losses(self) -> None:
        """Turn the losses of the last steps into rows; waits for the device only here."""
        for step, loss, rate in self.losses:
            row = {"step": step, "loss": float(loss), "learning_rate": rate}
            self.rows.append(row)
        self.losses.clear()

    def validation_step(self, index: torch.Tensor, batch_index: int) -> None:
        """Scores of one whole volume through the inference path."""
        scores = self.validate(self.kept_network, int(index))
        for name, value in scores.items():
            self.log(f"validation_{name}", value, on_epoch=True, batch_size=1, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Put the mean scores beside the step's loss."""
        self.collect_losses()
        scores = {
            key: float(value)
            for key, value in self.trainer.callback_metrics.items()
            if key.startswith("validation_")
        }
        self.rows[-1] |= scores

    def configure_optimizers(self) -> dict[str, Any]:
        """Adam or AdamW; a linear warm-up, then half a cosine down to zero."""
        config = self.config
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        optimizer = kind(groups, lr=config.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rate_factor(step, config.steps, config.warmup_steps)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Scale a gradient that is too long; Lightning itself refuses fused optimisers here."""
        if self.config.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_clip)

    def train_dataloader(self) -> DataLoader:
        """Batches of the next round, beginning where the training stands."""
        first = self.global_step
        last = next(end for end in self.round_ends if end > first)
        batches = self.batches(
            first_step=first,
            last_step=last,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )
        return DataLoader(
            batches, batch_size=None, num_workers=self.config.workers, generator=torch.Generator()
        )

    def val_dataloader(self) -> DataLoader:
        """Indices of the volumes that this process validates."""
        rank, world = self.trainer.global_rank, self.trainer.world_size
        mine = range(rank, self.volumes, world) if self.volumes >= world else range(self.volumes)
        return DataLoader(list(mine), batch_size=None, generator=torch.Generator())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The learning curve belongs to the state."""
        self.collect_losses()
        checkpoint["rows"] = list(self.rows)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the learning curve up again."""
        self.rows = list(checkpoint["rows"])


def score(
    volumes: Sequence[Pair], config: NetworkConfig, network: nn.Module, index: int
) -> dict[str, float]:
    """`soft_dice`, `csa_error_mm2` and `volume_ratio` of one of several images with a truth."""
    _, _, image_path, truth_path = volumes[index]
    image, truth = Volume.load(image_path, average="mean"), Volume.load(truth_path)
    device = next(network.parameters()).device
    # Reduced precision is for gradients; a mask's third digit matters.
    with torch.autocast(device.type, enabled=False):
        predicted = segment(image, weights=(network, config), device=str(device)).soft
    return {
        "soft_dice": soft_dice(predicted.data, truth.data),
        "csa_error_mm2": csa_error_mm2(predicted, truth),
        "volume_ratio": float(predicted.data.sum() / max(1e-9, truth.data.sum())),
    }


def csa_error_mm2(predicted: Volume, truth: Volume) -> float:
    """Difference of the mean area of the axial slices that the truth covers, in mm².

    A quick stand-in for the measurement of `softseg.csa`: both masks are cut by the same slices,
    so that the angle of the cord cancels, and no level is needed.

    Example:
        >>> affine = np.diag([-0.5, 0.5, 5.0, 1.0])
        >>> truth, more = np.zeros((8, 8, 3)), np.zeros((8, 8, 3))
        >>> truth[2:6, 2:6], more[2:6, 2:7] = 1, 1
        >>> csa_error_mm2(Volume(more, affine), Volume(truth, affine))
        1.0
    """
    predicted, truth = predicted.oriented(), truth.oriented()
    pixel_mm2 = truth.spacing_mm[0] * truth.spacing_mm[1]
    covered = truth.data.sum(axis=(0, 1)) > 0
    if not covered.any():
        return 0.0
    areas = [mask.data[..., covered].sum(axis=(0, 1)) * pixel_mm2 for mask in (predicted, truth)]
    return float(abs(np.mean(areas[0]) - np.mean(areas[1])))
