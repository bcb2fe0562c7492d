"""Prepared volumes on disk, made once and read by every model that needs them.

A training maps them into memory and touches only the patches it draws, so its own memory does not
grow with the data set.
"""

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.files import replacing
from softseg.network.config import NetworkConfig
from softseg.paths import RUNS
from softseg.segmentation.prepare import prepare
from softseg.training.config import TrainingConfig
from softseg.training.patches import PreparedPair
from softseg.volume import Volume

IMAGE_ENDING, SOFT_ENDING, CORD_ENDING = "image.npy", "soft.npy", "cord.npy"


def cache_folder(config: TrainingConfig) -> Path:
    """Where this training's prepared volumes are."""
    return Path(config.cache) if config.cache else RUNS / "cache" / "prepared"


def find_pairs(
    dataset: Dataset, config: TrainingConfig, subjects: Sequence[str]
) -> list[tuple[str, str, Path, Path]]:
    """Subject, contrast, image and truth of everything that has both, in a fixed order.

    Raises:
        InputError: If nobody of `subjects` has an image with this truth.
    """
    folder, ending = config.truth_files
    wanted = dataset.images[
        dataset.images["subject"].isin(subjects) & dataset.images["contrast"].isin(config.contrasts)
    ]
    found = []
    for row in wanted.itertuples():
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


def prepare_pairs(
    found: Sequence[tuple[str, str, Path, Path]],
    network: NetworkConfig,
    folder: Path,
    *,
    jobs: int = 1,
) -> list[PreparedPair]:
    """Prepare what is not in the cache yet; a file's name is a hash of all that it depends on.

    Args:
        found: What `find_pairs` gave.
        network: Says the working grid.
        folder: The cache.
        jobs: Threads; unpacking and resampling leave Python's lock to others.
    """
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        return list(pool.map(lambda each: _prepare_pair(*each, network, folder), found))


def fingerprint(pairs: Sequence[PreparedPair]) -> str:
    """One hash of all prepared data, for the model card and for knowing a checkpoint again."""
    names = "\n".join(f"{p.subject} {p.contrast} {p.soft_path.name}" for p in pairs)
    return hashlib.sha256(names.encode()).hexdigest()[:16]


def _prepare_pair(
    subject: str, contrast: str, image: Path, truth: Path, network: NetworkConfig, folder: Path
) -> PreparedPair:
    image_key = _hash(_digest(image), _preparation(network))
    soft_key = _hash(_digest(truth), image_key)
    pair = PreparedPair(
        subject,
        contrast,
        folder / f"{image_key}_{IMAGE_ENDING}",
        folder / f"{soft_key}_{SOFT_ENDING}",
        folder / f"{soft_key}_{CORD_ENDING}",
    )
    if not (pair.image_path.exists() and pair.soft_path.exists() and pair.cord_path.exists()):
        prepared = prepare(Volume.load(image, average="mean"), network)
        mask = Volume.load(truth)
        if mask.data.min() < 0 or mask.data.max() > 1:
            low, high = float(mask.data.min()), float(mask.data.max())
            raise InputError(f"{truth}: a mask must lie in [0, 1], found [{low:.3g}, {high:.3g}]")
        try:
            soft = prepared.to_working(mask)
        except ValueError as error:
            raise InputError(f"{truth}: {error}; a truth must be on its image's grid") from error
        if not pair.image_path.exists():
            _save(pair.image_path, _slices_first(prepared.data).astype(np.float16))
        soft = _slices_first(soft).astype(np.float16)
        _save(pair.cord_path, cord_table(soft))
        _save(pair.soft_path, soft)
    return pair


def cord_table(soft: np.ndarray) -> np.ndarray:
    """`(Z, 3)`: cord voxels of each slice of `(Z, X, Y)` and their centre along X and Y.

    Example:
        >>> soft = np.zeros((1, 4, 4))
        >>> soft[0, 1:3, 2] = 1
        >>> cord_table(soft)
        array([[2. , 1.5, 2. ]])
    """
    soft = soft.astype(float)
    total = soft.sum(axis=(1, 2))
    safe = np.maximum(total, 1e-9)
    x = soft.sum(axis=2) @ np.arange(soft.shape[1]) / safe
    y = soft.sum(axis=1) @ np.arange(soft.shape[2]) / safe
    return np.stack([total, x, y], axis=1)


def _slices_first(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, 2, 0))


def _save(path: Path, array: np.ndarray) -> None:
    # Through Python's file: numpy's own way does not say why a full disk takes no more.
    with replacing(path) as temporary, open(temporary, "wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.tobytes("F" if header["fortran_order"] else "C"))


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
