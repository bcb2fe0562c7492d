"""Training, validation and test: seeded splits and the two published ones."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources

import numpy as np
import yaml

from softseg.dataset.exclusions import SPINE_GENERIC_EXCLUDED, read_exclusions
from softseg.errors import InputError

PARTS = ("train", "validation", "test")

PUBLISHED_SPLITS: dict[str, str] = {
    "seed-15": "the paper's (models up to v2.2): 155/52/53 participants, 145/49/49 after exclusion",
    "seed-50": "the lifelong versions' (models from v2.3 on): 158/36/49 participants",
}
"""Names of the published participant splits of Spine Generic, and whose they are."""


@cache
def _published() -> dict[str, dict[str, str]]:
    file = resources.files("softseg") / "data" / "spine-generic_splits.yml"
    return yaml.safe_load(file.read_text("utf-8"))


def published_split(name: str, *, excluded: bool = False) -> dict[str, list[str]]:
    """Participants of a published split of the Spine Generic database.

    Args:
        name: A key of `PUBLISHED_SPLITS`.
        excluded: Keep the participants that the paper excludes.

    Raises:
        InputError: If there is no split of that name.

    Example:
        >>> {part: len(chosen) for part, chosen in published_split("seed-50").items()}
        {'train': 158, 'validation': 36, 'test': 49}
    """
    if name not in PUBLISHED_SPLITS:
        raise InputError(f"split {name!r}: not one of {', '.join(PUBLISHED_SPLITS)}")
    left_out = set() if excluded else set(read_exclusions(SPINE_GENERIC_EXCLUDED))
    listed = {part: [f"sub-{s}" for s in _published()[name][part].split()] for part in PARTS}
    return {part: [s for s in listed[part] if s not in left_out] for part in PARTS}


def split(
    subjects: Iterable[str],
    *,
    seed: int,
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    strata: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """Divide participants at random, the same way for the same seed whatever their order.

    Args:
        subjects: Participants; all contrasts of one stay together.
        seed: Of the shuffling.
        fractions: Shares of training, validation and test; they sum to 1.
        strata: What each part should have its share of, by participant: `F Siemens`. Neighbours in
            the order of these names make up for a stratum of few.

    Raises:
        InputError: If the fractions do not sum to 1, or a participant appears twice or has no
            stratum.

    Example:
        >>> split([f"sub-{i}" for i in range(5)], seed=1)["test"]
        ['sub-...']
        >>> sexes = {"sub-1": "F", "sub-2": "F", "sub-3": "M", "sub-4": "M"}
        >>> train = split(sexes, seed=1, fractions=(0.5, 0, 0.5), strata=sexes)["train"]
        >>> [sexes[subject] for subject in train]
        ['F', 'M']
    """
    subjects = sorted(subjects)
    if len(set(subjects)) < len(subjects):
        raise InputError("split: a participant is listed twice; list each once")
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(f"split: three shares that sum to 1 are needed, found {tuple(fractions)}")
    lost = [subject for subject in subjects if strata is not None and subject not in strata]
    if lost:
        raise InputError(f"split: {lost[0]} has no stratum; name one for each participant")
    order = np.random.default_rng([seed, 0]).permutation(len(subjects))
    bounds = np.round(np.cumsum([0.0, *fractions]) * len(subjects)).astype(int)
    places = np.arange(len(subjects))
    if strata is not None:
        order = sorted(order, key=lambda index: strata[subjects[index]])
        # Every stretch of the order gives each part its share: its members lie evenly along it.
        counts = np.diff(bounds)
        evenly = np.concatenate([(np.arange(n) + 0.5) / max(n, 1) for n in counts])
        places = np.argsort(np.argsort(evenly, kind="stable"), kind="stable")
    return {
        part: sorted(subjects[order[place]] for place in places[low:high])
        for part, low, high in zip(PARTS, bounds, bounds[1:], strict=False)
    }
