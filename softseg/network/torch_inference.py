"""Running a network in PyTorch: for one that is not exported, in training, or on a GPU."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from softseg.errors import InputError
from softseg.network.onnx_session import MOST_THREADS

GPU_PIXELS_PER_BATCH = 2**23


class TorchNetwork:
    """A network inside `inference`: arrays in, arrays out.

    Args:
        network: On its device.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network, self.device = network, next(network.parameters()).device
        if self.device.type != "cpu":
            self.pixels_per_batch = GPU_PIXELS_PER_BATCH

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Raw output `(B, 1, …)` for images `(B, 1, …)`, both float32."""
        return self.network(torch.from_numpy(images).to(self.device)).float().cpu().numpy()


@contextmanager
def evaluation(network: nn.Module) -> Iterator[None]:
    """Evaluation mode and the finest output alone; then everything as before."""
    training, supervised = network.training, network.decoder.deep_supervision
    network.eval()
    network.decoder.deep_supervision = False
    try:
        yield
    finally:
        network.decoder.deep_supervision = supervised
        network.train(training)


@contextmanager
def inference(network: nn.Module, *, precision: str = "float32") -> Iterator[TorchNetwork]:
    """`evaluation` without gradients, on no more threads than are of use.

    Args:
        network: Any of ours.
        precision: `float32`, or `auto` for sixteen-bit products where the processor has them:
            twice as fast on a CPU of 2023, areas change by a few hundredths of a per cent.
    """
    device = next(network.parameters()).device
    half = precision == "auto" and _multiplies_bfloat16(device)
    threads = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ and threads > MOST_THREADS:
        torch.set_num_threads(MOST_THREADS)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=half)
    try:
        with evaluation(network), torch.inference_mode(), autocast:
            yield TorchNetwork(network)
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cpu":
        able = getattr(torch.cpu, "get_capabilities", dict)()
        return any(able.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported()


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` takes a GPU where there is one.

    Raises:
        InputError: If it is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: not available here; use auto or cpu") from error
    return device
