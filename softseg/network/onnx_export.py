"""Writing a trained network as one ONNX file, so that segmenting with it needs no torch."""

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from softseg.files import replacing
from softseg.network.config import NetworkConfig
from softseg.network.onnx_session import FORMAT, UNKNOWN, sealed
from softseg.network.torch_inference import evaluation

OPSET = 17
"""Of 2022: read by every ONNX Runtime from 1.12 on."""


def export_network(
    path: Path | str, network: nn.Module, config: NetworkConfig, card: dict[str, Any]
) -> None:
    """Write graph, numbers, card and checksum into one file.

    The graph maps `image`, `(B, 1, …)` in float32, to the finest `raw` output of the same shape;
    number and size of the images are free. Equal content gives equal bytes.

    Args:
        path: `….onnx`.
        network: What `build_network(config)` made, or of the same layers.
        config: What it is.
        card: As `save_weights` returned it.

    Example:
        >>> import numpy as np
        >>> from softseg.network.onnx_session import OnnxNetwork
        >>> from softseg.network.unet import build_network
        >>> from softseg.network.weights import save_weights
        >>> config = NetworkConfig(features_per_stage=(16, 32), strides=(1, 2))
        >>> folder, network = Path(tempfile.mkdtemp()), build_network(config)
        >>> card = save_weights(folder / "model.safetensors", network, config)
        >>> export_network(folder / "model.onnx", network, config, card)
        >>> OnnxNetwork.load(folder / "model.onnx")(np.zeros((3, 1, 16, 24), np.float32)).shape
        (3, 1, 16, 24)
    """
    model = _graph(network, config)
    metadata = {
        "format": FORMAT,
        "card": json.dumps(card, sort_keys=True),
        "file_sha256": UNKNOWN.decode(),
    }
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    with replacing(path) as temporary:
        temporary.write_bytes(sealed(model.SerializeToString(deterministic=True)))


def _graph(network: nn.Module, config: NetworkConfig) -> onnx.ModelProto:
    device = next(network.parameters()).device
    # Twice the smallest size, so that no axis has length 1 on the way down.
    example = torch.zeros(2, 1, *(2 * size for size in config.multiple), device=device)
    free = {0: "batch"} | {2 + axis: "xyz"[axis] for axis in range(config.dimension)}
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(),
        evaluation(network),
        torch.no_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        # The exporter that traces is called old; the other one needs three more packages.
        warnings.simplefilter("ignore")
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            network,
            (example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["raw"],
            dynamic_axes={"image": free, "raw": free},
        )
        model = onnx.load(path)
    for node in model.graph.node:
        node.ClearField("doc_string")
    return model
