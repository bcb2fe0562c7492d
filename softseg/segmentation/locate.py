"""Where the cord runs, from a network's answer on a few whole slices."""

import numpy as np
from scipy import ndimage

CELL_MM = 2.0
CORD_MM = 10.0
"""Answers are collected over a square of this side, about what a cord fills."""
STEEPEST = 1.2
"""Millimetres that a cord may move in the slice per millimetre along the body."""
BEND_COST = 0.02
"""What a move of one cell costs, where a slice full of cord gains about 0.5."""
SEEN = 0.05
"""Share of the square that must answer before a slice says where the cord is."""


def track(heat: np.ndarray, spacing_mm: tuple[float, float], step_mm: float) -> np.ndarray:
    """The smooth path through the slices that meets most of the answer.

    False answers far from the cord are brighter on a slice here and there, but no path joins
    them: the path that gains most over all slices together is found exactly, by dynamic
    programming (Gros et al. 2018, doi:10.1016/j.media.2017.12.001, solve the same problem by a
    curve of minimal cost).

    Args:
        heat: `(N, X, Y)`, soft values of equally spaced slices.
        spacing_mm: Voxel size in the slices.
        step_mm: Distance between the slices.

    Returns:
        `(N, 2)` voxel coordinates of the cord's centre, nan where the slice has no answer near
        the path.

    Example:
        >>> heat = np.zeros((5, 40, 40))
        >>> heat[:, 8:16, 20:28] = 1.0
        >>> heat[2, 30:38, 2:10] = 1.0
        >>> track(heat, (1.0, 1.0), 5.0).round().tolist()[2]
        [12.0, 24.0]
    """
    cells, size = _cells(heat, spacing_mm)
    side = max(1, round(CORD_MM / CELL_MM))
    gain = ndimage.uniform_filter(cells, size=(0, side, side), mode="constant")
    path = _best_path(gain, max(1, round(STEEPEST * step_mm / CELL_MM)))
    centres = np.full((len(heat), 2), np.nan)
    for index, (x, y) in enumerate(path):
        if gain[index, x, y] < SEEN:
            continue
        low = np.maximum(0, np.array([x - side, y - side])) * size
        high = np.array([x + side + 1, y + side + 1]) * size
        near = heat[index, low[0] : high[0], low[1] : high[1]]
        centres[index] = low + ndimage.center_of_mass(near**2)
    return centres


def interpolate(centres: np.ndarray, slices: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Centres of all slices from those of some, straight between them and level beyond.

    Args:
        centres: `(N, 2)`, nan where unknown.
        slices: `(N,)` their positions.
        wanted: `(M,)` positions asked for.

    Returns:
        `(M, 2)`; nan everywhere if no centre is known.
    """
    known = np.isfinite(centres[:, 0])
    if not known.any():
        return np.full((len(wanted), 2), np.nan)
    return np.stack(
        [np.interp(wanted, slices[known], centres[known, axis]) for axis in range(2)], axis=1
    )


def _cells(heat: np.ndarray, spacing_mm: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Means over cells of about `CELL_MM`, and voxels per cell."""
    size = np.maximum(1, np.round(CELL_MM / np.array(spacing_mm))).astype(int)
    count = -(-np.array(heat.shape[1:]) // size)
    missing = count * size - heat.shape[1:]
    padded = np.pad(heat, [(0, 0), (0, missing[0]), (0, missing[1])])
    blocks = padded.reshape(len(heat), count[0], size[0], count[1], size[1])
    return blocks.mean(axis=(2, 4)), size


def _best_path(gain: np.ndarray, reach: int) -> np.ndarray:
    """`(N, 2)` cells that maximise the summed gain less the cost of moving; moves up to `reach`."""
    moves = np.stack(np.mgrid[-reach : reach + 1, -reach : reach + 1], axis=-1).reshape(-1, 2)
    moves = moves[np.hypot(*moves.T) <= reach]
    cost = BEND_COST * np.hypot(*moves.T)
    best, choices = gain[0], []
    for later in gain[1:]:
        padded = np.pad(best, reach, constant_values=-np.inf)
        arrivals = np.stack(
            [
                padded[
                    reach + dx : reach + dx + best.shape[0], reach + dy : reach + dy + best.shape[1]
                ]
                - price
                for (dx, dy), price in zip(moves, cost, strict=True)
            ]
        )
        choices.append(arrivals.argmax(axis=0))
        best = later + arrivals.max(axis=0)
    path = [np.array(np.unravel_index(best.argmax(), best.shape))]
    for choice in reversed(choices):
        path.append(path[-1] + moves[choice[tuple(path[-1])]])
    return np.array(path[::-1])
