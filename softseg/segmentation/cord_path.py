"""The path that joins most of what a network saw of the cord, on maps of cells of about 2 mm."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

CELL_MM = 2.0
CORD_MM = 10.0
"""Predictions are averaged over a square of this side, about what a cord fills."""
SIDE = round(CORD_MM / CELL_MM)
"""The same in cells."""
STEEPEST = 1.2
"""Millimetres that a cord may move in the slice per millimetre along the body."""
FURTHEST_MOVE = 10
"""Cells that it may move from one slice to the next, however far they are apart."""
BEND_COST = 0.02
"""What a move of one cell costs, where a slice full of cord gains about 0.5."""
SEEN = 0.15
"""Mean over the square from which on a slice says where the cord is: real cords fill 0.34 to 0.8 of
it."""
SMOOTH_MM = 12.0
"""The path is smoothed over this standard deviation along the body."""


@dataclass(frozen=True, eq=False)
class CellMap:
    """Soft values of some slices, averaged over the cells of a square net.

    Attributes:
        values: `(N, X, Y)` in [0, 1].
        start_mm: `(2,)` where the first cell begins.
        cell_mm: `(2,)` size of a cell.
    """

    values: np.ndarray
    start_mm: np.ndarray
    cell_mm: np.ndarray

    def like(self, values: np.ndarray) -> "CellMap":
        """Other values on the same net."""
        return CellMap(values, self.start_mm, self.cell_mm)

    def centre_mm(self, cell: np.ndarray) -> np.ndarray:
        """Where the middle of a cell lies; fractions of a cell count."""
        return self.start_mm + (np.asarray(cell) + 0.5) * self.cell_mm


def cell_means(
    probability: np.ndarray, spacing_mm: tuple[float, float] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`(N, X, Y)` means over cells of about `CELL_MM`, and `(2,)` voxels per cell."""
    size = np.maximum(1, np.round(CELL_MM / np.array(spacing_mm))).astype(int)
    count = -(-np.array(probability.shape[1:]) // size)
    missing = count * size - probability.shape[1:]
    padded = np.pad(probability, [(0, 0), (0, missing[0]), (0, missing[1])])
    blocks = padded.reshape(len(probability), count[0], size[0], count[1], size[1])
    return blocks.mean(axis=(2, 4)), size


def track(seen: CellMap, step_mm: float, *, trusted: CellMap | None = None) -> np.ndarray:
    """The smooth path through the slices that meets most of the predicted cord.

    False positives far from the cord are brighter on a slice here and there, but no path joins
    them: the path that gains most over all slices together is found exactly, by dynamic
    programming (Gros et al. 2018, doi:10.1016/j.media.2017.12.001, solve the same problem by a
    curve of minimal cost).

    Args:
        seen: The map of equally spaced slices.
        step_mm: Distance between the slices.
        trusted: What the path follows, as `confirmed` gives it; `seen` by default. Centres are
            always those of `seen`.

    Returns:
        `(N, 2)` millimetres of the cord's centre, nan where the slice has no prediction near the
        path.

    Example:
        >>> probability = np.zeros((5, 40, 40))
        >>> probability[:, 8:16, 20:28] = 1.0
        >>> probability[2, 30:38, 2:10] = 1.0
        >>> seen = CellMap(probability, np.zeros(2), np.full(2, 2.0))
        >>> track(seen, 5.0).round().tolist()[2]
        [24.0, 48.0]
    """
    centres = np.full((len(seen.values), 2), np.nan)
    gain = square_means((trusted or seen).values, SIDE)
    filled = [np.flatnonzero(gain.any(axis=axes)) for axes in ((0, 2), (0, 1))]
    if not filled[0].size:
        return centres
    low = np.array([places[0] for places in filled])
    part = tuple(slice(places[0], places[-1] + 1) for places in filled)
    reach = min(max(1, round(STEEPEST * step_mm / CELL_MM)), FURTHEST_MOVE)
    path = _best_path(gain[:, *part], reach) + low
    for index, cell in enumerate(path):
        if gain[index, *cell] < SEEN:
            continue
        corner = np.maximum(0, cell - SIDE)
        near = tuple(slice(a, b) for a, b in zip(corner, cell + SIDE + 1, strict=True))
        inside = ndimage.center_of_mass(seen.values[index, *near] ** 2)
        centres[index] = seen.centre_mm(corner + inside)
    return centres


def smoothed(centres: np.ndarray, step_mm: float) -> np.ndarray:
    """Centres on the straight lines that fit best within about `SMOOTH_MM` to either side.

    A window that is moved by a slice's own noise shows the network another picture of the cord.

    Args:
        centres: `(N, 2)` of equally spaced slices, nan where unknown, which stays so.
        step_mm: Distance between the slices.

    Example:
        >>> line = np.arange(9.0)[:, None] * (1.0, -0.5)
        >>> bool(np.allclose(smoothed(line, 5.0), line))
        True
    """
    known = np.flatnonzero(np.isfinite(centres[:, 0]))
    result = centres.copy()
    for index in known:
        away = (known - index) * step_mm
        weight = np.exp(-0.5 * (away / SMOOTH_MM) ** 2)
        design = np.stack([np.ones(len(known)), away], axis=1) * weight[:, None]
        values = centres[known] * weight[:, None]
        result[index] = np.linalg.lstsq(design, values, rcond=None)[0][0]
    return result


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


def square_means(cells: np.ndarray, side: int) -> np.ndarray:
    """Means over a square of so many cells about each; beyond the image there is nothing."""
    return ndimage.uniform_filter(cells, size=(0, side, side), mode="constant")


def _best_path(gain: np.ndarray, reach: int) -> np.ndarray:
    """`(N, 2)` cells that maximise the summed gain less the cost of moving; moves up to `reach`."""
    moves = np.stack(np.mgrid[-reach : reach + 1, -reach : reach + 1], axis=-1).reshape(-1, 2)
    moves = moves[np.hypot(*moves.T) <= reach]
    cost = (BEND_COST * np.hypot(*moves.T)).astype(np.float32)
    width, height = gain.shape[1:]
    best = np.pad(gain.astype(np.float32), [(0, 0)] + [(reach, reach)] * 2, constant_values=-np.inf)
    inner = best[:, reach : reach + width, reach : reach + height]
    for before, here, later in zip(best[:-1], inner[1:], gain[1:], strict=True):
        arrived = np.full((width, height), -np.inf, np.float32)
        for (dx, dy), price in zip(moves + reach, cost, strict=True):
            np.maximum(arrived, before[dx : dx + width, dy : dy + height] - price, out=arrived)
        here[:] = later + arrived
    path = [np.array(np.unravel_index(inner[-1].argmax(), (width, height)))]
    for before in best[-2::-1]:
        x, y = (path[-1] + reach + moves).T
        path.append(path[-1] + moves[(before[x, y] - cost).argmax()])
    return np.array(path[::-1])
