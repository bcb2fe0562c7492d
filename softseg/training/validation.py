"""Scores of whole volumes through the path that users take, not of patches."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from softseg.metrics.volumes import soft_dice
from softseg.network.config import NetworkConfig
from softseg.segmentation.engine import segment
from softseg.volume import Volume

Pair = tuple[str, str, Path, Path]


class Scorer:
    """Scores a network on one of several images with a truth.

    Args:
        volumes: Subject, contrast, image and truth of each.
        network: What the networks to be scored are.
    """

    def __init__(self, volumes: Sequence[Pair], network: NetworkConfig) -> None:
        self.volumes, self.network = volumes, network

    def __call__(self, network: nn.Module, index: int) -> dict[str, float]:
        """`soft_dice`, `csa_error_mm2` and `volume_ratio` of the volume at `index`."""
        _, _, image_path, truth_path = self.volumes[index]
        image, truth = Volume.load(image_path, average="mean"), Volume.load(truth_path)
        device = next(network.parameters()).device
        # Reduced precision is for gradients; a mask's third digit matters.
        with torch.autocast(device.type, enabled=False):
            predicted = segment(image, weights=(network, self.network), device=str(device)).soft
        return {
            "soft_dice": soft_dice(predicted.data, truth.data),
            "csa_error_mm2": csa_error_mm2(predicted, truth),
            "volume_ratio": float(predicted.data.sum() / max(1e-9, truth.data.sum())),
        }


def csa_error_mm2(predicted: Volume, truth: Volume) -> float:
    """Difference of the mean area of the axial slices that the truth covers, in mm².

    A quick stand-in for the measurement of `softseg.csa`: both masks are cut by the same slices,
    so that the angle of the cord cancels, and no level is needed.

    Example:
        >>> affine = np.diag([-0.5, 0.5, 5.0, 1.0])
        >>> truth, more = np.zeros((8, 8, 3)), np.zeros((8, 8, 3))
        >>> truth[2:6, 2:6], more[2:6, 2:7] = 1, 1
        >>> csa_error_mm2(Volume(more, affine), Volume(truth, affine))
        1.0
    """
    predicted, truth = predicted.oriented(), truth.oriented()
    pixel_mm2 = truth.spacing_mm[0] * truth.spacing_mm[1]
    covered = truth.data.sum(axis=(0, 1)) > 0
    if not covered.any():
        return 0.0
    areas = [mask.data[..., covered].sum(axis=(0, 1)) * pixel_mm2 for mask in (predicted, truth)]
    return float(abs(np.mean(areas[0]) - np.mean(areas[1])))


def spread(found: Sequence[Pair], count: int) -> list[Pair]:
    """At most `count` of them, spread over people and contrasts.

    Example:
        >>> found = [(s, c, None, None) for s in ("a", "b") for c in ("T1w", "T2w")]
        >>> [pair[:2] for pair in spread(found, 2)]
        [('a', 'T1w'), ('b', 'T2w')]
    """
    contrasts = sorted({pair[1] for pair in found})
    people = sorted({pair[0] for pair in found})
    # Along the diagonals of the table of people by contrasts, so that few volumes still show
    # different people in different contrasts.
    rank = {
        pair[:2]: (
            (contrasts.index(pair[1]) - people.index(pair[0])) % len(contrasts),
            people.index(pair[0]),
        )
        for pair in found
    }
    chosen = sorted(found, key=lambda pair: rank[pair[:2]])[:count]
    return sorted(chosen, key=lambda pair: pair[:2])
