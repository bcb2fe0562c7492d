"""From settings to a folder with weights, card and learning curves."""

import json
import os
import shutil
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from softseg.augmentation.registry import get_augmentation
from softseg.files import one_at_a_time, replacing, write_json
from softseg.network.weights import load_weights, save_weights
from softseg.training.batches import Batches
from softseg.training.cache import fingerprint
from softseg.training.card import model_card
from softseg.training.config import TrainingConfig
from softseg.training.history import CARD, CURVES, TIMING, WEIGHTS, History
from softseg.training.material import data_name, find_data, find_pools, make_network
from softseg.training.objective import make_loss
from softseg.training.patches import PatchOrder
from softseg.training.runtime import choose_precision, interruptible, own_settings
from softseg.training.validation import Scorer

if TYPE_CHECKING:
    from softseg.training.module import Regression

ROUND_STEPS = 100
"""At most so many steps between two points at which a checkpoint can be written."""


def fit(config: TrainingConfig) -> History:
    """Train one network.

    Interrupted trainings continue from their last checkpoint to the same weights (one thread,
    one device kind); a checkpoint of other settings or other data is put aside.

    Args:
        config: All settings.

    Returns:
        Learning curves, card and the weights' place.

    Raises:
        InputError: If settings, data or initial weights do not fit; nothing has been written.

    Example:
        >>> fit(TrainingConfig(output="x", dataset="/nowhere"))
        Traceback (most recent call last):
        softseg.errors.InputError: ...
    """
    augment = get_augmentation(config.augmentation)
    network, network_config = make_network(config)
    loss = make_loss(config, network_config)
    pairs, volumes = find_data(config, network_config)
    pools = find_pools(config, network_config)
    config = config.with_steps(len(pairs))
    data = {
        "name": data_name(config),
        "fingerprint": fingerprint([*pairs, *(pair for pool in pools for pair in pool.pairs)]),
        "images": len(pairs),
        "validated": len(volumes),
    }
    with own_settings(config), _alone(config):
        # Lightning takes seconds to import: only those who train wait for it.
        from softseg.training.module import Regression

        ends, each = round_ends(config.steps, config.validate_every)
        order = PatchOrder(config.seed, network_config.patch_size, config.crop, config.cord_share)
        module = Regression(
            network,
            network_config,
            config,
            loss,
            batches=partial(
                Batches, pairs, order, augment, batch_size=config.batch_size, pools=pools
            ),
            validate=Scorer(volumes, network_config),
            volumes=len(volumes),
            round_ends=ends,
        )
        _run(module, data, each)
    return replace(History.load(config.output), config=config)


def _alone(config: TrainingConfig) -> AbstractContextManager:
    """Two trainings in one folder take turns: each empties it of the other's checkpoints.

    Processes that share one training are counted by those who start them; the first one locks.
    """
    counts = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
    if any(os.environ.get(name, "0") != "0" for name in counts):
        return nullcontext()
    return one_at_a_time(config.output)


def round_ends(steps: int, validate_every: int | None) -> tuple[list[int], int]:
    """Where rounds end, evenly over the steps, and how many rounds lie between validations.

    Example:
        >>> round_ends(600, None)
        ([75, 150, 225, 300, 375, 450, 525, 600], 2)
        >>> round_ends(3, None)
        ([1, 2, 3], 1)
    """
    validations = min(steps, max(1, round(steps / validate_every)) if validate_every else 4)
    each = -(-steps // (validations * ROUND_STEPS))
    rounds = validations * each
    return [steps * (index + 1) // rounds for index in range(rounds)], each


def _run(module: "Regression", data: dict[str, Any], rounds_between_validations: int) -> None:
    import lightning.pytorch as lightning

    from softseg.training import callbacks
    from softseg.training.checkpoint import PlainCheckpoints

    config = module.config
    checkpoints = _checkpoint_folder(config, data)
    last = checkpoints / callbacks.LAST
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=config.strategy,
        precision=choose_precision(config.precision),
        max_epochs=len(module.round_ends),
        check_val_every_n_epoch=rounds_between_validations,
        limit_val_batches=1.0 if module.volumes else 0,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks.all_callbacks(
            config, checkpoints, partial(_write, module, data), validated=module.volumes > 0
        ),
        plugins=[PlainCheckpoints()],
        default_root_dir=config.output,
    )
    with interruptible():
        trainer.fit(module, ckpt_path=last if last.exists() else None)


def _checkpoint_folder(config: TrainingConfig, data: dict[str, Any]) -> Path:
    """The folder of checkpoints, emptied of those that belong to other settings or data."""
    checkpoints = Path(config.output) / "checkpoint"
    identity = json.loads(json.dumps(config.identity() | {"data": data}))
    known = checkpoints / "identity.json"
    if checkpoints.exists():
        same = known.exists() and json.loads(known.read_text(encoding="utf-8")) == identity
        if not same:
            shutil.rmtree(checkpoints)
    write_json(known, identity)
    return checkpoints


def _write(module: "Regression", data: dict[str, Any], timing: dict[str, float]) -> None:
    """Weights, card and curves; the weights last, since others wait for them."""
    from softseg.training.callbacks import BEST

    config, folder = module.config, Path(module.config.output)
    module.collect_losses()
    curves = pd.DataFrame(module.rows)
    network = module.kept_network
    best = folder / "checkpoint" / BEST
    if config.keep == "best" and best.exists():
        network = load_weights(best)[0]
    with replacing(folder / CURVES) as temporary:
        curves.to_csv(temporary, index=False)
    write_json(folder / TIMING, timing)
    card = model_card(config, data, curves)
    for message in card["warnings"]:
        warnings.warn(f"{folder.name}: {message}", RuntimeWarning, stacklevel=2)
    with replacing(folder / WEIGHTS) as temporary:
        card = save_weights(temporary, network, module.network_config, card)
        write_json(folder / CARD, card)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
