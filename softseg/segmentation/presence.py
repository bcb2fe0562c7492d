"""Is there a cord, how good are mask and area, where not to trust them: learnt, read off the image.

What a network saw is described by a few numbers a slice, of its probability map and of the image
under it (`slice_features`). Three logistic models, whose coefficients stand in the card of the
weights because they depend on the network, turn them into the probability that a slice shows the
cord, that the image does, and the Dice to be expected; a fourth, of the same kind but for its link,
says how far the area may be off (`softseg_study.evaluation.presence_fit` fits them where the truth
is known). A slice alone does not tell the roots in the sac from the cord above them: below the
place where networks that look along the mask see the cord end (`along_cord`), presence is 0, and
where they see little of a cord, the image's is lower; where they see one clearly, it is no lower
than one half. No other rule withholds a mask.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from softseg.errors import InputError
from softseg.segmentation.along_cord import below_the_cord
from softseg.segmentation.components import SMALLEST_MM2
from softseg.segmentation.sharpness import Edge, find_edge
from softseg.segmentation.slice_features import (
    FEATURES,
    IMAGE_FEATURES,
    image_features,
    slice_features,
)
from softseg.volume import Spacing

THRESHOLD = 0.5
"""A mask is withheld where presence is lower, unless the card says another `threshold`."""
KEPT, CORE = 0.02, 0.5
"""The mask ends where a slice's presence falls below the first; it reaches a slice above the second
without a slice below the first between, so that no end hinges on the smallest change."""
BORDER_MM = 4.0
"""Nearer to the image's border a network sees too little of the surroundings: in crops of the cord
and 3 mm, areas come out 2 to 6 % too small."""
TOGETHER = 1.5, -3.5
"""How the card's model of presence goes together with what is seen along the mask: log odds are at
most the first times the model's, plus those of what most looks like a cord, plus the second. Chosen
so that of 760 images and slabs with a cord, among them necks at 45° to the slices, two slabs of two
centimetres are withheld that the model alone keeps."""
ALONE = 6.0
"""From these log odds of what most looks like a cord on, an image is as likely as not to show one,
whatever the card's model says: of 640 pictures without a cord none exceeds 4.2, of 80 fields of the
sac alone none 5.5, and a bright cord above a long mask of the sac had 7 and was withheld."""
LARGEST_ERROR = 1.0
"""Of a mean area's logarithm: what may be off by more is not known."""
NO_SIGNAL, NO_EDGE, UNLIKE, DOUBTED = 0.5, 0.18, 0.35, 0.2
"""When a slice is uncertain: share of voxels as dark as air, correlation of mask and image near it,
relative change of area against the neighbours, and presence."""


@dataclass(frozen=True)
class Logistic:
    """A logistic model in a card: `{"features": …, "weights": …, "bias": …}`.

    Attributes:
        features: Names of what it takes.
        weights: One for each.
        bias: What is added.
    """

    features: tuple[str, ...]
    weights: tuple[float, ...]
    bias: float

    @classmethod
    def from_card(cls, entry: Mapping[str, Any], known: tuple[str, ...]) -> "Logistic":
        """The model that a card describes.

        Raises:
            InputError: If it does not describe one of features that are known.
        """
        try:
            model = cls(tuple(entry["features"]), tuple(entry["weights"]), float(entry["bias"]))
            values = np.array([*model.weights, model.bias], dtype=float)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"weights' card: presence or quality cannot be read ({error})"
            ) from error
        unknown = set(model.features) - set(known)
        if unknown or len(values) != len(model.features) + 1 or not np.isfinite(values).all():
            raise InputError(
                f"weights' card: presence and quality need finite weights for features among "
                f"{', '.join(known)}; found {dict(entry)}"
            )
        return model

    def score(self, values: Mapping[str, np.ndarray | float]) -> np.ndarray:
        """What the link takes, nan where a feature is."""
        terms = [
            w * np.asarray(values[name])
            for name, w in zip(self.features, self.weights, strict=True)
        ]
        return self.bias + sum(terms)

    def __call__(self, values: Mapping[str, np.ndarray | float]) -> np.ndarray:
        """Probabilities, nan where a feature is."""
        return expit(self.score(values))


@dataclass(frozen=True, eq=False)
class Findings:
    """What is said of a mask without knowing the truth.

    Attributes:
        presence: Probability that the image shows a cord.
        quality: Dice to be expected; nan where the card has no model of it.
        area_error: Of the mean area, as of `Segmentation`; nan too.
        slice_presence: `(Z,)` the same a slice, 0 where nothing was predicted.
        reasons: Why not to trust a slice, by its index along Z.
        edge: The image at the mask's edge.
        ended: Slices of the mask below the cord's lower end, by their index along Z.
        threshold: Of `presence`, below which a mask is withheld.
    """

    presence: float
    quality: float
    area_error: float
    slice_presence: np.ndarray
    reasons: dict[int, str]
    edge: Edge
    ended: tuple[int, ...] = ()
    threshold: float = THRESHOLD


def examine(
    soft: np.ndarray,
    image: np.ndarray,
    spacing_mm: Spacing,
    *,
    air: float,
    card: Mapping[str, Any],
    cut: tuple[bool, bool, bool, bool] = (True,) * 4,
) -> Findings:
    """Presence, quality and uncertain slices of what a network saw.

    A card without `presence` and `quality`, of weights that nobody fitted them for, falls back on
    size alone: a slice is present, and with it the image, from `SMALLEST_MM2` of values above one
    half on.

    Args:
        soft: `(X, Y, Z)` in working orientation, one component, values in [0, 1].
        image: The same shape, normalised intensities.
        spacing_mm: Voxel size.
        air: Normalised intensity below which there is no signal.
        card: Of the weights.
        cut: Whether the image ends where the arrays do, at the first and the last along X and Y.

    Raises:
        InputError: If the card's models cannot be read.
    """
    features = slice_features(soft, image, spacing_mm, air=air)
    seen = np.isfinite(features["sure"])
    models = card.get("presence") or {}
    if models:
        one = Logistic.from_card(models["slice"], FEATURES)(features)
    else:
        one = np.where(features["log_area"] >= np.log(SMALLEST_MM2), 1.0, 0.0)
    one = np.where(seen, one, 0.0)
    kept, along, ended = features, 0.0, np.zeros_like(seen)
    if models and seen.any():
        ended, along = below_the_cord(soft, image, spacing_mm, features)
        one[ended] = 0.0
        kept = {name: np.where(ended, np.nan, values) for name, values in features.items()}
        ended, seen = ended & seen, seen & ~ended
    whole = image_features(kept, one, spacing_mm[2])
    presence, quality, area_error = float(one.max(initial=0.0)), np.nan, np.nan
    if seen.any() and models:
        score = float(Logistic.from_card(models["image"], IMAGE_FEATURES).score(whole))
        both = min(score, TOGETHER[0] * score + along + TOGETHER[1])
        presence = float(expit(max(both, min(along - ALONE, 0))))
    threshold = float(models.get("threshold", THRESHOLD))
    if seen.any() and card.get("quality"):
        quality = float(Logistic.from_card(card["quality"], IMAGE_FEATURES)(whole))
        quality = quality if presence >= threshold else min(quality, presence)
    elif card.get("quality"):
        quality = 0.0
    if seen.any() and card.get("area_error"):
        model = Logistic.from_card(card["area_error"], IMAGE_FEATURES)
        area_error = float(min(np.exp(model.score(whole)), LARGEST_ERROR))
    reasons = _reasons(features, one, soft, spacing_mm, cut)
    edge = find_edge(soft[:, :, ~ended], image[:, :, ~ended], spacing_mm)
    below = tuple(np.flatnonzero(ended).tolist())
    return Findings(presence, quality, area_error, one, reasons, edge, below, threshold)


def cord_slices(slice_presence: np.ndarray) -> np.ndarray:
    """Which slices the mask is kept on: from end to end, with hysteresis.

    Args:
        slice_presence: `(Z,)` in [0, 1].

    Returns:
        `(Z,)` true between the outermost slices that are at least `KEPT` present and joined to one
        of at least `CORE`; where none is, all that may be.

    Example:
        >>> cord_slices(np.array([0.0, 0.3, 0.9, 0.0, 0.7, 0.0, 0.3])).astype(int).tolist()
        [0, 1, 1, 1, 1, 0, 0]
    """
    core = np.flatnonzero(slice_presence >= CORE)
    if not core.size:
        return (slice_presence > 0) | ~(slice_presence > 0).any()
    below, above = core[0], core[-1]
    while below > 0 and slice_presence[below - 1] >= KEPT:
        below -= 1
    while above < len(slice_presence) - 1 and slice_presence[above + 1] >= KEPT:
        above += 1
    every = np.arange(len(slice_presence))
    return (every >= below) & (every <= above)


def _reasons(
    features: Mapping[str, np.ndarray],
    slice_presence: np.ndarray,
    soft: np.ndarray,
    spacing_mm: Spacing,
    cut: tuple[bool, bool, bool, bool],
) -> dict[int, str]:
    """Why slices between the mask's ends are uncertain; the first reason that holds."""
    kept = cord_slices(slice_presence) & np.isfinite(features["sure"])
    if not kept.any():
        return {}
    ends = np.flatnonzero(kept)[[0, -1]]
    empty = ~np.isfinite(features["sure"]) | (features["log_area"] < np.log(SMALLEST_MM2))
    tests = {
        "empty": empty,
        "no signal": features["void"] >= NO_SIGNAL,
        "no edge in the image": features["follows_near"] < NO_EDGE,
        "unlike its neighbours": features["steady"] > np.log(1 + UNLIKE),
        "at the image's border": _at_border(soft, spacing_mm, cut),
        "perhaps no cord": slice_presence < DOUBTED,
    }
    return {
        z: next(reason for reason, holds in tests.items() if holds[z])
        for z in range(int(ends[0]), int(ends[1]) + 1)
        if any(holds[z] for holds in tests.values())
    }


def _at_border(
    soft: np.ndarray, spacing_mm: Spacing, cut: tuple[bool, bool, bool, bool]
) -> np.ndarray:
    near = np.zeros(soft.shape[2], dtype=bool)
    for axis in (0, 1):
        width = max(1, round(BORDER_MM / spacing_mm[axis]))
        sides = np.moveaxis(soft, axis, 0)
        for side, there in ((sides[:width], cut[2 * axis]), (sides[-width:], cut[2 * axis + 1])):
            if there:
                near |= (side > 0.5).any(axis=(0, 1))
    return near
