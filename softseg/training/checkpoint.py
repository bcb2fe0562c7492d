"""Checkpoints that are data alone: tensors as safetensors, everything else as JSON.

Lightning's own checkpoints are pickles, which can run code when they are opened.
"""

import json
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from softseg.errors import InputError, brief
from softseg.files import replacing


class PlainCheckpoints(CheckpointIO):
    """Write and read a training's whole state without pickle; a file is whole or absent."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Path | str, storage_options: Any = None
    ) -> None:
        """Write `checkpoint` to `path`."""
        tensors: dict[str, torch.Tensor] = {}
        plain = encode(checkpoint, tensors)
        with replacing(path) as temporary:
            try:
                save_file(tensors, temporary, {"state": json.dumps(plain)})
            except SafetensorError as error:  # its word for a full disk, among others
                raise OSError(brief(error)) from error

    def load_checkpoint(
        self, path: Path | str, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read what `save_checkpoint` wrote, tensors on the processor.

        Raises:
            InputError: If the file is damaged.
        """
        try:
            with safe_open(path, framework="pt") as file:
                plain = json.loads((file.metadata() or {})["state"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(f"{path}: not a checkpoint of a training ({error})") from error
        return decode(plain, tensors)

    def remove_checkpoint(self, path: Path | str) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def encode(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON-able form of nested state; its tensors are put in `tensors` under running numbers.

    Lists stay, every other container is marked by a one-key object, so that tuples and keys that
    are no strings come back as they were.

    Raises:
        TypeError: If something is neither a number, a text, a tensor nor a container of such.

    Example:
        >>> state, tensors = {"step": 3, 0: (torch.ones(2), None)}, {}
        >>> plain = json.loads(json.dumps(encode(state, tensors)))
        >>> decode(plain, tensors)
        {'step': 3, 0: (tensor([1., 1.]), None)}
    """
    if isinstance(value, torch.Tensor):
        key = str(len(tensors))
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {"tensor": key}
    if isinstance(value, dict):
        return {"map": [[encode(k, tensors), encode(v, tensors)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [encode(item, tensors) for item in value]}
    if isinstance(value, list):
        return [encode(item, tensors) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a checkpoint holds no {type(value).__name__}: {value!r}")


def decode(plain: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Inverse of `encode`."""
    if isinstance(plain, list):
        return [decode(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, content),) = plain.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "tuple":
        return tuple(decode(item, tensors) for item in content)
    return {decode(key, tensors): decode(item, tensors) for key, item in content}
