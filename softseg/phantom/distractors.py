"""Pictures of what is no spinal cord, from which a network learns to predict no cord.

None of them is a real anatomy: noise as outside the body or of a failed acquisition, textures
like those of organs, brightness that rises across the field, bellies with bowel, large vessels and
fat between organs, limbs, whose round marrow inside dark cortical bone is what comes closest to a
cord in its canal, heads above the medulla, and tubes of any size and brightness, with or without a
wall, in anything.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage


def distractor(
    rng: np.random.Generator,
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    *,
    kind: str | None = None,
) -> np.ndarray:
    """An image without a spinal cord.

    Args:
        rng: Source of randomness.
        shape: Voxels along right-left, posterior-anterior(, inferior-superior).
        spacing_mm: Their size.
        kind: One of `KINDS`; drawn at random by default, the last four twice as often.

    Returns:
        float32 of that shape, brightness in arbitrary units, not negative.

    Example:
        >>> image = distractor(np.random.default_rng(0), (48, 40), (0.5, 0.5))
        >>> image.shape, bool(image.std() > 0)
        ((48, 40), True)
    """
    kind = kind or str(rng.choice([*KINDS, *_MAKERS]))
    shape, spacing = tuple(shape), np.asarray(spacing_mm, float)
    if kind == "noise":
        image = np.hypot(*rng.normal(0, 1, (2, *shape)))
    elif kind == "texture":
        waves = _waves(rng, shape, rng.uniform(0.4, 5.0) / spacing)
        image = waves + rng.uniform(0, 4)
    elif kind == "ramp":
        slopes = rng.normal(0, 1 / 30, len(shape)) * spacing
        image = np.tensordot(slopes, np.indices(shape), 1)
        image = image - image.min() + rng.normal(0, rng.uniform(0, 0.3), shape)
    elif kind in _MAKERS:
        plane_mm = np.indices(shape)[:2] * spacing[:2].reshape(2, *[1] * len(shape))
        image = _MAKERS[kind](rng, plane_mm, spacing[:2] * shape[:2], spacing)
    else:
        raise ValueError(f"kind must be one of {KINDS}, found {kind!r}")
    return np.maximum(image, 0).astype(np.float32)


def _limb(rng, plane_mm: np.ndarray, size_mm: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Muscles inside a layer of fat and with some between them, bones and vessels."""
    centre = size_mm * rng.uniform(0.2, 0.8, 2)
    radius = rng.uniform(20, 60)
    distance = _distance(plane_mm, centre, rng)
    muscle, fat, air = rng.uniform(0.2, 1.0), rng.uniform(0.1, 1.5), rng.uniform(0, 0.03)
    image = np.where(distance < radius, fat, air)
    inside = distance < radius - rng.uniform(1, 10)
    image = np.where(inside, muscle, image)
    if rng.random() < 0.5:
        away = _away(plane_mm, centre)
        turns = rng.integers(1, 4) * np.arctan2(away[1], away[0]) / 2 + rng.uniform(0, np.pi)
        between = inside & (np.abs(np.sin(turns)) < rng.uniform(0.02, 0.08))
        image = np.where(between, rng.uniform(fat / 2, fat), image)
    for _ in range(rng.integers(1, 3)):
        place = centre + rng.uniform(-0.5, 0.5, 2) * radius
        bone = _distance(plane_mm, place, rng)
        outer = rng.uniform(4, 16)
        image = np.where(bone < outer, rng.uniform(0, 0.2), image)
        image = np.where(bone < outer * rng.uniform(0.5, 0.9), rng.uniform(0.2, 1.5), image)
    for _ in range(rng.integers(0, 4)):
        image = _vessels(rng, image, plane_mm, size_mm * rng.uniform(0, 1, 2))
    return _scanned(rng, image, spacing, muscle)


def _belly(rng, plane_mm: np.ndarray, size_mm: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Organs that meet in seams of fat, loops of bowel with a wall and any content, and vessels."""
    count = rng.integers(2, 5)
    fields = np.array(
        [_waves(rng, plane_mm[0].shape, rng.uniform(8, 25) / spacing) for _ in range(count)]
    )
    first, second = np.sort(fields, axis=0)[[-1, -2]]
    image = rng.uniform(0.2, 1.2, len(fields))[fields.argmax(axis=0)]
    image = np.where(first - second < rng.uniform(0, 0.3), rng.uniform(0.1, 1.5), image)
    for _ in range(rng.integers(0, 5)):
        loop = _distance(plane_mm, size_mm * rng.uniform(0, 1, 2), rng)
        outer = rng.uniform(5, 18)
        image = np.where(loop < outer, rng.uniform(0.1, 1.2), image)
        image = np.where(loop < outer - rng.uniform(1, 4), rng.uniform(0, 1.5), image)
    for _ in range(rng.integers(0, 3)):
        image = _vessels(rng, image, plane_mm, size_mm * rng.uniform(0, 1, 2))
    return _scanned(rng, image, spacing)


def _head(rng, plane_mm: np.ndarray, size_mm: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """A part of a head: scalp, skull, fluid, folded cortex, ventricles and deep grey matter."""
    radius = rng.uniform(35, 75)
    # Anywhere from the middle of the brain to its border, which then crosses the picture.
    turn = rng.uniform(0, 2 * np.pi)
    away = radius * np.sqrt(rng.uniform(0, 1.1)) * np.array([np.cos(turn), np.sin(turn)])
    centre = size_mm / 2 + away
    distance = _distance(plane_mm, centre, rng)
    white, grey = rng.uniform(0.2, 1.0, 2)
    fluid, fat = rng.uniform(0.0, 1.5, 2)
    folds = _waves(rng, plane_mm[0].shape, rng.uniform(1.5, 5) / spacing)
    image = np.where(folds < rng.uniform(0, 1), white, grey)
    image = np.where(folds > rng.uniform(0.8, 1.8), fluid, image)
    image = np.where(distance > radius - rng.uniform(1, 5), grey, image)
    for _ in range(rng.integers(0, 5)):
        part = _distance(plane_mm, size_mm * rng.uniform(0, 1, 2), rng, 2.5)
        image = np.where(part < rng.uniform(1, 12), rng.choice([white, grey, fluid]), image)
    if rng.random() < 0.5:
        seam, _ = _away(plane_mm, centre)
        image = np.where(np.abs(seam) < rng.uniform(0.3, 1.5), fluid, image)
    for outside, brightness in (
        (0.0, fluid), (rng.uniform(0.5, 4), rng.uniform(0, 0.15)), (rng.uniform(4, 10), fat),
        (rng.uniform(10, 16), rng.uniform(0, 0.03)),
    ):  # fmt: skip
        image = np.where(distance > radius + outside, brightness, image)
    return _scanned(rng, image, spacing)


def _tubes(rng, plane_mm: np.ndarray, size_mm: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Round and oval things over each other, from vessels to organs, each as bright as it likes."""
    palette = rng.uniform(0, 1.5, rng.integers(2, 7))
    image = palette[0] + 0.1 * rng.random() * _waves(
        rng, plane_mm[0].shape, rng.uniform(3, 20) / spacing
    )
    for radius in np.sort(np.exp(rng.uniform(np.log(1.5), np.log(30), rng.integers(2, 30))))[::-1]:
        away = _distance(plane_mm, size_mm * rng.uniform(-0.1, 1.1, 2), rng, 2.5)
        image = np.where(away < radius, rng.choice(palette), image)
        if rng.random() < 0.4:
            image = np.where(away < radius * rng.uniform(0.5, 0.95), rng.choice(palette), image)
    if rng.random() < 0.3:
        body = _distance(plane_mm, size_mm * rng.uniform(0.2, 0.8, 2), rng)
        image = np.where(body > rng.uniform(15, 60), rng.uniform(0, 0.03), image)
    return _scanned(rng, image, spacing)


_MAKERS = {"limb": _limb, "belly": _belly, "head": _head, "tubes": _tubes}
"""What makes pictures of parts of a body, by kind."""
KINDS = ("noise", "texture", "ramp", *_MAKERS)


def _waves(rng: np.random.Generator, shape: tuple[int, ...], sigma: Sequence[float]) -> np.ndarray:
    field = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
    return field / max(float(field.std()), 1e-9)


def _scanned(
    rng: np.random.Generator, image: np.ndarray, spacing: np.ndarray, signal: float = 1.0
) -> np.ndarray:
    """Blurred, with the noise of a magnitude image, as a share of a signal."""
    image = ndimage.gaussian_filter(image, rng.uniform(0.2, 0.8) / spacing)
    strength = rng.uniform(0.01, 0.12) * signal
    real, imaginary = rng.normal(0, strength, (2, *image.shape))
    return np.hypot(image + real, imaginary)


def _vessels(
    rng: np.random.Generator, image: np.ndarray, plane_mm: np.ndarray, place_mm: np.ndarray
) -> np.ndarray:
    """One vessel or a bundle of them, some in fat: as large as a cord, with no canal around it.

    The common femoral artery is 8 to 10 mm wide (Sandgren et al., J Vasc Surg 29:503, 1999), its
    vein wider. Flowing blood is dark or bright.
    """
    if rng.random() < 0.5:
        sheath = _distance(plane_mm, place_mm, rng)
        image = np.where(sheath < rng.uniform(5, 12), rng.uniform(0.1, 1.5), image)
    for _ in range(rng.integers(1, 4)):
        vessel = _distance(plane_mm, place_mm + rng.uniform(-9, 9, 2), rng)
        blood = rng.uniform(0, 0.15) if rng.random() < 0.5 else rng.uniform(0.15, 1.5)
        image = np.where(vessel < rng.uniform(0.8, 7), blood, image)
    return image


def _distance(
    plane_mm: np.ndarray, centre: np.ndarray, rng: np.random.Generator, oval: float = 1.25
) -> np.ndarray:
    """Millimetres from a point, along turned axes of unequal length: up to `oval` times."""
    u, v = _away(plane_mm, centre)
    turn, longer = rng.uniform(0, np.pi), np.exp(rng.uniform(0, np.log(oval)))
    along, across = np.cos(turn) * u + np.sin(turn) * v, np.cos(turn) * v - np.sin(turn) * u
    return np.hypot(along / longer, across * longer)


def _away(plane_mm: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return plane_mm - centre.reshape(2, *[1] * (plane_mm.ndim - 1))
