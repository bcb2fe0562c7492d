"""The images and truths of a training: found, prepared once, kept on disk for every model.

A training maps prepared volumes into memory and touches only the patches it draws, so its own
memory does not grow with the data set.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.masks import as_fractions
from softseg.network.config import NetworkConfig
from softseg.paths import RUNS
from softseg.segmentation.prepare import prepare
from softseg.training.config import TrainingConfig
from softseg.training.patches import PatchPool, PreparedPair
from softseg.training.synthetic import anatomy_pairs, negative_pairs, synthetic_pairs
from softseg.volume import Volume

Pair = tuple[str, str, Path, Path]
"""Subject, contrast, image and truth."""


def find_data(
    config: TrainingConfig, network: NetworkConfig
) -> tuple[list[PreparedPair], list[Pair]]:
    """Prepared pairs to train on, and images with their truths to validate.

    Raises:
        InputError: If there is nothing to train on.
    """
    volumes: list[Pair] = []
    if config.dataset is not None:
        subjects = [*config.training_subjects, *config.validation_subjects]
        dataset = Dataset.index(
            config.dataset,
            contrasts=config.contrasts,
            subjects=subjects if config.training_subjects else None,
            entities=config.entities,
        )
        if config.validation_subjects:
            found = find_pairs(dataset, config, config.validation_subjects)
            volumes = spread(found, config.validation_volumes)
    if config.augmentation == "synthseg":
        return synthetic_pairs(config, network, cache_folder(config)), volumes
    if config.dataset is None:
        raise InputError("training settings: name a dataset (only synthseg needs none)")
    subjects = config.training_subjects or tuple(
        set(dataset.subjects) - set(config.validation_subjects)
    )
    found = find_pairs(dataset, config, subjects)
    return prepare_pairs(found, network, cache_folder(config), jobs=config.workers), volumes


def find_pools(config: TrainingConfig, network: NetworkConfig) -> list[PatchPool]:
    """What every batch has beside the data set: phantoms, lent outlines, images without a cord."""
    shares = {negative_pairs: config.negative_share, anatomy_pairs: config.anatomy_share}
    if config.augmentation != "synthseg":
        shares[synthetic_pairs] = config.synthetic_share
    counts = {make: round(share * config.batch_size) for make, share in shares.items()}
    folder = cache_folder(config)
    pools = {make: make(config, network, folder) for make, n in counts.items() if n}
    if negative_pairs in pools:
        pools[negative_pairs] += empty_pairs(config, network, folder)
    return [PatchPool(pairs, counts[make]) for make, pairs in pools.items()]


def empty_pairs(config: TrainingConfig, network: NetworkConfig, folder: Path) -> list[PreparedPair]:
    """The slices of real images that are known to hold no cord.

    Raises:
        InputError: If an image of `config.empty_slices` is not in the data set.
    """
    pairs = []
    for name, (first, last) in config.empty_slices.items():
        root = Path(config.dataset or ".")
        path = next(iter(sorted(root.glob(f"sub-*/**/{name}.nii*"))), None)
        if path is None:
            raise InputError(f"{root}: empty_slices names {name}, which is no image there")
        key = _hash(_digest(path), _preparation(network), f"{first}:{last}")
        pair = PreparedPair.of_keys(name, "real", folder, key, key)
        if not pair.complete:
            data = prepare(Volume.load(path, average="mean"), network).data[:, :, first:last]
            pair.write(_slices_first(data), np.zeros((data.shape[2], *data.shape[:2]), np.float16))
        pairs.append(pair)
    return pairs


def cache_folder(config: TrainingConfig) -> Path:
    """Where this training's prepared volumes are."""
    return Path(config.cache) if config.cache else RUNS / "cache" / "prepared"


def find_pairs(dataset: Dataset, config: TrainingConfig, subjects: Sequence[str]) -> list[Pair]:
    """Subject, contrast, image and truth of everything that has both, in a fixed order.

    The data set holds the contrasts of the settings alone.

    Raises:
        InputError: If none of `subjects` has an image with this truth.
    """
    folder, ending = config.truth_files
    found = []
    for row in dataset.images[dataset.images["subject"].isin(subjects)].itertuples():
        truth = dataset.existing(
            folder, row.subject, row.contrast, ending, _given(row.session), _given(row.run)
        )
        if truth is not None:
            found.append((row.subject, row.contrast, Path(row.path), truth))
    if not found:
        raise InputError(
            f"{dataset.root}: none of {len(subjects)} subjects has an image of "
            f"{', '.join(config.contrasts)} with {folder}/…_{ending}; make that truth first"
        )
    return sorted(found, key=lambda pair: pair[:2])


def spread(found: Sequence[Pair], count: int) -> list[Pair]:
    """At most `count` of them, spread over participants and contrasts.

    Example:
        >>> found = [(s, c, None, None) for s in ("a", "b") for c in ("T1w", "T2w")]
        >>> [pair[:2] for pair in spread(found, 2)]
        [('a', 'T1w'), ('b', 'T2w')]
    """
    contrasts = sorted({pair[1] for pair in found})
    subjects = sorted({pair[0] for pair in found})

    # Along the diagonals of the table of participants by contrasts, so that few volumes still show
    # different participants in different contrasts.
    def diagonal(pair: Pair) -> tuple[int, int]:
        subject = subjects.index(pair[0])
        return (contrasts.index(pair[1]) - subject) % len(contrasts), subject

    return sorted(sorted(found, key=diagonal)[:count], key=lambda pair: pair[:2])


def prepare_pairs(
    found: Sequence[Pair],
    network: NetworkConfig,
    folder: Path,
    *,
    jobs: int = 1,
) -> list[PreparedPair]:
    """Prepare what is not in the cache yet; a file's name is a hash of all that it depends on.

    `jobs` are threads: unpacking and resampling leave Python's lock to others.
    """
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        return list(pool.map(lambda each: _prepare_pair(*each, network, folder), found))


def _prepare_pair(
    subject: str, contrast: str, image: Path, truth: Path, network: NetworkConfig, folder: Path
) -> PreparedPair:
    image_key = _hash(_digest(image), _preparation(network))
    soft_key = _hash(_digest(truth), image_key)
    pair = PreparedPair.of_keys(subject, contrast, folder, image_key, soft_key)
    if not pair.complete:
        prepared = prepare(Volume.load(image, average="mean"), network)
        mask = Volume.load(truth)
        soft = prepared.to_working(mask.like(as_fractions(mask.data, str(truth))))
        known = pair.image_path.exists()
        pair.write(None if known else _slices_first(prepared.data), _slices_first(soft))
    return pair


def fingerprint(pairs: Sequence[PreparedPair]) -> str:
    """One hash of all prepared data, for the model card and for knowing a checkpoint again."""
    names = "\n".join(f"{p.subject} {p.contrast} {p.soft_path.name}" for p in pairs)
    return hashlib.sha256(names.encode()).hexdigest()[:16]


def data_name(config: TrainingConfig) -> str:
    """What the data set calls itself."""
    if config.dataset is None:
        return "phantom stream"
    described = Path(config.dataset) / "dataset_description.json"
    if not described.exists():
        return Path(config.dataset).name
    return str(json.loads(described.read_text(encoding="utf-8")).get("Name", ""))


def _slices_first(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, 2, 0))


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _preparation(network: NetworkConfig) -> str:
    """The working grid and the code that prepares: a change of either makes new files."""
    code = Path(prepare.__code__.co_filename).read_bytes()
    grid = json.dumps([network.dimension, list(network.spacing_mm)])
    return hashlib.sha256(grid.encode() + code).hexdigest()


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _given(value: object) -> str | None:
    return value if isinstance(value, str) else None
