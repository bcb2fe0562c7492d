"""How much each place along a straightened picture looks like a disc: a small network in NumPy.

It was trained on straightened pictures of digital necks and lumbar spines in random contrasts
(`notebooks/train_levels.py`); no real image was used.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from safetensors.numpy import load
from scipy import ndimage

from softseg.csa.straighten import BEHIND_MM, STEP_MM, Band

KINDS = ("disc", "top_of_c1", "c1_c2", "c2_c3")
"""What the network tells apart: any disc from C2-C3 down, and the three that only the top has."""
ROW_MM = 2 * STEP_MM
"""Distance between the network's answers."""
DILATIONS = (1, 2, 4, 8, 1)
_ROWS = 4
"""The network halves the number of rows twice."""
_NEAR_MM = 8.0
_EDGE_MM = 8.0
"""About so far before the centreline lie the discs' posterior points."""
_BRIGHTEST = 4.0
BEFORE_UNIT_MM = 10.0
"""The distance of a disc's posterior point from the centreline is learnt in these."""
LARGEST_LOGIT = 8.0
_TURNED = (0.2, -0.2)
"""Slopes by which vertebrae are turned about the posterior points of their discs in two views."""


@dataclass(frozen=True, eq=False)
class DiscHeat:
    """What the network saw, a row for each of the picture's.

    Attributes:
        logits: `(S, len(KINDS))` log odds of each kind being there; 0 where there is no image.
        before_mm: `(S,)` how far before the centreline a disc's posterior point lies.
        shown: `(S,)` whether the image shows where a disc would be.
    """

    logits: np.ndarray
    before_mm: np.ndarray
    shown: np.ndarray


def disc_heat(band: Band) -> DiscHeat:
    """Run the network over a picture, with black and white exchanged, and turned either way.

    The mean of these views is taken: what only one of them shows is not sure.
    """
    rows = len(band.values)
    layers = _layers()
    views = [band.values, -band.values, *(_turned(band.values, slope) for slope in _TURNED)]
    out = np.mean([forward(prepared(view), layers) for view in views], axis=0)  # (…, rows / 2)
    at = (np.arange(rows) - 0.5) / 2  # an answer stands for two rows
    fine = np.stack([np.interp(at, np.arange(out.shape[1]), row) for row in out], axis=1)
    shown = is_shown(band.values)
    logits = np.clip(fine[:, :-1], -LARGEST_LOGIT, LARGEST_LOGIT) * shown[:, None]
    return DiscHeat(logits, fine[:, -1] * BEFORE_UNIT_MM, shown)


def _turned(values: np.ndarray, slope: float) -> np.ndarray:
    """A picture whose vertebrae are turned by a slope."""
    rows = np.arange(len(values))
    lean = leaning_mm(np.arange(values.shape[1]) * STEP_MM - BEHIND_MM) / STEP_MM
    columns = zip(lean, values.T, strict=True)
    turned = [np.interp(rows + slope * far, rows, one, np.nan, np.nan) for far, one in columns]
    return np.stack(turned, axis=1)


def leaning_mm(before_mm: np.ndarray) -> np.ndarray:
    """How far places move up per unit of slope: before the discs' posterior points, about
    which vertebrae turn, more than behind them.

    Args:
        before_mm: Distance before the centreline.
    """
    lean = np.maximum(before_mm, -15) - _EDGE_MM
    return np.where(before_mm > _EDGE_MM, lean, 0.3 * lean)


def is_shown(values: np.ndarray) -> np.ndarray:
    """`(S,)` whether a picture shows most of what lies 8 to 20 mm before the centreline."""
    first, last = (round((BEHIND_MM + mm) / STEP_MM) for mm in (8, 20))
    return np.isfinite(values[:, first:last]).mean(axis=1) > 0.6


def prepared(values: np.ndarray) -> np.ndarray:
    """Three pictures for the network: of usual brightness, evened out, and where the image is.

    Args:
        values: `(S, V)`, NaN outside the image.

    Returns:
        `(3, S, V)` float32, the rows filled up to a multiple of four.
    """
    values = np.pad(values, ((0, -len(values) % _ROWS), (0, 0)), constant_values=np.nan)
    inside = np.isfinite(values)
    if not inside.any():
        return np.zeros((3, *values.shape), np.float32)
    low, high = np.percentile(values[inside], (1, 99))
    clipped = np.clip(np.where(inside, values, 0), low, high)
    mean, spread = clipped[inside].mean(), clipped[inside].std()
    usual = np.where(inside, (clipped - mean) / max(float(spread), 1e-6), 0)
    share = np.maximum(_around(inside.astype(np.float32)), 1e-3)
    middle = _around(usual) / share
    varies = np.sqrt(np.maximum(_around(usual**2) / share - middle**2, 0)) + 0.05
    even = np.where(inside, (usual - middle) / varies, 0)
    pictures = np.stack([usual, even, inside]).astype(np.float32)
    return np.clip(pictures, -_BRIGHTEST, _BRIGHTEST)


def _around(picture: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(picture.astype(np.float32), _NEAR_MM / STEP_MM, truncate=2.5)


def forward(picture: np.ndarray, layers: dict[str, np.ndarray]) -> np.ndarray:
    """The network: across the picture first, then along it.

    Args:
        picture: `(3, S, V)`.
        layers: Weights and biases by name.

    Returns:
        `(len(KINDS) + 1, S / 2)`: log odds of each kind, and the distance before the centreline.
    """

    def layer(x: np.ndarray, name: str, **how) -> np.ndarray:
        return _convolved(x, layers[f"{name}.weight"], layers[f"{name}.bias"], **how)

    x = _rectified(layer(picture, "first", stride=(1, 2)))
    x = _rectified(layer(x, "second", stride=(2, 2)))
    fine = _rectified(layer(x, "third"))  # (C, S / 2, V / 4)
    x = _rectified(layer(fine, "fourth", stride=(2, 2)))
    x = _rectified(layer(x, "fifth"))  # (C, S / 4, V / 8)
    x = _rectified(layer(x, "across"))  # (C, S / 4, 1)
    for number, dilation in enumerate(DILATIONS):
        x = x + _rectified(layer(x, f"along{number}", dilation=dilation))
    x = np.concatenate([np.repeat(x, 2, axis=1), _rectified(layer(fine, "fine"))])
    return layer(_rectified(layer(x, "joined")), "last")[:, :, 0]


def _rectified(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def _convolved(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    stride: tuple[int, int] = (1, 1),
    dilation: int = 1,
) -> np.ndarray:
    """Convolution of `(C, S, V)`: kernels of three keep the size, wider ones take the width."""
    _, _, tall, wide = weight.shape
    across = 1 if wide == 3 else 0
    x = np.pad(x, ((0, 0), (dilation * (tall // 2),) * 2, (across, across)))
    rows = (x.shape[1] - dilation * (tall - 1) - 1) // stride[0] + 1
    columns = (x.shape[2] - wide) // stride[1] + 1
    out = np.zeros((len(weight), rows, columns), np.float32) + bias[:, None, None]
    for i in range(tall):
        for j in range(wide):
            part = x[:, i * dilation :: stride[0], j :: stride[1]][:, :rows, :columns]
            out += np.tensordot(weight[:, :, i, j], part, axes=1)
    return out


@cache
def _layers() -> dict[str, np.ndarray]:
    stored = load(files("softseg").joinpath("data/level_network.safetensors").read_bytes())
    return {name: values.astype(np.float32) for name, values in stored.items()}
