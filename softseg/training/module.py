"""The training step, the optimiser and the running mean of the weights, as Lightning wants them."""

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from softseg.network.config import NetworkConfig
from softseg.training.batches import Batches
from softseg.training.config import TrainingConfig
from softseg.training.objective import Loss, rate_factor


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
        loss = self.loss(self.network(images), softs)
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
