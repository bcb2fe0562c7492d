"""One image to one soft mask."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from softseg.errors import InputError
from softseg.network.config import NetworkConfig
from softseg.network.onnx_session import OnnxNetwork
from softseg.network.weights import (
    EARLIER,
    EXPORTED,
    TRAINABLE,
    load_weights,
    read_card,
    resolve_weights,
)
from softseg.segmentation.components import fill_gaps, largest_component
from softseg.segmentation.locate import find_cord, window_starts
from softseg.segmentation.predict import Network, predict_slices, predict_volume, soft_values
from softseg.segmentation.prepare import Prepared, prepare
from softseg.segmentation.presence import Findings, cord_slices, examine
from softseg.segmentation.result import Segmentation
from softseg.segmentation.slice_features import slice_features
from softseg.segmentation.temperature import at_temperature
from softseg.volume import Volume

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
        if not path.name.endswith((EXPORTED, EARLIER)):
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


def segment(
    image: Volume,
    *,
    weights: Weights,
    device: str | None = None,
    activation: str | None = None,
    largest_component: bool = True,
    keep: bool = False,
    tta: bool = False,
    uncertainty: bool = False,
) -> Segmentation:
    """A soft mask of the spinal cord on the image's own grid, and how far to trust it.

    Args:
        image: Any orientation, voxel size and contrast.
        weights: A file, a model's folder, a shipped name, `(network, config)` or a `Model`.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; None as in `Model.load`.
        activation: Instead of the network's own: `clamp`, `normalised_relu` or `sigmoid`.
        largest_component: Keep one cord, end it where slices no longer show it, and fill its gaps
            of up to 5 mm.
        keep: Keep all that the network saw, also where no cord is likely.
        tta: Average over mirrored and shifted variants.
        uncertainty: Also the standard deviation over these variants.

    Returns:
        The mask, its values linear in the part of each voxel that is cord, with what is uncertain.

    Raises:
        InputError: If the weights or the device cannot be had, or their card cannot be read.
    """
    model = Model.load(weights, device=device)
    prepared = prepare(image, model.config)
    kind = activation or model.config.activation
    variants = VARIANTS if tta or uncertainty else VARIANTS[:1]
    predict = _predict_2d if model.config.dimension == 2 else _predict_3d
    with model.running() as network:
        box, predictions = predict(network, model.config, prepared, kind, variants)
    soft = np.mean(predictions, axis=0) if tta else predictions[0]
    result = _clean(prepared, box, model.calibrated(soft), model, largest_component, keep)
    if not uncertainty:
        return result
    spread = np.std([model.calibrated(each) for each in predictions], axis=0)
    return replace(result, uncertainty=prepared.pasted(spread, box))


class SeenMask(NamedTuple):
    """A mask with nothing withheld, and what it lies on.

    Attributes:
        box: The part of the image that the arrays cover.
        soft: `(x, y, Z)` soft values of the cord's component.
        image: The same shape, normalised intensities.
        features: Of the slices (`softseg.segmentation.slice_features`).
    """

    box: tuple[slice, slice]
    soft: np.ndarray
    image: np.ndarray
    features: dict[str, np.ndarray]


def seen_mask(prepared: Prepared, model: Model, *, centres: np.ndarray | None = None) -> SeenMask:
    """What presence, quality and the cord's end are learnt from.

    Args:
        prepared: The image.
        model: A network of two dimensions where `centres` are given.
        centres: `(Z, 2)` working voxels about which windows are laid, instead of the cord's search.
    """
    about = {} if centres is None else {"centres": centres}
    predict = _predict_2d if model.config.dimension == 2 else _predict_3d
    with model.running() as network:
        box, (soft,) = predict(
            network, model.config, prepared, model.config.activation, VARIANTS[:1], **about
        )
    spacing = prepared.image.spacing_mm
    one = largest_component(_positive(model.calibrated(soft)), spacing)
    image = prepared.scale.apply(prepared.image.data[box])
    features = slice_features(one, image, spacing, air=prepared.scale.normal_air)
    return SeenMask(box, one, image, features)


VARIANTS: tuple[tuple[bool, int], ...] = ((False, 0), (True, 0), (False, 3), (True, -3))
"""Mirrored left to right or not, and by how many working voxels the windows are moved."""
Box = tuple[slice, slice]
"""The part of an image along X and Y, in working orientation, outside of which there is no mask."""


def _predict_2d(
    network: Network,
    config: NetworkConfig,
    prepared: Prepared,
    kind: str,
    variants: tuple[tuple[bool, int], ...],
    centres: np.ndarray | None = None,
) -> tuple[Box, list[np.ndarray]]:
    """Find the cord on some whole slices, then segment windows around it on all slices."""

    def predict(windows: np.ndarray) -> np.ndarray:
        return soft_values(predict_slices(network, windows), kind)

    shape, size = np.array(prepared.grid.shape), np.array(config.patch_size)
    slices = np.arange(shape[2])
    if centres is None and (shape[:2] <= size).all():
        centres = np.tile((shape[:2] - 1) / 2.0, (len(slices), 1))
    elif centres is None:
        centres = find_cord(predict, config, prepared)
    if np.isnan(centres).any():
        nothing = np.zeros((1, 1, shape[2]), np.float32)
        return (slice(0, 1), slice(0, 1)), [nothing] * len(variants)
    moved = [window_starts(centres + shift, shape[:2], size) for _, shift in variants]
    box = prepared.box(np.concatenate(moved), size)
    predictions = []
    for (mirrored, _), starts in zip(variants, moved, strict=True):
        windows = prepared.windows(slices, starts, size)
        soft = predict(windows[:, ::-1] if mirrored else windows)
        soft = soft[:, ::-1] if mirrored else soft
        predictions.append(prepared.restore_windows(soft, slices, starts, box))
    return box, predictions


def _predict_3d(
    network: Network,
    config: NetworkConfig,
    prepared: Prepared,
    kind: str,
    variants: tuple[tuple[bool, int], ...],
) -> tuple[Box, list[np.ndarray]]:
    predictions = []
    for mirrored, shift in variants:
        image = np.pad(prepared.data, [(abs(shift), 0), (abs(shift), 0), (0, 0)], mode="edge")
        raw = predict_volume(network, image[::-1] if mirrored else image, config.patch_size)
        raw = (raw[::-1] if mirrored else raw)[abs(shift) :, abs(shift) :]
        predictions.append(prepared.restore(soft_values(raw, kind)))
    return (slice(None), slice(None)), predictions


def _clean(
    prepared: Prepared, box: Box, soft: np.ndarray, model: Model, keep_one: bool, keep: bool
) -> Segmentation:
    soft = _positive(soft)
    spacing = prepared.image.spacing_mm
    one = largest_component(soft, spacing)
    found = _examined(prepared, box, one, model)
    likely, reasons = found.presence >= found.threshold, found.reasons
    kept = cord_slices(found.slice_presence)
    if keep:
        beyond = np.flatnonzero(~kept & one.any(axis=(0, 1)))
        reasons = dict.fromkeys(beyond.tolist(), "perhaps no cord") | reasons
    if not (likely or keep):
        soft = np.zeros_like(soft)
    elif keep_one:
        soft = fill_gaps(np.where(keep | kept, one, np.float32(0)), spacing)
    there = bool(soft.any())
    return Segmentation(
        prepared.pasted(soft, box),
        there,
        likely,
        found.presence,
        found.quality,
        found.area_error,
        found.edge,
        max(spacing[:2]),
        found.ended if keep_one and not keep else (),
        reasons if there else {},
    )


def _positive(soft: np.ndarray) -> np.ndarray:
    return np.where(soft < NEGLIGIBLE, 0, soft).astype(np.float32, copy=False)


def _examined(prepared: Prepared, box: Box, one: np.ndarray, model: Model) -> Findings:
    image = prepared.scale.apply(prepared.image.data[box])
    ends = zip(box, prepared.image.data.shape, strict=False)
    cut = [end for side, n in ends for end in (not side.start, side.stop in (None, n))]
    spacing = prepared.image.spacing_mm
    air = prepared.scale.normal_air
    return examine(one, image, spacing, air=air, card=model.card, cut=tuple(cut))
