"""Presence, quality and error of area, fitted where the truth is known, for the weights' card.

Cases are phantoms nobody was trained on, made harder in ways that happen (`worsened`), pictures
without a cord, and images with a manual mask. The models are the four of
`softseg.segmentation.presence`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import ndimage, optimize
from scipy.special import expit

from softseg.contrasts import CONTRASTS, UNSEEN_CONTRASTS
from softseg.phantom.acquisition import acquire
from softseg.phantom.anatomy import random_anatomy
from softseg.phantom.artefacts import with_options
from softseg.phantom.distractors import distractor
from softseg.phantom.protocols import imaged
from softseg.segmentation.engine import Model, seen_mask
from softseg.segmentation.prepare import prepare
from softseg.segmentation.presence import Logistic
from softseg.segmentation.slice_features import FEATURES, IMAGE_FEATURES, image_features
from softseg.volume import Volume

PRESENT_DICE, SLICE_DICE = 0.3, 0.5
"""From which Dice on an image, or a slice, counts as one whose cord was found."""
RIDGE = 1.0
"""Penalty of standardised weights, in cases."""
SMALLEST_MM2 = 8.0
"""A slice with less of the true cord is one without."""
MISSED = 0.005
"""Share of images with a cord that the threshold of presence may withhold."""
PRIOR = 0.9
"""Share of images, and of slices with a mask, that show the cord: so it is where people look for
it, however many cases of each kind were made."""
COVERED, FOLDS = 0.95, 5
"""Share of areas whose interval holds the true one, and in how many parts cases are counted."""
PATHOLOGIES = ("compression", "lesions", "injury", "atrophy")
FIELDS = {"cord": 0.5, "full": 0.1, "lumbar": 0.16, "cauda": 0.12, "head": 0.12}
"""Where images are taken, and how often: no cord is in `cauda` and `head`."""
LENGTHS_MM = {"lumbar": 160}
"""How much of them, if not 60 mm: with the cord's tip is shown what lies above and below it."""


@dataclass(frozen=True, eq=False)
class Case:
    """An image and the truth.

    Attributes:
        name: Tells where it comes from.
        image: The image.
        truth: Fraction of cord on its grid; None where there is no cord.
    """

    name: str
    image: Volume
    truth: Volume | None


@dataclass(frozen=True, eq=False)
class Record:
    """What a network made of a case.

    Attributes:
        name: Of the case.
        features: `(Z,)` a slice, as `softseg.segmentation.slice_features` gives them.
        shared_mm2, true_mm2, mask_mm2: `(Z,)` areas of mask and truth above one half: of both, and
            of each.
        step_mm: Distance of slices.
        soft_mm2, cord_mm2: `(Z,)` areas of mask and truth, partial volume kept.
    """

    name: str
    features: dict[str, np.ndarray]
    shared_mm2: np.ndarray
    true_mm2: np.ndarray
    mask_mm2: np.ndarray
    step_mm: float
    soft_mm2: np.ndarray
    cord_mm2: np.ndarray

    @property
    def has_cord(self) -> bool:
        """Whether there is one."""
        return bool(self.true_mm2.any())

    @property
    def dice(self) -> float:
        """Of the mask above one half, 0 without a cord."""
        total = (self.true_mm2 + self.mask_mm2).sum()
        return float(2 * self.shared_mm2.sum() / total) if total else 0.0

    @property
    def right(self) -> np.ndarray:
        """`(Z,)` whether the slice shows the cord and the mask meets it."""
        total = self.true_mm2 + self.mask_mm2
        return (self.true_mm2 >= SMALLEST_MM2) & (2 * self.shared_mm2 >= SLICE_DICE * total)

    @property
    def log_ratio(self) -> float:
        """Logarithm of the area of the mask over the truth's, where both are; nan elsewhere."""
        if not self.right.any():
            return np.nan
        return float(np.log(self.soft_mm2[self.right].sum() / self.cord_mm2[self.right].sum()))

    def part(self, slices: slice) -> "Record":
        """What would have been found in some slices alone."""
        names = ("shared_mm2", "true_mm2", "mask_mm2", "soft_mm2", "cord_mm2")
        arrays = {name: getattr(self, name)[slices] for name in names}
        features = {name: values[slices] for name, values in self.features.items()}
        return replace(self, features=features, **arrays)


def calibration_cases(seed: int, count: int) -> Iterator[Case]:
    """Phantoms, each also in two worse versions, and pictures without a cord: one in four.

    Args:
        seed: Names the cases; choose one of which no training has seen a participant.
        count: Of different images, before they are made worse.
    """
    for number in range(count):
        rng = np.random.default_rng([seed, 77, number])
        if number % 4 == 3:
            yield empty_case(rng, f"empty-{number}")
            continue
        case = phantom_case(rng, f"phantom-{number}")
        yield case
        for _ in range(2):
            yield worsened(case, rng)


def phantom_case(rng: np.random.Generator, name: str) -> Case:
    """A participant in any contrast, anywhere along the spine, three in ten with a pathology."""
    pathology = str(rng.choice(PATHOLOGIES)) if rng.random() < 0.3 else None
    contrast = str(rng.choice(imaged([*CONTRASTS, *UNSEEN_CONTRASTS])))
    severity = "realistic" if rng.random() < 0.5 else "mild"
    field = str(rng.choice(list(FIELDS), p=list(FIELDS.values())))
    scan = acquire(
        random_anatomy(rng, pathology=pathology),
        contrast,
        rng=rng,
        severity=with_options(severity, noise=float(rng.uniform(0.5, 2.5))),
        voxel_scale=float(rng.uniform(0.8, 1.5)),
        field_of_view=field,
    )
    height = scan.image.data.shape[2]
    length_mm = LENGTHS_MM.get(field, 60)
    count = min(height, max(8, round(length_mm / scan.image.spacing_mm[2])))
    start = int(rng.integers(0, height - count + 1))
    part = slice(start, start + count)
    return Case(f"{name}-{field}-{contrast}", _part(scan.image, part), _part(scan.truth, part))


def empty_case(rng: np.random.Generator, name: str) -> Case:
    """A limb, noise, a texture or a ramp, in slices of any thickness."""
    spacing = np.array([*[rng.uniform(0.5, 1.2)] * 2, rng.uniform(1, 6)])
    size_mm = np.array([*rng.uniform(50, 160, 2), rng.uniform(30, 90)])
    shape = np.maximum(np.round(size_mm / spacing), 8).astype(int)
    data = distractor(rng, tuple(shape), tuple(spacing))
    return Case(name, Volume(data, np.diag([*spacing * (-1, 1, 1), 1.0])), None)


def _part(volume: Volume, slices: slice) -> Volume:
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 2] * slices.start
    return Volume(np.ascontiguousarray(volume.data[:, :, slices]), affine)


def worsened(case: Case, rng: np.random.Generator) -> Case:
    """Blurred, noisy, in larger voxels, with a void, tight about the cord, or inverted."""
    kind = str(rng.choice(["blur", "noise", "coarse", "void", "tight", "inverted"]))
    image, truth = case.image, case.truth
    data = image.data.astype(np.float32)
    spacing = np.array(image.spacing_mm)
    inside = data[truth.data > 0.5] if (truth.data > 0.5).any() else data
    if kind == "blur":
        data = ndimage.gaussian_filter(data, (*rng.uniform(0.3, 2.0) / spacing[:2], 0))
    elif kind == "noise":
        strength = inside.mean() * np.exp(rng.uniform(np.log(0.05), np.log(0.8)))
        noise = rng.normal(0, strength, (2, *data.shape))
        data = np.hypot(data + noise[0], noise[1]).astype(np.float32)
    elif kind == "coarse":
        grid = image.respaced_grid((*spacing[:2] * rng.uniform(1.2, 2.5), spacing[2]))
        coarse = image.like(data).resampled(grid, mode="nearest")
        return Case(f"{case.name}-coarse", coarse, truth.resampled(grid))
    elif kind == "void":
        start = int(rng.integers(0, max(1, data.shape[2] - 2)))
        hole = slice(start, start + max(1, round(rng.uniform(5, 20) / spacing[2])))
        data[:, :, hole] *= rng.choice([0.0, rng.uniform(0, 0.05)])
        drawn = truth.data.copy()
        drawn[:, :, hole] = 0  # what is drawn into a void is invented
        truth = truth.like(drawn)
    elif kind == "tight":
        where = np.argwhere(truth.data > 0.5)
        if len(where):
            margin = np.round(rng.uniform(2, 6) / spacing[:2]).astype(int)
            low = np.maximum(where.min(axis=0)[:2] - margin, 0)
            high = where.max(axis=0)[:2] + margin + 1
            crop = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            image, truth = (Volume(v[crop], image.affine) for v in (data, truth.data))
            data = image.data
    else:
        data = data.max() - data
    return Case(f"{case.name}-{kind}", image.like(np.ascontiguousarray(data)), truth)


def record(case: Case, model: Model) -> Record:
    """Segment a case and compare with its truth."""
    prepared = prepare(case.image, model.config)
    seen = seen_mask(prepared, model)
    soft = prepared.pasted(seen.soft, seen.box).oriented().data
    mask = soft > 0.5
    cord = np.zeros_like(soft) if case.truth is None else case.truth.oriented().data
    truth = cord > 0.5
    spacing = case.image.oriented().spacing_mm
    shared, true, drawn, total, known = (
        each.sum(axis=(0, 1), dtype=float) * spacing[0] * spacing[1]
        for each in (mask & truth, truth, mask, soft, cord)
    )
    return Record(case.name, seen.features, shared, true, drawn, spacing[2], total, known)


def fit_logistic(
    values: np.ndarray, target: np.ndarray, weight: np.ndarray, names: tuple[str, ...]
) -> Logistic:
    """Weights of the likeliest logistic model of a target in [0, 1], with a ridge penalty.

    Args:
        values: `(N, F)` features.
        target: `(N,)` in [0, 1]; fractions are means of that many successes.
        weight: `(N,)` of each case.
        names: Of the features.
    """
    centre, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    standard = np.column_stack([(values - centre) / scale, np.ones(len(values))])
    ridge = np.append(np.full(len(names), RIDGE), 0.0)

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        score = standard @ beta
        apart = expit(score) - target
        value = weight @ (np.logaddexp(0, score) - target * score) + 0.5 * ridge @ beta**2
        return float(value), standard.T @ (weight * apart) + ridge * beta

    beta = optimize.minimize(loss, np.zeros(standard.shape[1]), jac=True, method="BFGS").x
    slopes = beta[:-1] / scale
    bias = float(beta[-1] - slopes @ centre)
    return Logistic(names, tuple(float(w) for w in slopes), bias)


def fit_area_error(values: np.ndarray, ratios: np.ndarray, origin: np.ndarray) -> Logistic:
    """How far the logarithm of the area is off in `COVERED` of the cases, from features.

    The scale of a Laplace distribution is log-linear in the features. By how much the wanted share
    of errors exceeds it is counted on cases of other images than the scale was fitted to (split
    conformal prediction, doi:10.1080/01621459.2017.1307116), so that the share holds for new images
    of the same kind, whether the distribution is right or not.

    Args:
        values: `(N, F)` features of whole images.
        ratios: `(N,)` logarithms of measured over true area.
        origin: `(N,)` cases of one image have one name.
    """
    _, group = np.unique(origin, return_inverse=True)
    beyond = np.full(len(ratios), np.nan)
    for fold in range(FOLDS):
        out = group % FOLDS == fold
        if out.any() and not out.all():
            model = _fit_scale(values[~out], ratios[~out])
            scale = np.exp(model.score(dict(zip(IMAGE_FEATURES, values[out].T, strict=True))))
            beyond[out] = np.abs(ratios[out]) / scale
    beyond = beyond[np.isfinite(beyond)]
    factor = np.quantile(beyond, min(1.0, COVERED * (1 + 1 / len(beyond))), method="higher")
    model = _fit_scale(values, ratios)
    return replace(model, bias=float(model.bias + np.log(factor)))


def _fit_scale(values: np.ndarray, ratios: np.ndarray) -> Logistic:
    centre, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    standard = np.column_stack([(values - centre) / scale, np.ones(len(values))])
    ridge = np.append(np.full(values.shape[1], RIDGE), 0.0)
    size = np.maximum(np.abs(ratios), 1e-4)

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        score = standard @ beta
        apart = size * np.exp(-score)
        value = float((score + apart).sum() + 0.5 * ridge @ beta**2)
        return value, standard.T @ (1 - apart) + ridge * beta

    start = np.append(np.zeros(values.shape[1]), np.log(size.mean()))
    beta = optimize.minimize(loss, start, jac=True, method="L-BFGS-B").x
    slopes = beta[:-1] / scale
    bias = float(beta[-1] - slopes @ centre)
    return Logistic(IMAGE_FEATURES, tuple(float(w) for w in slopes), bias)


def fit_presence(records: Iterable[Record]) -> dict[str, Any]:
    """The entries `presence`, `quality` and `area_error` of a card.

    Each record counts as a whole and as a part of it: stacks of few slices are usual.
    """
    rng = np.random.default_rng(0)
    records = [each for whole in records for each in (whole, _cut(whole, rng))]
    seen = [np.isfinite(one.features["sure"]) for one in records]
    pairs = list(zip(records, seen, strict=True))
    values = np.concatenate(
        [np.stack([r.features[name][s] for name in FEATURES], axis=1) for r, s in pairs]
    )
    right = np.concatenate([r.right[s] for r, s in pairs]).astype(float)
    # A case counts once, however many slices it has.
    share = np.concatenate([np.full(s.sum(), 20 / max(s.sum(), 1)) for s in seen])
    one = fit_logistic(values, right, _balanced(right > 0.5, share), FEATURES)
    some = [r for r, s in pairs if s.any()]
    whole = np.array([_image_values(r, one) for r in some])
    dice = np.array([r.dice for r in some])
    found = dice >= PRESENT_DICE
    weight = _balanced(found, np.ones(len(some)))
    image = fit_logistic(whole, found.astype(float), weight, IMAGE_FEATURES)
    quality = fit_logistic(whole, dice, np.ones(len(some)), IMAGE_FEATURES)
    ratios = np.array([r.log_ratio for r in some])
    known = np.isfinite(ratios)
    origin = np.array(["-".join(r.name.split("-")[:2]) for r in some])
    error = fit_area_error(whole[known], ratios[known], origin[known])
    presence = image(dict(zip(IMAGE_FEATURES, whole.T, strict=True)))
    threshold = min(0.5, float(np.quantile(presence[found], MISSED)))
    return {
        "presence": {
            "slice": _entry(one),
            "image": _entry(image),
            "threshold": round(threshold, 3),
            "cases": len(records),
            "cases_without_cord": sum(not r.has_cord for r in records),
        },
        "quality": _entry(quality),
        "area_error": _entry(error),
    }


def _cut(whole: Record, rng: np.random.Generator) -> Record:
    """A part of 5 mm at least."""
    count = len(whole.true_mm2)
    least = min(count, max(1, round(5 / whole.step_mm)))
    size = round(np.exp(rng.uniform(np.log(least), np.log(count))))
    start = int(rng.integers(0, count - size + 1))
    return whole.part(slice(start, start + size))


def _balanced(positive: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weights of the same sum, `PRIOR` of it where positive."""
    share = weight[positive].sum() / weight.sum()
    shares = PRIOR / max(share, 1e-9), (1 - PRIOR) / max(1 - share, 1e-9)
    return weight * np.where(positive, *shares)


def _image_values(one: Record, model: Logistic) -> list[float]:
    presence = np.where(np.isfinite(one.features["sure"]), model(one.features), 0.0)
    found = image_features(one.features, presence, one.step_mm)
    return [found[name] for name in IMAGE_FEATURES]


def _entry(model: Logistic) -> dict[str, Any]:
    return {
        "features": list(model.features),
        "weights": [round(w, 5) for w in model.weights],
        "bias": round(model.bias, 5),
    }
