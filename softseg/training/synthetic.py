"""Pools of patches without a real image: phantoms of random contrast, and images without a cord.

Drawing a phantom costs more than a training step does, so pools are kept on disk.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from softseg.errors import InputError
from softseg.network.config import NetworkConfig
from softseg.segmentation.prepare import normalise
from softseg.training.config import TRUTHS, TrainingConfig
from softseg.training.patches import PreparedPair
from softseg.volume import Volume

SLICES = 2000
"""Two-dimensional samples in one pair: little enough to be made again after an interruption."""


def synthetic_pairs(
    config: TrainingConfig, network: NetworkConfig, folder: Path
) -> list[PreparedPair]:
    """Pairs that hold `config.synthetic_samples` samples of the phantom stream.

    Two-dimensional samples are the slices of few pairs, three-dimensional ones are a pair each.

    Raises:
        InputError: If `synthetic_options` are none of the stream's.
    """
    from softseg.phantom.stream import PhantomStream

    stream = PhantomStream(
        config.seed, dimension=network.dimension, **_stream_arguments(config, network)
    )
    return _pairs("phantom", stream.sample, [config.synthetic_options], config, network, folder)


def anatomy_pairs(
    config: TrainingConfig, network: NetworkConfig, folder: Path
) -> list[PreparedPair]:
    """The same for samples with outlines from manual masks, a quarter as many.

    Raises:
        InputError: If none of `config.anatomy_subjects` has such a mask, or the network is not
            two-dimensional, or `synthetic_options` are none of the stream's.
    """
    from softseg.phantom.section_stream import SectionStream, find_sections

    if network.dimension != 2:
        raise InputError("anatomy_share: manual masks lend axial slices, to 2-D networks alone")
    masks = _manual_masks(config)
    sections = []
    for path in masks:
        grey, fluid = (_beside(path, part) for part in ("GM", "CSF"))
        sections += find_sections(Volume.load(path), grey=grey, fluid=fluid)
    stream = SectionStream(config.seed, sections, **_stream_arguments(config, network))
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in masks]
    what = [config.synthetic_options, digests]
    return _pairs("anatomy", stream.sample, what, config, network, folder, share=4)


def _manual_masks(config: TrainingConfig) -> list[Path]:
    folder, ending = TRUTHS["hard"]
    root = Path(config.anatomy_dataset or config.dataset or ".") / "derivatives" / folder
    found = [
        path
        for subject in config.anatomy_subjects
        for path in sorted((root / subject).rglob(f"{subject}_*_{ending}.nii*"))
    ]
    if not found:
        raise InputError(
            f"{root}: none of {len(config.anatomy_subjects)} anatomy_subjects has a mask "
            f"…_{ending}; name participants who have one"
        )
    return found


def _beside(mask: Path, part: str) -> Volume | None:
    """What the same rater drew of another part on the same image."""
    path = mask.with_name(mask.name.replace("label-SC_seg", f"label-{part}_seg"))
    return Volume.load(path) if path != mask and path.exists() else None


def negative_pairs(
    config: TrainingConfig, network: NetworkConfig, folder: Path
) -> list[PreparedPair]:
    """The same for samples without a cord, a quarter as many, half of them spoilt by a scanner."""
    from softseg.phantom.distractors import distractor
    from softseg.phantom.random_acquisition import ObjectMaps, degrade

    def sample(index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([config.seed, 4, index])
        image = distractor(rng, network.patch_size, network.spacing_mm)
        if rng.random() < 0.5:
            clean, spacing = np.atleast_3d(image), np.resize(network.spacing_mm, 3)
            none = np.zeros_like(clean)
            spoilt = degrade(rng, ObjectMaps(clean, none + 0.5, none, none), spacing)
            image = spoilt.reshape(image.shape)
        return image, np.zeros_like(image)

    return _pairs("distractor", sample, [], config, network, folder, share=4)


def _stream_arguments(config: TrainingConfig, network: NetworkConfig) -> dict[str, Any]:
    from softseg.phantom.stream import StreamOptions

    try:
        options = StreamOptions(**config.synthetic_options)
    except TypeError as error:
        raise InputError(f"synthetic_options: not of the phantom stream ({error})") from error
    grid = zip(network.patch_size, network.spacing_mm, strict=True)
    size_mm = tuple(float(n * mm) for n, mm in grid)
    return {"size_mm": size_mm, "spacing_mm": network.spacing_mm, "options": options}


def _phantom_code() -> str:
    """Hash of all of the phantom's code: a change of it makes new pools."""
    import softseg.phantom

    files = sorted(Path(softseg.phantom.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _pairs(
    name: str,
    sample: Callable[[int], tuple[np.ndarray, np.ndarray]],
    what: list,
    config: TrainingConfig,
    network: NetworkConfig,
    folder: Path,
    *,
    share: int = 1,
) -> list[PreparedPair]:
    count = max(1, config.synthetic_samples // share)
    each = min(count, SLICES) if network.dimension == 2 else 1
    what = [name, config.seed, network.patch_size, network.spacing_mm, _phantom_code(), *what]
    pairs = []
    for start in range(0, count, each):
        text = json.dumps([start, each, *what], sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        pair = PreparedPair.of_keys(f"{name}-{start:05d}", "random", folder, key, key)
        pairs.append(pair)
        if not pair.complete:
            samples = [sample(index) for index in range(start, min(start + each, count))]
            images = np.stack([normalise(image) for image, _ in samples])
            softs = np.stack([soft for _, soft in samples])
            if network.dimension == 3:
                images, softs = (np.moveaxis(array[0], 2, 0).copy() for array in (images, softs))
            pair.write(images, softs)
    return pairs
