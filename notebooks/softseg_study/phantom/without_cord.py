"""Whole images that show no spinal cord: limbs, noise, abdomens and heads above the medulla.

They are made by code of their own, so that a network that learnt from the package's pictures
without a cord (`softseg.phantom.distractors`) is tested on others. Each is a volume in working
orientation with slices, bias, blur and noise.
"""

import numpy as np
from scipy import ndimage

from softseg.volume import Volume

KINDS = ("limb", "noise", "abdomen", "head")


def image_without_cord(rng: np.random.Generator, kind: str) -> Volume:
    """One such image.

    Args:
        rng: Source of randomness.
        kind: One of `KINDS`.

    Raises:
        ValueError: If the kind is unknown.

    Example:
        >>> image_without_cord(np.random.default_rng(0), "noise").orientation
        'LAS'
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, found {kind!r}")
    thick = rng.random() < 0.5
    spacing = np.array([*[rng.uniform(0.7, 1.2)] * 2, rng.uniform(3, 6) if thick else 0.0])
    spacing[2] = spacing[2] or spacing[0] * 1.5
    size_mm = np.array([*rng.uniform(90, 130, 2), rng.uniform(45, 70)])
    shape = np.maximum(np.round(size_mm / spacing), 8).astype(int)
    away = [(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, spacing, strict=True)]
    x, y, z = np.meshgrid(*away, indexing="ij")
    clean = _MAKERS[kind](rng, x, y, z, tuple(shape))
    image = _scanned(rng, clean, spacing)
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    return Volume(np.round(400 * image).astype(np.float32), affine)


def _scanned(rng: np.random.Generator, clean: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    wide = ndimage.gaussian_filter(rng.normal(size=clean.shape), 25 / spacing)
    coil = np.exp(rng.uniform(0, 0.5) * wide / max(float(wide.std()), 1e-9))
    grain = ndimage.gaussian_filter(rng.normal(size=clean.shape), 1.5 / spacing)
    grain = 1 + rng.uniform(0, 0.12) * grain / max(float(grain.std()), 1e-9)
    image = ndimage.gaussian_filter(clean * grain * coil, rng.uniform(0.3, 0.7))
    strength = rng.uniform(0.02, 0.08) * max(float(np.percentile(image, 90)), 1e-3)
    noise = rng.normal(0, strength, (2, *clean.shape))
    return np.hypot(image + noise[0], noise[1])


def _inside(x, y, centre, radii, turn: float = 0.0) -> np.ndarray:
    """Below 1 inside an ellipse; places and sizes may vary along the third axis."""
    u, v = x - centre[0], y - centre[1]
    u, v = np.cos(turn) * u + np.sin(turn) * v, np.cos(turn) * v - np.sin(turn) * u
    return np.hypot(u / radii[0], v / radii[1])


def _limb(rng, x, y, z, shape) -> np.ndarray:
    """One or two limbs that taper, each with one or two bones, muscle groups and vessels."""
    image = np.zeros(shape)
    legs = rng.integers(1, 3)
    brightness = {name: rng.uniform(*ends) for name, ends in _LIMB.items()}
    for leg in range(legs):
        side = 0.0 if legs == 1 else (-1) ** leg * rng.uniform(26, 32)
        centre = (
            side + rng.uniform(-0.1, 0.1) * z,
            rng.uniform(-6, 6) + rng.uniform(-0.1, 0.1) * z,
        )
        radius = rng.uniform(22, 27) * (1 + rng.uniform(-0.003, 0.003) * z)
        skin = _inside(x, y, centre, (radius, radius * rng.uniform(0.85, 1.1)))
        image[skin < 1] = brightness["fat"]
        image[skin < rng.uniform(0.75, 0.93)] = brightness["muscle"]
        angle = np.arctan2(y - centre[1], x - centre[0])
        seams = np.abs(np.sin(rng.integers(3, 6) * angle / 2 + 0.01 * z)) < 0.04
        image[seams & (skin < 0.85)] = brightness["fat"]
        for bone in range(rng.integers(1, 3)):
            place = (centre[0] + bone * 12 - rng.uniform(0, 6), centre[1] + rng.uniform(-6, 6))
            outer = rng.uniform(5, 11) / (1 + bone)
            here = _inside(x, y, place, (outer, outer * rng.uniform(0.8, 1.2)), rng.uniform(0, 3))
            image[here < 1] = brightness["bone"]
            image[here < rng.uniform(0.6, 0.85)] = brightness["marrow"]
        for _ in range(3):
            away, turn = rng.uniform(6, 17), rng.uniform(0, 2 * np.pi)
            place = (centre[0] + away * np.cos(turn), centre[1] + away * np.sin(turn))
            image[_inside(x, y, place, (rng.uniform(1, 4),) * 2) < 1] = brightness["blood"]
    return image


_LIMB = {"fat": (0.2, 1.4), "muscle": (0.3, 0.7), "bone": (0.0, 0.1), "marrow": (0.3, 1.3),
         "blood": (0.0, 1.5)}  # fmt: skip


def _noise(rng, x, y, z, shape) -> np.ndarray:
    """Nothing but what the coil receives: even, striped or with a bright centre."""
    kind = rng.integers(3)
    if kind == 0:
        return np.full(shape, 1e-3)
    if kind == 1:
        return 0.03 * (1 + np.sin(x / rng.uniform(2, 9) + y / rng.uniform(2, 9)) + 0 * z)
    return 0.1 * np.exp(-(x**2 + y**2 + z**2) / rng.uniform(15, 40) ** 2)


def _abdomen(rng, x, y, z, shape) -> np.ndarray:
    """The front of a trunk: wall, liver, spleen, kidneys, bowel, aorta and cava, but no spine."""
    image = np.zeros(shape)
    wall = _inside(x, y, (0, 0), (rng.uniform(52, 62), rng.uniform(42, 50)))
    fat, muscle = rng.uniform(0.3, 1.4), rng.uniform(0.2, 0.6)
    image[wall < 1] = fat
    image[wall < 0.88] = muscle
    image[wall < 0.82] = fat * rng.uniform(0.8, 1)
    drift = rng.uniform(-0.2, 0.2, 8)
    organs = [
        ((25, 5), (22, 28)),
        ((-30, -8), (12, 17)),
        ((22, -24), (10, 13)),
        ((-20, -22), (10, 13)),
    ]
    for number, ((right, front), radii) in enumerate(organs):
        place = (right + drift[number] * z, front + drift[number + 4] * z)
        radii = np.array(radii) * rng.uniform(0.8, 1.15)
        image[_inside(x, y, place, radii, rng.uniform(-0.4, 0.4)) < 1] = rng.uniform(0.2, 1.0)
    for _ in range(rng.integers(3, 8)):
        place = (rng.uniform(-30, 20) + rng.uniform(-0.5, 0.5) * z, rng.uniform(-5, 30))
        loop = _inside(x, y, place, (rng.uniform(6, 13), rng.uniform(6, 13)))
        image[loop < 1] = rng.uniform(0.3, 0.8)
        image[loop < rng.uniform(0.6, 0.85)] = rng.uniform(0.0, 1.5)
    blood = rng.uniform(0, 0.1) if rng.random() < 0.5 else rng.uniform(0.5, 1.5)
    for right, radius in ((-5, rng.uniform(7, 11)), (8, rng.uniform(6, 11))):
        image[_inside(x, y, (right, -26), (radius, radius * rng.uniform(0.7, 1))) < 1] = blood
    return image


def _head(rng, x, y, z, shape) -> np.ndarray:
    """A head from the pons up: scalp, skull, fluid, cortex around white matter, ventricles."""
    image = np.zeros(shape)
    up = np.sqrt(np.clip(1 - ((z - z.min()) / rng.uniform(75, 110)) ** 2, 0.05, 1))
    scale = np.array([rng.uniform(40, 46), rng.uniform(48, 54)])
    radii = (scale[0] * up, scale[1] * up)
    whole = _inside(x, y, (0, 0), radii)
    fat, fluid, white = rng.uniform(0.4, 1.4), rng.uniform(0.02, 1.5), rng.uniform(0.4, 0.9)
    grey = white * rng.uniform(0.7, 1.35)
    for edge, brightness in ((1, fat), (0.93, 0.03), (0.85, fluid), (0.82, grey)):
        image[whole < edge] = brightness
    folds = ndimage.gaussian_filter(rng.normal(size=shape), 3.0)
    folds = folds / max(float(folds.std()), 1e-9)
    image[(whole < 0.82) & (whole > 0.55) & (folds > 1.1)] = fluid
    image[(whole < 0.75) & (folds < 0.9)] = white
    for side in (-1, 1):
        place = (side * (6 + 0.08 * (z - z.min())), rng.uniform(-4, 4))
        image[_inside(x, y, place, (4.0, 13.0), side * 0.15) < 1] = fluid
        image[_inside(x, y, (side * 16.0, 2.0), (6.0, 12.0)) < 1] = grey
    image[(np.abs(x) < 0.8) & (whole < 0.82) & (y > 15)] = fluid
    low = z < z.min() + rng.uniform(10, 25)
    image[(_inside(x, y, (0, -14), (13, 10)) < 1) & low] = white  # midbrain and pons
    image[(_inside(x, y, (0, -29), (rng.uniform(25, 32), 13)) < 1) & low] = grey
    image[(_inside(x, y, (0, -21), (3.0, 2.5)) < 1) & low] = fluid
    return image


_MAKERS = {"limb": _limb, "noise": _noise, "abdomen": _abdomen, "head": _head}
