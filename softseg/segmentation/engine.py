"""One image to one soft mask."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from softseg.errors import InputError
from softseg.network.config import NetworkConfig
from softseg.network.onnx_session import OnnxNetwork
from softseg.network.weights import EXPORTED, TRAINABLE, load_weights, read_card, resolve_weights
from softseg.segmentation.components import (
    fill_gaps,
    is_cord,
    largest_component,
    shortest_mm,
    uncertain_slices,
)
from softseg.segmentation.locate import candidate_windows, confirmed, interpolate, track
from softseg.segmentation.predict import Network, predict_slices, predict_volume, soft_values
from softseg.segmentation.prepare import Prepared, prepare
from softseg.segmentation.temperature import at_temperature
from softseg.volume import Volume

LOCATE_MM = 5.0
"""Whole slices are looked at this far apart to find the cord."""
LOCATE_VOXELS = 1_500_000
"""In large fields further apart, so that finding costs less than segmenting."""
NEGLIGIBLE = 1e-4
"""Smaller values are the low-probability background that a sigmoid never lacks, and set to 0."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network that is ready to segment.

    Attributes:
        network: An exported one, which runs on the CPU in 32 bits, or a PyTorch module on its
            device.
        config: What it was built from.
        card: Its model card; a `temperature` in it is applied to every soft value.
        precision: `auto` or `float32`, as in `softseg.network.torch_inference.inference`; of an
            exported network always `float32`.
    """

    network: Any
    config: NetworkConfig
    card: dict[str, Any] = field(default_factory=dict)
    precision: str = "auto"

    @classmethod
    def load(
        cls, weights: "Weights", *, device: str | None = None, precision: str | None = None
    ) -> "Model":
        """From a file, a folder, a shipped name, `(network, config)` or a model.

        Where there is an `.onnx` file, it is taken and runs without PyTorch, unless a GPU is asked
        for or the `.safetensors` file is named.

        Args:
            weights: Where the network comes from; a network in memory is moved, not copied.
            device: As PyTorch names it. `auto` is the CPU for an exported network, for another a
                GPU where there is one; None too, unless `weights` is a model: that stays where it
                is.
            precision: `auto` or `float32`; None is `auto`, or what the model has.

        Raises:
            InputError: If the weights or the device cannot be had, or PyTorch is needed for them
                and not installed.
        """
        model = cls._found(weights, device)
        if isinstance(model.network, OnnxNetwork):
            precision = "float32"
        elif device is not None or not isinstance(weights, Model):
            from softseg.network.torch_inference import choose_device

            model.network.to(choose_device(device or "auto"))
        model = replace(model, precision=precision or model.precision)
        if not (isinstance(model.temperature, int | float) and 0 < model.temperature < np.inf):
            raise InputError(
                f"{weights}: temperature in its card: must be a number above 0, found "
                f"{model.temperature!r}"
            )
        return model

    @classmethod
    def _found(cls, weights: "Weights", device: str | None) -> "Model":
        on_cpu = device in (None, "auto", "cpu")
        if isinstance(weights, Model):
            if isinstance(weights.network, OnnxNetwork) and not on_cpu:
                raise InputError(
                    f"--device {device}: an exported network runs on the CPU; load the weights "
                    "again with the device"
                )
            return weights
        if isinstance(weights, tuple):
            return cls(*weights)
        path = resolve_weights(weights, *(() if on_cpu else (TRAINABLE,)))
        if path.suffix != EXPORTED:
            return cls(*load_weights(path))
        network = OnnxNetwork.load(path)
        beside = path.with_suffix(TRAINABLE)
        if beside.is_file() and read_card(beside)["checksum"] != network.card["checksum"]:
            raise InputError(f"{path}: exported from other weights than {beside.name} beside it")
        return cls(network, network.config, network.card)

    @contextmanager
    def running(self) -> Iterator[Network]:
        """The network as a function of arrays."""
        if isinstance(self.network, OnnxNetwork):
            yield self.network
            return
        from softseg.network.torch_inference import inference

        with inference(self.network, precision=self.precision) as network:
            yield network

    @property
    def temperature(self) -> float:
        """At which soft values are shown; 1 is as the network gives them."""
        return self.card.get("temperature", 1.0)

    def calibrated(self, soft: np.ndarray) -> np.ndarray:
        """Soft values of the network at the card's temperature."""
        return at_temperature(soft, self.temperature)


Weights = str | Path | tuple | Model


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A soft mask and what can be said about it without knowing the truth.

    Attributes:
        soft: On the image's own grid, values in [0, 1]; zeros if no cord was found.
        cord_found: Whether there is a cord at all.
        uncertain_slices: Where not to trust the mask: slices along Z in working orientation, 0
            the most inferior.
        uncertainty: Standard deviation between variants of the image, if asked for.
    """

    soft: Volume
    cord_found: bool
    uncertain_slices: tuple[int, ...] = ()
    uncertainty: Volume | None = None

    @property
    def note(self) -> str:
        """One line to read, empty if there is nothing to say.

        Example:
            >>> volume = Volume(np.zeros((2, 2, 2)), np.eye(4))
            >>> Segmentation(volume, True, (3, 4, 5, 9)).note
            'uncertain slices 3-5, 9'
        """
        if not self.cord_found:
            return "no spinal cord found, the mask is empty"
        slices = self.uncertain_slices
        return f"uncertain slices {_ranges(slices)}" if slices else ""


def segment(
    image: Volume,
    *,
    weights: Weights,
    device: str | None = None,
    activation: str | None = None,
    largest_component: bool = True,
    tta: bool = False,
    uncertainty: bool = False,
) -> Segmentation:
    """A soft mask of the spinal cord on the image's own grid, and how far to trust it.

    Args:
        image: Any orientation, voxel size and contrast.
        weights: A file, a model's folder, a shipped name, `(network, config)` or a `Model`.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; None as in `Model.load`.
        activation: Instead of the network's own: `clamp`, `normalised_relu` or `sigmoid`.
        largest_component: Keep one cord and fill its gaps of up to 5 mm.
        tta: Average over mirrored and shifted variants.
        uncertainty: Also the standard deviation over these variants.

    Returns:
        The mask, its values linear in the part of each voxel that is cord, with what is uncertain.

    Raises:
        InputError: If the weights or the device cannot be had.
    """
    model = Model.load(weights, device=device)
    prepared = prepare(image, model.config)
    kind = activation or model.config.activation
    variants = VARIANTS if tta or uncertainty else VARIANTS[:1]
    predict = _predict_2d if model.config.dimension == 2 else _predict_3d
    with model.running() as network:
        predictions = predict(network, model.config, prepared, kind, variants)
    soft = np.mean([each.data for each in predictions], axis=0) if tta else predictions[0].data
    result = _clean(image.like(model.calibrated(soft)), keep_one=largest_component)
    if not uncertainty:
        return result
    spread = np.std([model.calibrated(each.data) for each in predictions], axis=0)
    return replace(result, uncertainty=image.like(spread))


VARIANTS: tuple[tuple[bool, int], ...] = ((False, 0), (True, 0), (False, 3), (True, -3))
"""Mirrored left to right or not, and by how many working voxels the windows are moved."""


def _predict_2d(
    network: Network,
    config: NetworkConfig,
    prepared: Prepared,
    kind: str,
    variants: tuple[tuple[bool, int], ...],
) -> list[Volume]:
    """Find the cord on some whole slices, then segment windows around it on all slices."""
    shape = np.array(prepared.grid.shape)
    slices = np.arange(shape[2])
    size = np.array(config.patch_size)
    middle = np.tile((shape[:2] - 1) / 2.0, (len(slices), 1))
    centres = middle if (shape[:2] <= size).all() else _find_cord(network, config, prepared, kind)
    if np.isnan(centres).any():
        return [prepared.source.like(np.zeros(prepared.source.data.shape, np.float32))]
    predictions = []
    for mirrored, shift in variants:
        starts = _window_starts(centres + shift, shape[:2], size)
        windows = prepared.windows(slices, starts, size)
        soft = _soft(network, windows[:, ::-1] if mirrored else windows, kind)
        predictions.append(
            prepared.restore_windows(soft[:, ::-1] if mirrored else soft, slices, starts)
        )
    return predictions


def _find_cord(
    network: Network, config: NetworkConfig, prepared: Prepared, kind: str
) -> np.ndarray:
    """`(Z, 2)` centres in working voxels, nan if nowhere is any cord.

    Coarse to fine: whole slices some millimetres apart, then windows of the training's size where
    they find something, then the path that joins most of what both say, if it is as long as a cord.
    """
    shape, spacing = np.array(prepared.grid.shape), prepared.grid.spacing_mm
    multiple = np.array(config.multiple)
    size = np.maximum(-(-shape[:2] // multiple) * multiple, config.patch_size)
    step = max(1, round(LOCATE_MM / spacing[2]))
    step = max(step, -(-int(size.prod() * shape[2]) // LOCATE_VOXELS))
    slices = np.arange((shape[2] - 1) % step // 2, shape[2], step)
    starts = np.tile((shape[:2] - size) // 2, (len(slices), 1))
    probability = _soft(network, prepared.windows(slices, starts, size), kind)
    window = np.array(config.patch_size)
    again, places = candidate_windows(probability, spacing[:2], window)
    places = _window_starts(places + starts[again], shape[:2], window)
    predictions = _soft(network, prepared.windows(slices[again], places, window), kind)
    trusted = confirmed(probability, again, places - starts[again], predictions)
    found = track(probability, spacing[:2], step * spacing[2], trusted=trusted) + starts
    seen_mm = np.isfinite(found[:, 0]).sum() * step * spacing[2]
    if seen_mm < shortest_mm(shape[2] * spacing[2]) - 1e-6:
        found[:] = np.nan
    return interpolate(found, slices, np.arange(shape[2]))


def _soft(network: Network, windows: np.ndarray, kind: str) -> np.ndarray:
    return soft_values(predict_slices(network, windows), kind)


def _window_starts(centres: np.ndarray, shape: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Windows about the centres, inside the image where it is large enough, as in training."""
    starts = np.round(centres - (size - 1) / 2).astype(int)
    return np.clip(starts, np.minimum(0, (shape - size) // 2), np.maximum(0, shape - size))


def _predict_3d(
    network: Network,
    config: NetworkConfig,
    prepared: Prepared,
    kind: str,
    variants: tuple[tuple[bool, int], ...],
) -> list[Volume]:
    predictions = []
    for mirrored, shift in variants:
        image = np.pad(prepared.data, [(abs(shift), 0), (abs(shift), 0), (0, 0)], mode="edge")
        raw = predict_volume(network, image[::-1] if mirrored else image, config.patch_size)
        raw = (raw[::-1] if mirrored else raw)[abs(shift) :, abs(shift) :]
        predictions.append(prepared.restore(soft_values(raw, kind)))
    return predictions


def _clean(soft: Volume, *, keep_one: bool) -> Segmentation:
    soft = soft.like(np.where(soft.data < NEGLIGIBLE, 0, soft.data).astype(np.float32, copy=False))
    working = soft.oriented()
    one = largest_component(working.data, working.spacing_mm)
    if not is_cord(one, working.spacing_mm):
        return Segmentation(soft.like(np.zeros(soft.data.shape, np.float32)), False)
    uncertain = uncertain_slices(one, working.spacing_mm)
    if keep_one:
        filled = fill_gaps(one, working.spacing_mm)
        back = working.like(filled).oriented(soft.orientation)
        soft = soft.like(np.ascontiguousarray(back.data))
    return Segmentation(soft, True, uncertain)


def _ranges(numbers: tuple[int, ...]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)
