"""The discs of a straightened picture as one sequence, not one by one.

Every numbering that the population's level lengths allow is weighed against what the network saw
(`softseg.csa.level_network`), all of them together, so that each disc's number gets a probability:
the forward-backward algorithm of a hidden semi-Markov chain (Rabiner 1989, doi:10.1109/5.18626).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from softseg.csa.level_network import LARGEST_LOGIT, DiscHeat
from softseg.csa.levels import level_lengths_mm
from softseg.csa.straighten import STEP_MM

LOWEST_MM = {21: 34.0, 22: 35.0, 23: 36.0, 24: 34.0, 25: 30.0}
"""Lengths of L2 to S1, round figures: lumbar discs are to be explained, not named."""
LENGTH_SPREAD = 0.07
"""Standard deviation of a level's length over its mean, beside what all of a person's share."""
LENGTH_SPREAD_MM = 1.0
SCALES = (0.80, 0.87, 0.94, 1.01, 1.08, 1.16, 1.25)
"""How much longer than the mean a person's levels may be all together."""
SCALE_SPREAD = 0.10
USUAL = np.array([-1.4, -3.6, -3.6, -3.6])
"""Log odds of each of `KINDS` in a place of which nothing is known: what counts is how much more
likely than that the network takes it to be."""
WEIGHT = 0.5
"""Of the evidence for a numbering: answers next to one another are not independent. With all of it
blurred, noisy and cut fields of real necks got wrong numbers at .9 and more; phantoms do not tell
the two apart."""
SURE = 0.9
"""From this probability on a number is told."""
NEAR_MM = 5.0
ABOVE_MM = 22.0
"""How much of the spine above C2-C3 must be shown for it to be told from C3-C4: the body of C2,
15.5 mm in the mean, and something of the dens. In fields of one real neck that were cut just below
C2-C3 the next disc was taken for it at .9 and more, 18 mm below the field's top at most."""
_GIVEN_MM = 2.0
_OUT_OF_REACH = -1e9


@dataclass(frozen=True)
class FoundDisc:
    """One disc.

    Attributes:
        row: Its place in the picture, a fraction.
        confidence: Probability that the disc of this number lies within `NEAR_MM` of it.
    """

    row: float
    confidence: float


def search_discs(
    heat: DiscHeat, given: Mapping[int, float] | None = None, *, sure: float = SURE
) -> dict[int, FoundDisc]:
    """Number the discs that a picture shows.

    Args:
        heat: What the network saw.
        given: Discs whose row is known; without any, C2-C3 is looked for and the others are counted
            from it.
        sure: Probability from which on a disc is told.

    Returns:
        Disc (3 is C2-C3) to where it is, from above downwards as long as the numbers are sure;
        empty where C2-C3 is not, or C2 above it is not shown, and no disc is given.
    """
    if not heat.shown.any():
        return {}
    every, known = _places(heat, given or {}), 1.0
    if not given:
        anchor = every[3]
        highest = np.flatnonzero(heat.shown)[-1]
        if anchor.confidence < sure or (highest - anchor.row) * STEP_MM < ABOVE_MM:
            return {}
        every, known = _places(heat, {3: anchor.row}), anchor.confidence
    found = {k: FoundDisc(one.row, known * one.confidence) for k, one in every.items()}
    found = {k: one for k, one in found.items() if one.confidence >= sure}
    first = last = min(given) if given else 3
    if first not in found:
        return {}
    while first - 1 in found:
        first -= 1
    while last + 1 in found:
        last += 1
    return {disc: found[disc] for disc in range(first, last + 1)}


def _places(heat: DiscHeat, given: Mapping[int, float]) -> dict[int, FoundDisc]:
    """Where each disc most probably is, however improbable that is."""
    rows = len(heat.logits)
    seen = _evidence(heat, given)  # (S, K), rows from above downwards
    lengths = _lengths_mm()
    runs = [_Run.of(seen, lengths * scale) for scale in SCALES]
    prior = [-0.5 * ((scale - 1) / SCALE_SPREAD) ** 2 for scale in SCALES]
    weight = np.array([run.total for run in runs]) + prior
    share = np.exp(weight - weight.max())
    share /= share.sum()
    mass = sum(part * run.mass for part, run in zip(share, runs, strict=True))
    peaks = enumerate(map(_peak, mass.T), start=1)
    return {disc: FoundDisc(rows - 1 - one.row, one.confidence) for disc, one in peaks}


def _evidence(heat: DiscHeat, given: Mapping[int, float]) -> np.ndarray:
    """Log odds of each disc in each row, from above downwards."""
    weight = 1.0 if given else WEIGHT
    disc, top, second, third = (weight * (heat.logits - USUAL) * heat.shown[:, None])[::-1].T
    count = len(_lengths_mm()) + 1
    seen = np.empty((len(disc), count))
    seen[:, :3] = np.stack([top, second, third], axis=1)
    # Any other disc does not look like the first below the dens.
    seen[:, 3:] = (disc - np.maximum(third, 0))[:, None]
    for number, row in given.items():
        away_mm = (np.arange(len(disc)) - (len(disc) - 1 - row)) * STEP_MM
        seen[:, number - 1] = 2 * LARGEST_LOGIT - 0.5 * (away_mm / _GIVEN_MM) ** 2
    return seen


def _lengths_mm() -> np.ndarray:
    """`(K - 1,)` distance from each disc to the next."""
    lengths = level_lengths_mm() | LOWEST_MM
    return np.array([lengths[k] for k in sorted(lengths)])


def _peak(mass: np.ndarray) -> FoundDisc:
    """Where most of a disc's probability lies, and how much of it."""
    reach = round(NEAR_MM / STEP_MM)
    near = np.convolve(mass, np.ones(2 * reach + 1), mode="same")
    middle = int(near.argmax())
    part = slice(max(0, middle - reach), middle + reach + 1)
    rows = np.arange(len(mass))[part]
    row = float(mass[part] @ rows / max(float(mass[part].sum()), 1e-300))
    return FoundDisc(row, float(near[middle]))


@dataclass(frozen=True, eq=False)
class _Run:
    """All numberings of one scale.

    Attributes:
        total: Log of the sum of all their weights.
        mass: `(S, K)` probability of each disc in each row.
    """

    total: float
    mass: np.ndarray

    @classmethod
    def of(cls, seen: np.ndarray, lengths_mm: np.ndarray) -> "_Run":
        """Weigh all numberings.

        Args:
            seen: `(S, K)` log odds, from above downwards.
            lengths_mm: `(K - 1,)` mean distance from each disc to the next.
        """
        rows, count = seen.shape
        steps = [_step(mean) for mean in lengths_mm]
        beyond = [_beyond(step, rows) for step in steps]
        # The disc above the first one, and that below the last, lie outside the picture.
        enter = np.stack([np.zeros(rows), *beyond], axis=1)
        leave = np.stack([*(far[::-1] for far in beyond), np.zeros(rows)], axis=1)
        down, up = np.empty_like(seen), np.empty_like(seen)
        for k in range(count):
            start = enter[:, k]
            if k:
                start = np.logaddexp(start, _moved(down[:, k - 1], steps[k - 1]))
            down[:, k] = start + seen[:, k]
        for k in reversed(range(count)):
            end = leave[:, k]
            if k + 1 < count:
                below = (up[:, k + 1] + seen[:, k + 1])[::-1]
                end = np.logaddexp(end, _moved(below, steps[k])[::-1])
            up[:, k] = end
        total = np.logaddexp.reduce((down + leave).ravel())
        return cls(float(total), np.exp(down + up - total))


def _step(mean_mm: float) -> np.ndarray:
    """Log probability of each distance in rows, from 0 on."""
    spread = np.hypot(LENGTH_SPREAD * mean_mm, LENGTH_SPREAD_MM)
    at = np.arange(round((mean_mm + 4 * spread) / STEP_MM) + 1) * STEP_MM
    log = -0.5 * ((at - mean_mm) / spread) ** 2
    log[0] = _OUT_OF_REACH
    return log - np.logaddexp.reduce(log)


def _beyond(step: np.ndarray, rows: int) -> np.ndarray:
    """Log probability that the disc above one in each row lies above the picture."""
    tail = np.logaddexp.accumulate(step[::-1])[::-1]  # at least so far
    far = np.full(rows, _OUT_OF_REACH)
    count = min(rows, len(tail) - 1)
    far[:count] = tail[1 : count + 1]
    return far


def _moved(weights: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Log weights of all ways down by one disc: a convolution, without overflow."""
    top = weights.max()
    with np.errstate(divide="ignore"):
        moved = np.log(np.convolve(np.exp(weights - top), np.exp(step))[: len(weights)])
    return np.maximum(moved, _OUT_OF_REACH) + top
