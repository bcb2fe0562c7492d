"""Scans that are repeated: diffusion directions and the volumes of a functional run."""

from dataclasses import dataclass, replace

import numpy as np

from softseg.phantom.protocols import Protocol
from softseg.volume import Grid

UNWEIGHTED, DIRECTIONS = 3, 15
"""Volumes of a diffusion series without and with weighting."""
FUNCTIONAL = 12
"""Volumes of a functional series."""
_PHYSIOLOGY = 0.01


@dataclass(frozen=True, eq=False)
class Series:
    """A four-dimensional scan as the scanner stores it, before any averaging.

    Attributes:
        data: `(X, Y, Z, V)` whole numbers.
        b_values: `(V,)` in s/mm², or None where nothing diffuses.
        directions: `(V, 3)` unit vectors along the array axes, 0 without weighting, or None.
    """

    data: np.ndarray
    b_values: np.ndarray | None = None
    directions: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Shots:
    """The volumes that one contrast is made of.

    Attributes:
        protocols: One for each volume.
        averaged: `(V,)` which volumes the final image is the mean of.
        b_values, directions: As in `Series`.
    """

    protocols: tuple[Protocol, ...]
    averaged: np.ndarray
    b_values: np.ndarray | None = None
    directions: np.ndarray | None = None


def single(protocol: Protocol) -> Shots:
    """One volume, already averaged by the scanner."""
    return Shots((protocol,), np.ones(1, bool))


def repeated(contrast: str, protocol: Protocol) -> Shots:
    """The volumes behind a contrast's mean: diffusion directions or moments of a functional run.

    Each is noisier than the mean by the square root of their number. Contrasts that are not
    repeated give one volume.

    Example:
        >>> from softseg.phantom.protocols import get_protocol
        >>> len(repeated("DWI", get_protocol("DWI")).protocols)
        18
    """
    if contrast == "EPI":
        loud = replace(protocol, noise=protocol.noise * np.sqrt(FUNCTIONAL))
        return Shots((loud,) * FUNCTIONAL, np.ones(FUNCTIONAL, bool))
    if contrast != "DWI":
        return single(protocol)
    loud = replace(protocol, noise=protocol.noise * np.sqrt(DIRECTIONS))
    plain = replace(loud, b_value=0.0)
    spread = _spread_directions(DIRECTIONS)
    weighted = [replace(loud, fibre_cosine=float(abs(z))) for z in spread[:, 2]]
    return Shots(
        (plain,) * UNWEIGHTED + tuple(weighted),
        np.arange(UNWEIGHTED + DIRECTIONS) >= UNWEIGHTED,
        np.array([0.0] * UNWEIGHTED + [protocol.b_value] * DIRECTIONS),
        np.concatenate([np.zeros((UNWEIGHTED, 3)), spread]),
    )


def _spread_directions(count: int) -> np.ndarray:
    """`(count, 3)` unit vectors spread evenly over a half sphere, on a golden spiral."""
    z = (np.arange(count) + 0.5) / count
    angle = np.arange(count) * np.pi * (3 - np.sqrt(5))
    side = np.sqrt(1 - z**2)
    return np.stack([side * np.cos(angle), side * np.sin(angle), z], axis=1)


def unsteady(
    shots: Shots, grid: Grid, jitter_mm: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """How each volume is displaced along Y and brightened: people breathe, swallow and drift.

    Returns:
        `(V, X, 1, Z)` displacement in voxels and `(V, 1, 1, 1, 1)` factors, 0 and 1 for one volume.
    """
    count = len(shots.protocols)
    shape = (count, grid.shape[0], 1, grid.shape[2])
    if count == 1:
        return np.zeros(shape, np.float32), np.ones((1, 1, 1, 1, 1), np.float32)
    drift = np.cumsum(rng.standard_normal(count)) / np.sqrt(count)
    beats = rng.standard_normal((count, 1, 1, grid.shape[2])) + drift[:, None, None, None]
    shift = np.broadcast_to(jitter_mm * beats / grid.spacing_mm[1], shape)
    factor = 1 + _PHYSIOLOGY * rng.standard_normal((count, 1, 1, 1, 1))
    return shift.astype(np.float32), factor.astype(np.float32)
