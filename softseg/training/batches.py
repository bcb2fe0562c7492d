"""Batches of a training, each a function of the seed and the step's number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from softseg.training.patches import PatchOrder, PreparedPair, window_index

Augment = Callable[[torch.Tensor, torch.Tensor, list[list[int]]], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class Pool:
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
        augment: Augment,
        *,
        batch_size: int,
        pools: Sequence[Pool] = (),
        first_step: int = 0,
        last_step: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        own = Pool(pairs, batch_size - sum(pool.count for pool in pools))
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
