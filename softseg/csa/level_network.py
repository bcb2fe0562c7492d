"""How much each place along a straightened picture looks like a disc: a small network in NumPy.

It was trained on straightened pictures of digital necks and lumbar spines in random contrasts
(`notebooks/train_levels.py`); no real image was used.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from safetensors.numpy import load

from softseg.csa.picture_layers import convolved, prepared, rectified
from softseg.csa.straighten import BEHIND_MM, STEP_MM, Band

KINDS = ("disc", "top_of_c1", "c1_c2", "c2_c3")
"""What the network tells apart: any disc from C2-C3 down, and the three that only the top has."""
ROW_MM = 2 * STEP_MM
"""Distance between the network's answers."""
DILATIONS = (1, 2, 4, 8, 1)
_EDGE_MM = 8.0
"""About so far before the centreline lie the discs' posterior points."""
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


def forward(picture: np.ndarray, layers: dict[str, np.ndarray]) -> np.ndarray:
    """The network: across the picture first, then along it.

    Args:
        picture: `(3, S, V)`.
        layers: Weights and biases by name.

    Returns:
        `(len(KINDS) + 1, S / 2)`: log odds of each kind, and the distance before the centreline.
    """

    def layer(x: np.ndarray, name: str, **how) -> np.ndarray:
        return convolved(x, layers[f"{name}.weight"], layers[f"{name}.bias"], **how)

    x = rectified(layer(picture, "first", stride=(1, 2)))
    x = rectified(layer(x, "second", stride=(2, 2)))
    fine = rectified(layer(x, "third"))  # (C, S / 2, V / 4)
    x = rectified(layer(fine, "fourth", stride=(2, 2)))
    x = rectified(layer(x, "fifth"))  # (C, S / 4, V / 8)
    x = rectified(layer(x, "across"))  # (C, S / 4, 1)
    for number, dilation in enumerate(DILATIONS):
        x = x + rectified(layer(x, f"along{number}", dilation=dilation))
    x = np.concatenate([np.repeat(x, 2, axis=1), rectified(layer(fine, "fine"))])
    return layer(rectified(layer(x, "joined")), "last")[:, :, 0]


@cache
def _layers() -> dict[str, np.ndarray]:
    stored = load(files("softseg").joinpath("data/level_network.safetensors").read_bytes())
    return {name: values.astype(np.float32) for name, values in stored.items()}
