"""The U-Nets, what turns their output into a soft mask, and their weights on disk.

Example:
    >>> network = build_network(PRESETS["small"])
    >>> sum(p.numel() for p in network.parameters()) < 1_000_000
    True
"""

from softseg.network.config import ACTIVATIONS, PRESETS, NetworkConfig
from softseg.network.unet import activate, build_network, count_parameters, for_inference
from softseg.network.weights import (
    available_weights,
    load_weights,
    read_card,
    resolve_weights,
    save_weights,
)

__all__ = [
    "ACTIVATIONS",
    "PRESETS",
    "NetworkConfig",
    "activate",
    "available_weights",
    "build_network",
    "count_parameters",
    "for_inference",
    "load_weights",
    "read_card",
    "resolve_weights",
    "save_weights",
]
