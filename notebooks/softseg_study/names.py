"""What readers are told a method or contrast is called, and the keys that folders know it by."""

from collections.abc import Iterable

import pandas as pd

from softseg.contrasts import CONTRASTS, UNSEEN_CONTRASTS
from softseg.dataset.names import parse_method

CONSTANTS = " + constants"
"""End of the name of a method whose areas had one constant per contrast taken off."""
TITLES = {
    "truth": "true area",
    "floor": "ideal observer (floor)",
    "labels": "drawn masks",
    "labels_softseg": "soft masks, mean of six",
    "labels_softseg_bin": "soft masks, made binary",
    "contour_following": "contour following, middle given",
    "contour": "contour following, by itself",
    "soft_all": "one network, soft masks",
    "hard_all": "one network, drawn masks",
    "soft_bin_all": "one network, soft masks made binary",
    "soft_per_contrast": "six networks, soft masks",
    "hard_per_contrast": "six networks, drawn masks",
    "soft_4_contrasts_GRE-T1w": "one network, four contrasts, other choice",
    "synthseg": "one network, synthetic images",
    "nnunet_recipe": "nnU-Net's recipe, small and 2-D",
    "axial": "weights that come with softseg",
    "propseg-auto": "PropSeg, by itself",
    "propseg-centreline": "PropSeg, centreline given",
    "adaptive_wing": "Adaptive Wing",
    "mean_squared_error": "mean squared error",
    "soft_cross_entropy": "cross-entropy",
    "soft_dice": "soft Dice",
    "dice_cross_entropy": "Dice and cross-entropy",
}
"""Key → plain name; other methods are called by their keys."""
_COUNTS = ("no", "one", "two", "three", "four", "five", "six")
TITLES |= {
    f"soft_{n}_contrast{'s' * (n > 1)}": f"one network, {word} contrast{'s' * (n > 1)}"
    for n, word in enumerate(_COUNTS) if n
}  # fmt: skip
_CHANGES = {
    "shared": "sharing one budget",
    "dice": "Dice",
    "dice_cross_entropy": "Dice and cross-entropy",
    "mean_squared_error": "mean squared error",
    "cross_entropy": "cross-entropy",
    "normalised_relu": "normalised ReLU",
    "sigmoid": "sigmoid output",
    "bigaug": "BigAug",
    "paper_ran": "the paper's augmentation as it ran",
    "paper_meant": "the paper's augmentation as meant",
    "volume": "three-dimensional",
}
"""What a key adds to that of the method it was changed from, and how the name says it."""


def method_title(key: str) -> str:
    """The plain name of a method.

    Example:
        >>> method_title("soft_all"), method_title("hard_all + constants"), method_title("mine")
        ('one network, soft masks', 'one network, drawn masks + constants', 'mine')
        >>> method_title("soft_all_dice")
        'one network, soft masks, Dice'
    """
    key = str(key)
    if key.endswith(CONSTANTS):
        return method_title(key.removesuffix(CONSTANTS)) + CONSTANTS
    if key in TITLES:
        return TITLES[key]
    for base in sorted(TITLES, key=len, reverse=True):
        change = key.removeprefix(f"{base}_")
        if change != key and change in _CHANGES:
            return f"{TITLES[base]}, {_CHANGES[change]}"
    return key


def plain(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The table with plain names in its columns of methods, `method` by default; for plots.

    Example:
        >>> plain(pd.DataFrame({"method": ["labels"]})).iloc[0, 0]
        'drawn masks'
    """
    return table.assign(**{c: table[c].map(method_title) for c in columns or ("method",)})


def key_table(methods: Iterable[str]) -> pd.DataFrame:
    """Plain names and keys of methods, for the end of a chapter; seeds and constants left out."""
    keys = dict.fromkeys(parse_method(str(m).removesuffix(CONSTANTS))[0] for m in methods)
    return pd.DataFrame({"name": [method_title(key) for key in keys], "key": list(keys)})


def contrast_title(name: str) -> str:
    """What readers are told a contrast is called; one that is not known, its own name.

    Example:
        >>> contrast_title("T2star")
        'T2*w'
    """
    known = CONTRASTS | UNSEEN_CONTRASTS
    return known[name].title if name in known else str(name)
