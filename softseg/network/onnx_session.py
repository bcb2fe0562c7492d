"""A network as one ONNX file, run by ONNX Runtime: what segmenting needs, without torch.

`softseg.network.onnx_export` writes such a file. It holds the graph with its numbers in float32,
the model card and a checksum of itself.
"""

import gzip
import hashlib
import os
import re
import zlib
from pathlib import Path

import numpy as np
import onnxruntime

from softseg.errors import InputError, brief
from softseg.network.config import NetworkConfig
from softseg.network.weights import parse_card

FORMAT = "softseg-onnx-1"
UNKNOWN = b"0" * 64
"""What stands in the file in place of its checksum while that is computed."""
CHECKSUM = re.compile(rb"file_sha256\x12\x40([0-9a-f]{64})")
"""The entry of the file's metadata: its name, then a string (`12`) of 64 bytes (`40`)."""
MOST_THREADS = 8
"""More threads than this find too little to do: a slice is small."""


class OnnxNetwork:
    """A network on a CPU: arrays in, arrays out.

    Args:
        content: Of a file that `export_network` wrote.
        name: What errors call it.

    Attributes:
        card: The model card.
        config: What the network is.
        at_once: How many calls may run side by side, each on one core: a call in several threads
            waits for the slowest of them in every layer.

    Raises:
        InputError: If it is not ours or it is damaged.
    """

    def __init__(self, content: bytes, name: Path | str) -> None:
        _check_whole(content, name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's own, a dozen classes without a common one
            raise InputError(f"{name}: damaged weights ({brief(error)})") from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.card = parse_card(name, metadata, FORMAT)
        self.config = NetworkConfig.from_dict(self.card["config"])
        self.at_once = processor_threads()

    @classmethod
    def load(cls, path: Path | str) -> "OnnxNetwork":
        """Read a file, packed (`.gz`) or not.

        Raises:
            InputError: If it cannot be read, it is not ours or it is damaged.
        """
        try:
            content = Path(path).read_bytes()
            return cls(gzip.decompress(content) if Path(path).suffix == ".gz" else content, path)
        except (EOFError, zlib.error) as error:
            raise InputError(f"{path}: damaged weights ({brief(error)})") from error
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Raw output `(B, 1, …)` for images `(B, 1, …)`, both float32."""
        return self._session.run(None, {"image": images})[0]


def processor_threads() -> int:
    """`OMP_NUM_THREADS` where it is set, as other libraries read it; else this process' cores.

    Example:
        >>> processor_threads() >= 1
        True
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(MOST_THREADS, cores or 1))


def sealed(content: bytes) -> bytes:
    """The serialised model with its own checksum filled in where `UNKNOWN` stands."""
    (entry,) = CHECKSUM.finditer(content)
    start, end = entry.span(1)
    return content[:start] + _digest(content, entry).encode() + content[end:]


def _digest(content: bytes, entry: re.Match[bytes]) -> str:
    start, end = entry.span(1)
    digest = hashlib.sha256(memoryview(content)[:start])
    digest.update(UNKNOWN)
    digest.update(memoryview(content)[end:])
    return digest.hexdigest()


def _check_whole(content: bytes, name: Path | str) -> None:
    entries = list(CHECKSUM.finditer(content))
    if len(entries) != 1:
        raise InputError(f"{name}: not an ONNX file that softseg exported, or a damaged one")
    if entries[0].group(1).decode() != _digest(content, entries[0]):
        raise InputError(f"{name}: damaged weights, the file does not match its checksum")
