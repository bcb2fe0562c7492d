"""Where the cord runs, from a network's predictions on some whole slices and on windows of them."""

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

CELL_MM = 2.0
CORD_MM = 10.0
"""Predictions are averaged over a square of this side, about what a cord fills."""
SIDE = round(CORD_MM / CELL_MM)
"""The same in cells."""
STEEPEST = 1.2
"""Millimetres that a cord may move in the slice per millimetre along the body."""
BEND_COST = 0.02
"""What a move of one cell costs, where a slice full of cord gains about 0.5."""
SEEN = 0.15
"""Mean over the square from which on a slice says where the cord is: real cords fill 0.34 to 0.8 of
it."""
SURROUNDINGS = 3
"""Times as wide as the square is what a prediction has to stand out from."""
LOOKS = 6
"""At most so many windows of a slice are predicted again."""
CORE = 1 / 3
"""Part of a window, to each side of its centre, whose prediction counts: there a cord is seen
whole."""


def track(
    probability: np.ndarray,
    spacing_mm: tuple[float, float],
    step_mm: float,
    *,
    trusted: np.ndarray | None = None,
) -> np.ndarray:
    """The smooth path through the slices that meets most of the predicted cord.

    False positives far from the cord are brighter on a slice here and there, but no path joins
    them: the path that gains most over all slices together is found exactly, by dynamic
    programming (Gros et al. 2018, doi:10.1016/j.media.2017.12.001, solve the same problem by a
    curve of minimal cost).

    Args:
        probability: `(N, X, Y)`, the map of equally spaced slices.
        spacing_mm: Voxel size in the slices.
        step_mm: Distance between the slices.
        trusted: The part of `probability` that the path may follow, as `confirmed` gives it; all
            of it by default. Centres are always those of `probability`.

    Returns:
        `(N, 2)` voxel coordinates of the cord's centre, nan where the slice has no prediction near
        the path.

    Example:
        >>> probability = np.zeros((5, 40, 40))
        >>> probability[:, 8:16, 20:28] = 1.0
        >>> probability[2, 30:38, 2:10] = 1.0
        >>> track(probability, (1.0, 1.0), 5.0).round().tolist()[2]
        [12.0, 24.0]
    """
    cells, size = _cells(probability if trusted is None else trusted, spacing_mm)
    gain = _means(cells, SIDE)
    path = _best_path(gain, max(1, round(STEEPEST * step_mm / CELL_MM)))
    centres = np.full((len(probability), 2), np.nan)
    for index, (x, y) in enumerate(path):
        if gain[index, x, y] < SEEN:
            continue
        low = np.maximum(0, np.array([x - SIDE, y - SIDE])) * size
        high = np.array([x + SIDE + 1, y + SIDE + 1]) * size
        near = probability[index, low[0] : high[0], low[1] : high[1]]
        centres[index] = low + ndimage.center_of_mass(near**2)
    return centres


def candidate_windows(
    probability: np.ndarray, spacing_mm: tuple[float, float], window: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Windows to predict again: those about the strongest predictions of every slice.

    A network that has been trained on windows around the cord finds more in a whole slice of a
    large field than in a window, while the cord it finds in both.

    Args:
        probability: `(N, X, Y)`, the map of slices.
        spacing_mm: Voxel size in the slices.
        window: `(2,)` its voxels.

    Returns:
        `(M,)` slices, ascending, and `(M, 2)` voxels at the windows' centres, the strongest
        of a slice first and `LOOKS` at most; none where nothing is predicted.
    """
    found = list(_strongest(probability, spacing_mm, np.asarray(window) * CORE))
    slices = np.repeat(np.arange(len(probability)), [len(places) for places in found])
    return slices, np.array([place for places in found for place in places]).reshape(-1, 2)


def confirmed(
    probability: np.ndarray, slices: np.ndarray, starts: np.ndarray, predictions: np.ndarray
) -> np.ndarray:
    """What is predicted in whole slices and in windows.

    Args:
        probability: `(N, X, Y)`, the map of slices.
        slices: `(M,)` of the windows.
        starts: `(M, 2)` first voxel of each window in `probability`, may be negative.
        predictions: `(M, W, H)` soft values of the windows.

    Returns:
        `(N, X, Y)`, the smaller of the two in the cores of windows, 0 elsewhere.

    Example:
        >>> probability, predictions = np.full((1, 9, 9), 0.8), np.full((1, 6, 6), 0.5)
        >>> both = confirmed(probability, np.array([0]), np.array([[-1, 4]]), predictions)
        >>> both[0, :, 6].tolist()
        [0.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    size = np.array(predictions.shape[1:])
    margin = np.round(size * (0.5 - CORE)).astype(int)
    both = np.zeros_like(probability)
    for index, start, prediction in zip(slices, starts, predictions, strict=True):
        low = np.clip(start + margin, 0, probability.shape[1:])
        high = np.clip(start + size - margin, 0, probability.shape[1:])
        place = (index, *map(slice, low, high))
        there = prediction[tuple(map(slice, low - start, high - start))]
        both[place] = np.maximum(both[place], np.minimum(probability[place], there))
    return both


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


def _cells(
    probability: np.ndarray, spacing_mm: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Means over cells of about `CELL_MM`, and voxels per cell."""
    size = np.maximum(1, np.round(CELL_MM / np.array(spacing_mm))).astype(int)
    count = -(-np.array(probability.shape[1:]) // size)
    missing = count * size - probability.shape[1:]
    padded = np.pad(probability, [(0, 0), (0, missing[0]), (0, missing[1])])
    blocks = padded.reshape(len(probability), count[0], size[0], count[1], size[1])
    return blocks.mean(axis=(2, 4)), size


def _means(cells: np.ndarray, side: int) -> np.ndarray:
    """Means over a square of so many cells about each; beyond the image there is nothing."""
    return ndimage.uniform_filter(cells, size=(0, side, side), mode="constant")


def _strongest(
    probability: np.ndarray, spacing_mm: tuple[float, float], reach: np.ndarray
) -> Iterator[list[np.ndarray]]:
    """For each slice the voxels of its strongest predictions, no two within `reach` voxels.

    Strong is what exceeds its surroundings: a cord, and less the inside of a large area.
    """
    cells, size = _cells(probability, spacing_mm)
    reach = np.ceil(reach / size).astype(int)
    gain = _means(cells, SIDE)
    for strength in np.where(gain < SEEN, 0, gain - _means(cells, SURROUNDINGS * SIDE)):
        found: list[np.ndarray] = []
        while len(found) < LOOKS and strength.max() > 0:
            place = np.array(np.unravel_index(strength.argmax(), strength.shape))
            found.append(np.round((place + 0.5) * size - 0.5).astype(int))
            low, high = np.maximum(0, place - reach), place + reach + 1
            strength[low[0] : high[0], low[1] : high[1]] = 0
        yield found


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
