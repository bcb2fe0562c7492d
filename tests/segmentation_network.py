"""A network for tests that finds bright tubes, trained in a second or two."""

from functools import cache

import numpy as np
import torch

from softseg.network.config import NetworkConfig
from softseg.network.unet import build_network
from softseg.segmentation.prepare import normalise
from softseg.volume import Volume

CONFIG = NetworkConfig(
    features_per_stage=(8, 16, 16),
    strides=(1, 2, 2),
    convolutions_per_stage=1,
    spacing_mm=(1.0, 1.0),
    patch_size=(32, 32),
)
RADIUS_MM = 5.0


def discs(centres_mm, shape, spacing_mm, radius_mm=RADIUS_MM) -> np.ndarray:
    """Fraction of each voxel inside a tube along Z, `(X, Y, Z)`; one centre a slice."""
    x, y = (
        (np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape[:2], spacing_mm[:2], strict=True)
    )
    edge = max(spacing_mm[:2])
    slices = [
        np.clip(0.5 + (radius_mm - np.hypot(x[:, None] - cx, y - cy)) / edge, 0, 1)
        for cx, cy in centres_mm
    ]
    return np.stack(slices, axis=2).astype(np.float32)


def tube(shape=(64, 56, 12), spacing_mm=(1.0, 1.0, 3.0), slope=0.2, offset=(0, 0), seed=0):
    """An image with a bright tube in grey tissue, and the tube's soft mask."""
    z = (np.arange(shape[2]) - (shape[2] - 1) / 2) * spacing_mm[2]
    soft = discs([(offset[0], offset[1] + slope * h) for h in z], shape, spacing_mm)
    noise = np.random.default_rng(seed).normal(0, 6, shape)
    image = 100 + 100 * soft + noise
    affine = np.diag([-spacing_mm[0], spacing_mm[1], spacing_mm[2], 1.0])
    return Volume(image.astype(np.float32), affine), Volume(soft, affine)


def overlap(a: Volume, b: Volume) -> float:
    """Dice score of two soft masks."""
    return 2 * np.minimum(a.data, b.data).sum() / (a.data.sum() + b.data.sum())


def sample(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A patch and its truth; some patches hold no tube."""
    centre = rng.uniform(-9, 9, 2) if rng.random() < 0.85 else (100.0, 100.0)
    soft = discs([centre], (32, 32), (1.0, 1.0), rng.uniform(4, 6))[..., 0]
    field = 100 + rng.uniform(50, 150) * soft + rng.normal(0, rng.uniform(2, 10), soft.shape)
    return normalise(field), soft


@cache
def trained() -> torch.nn.Module:
    """Mean squared error for 100 steps of 16 patches, once a session."""
    rng = np.random.default_rng(0)
    network = build_network(CONFIG, seed=0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 100)
    for _ in range(100):
        pairs = [sample(rng) for _ in range(16)]
        images, softs = (torch.tensor(np.stack(part)[:, None]) for part in zip(*pairs, strict=True))
        loss = ((network(images) - softs) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network
