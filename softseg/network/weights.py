"""Weights on disk: one safetensors file that carries its own model card."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from softseg.errors import InputError
from softseg.files import replacing
from softseg.network.config import NetworkConfig
from softseg.network.unet import build_network

FORMAT = "softseg-weights-1"
SHIPPED = Path(__file__).resolve().parents[1] / "weights"
"""Weights that come with the package: `NAME.safetensors`."""
FILE_NAME = "model.safetensors"
"""What a model's folder holds."""


def save_weights(
    path: Path | str,
    network: nn.Module,
    config: NetworkConfig,
    card: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the network's parameters with its card inside.

    Args:
        path: `….safetensors`.
        network: What `build_network(config)` made.
        config: Goes into the card, so that the file is enough to build the network again.
        card: What else to say: data, truth, loss, augmentation, seed, versions, scores, licence.

    Returns:
        The card as written, with `format`, `config`, `parameters` and `checksum` (SHA-256 of the
        numbers).

    Example:
        >>> import tempfile
        >>> config = NetworkConfig(features_per_stage=(16, 32), strides=(1, 2))
        >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> _ = save_weights(path, build_network(config), config, {"data": "none"})
        >>> network, same, card = load_weights(path)
        >>> same == config, card["data"]
        (True, 'none')
    """
    # Not the state dict: the library registers each layer under several names.
    tensors = {
        name: parameter.detach().to("cpu", torch.float32).contiguous()
        for name, parameter in network.named_parameters()
    }
    card = dict(card or {}) | {
        "format": FORMAT,
        "config": config.to_dict(),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "checksum": _checksum(tensors),
    }
    metadata = {"format": FORMAT, "card": json.dumps(card, sort_keys=True)}
    with replacing(path) as temporary:
        # Not `save_file`, whose files only their owner may read.
        temporary.write_bytes(_ordered(save(tensors, metadata)))
    return card


def _ordered(serialised: bytes) -> bytes:
    """The same file with its header's names in order, so that equal content is equal bytes.

    The library writes them in the order of a hash table, another one in every process. A header
    is eight bytes of length and that much JSON, padded with spaces to a multiple of eight.
    """
    end = 8 + int.from_bytes(serialised[:8], "little")
    header = json.dumps(json.loads(serialised[8:end]), sort_keys=True, separators=(",", ":"))
    encoded = header.encode()
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + serialised[end:]


def load_weights(weights: Path | str) -> tuple[nn.Module, NetworkConfig, dict[str, Any]]:
    """Build the network that a file describes and fill in its numbers.

    Args:
        weights: A name that ships with the package, a file, or a model's folder.

    Returns:
        The network (in training mode, with deep supervision if it was built so), its
        configuration and its card.

    Raises:
        InputError: If there is no such file, it is not ours, it is damaged or it does not fit.
    """
    path = resolve_weights(weights)
    card = read_card(path)
    config = NetworkConfig.from_dict(card["config"])
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged weights ({error})") from error
    network = build_network(config)
    _check_fit(path, card, tensors, dict(network.named_parameters()))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(tensors[name])
    return network, config, card


def _check_fit(
    path: Path,
    card: dict[str, Any],
    tensors: dict[str, torch.Tensor],
    wanted: dict[str, torch.Tensor],
) -> None:
    odd = sorted(set(wanted) ^ set(tensors)) or [
        name for name, tensor in tensors.items() if tensor.shape != wanted[name].shape
    ]
    if odd:
        raise InputError(f"{path}: weights do not fit the network of their card, first at {odd[0]}")
    if _checksum(tensors) != card["checksum"]:
        raise InputError(f"{path}: damaged weights, the numbers do not match the card's checksum")


def read_card(weights: Path | str) -> dict[str, Any]:
    """The model card of a weights file, without reading the numbers.

    Raises:
        InputError: If there is no such file or it is not one of ours.
    """
    path = resolve_weights(weights)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a safetensors file ({error})") from error
    if metadata.get("format") != FORMAT:
        raise InputError(
            f"{path}: not softseg weights, found format {metadata.get('format')!r} instead of "
            f"{FORMAT!r}"
        )
    try:
        card = json.loads(metadata["card"])
        card["config"], card["checksum"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: softseg weights without a readable card ({error})") from error
    return card


def available_weights() -> tuple[str, ...]:
    """Names of the weights that ship with the package."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.safetensors")))


def resolve_weights(weights: Path | str) -> Path:
    """The file behind a shipped name, a path or a model's folder.

    Raises:
        InputError: If there is none.
    """
    path = Path(weights).expanduser()
    for candidate in (path / FILE_NAME, path, SHIPPED / f"{weights}.safetensors"):
        if candidate.is_file():
            return candidate
    shipped = ", ".join(available_weights()) or "none"
    found = f"a folder without {FILE_NAME}" if path.is_dir() else "no such weights"
    raise InputError(
        f"{weights}: {found}; give a file, a model's folder or a shipped name ({shipped})"
    )


def _checksum(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
