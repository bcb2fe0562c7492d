"""Where the cord runs, from a network's predictions on some whole slices and on windows of them.

Coarse to fine: whole slices some millimetres apart, in voxels somewhat larger than the network's,
then windows of the training's size where they find something, then the path that joins most of
what both say. Predictions are kept as means over cells of about 2 mm, so that memory and time are
bounded in fields of any size.
"""

from collections.abc import Callable, Iterator

import numpy as np

from softseg.network.config import NetworkConfig
from softseg.segmentation.cord_path import (
    SEEN,
    SIDE,
    CellMap,
    cell_means,
    interpolate,
    smoothed,
    square_means,
    track,
)
from softseg.segmentation.prepare import Prepared

LOCATE_MM = 5.0
"""Whole slices are looked at this far apart to find the cord."""
FURTHEST_MM = 20.0
LOCATE_VOXELS = 600_000
"""In fields with more to look at they are further apart, up to `FURTHEST_MM`."""
SEARCH_MM = 0.8
LARGE_VOXELS = 1_000_000
"""Voxels in which still larger fields are looked at, where the network's own are smaller."""
MOST_VOXELS = 40_000_000
"""Beyond, slices are further apart than `FURTHEST_MM`: a metre of body in every direction."""
BATCH_VOXELS = 2_000_000
SURROUNDINGS = 3
"""Times as wide as the square is what a prediction has to stand out from."""
LOOKS = 4
"""At most so many windows of a slice are predicted again."""
CORE = 1 / 3
"""Part of a window, to each side of its centre, whose prediction counts: there a cord is seen
whole."""


def find_cord(
    predict: Callable[[np.ndarray], np.ndarray], config: NetworkConfig, prepared: Prepared
) -> np.ndarray:
    """The cord's centre on every slice.

    Args:
        predict: Soft values `(N, X, Y)` for windows of that shape.
        config: Of the network behind it.
        prepared: The image.

    Returns:
        `(Z, 2)` working voxels, nan if nowhere is any cord.
    """
    shape, spacing = prepared.grid.shape, np.array(prepared.grid.spacing_mm[:2])
    middle = (np.array(shape[:2]) - 1) / 2
    window = np.array(config.patch_size)
    every = np.arange(shape[2])
    found = np.full((shape[2], 2), np.nan)
    for searched in _search_grids(config, prepared):
        slices = _spread_slices(config, searched)
        seen = look(predict, config, searched, slices)
        again, places_mm = candidate_windows(seen, window * spacing)
        starts = window_starts(places_mm / spacing + middle, np.array(shape[:2]), window)
        windows = predict(prepared.windows(slices[again], starts, window))
        low_mm = (starts - 0.5 - middle) * spacing
        closer, trusted = confirmed(seen, again, low_mm, spacing, windows)
        step_mm = np.diff(slices[:2]).sum() * searched.grid.spacing_mm[2]
        path_mm = smoothed(track(closer, step_mm, trusted=trusted), step_mm)
        found = interpolate(path_mm / spacing + middle, slices, every)
        if np.isfinite(found).all():
            break
    return found


def window_starts(centres: np.ndarray, shape: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Windows about the centres, inside the image where it is large enough, as in training."""
    starts = np.round(centres - (size - 1) / 2).astype(int)
    return np.clip(starts, np.minimum(0, (shape - size) // 2), np.maximum(0, shape - size))


def _search_grids(config: NetworkConfig, prepared: Prepared) -> Iterator[Prepared]:
    """The image in larger voxels if it is a large one; then, if need be, in the network's own."""
    coarse = tuple(max(SEARCH_MM, mm) for mm in config.spacing_mm)
    size = float(_slice_size(config, prepared).prod())
    height_mm = prepared.grid.shape[2] * prepared.grid.spacing_mm[2]
    if coarse == tuple(config.spacing_mm) or size * height_mm / LOCATE_MM <= LARGE_VOXELS:
        yield prepared
        return
    yield prepared.respaced(coarse)
    if size * height_mm / FURTHEST_MM <= MOST_VOXELS:
        yield prepared


def _slice_size(config: NetworkConfig, searched: Prepared) -> np.ndarray:
    """A whole slice as the network takes it: at least a window, and a multiple of its strides."""
    multiple, shape = np.array(config.multiple), np.array(searched.grid.shape[:2])
    return np.maximum(-(-shape // multiple) * multiple, config.patch_size)


def _spread_slices(config: NetworkConfig, searched: Prepared) -> np.ndarray:
    """Slices that are looked at, equally far apart."""
    count, step_mm = searched.grid.shape[2], searched.grid.spacing_mm[2]
    volume_mm = float(_slice_size(config, searched).prod()) * count * step_mm
    apart_mm = min(max(LOCATE_MM, volume_mm / LOCATE_VOXELS), FURTHEST_MM)
    step = max(1, round(max(apart_mm, volume_mm / MOST_VOXELS) / step_mm))
    return np.arange((count - 1) % step // 2, count, step)


def look(
    predict: Callable[[np.ndarray], np.ndarray],
    config: NetworkConfig,
    searched: Prepared,
    slices: np.ndarray,
) -> CellMap:
    """What a network predicts on whole slices; a few at a time are in memory."""
    shape, spacing = np.array(searched.grid.shape[:2]), np.array(searched.grid.spacing_mm[:2])
    size = _slice_size(config, searched)
    start = (shape - size) // 2
    batch = max(1, BATCH_VOXELS // int(size.prod()))
    cells = []
    for first in range(0, len(slices), batch):
        some = slices[first : first + batch]
        windows = searched.windows(some, np.tile(start, (len(some), 1)), size)
        cells.append(cell_means(predict(windows), spacing)[0])
    cell_mm = cell_means(np.zeros((1, 1, 1)), spacing)[1] * spacing
    return CellMap(np.concatenate(cells), (start - 0.5 - (shape - 1) / 2) * spacing, cell_mm)


def candidate_windows(seen: CellMap, window_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows to predict again: those about the strongest predictions of every slice.

    A network that has been trained on windows around the cord finds more in a whole slice of a
    large field than in a window, while the cord it finds in both.

    Args:
        seen: The map of slices.
        window_mm: `(2,)` sides of a window.

    Returns:
        `(M,)` slices, ascending, and `(M, 2)` millimetres of the windows' centres, the strongest
        of a slice first and `LOOKS` at most; none where nothing is predicted.
    """
    found = list(_strongest(seen, np.asarray(window_mm) * CORE))
    slices = np.repeat(np.arange(len(seen.values)), [len(places) for places in found])
    return slices, np.array([place for places in found for place in places]).reshape(-1, 2)


def confirmed(
    seen: CellMap,
    slices: np.ndarray,
    low_mm: np.ndarray,
    spacing_mm: np.ndarray,
    predictions: np.ndarray,
) -> tuple[CellMap, CellMap]:
    """What is predicted in windows, and what both in whole slices and in windows.

    Args:
        seen: The map of slices.
        slices: `(M,)` of the windows.
        low_mm: `(M, 2)` where each window begins.
        spacing_mm: `(2,)` its voxel size.
        predictions: `(M, W, H)` soft values of the windows.

    Returns:
        The windows' own values in their cores, 0 elsewhere; and the smaller of both.

    Example:
        >>> seen = CellMap(np.full((1, 9, 9), 0.8), np.zeros(2), np.ones(2))
        >>> low_mm = np.array([[-1.0, 4.0]])
        >>> soft = np.full((1, 6, 6), 0.5)
        >>> closer, both = confirmed(seen, np.array([0]), low_mm, np.ones(2), soft)
        >>> both.values[0, :, 6].tolist()
        [0.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    closer = np.zeros_like(seen.values)
    for index, low, prediction in zip(slices, low_mm, predictions, strict=True):
        sides = [
            _shares(start + cell * np.arange(count + 1), first + mm * np.arange(size + 1))
            for start, cell, count, first, mm, size in zip(
                seen.start_mm, seen.cell_mm, closer.shape[1:], low, spacing_mm, prediction.shape,
                strict=True,
            )
        ]  # fmt: skip
        (x, rows_x), (y, rows_y) = sides
        place = closer[index, x, y]
        np.maximum(place, rows_x @ prediction @ rows_y.T, out=place)
    return seen.like(closer), seen.like(np.minimum(closer, seen.values))


def _shares(cell_edges: np.ndarray, voxel_edges: np.ndarray) -> tuple[slice, np.ndarray]:
    """Cells in a window's core along an axis, and how each of them averages its voxels."""
    first, last = voxel_edges[[0, -1]]
    margin = (last - first) * (0.5 - CORE) - 1e-6
    inside = (cell_edges[:-1] >= first + margin) & (cell_edges[1:] <= last - margin)
    if not inside.any():
        return slice(0, 0), np.zeros((0, len(voxel_edges) - 1))
    places = np.flatnonzero(inside)
    cells = slice(int(places[0]), int(places[-1]) + 1)
    low, high = cell_edges[:-1][cells, None], cell_edges[1:][cells, None]
    shared = np.minimum(high, voxel_edges[1:]) - np.maximum(low, voxel_edges[:-1])
    return cells, np.maximum(shared, 0) / (high - low)


def _strongest(seen: CellMap, reach_mm: np.ndarray) -> Iterator[list[np.ndarray]]:
    """For each slice the places of its strongest predictions, no two within `reach_mm`.

    Strong is what exceeds its surroundings: a cord, and less the inside of a large area.
    """
    reach = np.ceil(reach_mm / seen.cell_mm).astype(int)
    gain = square_means(seen.values, SIDE)
    for strength in np.where(gain < SEEN, 0, gain - square_means(seen.values, SURROUNDINGS * SIDE)):
        found: list[np.ndarray] = []
        while len(found) < LOOKS and strength.max() > 0:
            place = np.array(np.unravel_index(strength.argmax(), strength.shape))
            found.append(seen.centre_mm(place))
            low, high = np.maximum(0, place - reach), place + reach + 1
            strength[low[0] : high[0], low[1] : high[1]] = 0
        yield found
