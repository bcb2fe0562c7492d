"""Who takes part in a comparison of methods, and what counts as right."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from softseg.dataset.names import parse_method
from softseg_study.statistics.summary import bootstrap_interval
from softseg_study.statistics.variability import csa_error

PROPOSAL = "soft_all"
HEADLINE = (
    "labels", "labels_softseg", "contour_following", "hard_per_contrast", "soft_per_contrast",
    "hard_all", PROPOSAL,
)  # fmt: skip
"""Methods of the main comparison, from the masks drawn by hand to the proposal."""
FEW = ("labels", "contour_following", "hard_all", PROPOSAL)
"""What a figure with room for few methods shows of them."""


def headline(methods: Iterable[str], extra: Sequence[str] = ()) -> list[str]:
    """Those of the main comparison that are there, in its order, and then the extra ones.

    Example:
        >>> headline(["soft_all", "labels", "soft_all_dice", "theirs"], ["theirs"])
        ['labels', 'soft_all', 'theirs']
    """
    present = set(methods)
    names = dict.fromkeys([*HEADLINE, *(parse_method(name)[0] for name in extra)])
    return [name for name in names if name in present]


def few(methods: Sequence[str]) -> list[str]:
    """Up to four methods for a crowded figure; without any of the main ones the first three.

    Example:
        >>> few(["labels", "labels_softseg", "hard_all", "soft_all"]), few(["a", "b", "c", "d"])
        (['labels', 'hard_all', 'soft_all'], ['a', 'b', 'c'])
    """
    return [method for method in FEW if method in methods] or list(methods)[:3]


def proposal(methods: Sequence[str]) -> str:
    """The proposal where it takes part, else the last method.

    Example:
        >>> proposal(["labels", "soft_all"]), proposal(["labels", "theirs"])
        ('soft_all', 'theirs')
    """
    return PROPOSAL if PROPOSAL in methods else methods[-1]


def median_interval(values: Iterable[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    return bootstrap_interval(np.asarray(values, dtype=float), np.median)


def area_errors(csa_table: pd.DataFrame, truth: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Error of every area, and the name of what counts as right.

    Where no area is known exactly, that of the soft masks is taken, as the paper does; they then
    have no errors of their own.

    Args:
        csa_table: `subject`, `contrast`, `method`, `seed`, `area_mm2`.
        truth: From `true_csa`; empty for real data.

    Returns:
        As `csa_error`, empty if there are no soft masks either, and the name.
    """
    is_soft = csa_table["method"] == "labels_softseg"
    name = "true area" if len(truth) else "area of the soft masks"
    reference = truth if len(truth) else csa_table.loc[is_soft, ["subject", "contrast", "area_mm2"]]
    others = csa_table if len(truth) else csa_table[~is_soft]
    if reference["area_mm2"].notna().any():
        return csa_error(others, reference, by=["seed"]), name
    measures = ["truth_mm2", "error_mm2", "absolute_error_mm2", "error_percent"]
    return others.head(0).reindex(columns=[*others.columns, *measures]), name
