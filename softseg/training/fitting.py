"""From settings to a folder with weights, card and learning curves: a training in one sitting.

`fit` walks through the other modules in this order:

1. `config`: all that decides which weights come out is one `TrainingConfig`.
2. `data` finds images with a truth and prepares them once; `synthetic` keeps pools of phantoms and
   of images without a cord that a batch may hold as well.
3. `patches`: `PatchOrder` says which patch is the n-th, `Batches` stacks and augments them.
4. `module`: network, loss, learning rate, the step itself, the running mean of the weights that is
   kept, and the scores of whole volumes.
5. `callbacks`: what happens around the steps: checkpoints, best weights, progress, the clock.
6. `history`: learning curves and the model card, which this module writes with the weights.

Steps come in rounds (Lightning's epochs, `round_ends`): a checkpoint or a validation can only come
between two rounds, and the loader of a round begins where the training stands. A batch depends on
the seed and its number alone, so that a stopped training continues to the same weights.
"""

import json
import logging
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pandas as pd
import torch

from softseg.augmentation.registry import get_augmentation
from softseg.files import one_at_a_time, replacing, write_json
from softseg.network.onnx_export import export_network
from softseg.network.weights import load_weights, save_weights
from softseg.training.callbacks import BEST, LAST, PlainCheckpoints, all_callbacks
from softseg.training.config import TrainingConfig
from softseg.training.data import data_name, find_data, find_pools, fingerprint
from softseg.training.history import CARD, CURVES, EXPORT, TIMING, WEIGHTS, History, model_card
from softseg.training.module import Regression, make_loss, make_network, score
from softseg.training.patches import Batches, PatchOrder

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
            validate=partial(score, volumes, network_config),
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


def _run(module: Regression, data: dict[str, Any], rounds_between_validations: int) -> None:
    config = module.config
    checkpoints = _checkpoint_folder(config, data)
    last = checkpoints / LAST
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
        callbacks=all_callbacks(
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


def _write(module: Regression, data: dict[str, Any], timing: dict[str, float]) -> None:
    """Weights, card and curves; the weights last, since others wait for them."""
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
        export_network(folder / EXPORT, network, module.network_config, card)
        write_json(folder / CARD, card)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)


def choose_precision(wanted: str) -> str:
    """Lightning's name of the precision: bfloat16 only where the processor multiplies in it.

    Example:
        >>> choose_precision("float32")
        '32-true'
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            fast = torch.cuda.is_bf16_supported()
        else:
            able = getattr(torch.cpu, "get_capabilities", dict)()
            fast = any(able.get(name) for name in ("avx512_bf16", "amx_bf16"))
        wanted = "bfloat16" if fast else "float32"
    return "bf16-mixed" if wanted == "bfloat16" else "32-true"


@contextmanager
def own_settings(config: TrainingConfig) -> Iterator[None]:
    """Threads and a quiet Lightning for the time of one training."""
    threads = torch.get_num_threads()
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        if config.threads:
            torch.set_num_threads(config.threads)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # Advice on worker processes and GPUs that this module has already thought about.
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        torch.set_num_threads(threads)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C be `KeyboardInterrupt`; Lightning makes an exit of it and ignores the next one."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
