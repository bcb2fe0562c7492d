"""From settings to a folder with weights, card and learning curves."""

import json
import logging
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from softseg.augmentation import get_augmentation
from softseg.dataset import Dataset
from softseg.errors import InputError
from softseg.files import replacing, write_json
from softseg.network import (
    PRESETS,
    NetworkConfig,
    build_network,
    load_weights,
    save_weights,
)
from softseg.training.batches import Batches
from softseg.training.cache import cache_folder, find_pairs, fingerprint, prepare_pairs
from softseg.training.card import model_card
from softseg.training.config import TrainingConfig
from softseg.training.history import CARD, CURVES, TIMING, WEIGHTS, History
from softseg.training.patches import PatchOrder, PreparedPair
from softseg.training.synthetic import synthetic_pairs
from softseg.training.validation import Scorer, spread

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
    network, network_config = _make_network(config)
    pairs, volumes = _find_data(config, network_config)
    config = config.with_steps(len(pairs))
    data = {
        "name": _data_name(config),
        "fingerprint": fingerprint(pairs),
        "images": len(pairs),
        "validated": len(volumes),
    }
    folder = Path(config.output)
    with _own_settings(config):
        started = time.perf_counter()
        module, clock = _train(config, network, network_config, pairs, volumes, data, folder)
        seconds = time.perf_counter() - started
    if module.trainer.is_global_zero:
        _write(config, module, data, folder, {"seconds": seconds} | clock)
    module.trainer.strategy.barrier("written")
    return replace(History.load(folder), config=config)


def _data_name(config: TrainingConfig) -> str:
    if config.dataset is None:
        return "phantom stream"
    described = Path(config.dataset) / "dataset_description.json"
    if not described.exists():
        return Path(config.dataset).name
    return str(json.loads(described.read_text(encoding="utf-8")).get("Name", ""))


def _make_network(config: TrainingConfig) -> tuple[torch.nn.Module, NetworkConfig]:
    if isinstance(config.network, str):
        if config.network not in PRESETS:
            known = ", ".join(PRESETS)
            raise InputError(f"network: must be one of {known}, found {config.network!r}")
        network_config = PRESETS[config.network]
    else:
        own = dict(config.network)
        preset = PRESETS[own.pop("preset")].to_dict() if "preset" in own else {}
        network_config = NetworkConfig.from_dict(preset | own)
    if config.init_weights is None:
        return build_network(network_config, seed=config.seed), network_config
    network, found, _ = load_weights(config.init_weights)
    if found != network_config:
        warnings.warn(
            f"{config.init_weights}: its own network settings are taken, not those asked for",
            stacklevel=3,
        )
    return network, found


def _find_data(
    config: TrainingConfig, network: NetworkConfig
) -> tuple[list[PreparedPair], list[tuple[str, str, Path, Path]]]:
    """Training pairs, and images and truths to validate."""
    volumes: list[tuple[str, str, Path, Path]] = []
    if config.dataset is not None:
        subjects = [*config.training_subjects, *config.validation_subjects]
        dataset = Dataset.index(
            config.dataset, contrasts=config.contrasts, subjects=subjects or None
        )
        if config.validation_subjects:
            found = find_pairs(dataset, config, config.validation_subjects)
            volumes = spread(found, config.validation_volumes)
    if config.augmentation == "synthseg":
        return synthetic_pairs(config, network, cache_folder(config)), volumes
    if config.dataset is None:
        raise InputError("training settings: name a dataset (only synthseg needs none)")
    people = config.training_subjects or tuple(
        set(dataset.subjects) - set(config.validation_subjects)
    )
    found = find_pairs(dataset, config, people)
    return prepare_pairs(found, network, cache_folder(config)), volumes


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


def _train(
    config: TrainingConfig,
    network: torch.nn.Module,
    network_config: NetworkConfig,
    pairs: Sequence[PreparedPair],
    volumes: Sequence[tuple[str, str, Path, Path]],
    data: dict[str, Any],
    folder: Path,
) -> tuple["Regression", dict[str, float]]:
    # Lightning takes seconds to import: only those who train wait for it.
    import lightning.pytorch as lightning
    from lightning.pytorch.callbacks import EarlyStopping

    from softseg.training import callbacks
    from softseg.training.checkpoint import PlainCheckpoints
    from softseg.training.module import Regression, make_loss

    ends, each = round_ends(config.steps, config.validate_every)
    order = PatchOrder(config.seed, network_config.patch_size, config.crop, config.cord_share)
    module = Regression(
        network,
        network_config,
        config,
        make_loss(config, network_config),
        batches=partial(
            _batches, pairs, order, get_augmentation(config.augmentation), config.batch_size
        ),
        validate=Scorer(volumes, network_config),
        volumes=len(volumes),
        round_ends=ends,
    )
    checkpoints = _checkpoint_folder(config, data, folder)
    clock = callbacks.Clock()
    extra = [clock, callbacks.Checkpoints(checkpoints, config.checkpoint_minutes)]
    extra += callbacks.progress_callbacks(config.progress, config.steps)
    if volumes:
        extra.append(callbacks.BestWeights(checkpoints))
        if config.patience:
            extra.append(
                EarlyStopping("validation_soft_dice", mode="max", patience=config.patience)
            )
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=config.devices,
        num_nodes=config.nodes,
        strategy=config.strategy,
        precision=choose_precision(config.precision),
        max_epochs=len(ends),
        check_val_every_n_epoch=each,
        limit_val_batches=1.0 if volumes else 0,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=extra,
        plugins=[PlainCheckpoints()],
        default_root_dir=folder,
    )
    last = checkpoints / callbacks.LAST
    trainer.fit(module, ckpt_path=last if last.exists() else None)
    module.collect_losses()
    return module, clock.summary()


def _batches(pairs, order, augment, batch_size, first, last, rank, world) -> Batches:
    return Batches(
        pairs,
        order,
        augment,
        batch_size=batch_size,
        first_step=first,
        last_step=last,
        rank=rank,
        world=world,
    )


def _checkpoint_folder(config: TrainingConfig, data: dict[str, Any], folder: Path) -> Path:
    """The folder of checkpoints, emptied of those that belong to other settings or data."""
    checkpoints = folder / "checkpoint"
    identity = json.loads(json.dumps(config.identity() | {"data": data}))
    known = checkpoints / "identity.json"
    if checkpoints.exists():
        same = known.exists() and json.loads(known.read_text(encoding="utf-8")) == identity
        if not same:
            shutil.rmtree(checkpoints)
    write_json(known, identity)
    return checkpoints


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
def _own_settings(config: TrainingConfig) -> Iterator[None]:
    """Threads and a quiet Lightning for the time of one training."""
    import lightning.pytorch  # noqa: F401  sets its loggers' levels when first imported

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


def _write(
    config: TrainingConfig,
    module: "Regression",
    data: dict[str, Any],
    folder: Path,
    timing: dict[str, float],
) -> None:
    from softseg.training.callbacks import BEST

    curves = pd.DataFrame(module.rows)
    network = module.kept_network
    best = folder / "checkpoint" / BEST
    if config.keep == "best" and best.exists():
        network = load_weights(best)[0]
    card = model_card(config, data, curves)
    card = save_weights(folder / WEIGHTS, network, module.network_config, card)
    with replacing(folder / CURVES) as temporary:
        curves.to_csv(temporary, index=False)
    write_json(folder / TIMING, timing)
    write_json(folder / CARD, card)
    shutil.rmtree(folder / "checkpoint", ignore_errors=True)
