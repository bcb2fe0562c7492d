"""What a training sees of one patch: as it is, and as its augmentation changes it each time."""

import numpy as np

from softseg.augmentation.registry import get_augmentation
from softseg.training.config import TrainingConfig
from softseg.training.data import find_data
from softseg.training.module import make_network
from softseg.training.patches import Batches, PatchOrder
from softseg.volume import Volume


def augmented_patches(config: TrainingConfig, *, count: int = 7) -> list[dict]:
    """The first patch about a cord, unchanged and then changed `count` times at random.

    Returns:
        Mappings with `title`, `image` and `masks` (the soft mask after the change), as
        `softseg_study.figures.gallery.Case` takes them.

    Raises:
        InputError: As `softseg.training.fitting.fit`.
    """
    _, network = make_network(config)
    pairs, _ = find_data(config.replaced(validation_subjects=()), network)
    order = PatchOrder(config.seed, network.patch_size, config.crop, cord_share=1.0)
    batch = Batches(pairs, order, get_augmentation("none"), batch_size=1, last_step=1)[0]
    many = (patch.repeat(count, *[1] * (patch.ndim - 1)) for patch in batch)
    changed = get_augmentation(config.augmentation)(*many, [[config.seed, n] for n in range(count)])
    spacing = np.resize(network.spacing_mm, 3)
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])

    def volume(patch: np.ndarray) -> Volume:  # (1, X, Y) or (1, X, Y, Z)
        data = patch[0].numpy()
        return Volume(data if data.ndim == 3 else data[..., None], affine)

    shown = [*zip(*batch, strict=True), *zip(*changed, strict=True)]
    return [
        {"title": "as it is" if n == 0 else f"draw {n}", "image": volume(image),
         "masks": {"labels_softseg": volume(soft)}}
        for n, (image, soft) in enumerate(shown)
    ]  # fmt: skip
