"""The U-Nets, what turns their output into a soft mask, and their weights on disk.

Example:
    >>> from softseg.network.config import PRESETS
    >>> from softseg.network.unet import build_network
    >>> network = build_network(PRESETS["small"])
    >>> sum(p.numel() for p in network.parameters()) < 1_000_000
    True
"""
