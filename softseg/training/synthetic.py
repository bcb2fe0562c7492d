"""A pool of phantom patches of random contrast, for training without any image."""

import hashlib
import json
from pathlib import Path

import numpy as np

from softseg.network import NetworkConfig
from softseg.segmentation import normalise
from softseg.training.cache import CORD_ENDING, IMAGE_ENDING, SOFT_ENDING, _save, cord_table
from softseg.training.config import TrainingConfig
from softseg.training.patches import PreparedPair


def synthetic_pairs(
    config: TrainingConfig, network: NetworkConfig, folder: Path
) -> list[PreparedPair]:
    """Pairs that hold `config.synthetic_samples` samples of the phantom stream.

    Two-dimensional samples are the slices of one pair, three-dimensional ones are a pair each.
    Drawing them costs more than a training step does, so they are kept on disk.
    """
    from softseg.phantom.stream import PhantomStream

    size_mm = tuple(
        float(n * mm) for n, mm in zip(network.patch_size, network.spacing_mm, strict=True)
    )
    stream = PhantomStream(
        config.seed, size_mm=size_mm, spacing_mm=network.spacing_mm, dimension=network.dimension
    )
    groups = (
        [range(config.synthetic_samples)]
        if network.dimension == 2
        else [range(n, n + 1) for n in range(config.synthetic_samples)]
    )
    return [_pair(stream, group, config, network, folder) for group in groups]


def _pair(stream, group: range, config, network, folder: Path) -> PreparedPair:
    what = [config.seed, group.start, group.stop, network.patch_size, network.spacing_mm]
    code = Path(type(stream).sample.__code__.co_filename).read_bytes()
    key = hashlib.sha256(json.dumps(what).encode() + code).hexdigest()[:32]
    name = f"phantom-{group.start:05d}"
    pair = PreparedPair(
        name,
        "random",
        *(folder / f"{key}_{end}" for end in (IMAGE_ENDING, SOFT_ENDING, CORD_ENDING)),
    )
    if not all(p.exists() for p in (pair.image_path, pair.soft_path, pair.cord_path)):
        samples = [stream.sample(index) for index in group]
        images = np.stack([normalise(image) for image, _ in samples]).astype(np.float16)
        softs = np.stack([soft for _, soft in samples]).astype(np.float16)
        if network.dimension == 3:
            images, softs = (np.moveaxis(array[0], 2, 0).copy() for array in (images, softs))
        _save(pair.image_path, images)
        _save(pair.cord_path, cord_table(softs))
        _save(pair.soft_path, softs)
    return pair
