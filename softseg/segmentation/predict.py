"""Running a network over slices or a volume, a batch at a time."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from scipy.special import expit

from softseg.network.config import ACTIVATIONS

PIXELS_PER_BATCH = 40_000
"""On a CPU, batches whose feature maps stay in the cache are faster than large ones."""
WINDOWS_PER_BATCH = 2
FLAT = 0.01
"""A range of normalised intensities below this is no structure."""
NOTHING = -100.0
"""Raw output where there is no structure: 0 behind every activation."""


class Network(Protocol):
    """From images `(B, 1, …)` to raw output of the same shape, both float32.

    `pixels_per_batch` says how much it likes at a time, where that is not `PIXELS_PER_BATCH`, and
    `at_once` how many calls may run side by side, where that is more than one.
    """

    def __call__(self, images: np.ndarray) -> np.ndarray: ...


def soft_values(raw: np.ndarray, kind: str) -> np.ndarray:
    """Turn raw output into soft values, as `softseg.network.unet.activate` does for tensors.

    Args:
        raw: Any shape; a whole volume for `normalised_relu`.
        kind: `none`, `clamp`, `normalised_relu` or `sigmoid`.

    Returns:
        float32 of the shape of `raw`, values in [0, 1].

    Raises:
        ValueError: If `kind` is unknown.

    Example:
        >>> raw = np.array([-1.0, 0.5, 2.0], np.float32)
        >>> soft_values(raw, "clamp").tolist(), soft_values(raw, "normalised_relu").tolist()
        ([0.0, 0.5, 1.0], [0.0, 0.25, 1.0])
    """
    if kind not in ACTIVATIONS:
        raise ValueError(f"unknown activation {kind!r}; known are {', '.join(ACTIVATIONS)}")
    if kind == "sigmoid":
        return expit(raw)
    if kind == "normalised_relu":
        positive = np.maximum(raw, 0.0)
        raw = positive / positive.max(initial=np.finfo(raw.dtype).tiny)
    return np.clip(raw, 0.0, 1.0)


def predict_slices(network: Network, slices: np.ndarray) -> np.ndarray:
    """Raw output for slices of one size.

    A slice without any structure holds no cord and gets `NOTHING`: instance normalisation would
    turn it into the network's biases.

    Args:
        network: Two-dimensional.
        slices: `(N, X, Y)` float32, X and Y multiples of the network's.

    Returns:
        `(N, X, Y)` float32.
    """
    pixels = getattr(network, "pixels_per_batch", PIXELS_PER_BATCH)
    batch = max(1, pixels // max(1, slices[:1].size))
    raw = np.full(slices.shape, NOTHING, dtype=np.float32)
    structured = np.flatnonzero(np.ptp(slices, axis=(1, 2)) > FLAT)
    parts = [structured[start : start + batch] for start in range(0, len(structured), batch)]
    images = (slices[chosen][:, None] for chosen in parts)  # (B, 1, X, Y)
    for chosen, output in zip(parts, _outputs(network, images), strict=True):
        raw[chosen] = output[:, 0]
    return raw


def _outputs(network: Network, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """What a network makes of batches, in their order; few of them are in memory."""
    at_once = getattr(network, "at_once", 1)
    if at_once == 1:
        yield from map(network, batches)
        return
    with ThreadPoolExecutor(at_once) as pool:
        running = deque()
        for images in batches:
            running.append(pool.submit(network, images))
            if len(running) > 2 * at_once:
                yield running.popleft().result()
        yield from (each.result() for each in running)


def predict_volume(
    network: Network, image: np.ndarray, window: Sequence[int], *, overlap: float = 0.5
) -> np.ndarray:
    """Raw output for a volume, averaged over overlapping windows.

    Each window counts most at its centre, by a Gaussian of an eighth of its size, since near its
    edge the network knows only one side (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z).

    Args:
        network: Three-dimensional.
        image: `(X, Y, Z)` float32; smaller than `window`, its edge is repeated.
        window: Voxels that the network was trained on.
        overlap: Share of a window that its neighbour sees again.

    Returns:
        `(X, Y, Z)` float32.
    """
    missing = [max(0, w - n) for w, n in zip(window, image.shape, strict=True)]
    pads = [((m + 1) // 2, m // 2) for m in missing]
    padded = np.pad(image, pads, mode="edge")
    weight = _gaussian(window)
    total, weights = np.zeros(padded.shape, np.float32), np.zeros(padded.shape, np.float32)
    starts = _starts(padded.shape, window, overlap)
    every = [tuple(slice(s, s + w) for s, w in zip(b, window, strict=True)) for b in starts]
    parts = [every[n : n + WINDOWS_PER_BATCH] for n in range(0, len(every), WINDOWS_PER_BATCH)]
    images = (np.stack([padded[place] for place in places])[:, None] for places in parts)
    for places, output in zip(parts, _outputs(network, images), strict=True):
        for place, values in zip(places, output[:, 0], strict=True):
            total[place] += weight * values
            weights[place] += weight
    inside = tuple(slice(a, a + n) for (a, _), n in zip(pads, image.shape, strict=True))
    return (total / weights)[inside]


def _gaussian(window: Sequence[int]) -> np.ndarray:
    sides = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in window]
    return np.clip(np.einsum("i,j,k->ijk", *sides), 1e-4, None).astype(np.float32)


def _starts(
    shape: Sequence[int], window: Sequence[int], overlap: float
) -> Iterator[tuple[int, ...]]:
    axes = []
    for count, size in zip(shape, window, strict=True):
        steps = int(np.ceil((count - size) / max(1, size * (1 - overlap)))) + 1
        axes.append(np.round(np.linspace(0, count - size, steps)).astype(int).tolist())
    return itertools.product(*axes)
