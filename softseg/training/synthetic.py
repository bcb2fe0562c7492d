"""Pools of patches without a real image: phantoms of random contrast, and images without a cord.

Drawing a phantom costs more than a training step does, so pools are kept on disk.
"""

import ast
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from softseg.errors import InputError
from softseg.network.config import NetworkConfig
from softseg.segmentation.prepare import normalise
from softseg.training.config import TrainingConfig
from softseg.training.patches import PreparedPair
from softseg.volume import Volume


def synthetic_pairs(
    config: TrainingConfig, network: NetworkConfig, folder: Path
) -> list[PreparedPair]:
    """Pairs that hold `config.synthetic_samples` samples of the phantom stream.

    Two-dimensional samples are the slices of one pair, three-dimensional ones are a pair each.

    Raises:
        InputError: If `synthetic_options` are none of the stream's.
    """
    from softseg.phantom.stream import PhantomStream

    stream = PhantomStream(
        config.seed, dimension=network.dimension, **_stream_arguments(config, network)
    )
    what = [config.synthetic_options, _phantom_code("stream")]
    return _pairs("phantom", stream.sample, what, config, network, folder)


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
    what = [config.synthetic_options, _phantom_code("section_stream"), digests]
    return _pairs("anatomy", stream.sample, what, config, network, folder, share=4)


def _manual_masks(config: TrainingConfig) -> list[Path]:
    folder, ending = config.truth_files
    root = Path(config.dataset or ".") / "derivatives" / folder
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
    """The same for samples without a cord, a quarter as many."""
    from softseg.phantom.distractors import distractor

    def sample(index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng([config.seed, 4, index])
        image = distractor(rng, network.patch_size, network.spacing_mm)
        return image, np.zeros_like(image)

    what = [Path(distractor.__code__.co_filename).read_text(encoding="utf-8")]
    return _pairs("distractor", sample, what, config, network, folder, share=4)


def _stream_arguments(config: TrainingConfig, network: NetworkConfig) -> dict[str, Any]:
    from softseg.phantom.stream import StreamOptions

    try:
        options = StreamOptions(**config.synthetic_options)
    except TypeError as error:
        raise InputError(f"synthetic_options: not of the phantom stream ({error})") from error
    grid = zip(network.patch_size, network.spacing_mm, strict=True)
    size_mm = tuple(float(n * mm) for n, mm in grid)
    return {"size_mm": size_mm, "spacing_mm": network.spacing_mm, "options": options}


def _phantom_code(module_name: str) -> str:
    """Hash of the stream's code and of all of the phantom that it builds on."""
    import softseg.phantom

    folder = Path(softseg.phantom.__file__).parent
    waiting, read = [module_name], {}
    while waiting:
        name = waiting.pop()
        read[name] = (folder / f"{name}.py").read_bytes()
        for node in ast.walk(ast.parse(read[name])):
            module = getattr(node, "module", None) or ""
            used = module.removeprefix("softseg.phantom.")
            if used != module and used not in read:
                waiting.append(used)
    return hashlib.sha256(b"".join(read[name] for name in sorted(read))).hexdigest()


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
    groups = [range(count)] if network.dimension == 2 else [range(n, n + 1) for n in range(count)]
    what = [name, config.seed, network.patch_size, network.spacing_mm, *what]
    return [_pair(name, sample, group, what, network, folder) for group in groups]


def _pair(
    title: str,
    sample: Callable[[int], tuple[np.ndarray, np.ndarray]],
    group: range,
    what: list,
    network: NetworkConfig,
    folder: Path,
) -> PreparedPair:
    text = json.dumps([group.start, group.stop, *what], sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:32]
    name = f"{title}-{group.start:05d}"
    pair = PreparedPair.of_keys(name, "random", folder, key, key)
    if not pair.complete:
        samples = [sample(index) for index in group]
        images = np.stack([normalise(image) for image, _ in samples])
        softs = np.stack([soft for _, soft in samples])
        if network.dimension == 3:
            images, softs = (np.moveaxis(array[0], 2, 0).copy() for array in (images, softs))
        pair.write(images, softs)
    return pair
