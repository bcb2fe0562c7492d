"""Which patch is the n-th of a training: a function of the seed and n alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

MARGIN = 0.25
"""A patch about the cord is centred within so many patch sizes of it."""


@dataclass(frozen=True)
class PreparedPair:
    """A prepared image and its soft mask on disk, read only where a patch lies.

    Attributes:
        subject: Participant.
        contrast: Key of the contrast.
        image_path: `.npy`, float16, `(Z, X, Y)`: one slice is one run of bytes.
        soft_path: The same grid, values in [0, 1].
        cord_path: `.npy`, `(Z, 3)`: cord voxels of each slice and their centre along X and Y.
    """

    subject: str
    contrast: str
    image_path: Path
    soft_path: Path
    cord_path: Path

    @cached_property
    def image(self) -> np.ndarray:
        """`(Z, X, Y)`, mapped from disk."""
        return _mapped(self.image_path)

    @cached_property
    def soft(self) -> np.ndarray:
        """`(Z, X, Y)`, mapped from disk."""
        return _mapped(self.soft_path)

    @cached_property
    def cord(self) -> np.ndarray:
        """`(Z, 3)`: cord voxels of each slice and their centre along X and Y."""
        return np.load(self.cord_path, allow_pickle=False)

    @cached_property
    def cord_slices(self) -> np.ndarray:
        """Indices of the slices that hold cord."""
        return np.flatnonzero(self.cord[:, 0] > 0)


def _mapped(path: Path) -> np.ndarray:
    # A plain view of the mapping is indexed three times as fast as numpy's memmap.
    return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)


@dataclass(frozen=True)
class PatchOrder:
    """Draws image, slice and place of each patch.

    Every image is shown once before any is shown again, whatever its number of slices, so that
    contrasts with many thin slices do not crowd out those with few thick ones; and contrasts take
    turns, so that no batch pulls the network towards one of them.

    Attributes:
        seed: Of the order.
        patch_size: Voxels along X and Y (2-D) or X, Y and Z (3-D).
        crop: `cord` or `centre`.
        cord_share: Share of patches drawn about the cord.
    """

    seed: int
    patch_size: tuple[int, ...]
    crop: str = "cord"
    cord_share: float = 0.8

    def image_index(self, number: int, contrasts: tuple[str, ...]) -> int:
        """The image of the `number`-th patch, where image i shows `contrasts[i]`.

        Example:
            >>> order, contrasts = PatchOrder(0, (64, 64)), ("T1w", "T1w", "T2w", "T2w")
            >>> shown = [order.image_index(n, contrasts) for n in range(4, 8)]
            >>> sorted(shown), contrasts[shown[0]] != contrasts[shown[1]]
            ([0, 1, 2, 3], True)
        """
        turn, place = divmod(number, len(contrasts))
        return int(_turn(self.seed, turn, contrasts)[place])

    def place(self, number: int, pair: PreparedPair) -> tuple[list[int], list[int]]:
        """First voxel and size of the `number`-th patch, along Z, X and Y of `pair`."""
        # Plain numbers: a step takes milliseconds, and small arrays would cost one of them.
        shape = pair.image.shape
        plane, deep = self.patch_size[:2], self.patch_size[2:]
        size = [*(deep or (1,)), *plane]
        drawn = np.random.default_rng([self.seed, 2, number]).random(7).tolist()
        if self.crop == "centre":
            first = [math.floor((n - m) / 2) for n, m in zip(shape, size, strict=True)]
            if not deep:
                first[0] = int(drawn[0] * shape[0])
            return first, size
        centre = self._near_cord(drawn, pair, size)
        return [
            min(max(round(c - (m - 1) / 2), min(0, (n - m) // 2)), max(0, n - m))
            for c, n, m in zip(centre, shape, size, strict=True)
        ], size

    def _near_cord(self, drawn: list[float], pair: PreparedPair, size: list[int]) -> list[float]:
        about_cord, *anywhere = drawn[:4]
        slices = pair.cord_slices
        if about_cord >= self.cord_share or not len(slices):
            return [a * (n - 1) for a, n in zip(anywhere, pair.image.shape, strict=True)]
        chosen = int(slices[int(anywhere[0] * len(slices))])
        middle = [chosen, *pair.cord[chosen, 1:].tolist()]
        jitter = [(2 * d - 1) * MARGIN * m * (m > 1) for d, m in zip(drawn[4:], size, strict=True)]
        return [m + j for m, j in zip(middle, jitter, strict=True)]


def window(array: np.ndarray, first: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """The part of `array` that begins at `first`; beyond its border the border is repeated.

    Args:
        array: `(Z, X, Y)`, possibly mapped from disk: nothing else of it is read.
        first: First voxel along each axis; may lie outside.
        size: Voxels along each axis.

    Returns:
        A float32 array of shape `size`.

    Example:
        >>> window(np.arange(4.0).reshape(1, 1, 4), (0, 0, -1), (1, 1, 3))
        array([[[0., 0., 1.]]], dtype=float32)
    """
    return np.asarray(array[window_index(array.shape, first, size)], dtype=np.float32)


def window_index(
    shape: Sequence[int], first: Sequence[int], size: Sequence[int]
) -> tuple[slice | np.ndarray, ...]:
    """What to index an array of `shape` with to get that window; images and masks share it."""
    ends = [(f, f + n) for f, n in zip(first, size, strict=True)]
    if all(f >= 0 and end <= n for (f, end), n in zip(ends, shape, strict=True)):
        return tuple(slice(f, end) for f, end in ends)
    index = []
    for axis, ((f, end), n) in enumerate(zip(ends, shape, strict=True)):
        places = np.arange(f, end)
        np.minimum(np.maximum(places, 0, out=places), n - 1, out=places)
        index.append(places.reshape([-1 if axis == other else 1 for other in range(len(shape))]))
    return tuple(index)


@lru_cache(maxsize=4)
def _turn(seed: int, turn: int, contrasts: tuple[str, ...]) -> np.ndarray:
    """The order in which images are shown the `turn`-th time."""
    rng = np.random.default_rng([seed, 1, turn])
    when = np.empty(len(contrasts))
    names = np.array(contrasts)
    for name in sorted(set(contrasts)):
        mine = np.flatnonzero(names == name)
        when[mine] = (rng.permutation(len(mine)) + 0.5) / len(mine)
    return np.lexsort((rng.random(len(contrasts)), when))
