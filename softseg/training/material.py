"""The network and the data that a training's settings name."""

import json
import warnings
from pathlib import Path

import torch
from torch import nn

from softseg.augmentation.registry import get_augmentation
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.network.config import PRESETS, NetworkConfig
from softseg.network.unet import build_network
from softseg.network.weights import load_weights
from softseg.training.batches import Batches, Pool
from softseg.training.cache import cache_folder, find_pairs, prepare_pairs
from softseg.training.config import TrainingConfig
from softseg.training.patches import PatchOrder, PreparedPair
from softseg.training.synthetic import anatomy_pairs, negative_pairs, synthetic_pairs
from softseg.training.validation import spread

Pair = tuple[str, str, Path, Path]


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


def find_data(
    config: TrainingConfig, network: NetworkConfig
) -> tuple[list[PreparedPair], list[Pair]]:
    """Prepared pairs to train on, and images with their truths to validate.

    Raises:
        InputError: If there is nothing to train on.
    """
    volumes: list[Pair] = []
    if config.dataset is not None:
        people = [*config.training_subjects, *config.validation_subjects]
        dataset = Dataset.index(
            config.dataset,
            contrasts=config.contrasts,
            subjects=people if config.training_subjects else None,
            entities=config.entities,
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
    return prepare_pairs(found, network, cache_folder(config), jobs=config.workers), volumes


def find_pools(config: TrainingConfig, network: NetworkConfig) -> list[Pool]:
    """What every batch has beside the data set: phantoms, people's outlines, no cord at all."""
    shares = {negative_pairs: config.negative_share, anatomy_pairs: config.anatomy_share}
    if config.augmentation != "synthseg":
        shares[synthetic_pairs] = config.synthetic_share
    counts = {make: round(share * config.batch_size) for make, share in shares.items()}
    folder = cache_folder(config)
    return [Pool(make(config, network, folder), n) for make, n in counts.items() if n]


def example_patch(config: TrainingConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """The first patch of a training as it is before augmentation, for pictures.

    Returns:
        `(1, …)` image and soft mask.

    Raises:
        InputError: As `softseg.training.fit`.
    """
    _, network = make_network(config)
    pairs, _ = find_data(config.replaced(validation_subjects=()), network)
    order = PatchOrder(config.seed, network.patch_size, config.crop, cord_share=1.0)
    batch = Batches(pairs, order, get_augmentation("none"), batch_size=1, last_step=1)
    images, softs = batch[0]
    return images[0], softs[0]


def data_name(config: TrainingConfig) -> str:
    """What the data set calls itself."""
    if config.dataset is None:
        return "phantom stream"
    described = Path(config.dataset) / "dataset_description.json"
    if not described.exists():
        return Path(config.dataset).name
    return str(json.loads(described.read_text(encoding="utf-8")).get("Name", ""))
