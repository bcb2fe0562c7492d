"""Running a network over slices or a volume, a batch at a time."""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

PIXELS_PER_BATCH = {"cpu": 2**17, "cuda": 2**23}
"""On a CPU, batches whose feature maps stay in the cache are faster than large ones."""
WINDOWS_PER_BATCH = 2
MOST_THREADS = 8
"""More threads than this wait for each other: a slice is small."""
FLAT = 0.01
"""A range of normalised intensities below this is no structure."""
NOTHING = -100.0
"""Raw output where there is no structure: 0 behind every activation."""


def limit_threads() -> None:
    """As many threads as this process may have cores, unless the user says otherwise."""
    if "OMP_NUM_THREADS" in os.environ:
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(max(1, min(MOST_THREADS, cores or 1)))


@contextmanager
def inference(network: nn.Module, *, precision: str = "float32") -> Iterator[None]:
    """Evaluation mode, the finest output alone and no gradients; then everything as before.

    Args:
        network: Any of ours.
        precision: `float32`, or `auto` for sixteen-bit products where the processor has them:
            twice as fast on a CPU of 2023, areas change by a few hundredths of a per cent.
    """
    training, supervised = network.training, network.decoder.deep_supervision
    device = next(network.parameters()).device
    half = precision == "auto" and _multiplies_bfloat16(device)
    network.eval()
    network.decoder.deep_supervision = False
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=half):
            yield
    finally:
        network.decoder.deep_supervision = supervised
        network.train(training)


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cpu":
        able = getattr(torch.cpu, "get_capabilities", dict)()
        return any(able.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def predict_slices(network: nn.Module, slices: np.ndarray) -> np.ndarray:
    """Raw output for slices of one size.

    A slice without any structure holds no cord and gets `NOTHING`: instance normalisation would
    turn it into the network's biases.

    Args:
        network: Two-dimensional; inside `inference`.
        slices: `(N, X, Y)` float32, X and Y multiples of the network's.

    Returns:
        `(N, X, Y)` float32.
    """
    device = next(network.parameters()).device
    pixels = PIXELS_PER_BATCH.get(device.type, PIXELS_PER_BATCH["cuda"])
    batch = max(1, pixels // max(1, slices[:1].size))
    raw = np.full(slices.shape, NOTHING, dtype=np.float32)
    structured = np.flatnonzero(np.ptp(slices, axis=(1, 2)) > FLAT)
    for start in range(0, len(structured), batch):
        chosen = structured[start : start + batch]
        output = network(torch.from_numpy(slices[chosen])[:, None].to(device))  # (B, 1, X, Y)
        raw[chosen] = output[:, 0].float().cpu().numpy()
    return raw


def predict_volume(
    network: nn.Module, image: np.ndarray, window: Sequence[int], *, overlap: float = 0.5
) -> np.ndarray:
    """Raw output for a volume, averaged over overlapping windows.

    Each window counts most at its centre, by a Gaussian of an eighth of its size, since near its
    edge the network knows only one side (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z).

    Args:
        network: Three-dimensional; inside `inference`.
        image: `(X, Y, Z)` float32; smaller than `window`, its edge is repeated.
        window: Voxels that the network was trained on.
        overlap: Share of a window that its neighbour sees again.

    Returns:
        `(X, Y, Z)` float32.
    """
    device = next(network.parameters()).device
    missing = [max(0, w - n) for w, n in zip(window, image.shape, strict=True)]
    pads = [((m + 1) // 2, m // 2) for m in missing]
    padded = np.pad(image, pads, mode="edge")
    weight = _gaussian(window)
    total, weights = np.zeros(padded.shape, np.float32), np.zeros(padded.shape, np.float32)
    starts = list(_starts(padded.shape, window, overlap))
    for first in range(0, len(starts), WINDOWS_PER_BATCH):
        batch = starts[first : first + WINDOWS_PER_BATCH]
        places = [tuple(slice(s, s + w) for s, w in zip(b, window, strict=True)) for b in batch]
        images = torch.from_numpy(np.stack([padded[place] for place in places]))
        output = network(images[:, None].to(device))[:, 0].float().cpu().numpy()
        for place, values in zip(places, output, strict=True):
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
