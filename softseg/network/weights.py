"""Weights on disk: one safetensors file that carries its own model card; nothing here needs torch
until a network is built.

A network that is to be used lies beside it as one ONNX file (`softseg.network.onnx_export`), with
the same card.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from softseg.errors import InputError
from softseg.files import replacing
from softseg.network.config import NetworkConfig

if TYPE_CHECKING:
    from torch import nn

FORMAT = "softseg-weights-1"
SHIPPED = Path(__file__).resolve().parents[1] / "weights"
"""Weights that come with the package: `NAME.safetensors`, `NAME.onnx`."""
STEM = "model"
"""Of the same files in a model's folder."""
TRAINABLE, EXPORTED = ".safetensors", ".onnx"
EARLIER = ".onnx.gz"
"""Exported weights of an earlier version (`NAME-VERSION`), for studies that began with them."""


def save_weights(
    path: Path | str,
    network: "nn.Module",
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
        >>> from softseg.network.unet import build_network
        >>> config = NetworkConfig(features_per_stage=(16, 32), strides=(1, 2))
        >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> _ = save_weights(path, build_network(config), config, {"data": "none"})
        >>> network, same, card = load_weights(path)
        >>> same == config, card["data"]
        (True, 'none')
    """
    # Not the state dict: the library registers each layer under several names.
    tensors = {
        name: np.ascontiguousarray(parameter.detach().cpu().float().numpy())
        for name, parameter in network.named_parameters()
    }
    card = dict(card or {}) | {
        "format": FORMAT,
        "config": config.to_dict(),
        "parameters": sum(tensor.size for tensor in tensors.values()),
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


def load_weights(weights: Path | str) -> tuple["nn.Module", NetworkConfig, dict[str, Any]]:
    """Build the network that a file describes and fill in its numbers.

    Args:
        weights: A name that ships with the package, a safetensors file, or a model's folder.

    Returns:
        The network (in training mode, with deep supervision if it was built so), its
        configuration and its card.

    Raises:
        InputError: If there is no such file, it is not ours, it is damaged or it does not fit;
            or if PyTorch is not installed.
    """
    path = resolve_weights(weights, TRAINABLE)
    card = read_card(path)
    config = NetworkConfig.from_dict(card["config"])
    try:
        with safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: damaged weights ({error})") from error
    try:
        import torch

        from softseg.network.unet import build_network
    except ModuleNotFoundError as error:
        raise InputError(
            f"{path}: PyTorch is needed for a GPU and for weights without an .onnx file; "
            'pip install "softseg[gpu]", or "softseg[train]" to train'
        ) from error
    network = build_network(config)
    parameters = dict(network.named_parameters())
    _check_fit(path, card, tensors, parameters)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(tensors[name]))
    return network, config, card


def _check_fit(
    path: Path,
    card: dict[str, Any],
    tensors: dict[str, np.ndarray],
    wanted: dict[str, "nn.Parameter"],
) -> None:
    odd = sorted(set(wanted) ^ set(tensors)) or [
        name for name, tensor in tensors.items() if tensor.shape != wanted[name].shape
    ]
    if odd:
        raise InputError(f"{path}: weights do not fit the network of their card, first at {odd[0]}")
    if _checksum(tensors) != card["checksum"]:
        raise InputError(f"{path}: damaged weights, the numbers do not match the card's checksum")


def read_card(weights: Path | str) -> dict[str, Any]:
    """The model card of a safetensors file, without reading the numbers.

    Raises:
        InputError: If there is no such file or it is not one of ours.
    """
    path = resolve_weights(weights, TRAINABLE)
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a safetensors file ({error})") from error
    return parse_card(path, metadata, FORMAT)


def parse_card(path: Path | str, metadata: Mapping[str, str], wanted: str) -> dict[str, Any]:
    """The card in a file's metadata, if the file is of the format `wanted`.

    Raises:
        InputError: If it is of another or its card cannot be read.
    """
    if metadata.get("format") != wanted:
        raise InputError(
            f"{path}: not softseg weights, found format {metadata.get('format')!r} instead of "
            f"{wanted!r}"
        )
    try:
        card = json.loads(metadata["card"])
        card["config"], card["checksum"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: softseg weights without a readable card ({error})") from error
    return card


def available_weights(*kinds: str) -> tuple[str, ...]:
    """Names of the weights that ship with the package, without those of earlier versions.

    Args:
        kinds: Endings of other files, such as `EARLIER`.
    """
    found = {
        path.name.removesuffix(kind)
        for kind in kinds or (EXPORTED, TRAINABLE)
        for path in SHIPPED.glob(f"*{kind}")
    }
    return tuple(sorted(found))


def resolve_weights(weights: Path | str, *kinds: str) -> Path:
    """The file behind a shipped name, a path or a model's folder.

    Args:
        weights: A path may name a file of another kind: then the one beside it is meant.
        kinds: Endings of the files that will do, the best first; by default `EXPORTED`, then
            `TRAINABLE`.

    Raises:
        InputError: If there is none.
    """
    path, any_kind = Path(weights).expanduser(), not kinds
    kinds = kinds or (EXPORTED, TRAINABLE)
    candidates = [path / f"{STEM}{kind}" for kind in kinds]
    if any_kind or path.suffix not in (EXPORTED, TRAINABLE):
        candidates.append(path)
    else:
        candidates += [path.with_suffix(kind) for kind in kinds]
    candidates += [SHIPPED / f"{weights}{kind}" for kind in kinds]
    if EXPORTED in kinds:
        candidates.append(SHIPPED / f"{weights}{EARLIER}")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    shipped = ", ".join([*available_weights(), *available_weights(EARLIER)]) or "none"
    names = " or ".join(f"{STEM}{kind}" for kind in kinds)
    found = f"a folder without {names}" if path.is_dir() else "no such weights"
    if path.is_file():
        found = f"there is no {path.with_suffix(kinds[0]).name} beside it, which is needed here"
    raise InputError(
        f"{weights}: {found}; give a file, a model's folder or a shipped name ({shipped})"
    )


def _checksum(tensors: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.shape} torch.{tensor.dtype}\n".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()
