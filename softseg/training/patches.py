"""The n-th patch and the n-th batch of a training: functions of the seed and n alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from softseg.augmentation.registry import Augmentation
from softseg.files import replacing

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
        """Mapped from disk."""
        return _mapped(self.image_path)

    @cached_property
    def soft(self) -> np.ndarray:
        """Mapped from disk."""
        return _mapped(self.soft_path)

    @cached_property
    def cord(self) -> np.ndarray:
        """`(Z, 3)`: cord voxels of each slice and their centre along X and Y."""
        return np.load(self.cord_path, allow_pickle=False)

    @cached_property
    def cord_slices(self) -> np.ndarray:
        """Indices of the slices that hold cord."""
        return np.flatnonzero(self.cord[:, 0] > 0)

    @classmethod
    def of_keys(
        cls, subject: str, contrast: str, folder: Path, image_key: str, soft_key: str
    ) -> "PreparedPair":
        """The pair whose files in `folder` are named by hashes of all that they depend on."""
        names = (f"{image_key}_image", f"{soft_key}_soft", f"{soft_key}_cord")
        return cls(subject, contrast, *(folder / f"{name}.npy" for name in names))

    @property
    def complete(self) -> bool:
        """Whether all three files are there."""
        return all(p.exists() for p in (self.image_path, self.soft_path, self.cord_path))

    def write(self, image: np.ndarray | None, soft: np.ndarray) -> None:
        """Save `(Z, X, Y)` arrays in 16 bits; None for an image that is there already."""
        if image is not None:
            _save(self.image_path, image.astype(np.float16))
        soft = soft.astype(np.float16)
        _save(self.cord_path, cord_table(soft))
        _save(self.soft_path, soft)


def cord_table(soft: np.ndarray) -> np.ndarray:
    """`(Z, 3)`: cord voxels of each slice of `(Z, X, Y)` and their centre along X and Y.

    Example:
        >>> soft = np.zeros((1, 4, 4))
        >>> soft[0, 1:3, 2] = 1
        >>> cord_table(soft)
        array([[2. , 1.5, 2. ]])
    """
    soft = soft.astype(float)
    total = soft.sum(axis=(1, 2))
    safe = np.maximum(total, 1e-9)
    x = soft.sum(axis=2) @ np.arange(soft.shape[1]) / safe
    y = soft.sum(axis=1) @ np.arange(soft.shape[2]) / safe
    return np.stack([total, x, y], axis=1)


def _mapped(path: Path) -> np.ndarray:
    # A plain view of the mapping is indexed three times as fast as numpy's memmap.
    return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)


def _save(path: Path, array: np.ndarray) -> None:
    # Through Python's file: numpy's own way does not say why a full disk takes no more.
    with replacing(path) as temporary, open(temporary, "wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, header)
        file.write(array.tobytes("F" if header["fortran_order"] else "C"))


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


def window_index(
    shape: Sequence[int], first: Sequence[int], size: Sequence[int]
) -> tuple[slice | np.ndarray, ...]:
    """What to index an array with for its part of `size` that begins at `first`, maybe outside.

    Beyond the array's border the border is repeated; nothing else is read of a mapped file.

    Example:
        >>> array = np.arange(4.0).reshape(1, 1, 4)
        >>> array[window_index(array.shape, (0, 0, -1), (1, 1, 3))]
        array([[[0., 0., 1.]]])
    """
    ends = [(f, f + n) for f, n in zip(first, size, strict=True)]
    if all(f >= 0 and end <= n for (f, end), n in zip(ends, shape, strict=True)):
        return tuple(slice(f, end) for f, end in ends)
    index = []
    for axis, ((f, end), n) in enumerate(zip(ends, shape, strict=True)):
        places = np.arange(f, end)
        np.minimum(np.maximum(places, 0, out=places), n - 1, out=places)
        index.append(places.reshape([-1 if axis == other else 1 for other in range(len(shape))]))
    return tuple(index)


@dataclass(frozen=True)
class PatchPool:
    """Patches that every batch has beside those of the data set.

    Attributes:
        pairs: What they are drawn from.
        count: How many of them a batch has.
    """

    pairs: Sequence[PreparedPair]
    count: int


class Batches(Dataset):
    """Batches of steps `first_step` to `last_step`, one item a batch.

    The last patches of a batch come from the pools, so many from each.

    Since each patch depends on the seed and its running number only, a continued training, one
    with other worker processes and one on several devices all see the same patches.
    """

    def __init__(
        self,
        pairs: Sequence[PreparedPair],
        order: PatchOrder,
        augment: Augmentation,
        *,
        batch_size: int,
        pools: Sequence[PatchPool] = (),
        first_step: int = 0,
        last_step: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        own = PatchPool(pairs, batch_size - sum(pool.count for pool in pools))
        self.pools = [pool for pool in (own, *pools) if pool.count]
        self.contrasts = [tuple(pair.contrast for pair in pool.pairs) for pool in self.pools]
        self.order = order
        self.augment = augment
        self.batch_size = batch_size
        self.first_step, self.last_step = first_step, last_step
        self.rank, self.world = rank, world

    def __len__(self) -> int:
        return self.last_step - self.first_step

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and soft masks of one step, `(B, 1, X, Y)` or `(B, 1, X, Y, Z)`, this rank's."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        share = self.batch_size // self.world
        first = (self.first_step + index) * self.batch_size + self.rank * share
        numbers = range(first, first + share)
        drawn = [self._patch(number) for number in numbers]
        images = torch.from_numpy(np.stack([image for image, _ in drawn])[:, None])
        softs = torch.from_numpy(np.stack([soft for _, soft in drawn])[:, None])
        return self.augment(images, softs, [[self.order.seed, 3, number] for number in numbers])

    def _source(self, number: int) -> tuple[int, int]:
        """The pool of the `number`-th patch, and the patch's running number within the pool."""
        step, place = divmod(number, self.batch_size)
        for index, pool in enumerate(self.pools):
            if place < pool.count:
                return index, step * pool.count + place
            place -= pool.count
        raise IndexError(number)

    def _patch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        source, turn = self._source(number)
        pair = self.pools[source].pairs[self.order.image_index(turn, self.contrasts[source])]
        first, size = self.order.place(number, pair)
        where = window_index(pair.image.shape, first, size)
        both = (array[where].astype(np.float32) for array in (pair.image, pair.soft))
        if len(self.order.patch_size) == 2:
            image, soft = (part[0] for part in both)
        else:
            image, soft = (np.moveaxis(part, 0, 2) for part in both)
        return image, soft
