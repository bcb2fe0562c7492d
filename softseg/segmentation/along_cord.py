"""The image and the mask straightened along the mask: what tells where a cord ends.

A slice alone cannot tell the cord's tip from the roots in the sac below it; how the section changes
over centimetres can. Two small networks in NumPy look along two pictures of the mask's
surroundings. They were trained on masks of digital spines in random contrasts and of pictures of
other things (`notebooks/train_presence.py`); no real image was used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from safetensors.numpy import load
from scipy import ndimage

from softseg.csa.picture_layers import ROWS, convolved, prepared, rectified
from softseg.segmentation.cord_path import interpolate, smoothed
from softseg.segmentation.slice_features import FEATURES
from softseg.volume import Spacing

STEP_MM = 1.0
"""Distance between the pictures' points, along the cord and across."""
SIDE_MM = 20.0
"""How far they reach to either side of the mask's centre."""
BEYOND_MM = 30.0
"""How far they go on beyond the mask's ends."""
DILATIONS = (1, 2, 4, 8, 1)
MARGIN, LARGEST, EVIDENCE_MM = 2.0, 4.0, 60.0
"""A slice speaks against the cord from log odds of minus the first on, at most as much as the
second; the mask is cut where that sums to the third over the millimetres below."""
SPARE_MM = 8.0
"""What is kept below the place where most speaks against the cord: some sac does less harm than a
cone cut off."""
WINDOW_MM = 30.0
"""Over which length log odds are averaged where it is asked whether there is a cord at all."""
_SLAB_MM = (-1.0, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Pictures:
    """A sagittal and a coronal picture along a mask, a row a millimetre, from below.

    Attributes:
        image: `(2, S, V)` normalised intensities, NaN outside the image.
        soft: `(2, S, V)` the mask there.
        features: `(F, S)` of `slice_features`, NaN where there is no mask.
        rows: `(Z,)` the row of each slice, a fraction; may lie outside.
    """

    image: np.ndarray
    soft: np.ndarray
    features: np.ndarray
    rows: np.ndarray


def pictures(
    soft: np.ndarray, image: np.ndarray, spacing_mm: Spacing, features: Mapping[str, np.ndarray]
) -> Pictures | None:
    """Straighten a mask and its image slice by slice; None where there is no mask.

    Args:
        soft: `(X, Y, Z)` in working orientation, one component, values in [0, 1].
        image: The same shape, normalised intensities.
        spacing_mm: Voxel size.
        features: Of the slices.
    """
    seen = np.isfinite(features["sure"])
    if not seen.any():
        return None
    spacing = np.array(spacing_mm)
    filled = np.flatnonzero(seen)
    centres = np.full((soft.shape[2], 2), np.nan)
    for z in filled:
        centres[z] = ndimage.center_of_mass(soft[:, :, z].astype(np.float64))
    slices = np.arange(soft.shape[2])
    centres = interpolate(smoothed(centres * spacing[:2], spacing[2]), slices, slices)
    low = max(filled[0] * spacing[2] - BEYOND_MM, 0)
    high = min(filled[-1] * spacing[2] + BEYOND_MM, (soft.shape[2] - 1) * spacing[2])
    at_mm = np.arange(low, high + STEP_MM / 2, STEP_MM)
    centre = np.stack([np.interp(at_mm, slices * spacing[2], c) for c in centres.T])  # (2, S)
    away = np.arange(-SIDE_MM, SIDE_MM, STEP_MM) + STEP_MM / 2
    found = []
    for across in (1, 0):
        places = np.empty((3, len(_SLAB_MM), len(at_mm), len(away)))
        places[across] = centre[across][:, None] + away
        places[1 - across] = centre[1 - across][:, None] + np.array(_SLAB_MM)[:, None, None]
        places[2] = at_mm[:, None]
        places /= spacing[:, None, None, None]
        inside = ((places[:2] > -0.5) & (places[:2] < _ends(soft))).all(axis=0).all(axis=0)
        one, two = (
            ndimage.map_coordinates(values, places, order=1, mode="nearest").mean(axis=0)
            for values in (image.astype(np.float32, copy=False), soft.astype(np.float32))
        )
        found.append((np.where(inside, one, np.nan), np.where(inside, two, 0)))
    at = at_mm / spacing[2]
    nearest = np.clip(np.round(at).astype(int), 0, len(slices) - 1)
    table = np.stack([features[name][nearest] for name in FEATURES])
    rows = (slices * spacing[2] - low) / STEP_MM
    sides = [np.stack(pair).astype(np.float32) for pair in zip(*found, strict=True)]
    return Pictures(*sides, table.astype(np.float32), rows)


def _ends(soft: np.ndarray) -> np.ndarray:
    return (np.array(soft.shape[:2]) - 0.5)[:, None, None, None]


def channels(found: Pictures, layers: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What the network takes: `(2, 4, S, V)` of both pictures, and `(F + 1, S)` of the slices.

    Rows are filled up to a multiple of four.
    """
    sides = np.stack([prepared(one) for one in found.image])
    more = sides.shape[2] - found.soft.shape[1]
    soft = np.pad(found.soft, ((0, 0), (0, more), (0, 0)))
    table = np.pad(found.features, ((0, 0), (0, more)), constant_values=np.nan)
    seen = np.isfinite(table[:1])
    standard = (table - layers["centre"][:, None]) / layers["scale"][:, None]
    table = np.concatenate([np.clip(np.where(np.isfinite(table), standard, 0), -4, 4), seen])
    return np.concatenate([sides, soft[:, None]], axis=1), table.astype(np.float32)


def forward(sides: np.ndarray, table: np.ndarray, layers: Mapping[str, np.ndarray]) -> np.ndarray:
    """The network: across the pictures first, then along the cord.

    Args:
        sides: `(2, 4, S, V)`.
        table: `(F + 1, S)`.
        layers: Weights and biases by name.

    Returns:
        `(S / 4,)` log odds that the cord is there.
    """

    def layer(x: np.ndarray, name: str, **how) -> np.ndarray:
        return rectified(convolved(x, layers[f"{name}.weight"], layers[f"{name}.bias"], **how))

    parts = []
    for name, x in zip(("sagittal", "coronal"), sides, strict=True):
        x = layer(x, f"{name}1", stride=(1, 2))
        x = layer(x, f"{name}2", stride=(2, 2))
        x = layer(x, f"{name}3", stride=(2, 2))
        parts.append(layer(x, f"{name}4"))  # (C, S / 4, 1)
    x = layer(table[..., None], "table1", stride=(2, 1))
    parts.append(layer(x, "table2", stride=(2, 1)))
    x = layer(np.concatenate(parts), "joined")
    for number, dilation in enumerate(DILATIONS):
        x = x + layer(x, f"along{number}", dilation=dilation)
    return convolved(x, layers["last.weight"], layers["last.bias"])[0, :, 0]


def below_the_cord(
    soft: np.ndarray, image: np.ndarray, spacing_mm: Spacing, features: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, float]:
    """`(Z,)` true where a mask goes on below the cord's lower end, and how much it is like a cord.

    Arguments as of `pictures`, with some mask; the second are log odds, of what most looks like a
    cord, which is never cut.
    """
    masked, step_mm = np.isfinite(features["sure"]), spacing_mm[2]
    odds = log_odds(pictures(soft, image, spacing_mm, features), _networks())
    best, start = most_like_a_cord(odds, masked, step_mm)
    ended = below_the_end(odds, masked, step_mm) & (np.arange(len(masked)) < start)
    return ended, best


def log_odds(found: Pictures, networks: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """`(Z,)` mean log odds that a slice shows the cord; beyond the pictures those of their ends."""
    seen = np.mean([forward(*channels(found, layers), layers) for layers in networks], axis=0)
    at = (found.rows - (ROWS - 1) / 2) / ROWS  # an answer stands for four rows
    return np.interp(at, np.arange(len(seen)), seen)


def below_the_end(log_odds: np.ndarray, masked: np.ndarray, step_mm: float) -> np.ndarray:
    """`(Z,)` true some way below the slice up to which most speaks against the cord.

    A cord that has ended does not begin again further down, so that what speaks against it is
    summed from below. A slice does so only from log odds of `-MARGIN` on: a centimetre of cord
    that is taken away is worse than a centimetre of sac that is left.

    Args:
        log_odds: `(Z,)` that a slice shows the cord.
        masked: `(Z,)` where there is a mask.
        step_mm: Distance of slices.

    Example:
        >>> odds = np.array([-9.0, -9.0, -9.0, 3.0, -9.0, -9.0, 9.0, -9.0])
        >>> below_the_end(odds, np.ones(8, bool), 9.0).astype(int).tolist()
        [1, 1, 1, 1, 1, 0, 0, 0]
    """
    against = np.where(masked, np.clip(log_odds + MARGIN, -LARGEST, LARGEST), 0) * step_mm
    total = np.concatenate([[0.0], np.cumsum(against)])
    end = int(total.argmin())
    if total[end] >= -EVIDENCE_MM:
        return np.zeros(len(masked), bool)
    return np.arange(len(masked)) < end - round(SPARE_MM / step_mm)


def most_like_a_cord(log_odds: np.ndarray, masked: np.ndarray, step_mm: float) -> tuple[float, int]:
    """The largest mean of log odds over `WINDOW_MM` of a mask, or all of a shorter one, and where.

    Example:
        >>> odds = np.array([-9.0, 3.0, 5.0, 4.0, -9.0, 9.0])
        >>> most_like_a_cord(odds, np.ones(6, bool), 10.0)
        (4.0, 1)
    """
    slices = np.flatnonzero(masked)
    count = int(np.clip(round(WINDOW_MM / step_mm), 1, len(slices)))
    means = np.convolve(log_odds[slices], np.full(count, 1 / count), "valid")
    return float(means.max()), int(slices[means.argmax()])


@cache
def _networks() -> tuple[dict[str, np.ndarray], ...]:
    stored = load(files("softseg").joinpath("data/along_cord.safetensors").read_bytes())
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, values in stored.items():
        seed, layer = name.split("/")
        found.setdefault(seed, {})[layer] = values.astype(np.float32)
    return tuple(found.values())
