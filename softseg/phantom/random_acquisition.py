"""Brightness of every tissue and what a scanner may do to it, drawn at random: for training.

A network that has seen any contrast need not know the one in front of it (SynthSeg: Billot et al.
2023, doi:10.1016/j.media.2023.102789). Wholly random draws are mixed with draws around the families
that scanners make, because those are what it will meet. The scanner's effects are rough, for
training and not for measuring: each is a function from an image to an image with its own strength,
and `degrade` draws which ones happen. The truth is never touched.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from softseg.phantom.tissues import TISSUES

# Rough brightness by family: where random draws are centred, not a calibrated signal.
# Columns: cord, grey/white, csf, fat, marrow, bone, disc, muscle, soft, vessel, lesion/white
_FAMILIES = {
    "t2w": (0.32, 1.10, 1.00, 0.45, 0.18, 0.05, 0.30, 0.12, 0.25, 0.10, 1.7),
    "t2star": (0.55, 1.15, 0.95, 0.60, 0.12, 0.05, 0.35, 0.45, 0.50, 1.00, 1.4),
    "t1w": (0.75, 0.90, 0.37, 1.10, 0.60, 0.10, 0.40, 0.50, 0.50, 0.60, 0.8),
    "mt-on": (0.40, 1.15, 0.75, 0.80, 0.20, 0.05, 0.35, 0.35, 0.45, 0.90, 1.4),
    "gre-t1w": (0.60, 1.00, 0.45, 0.80, 0.25, 0.05, 0.35, 0.55, 0.55, 1.00, 0.9),
    "dwi": (1.00, 1.00, 0.10, 0.15, 0.10, 0.03, 0.15, 0.15, 0.25, 0.05, 1.1),
    "epi": (0.70, 1.10, 1.00, 0.20, 0.15, 0.05, 0.30, 0.35, 0.40, 0.40, 1.3),
    "stir": (0.45, 1.10, 1.00, 0.08, 0.08, 0.04, 0.30, 0.25, 0.40, 0.30, 1.6),
    "inverted": (0.90, 0.75, 0.15, 1.00, 0.70, 0.30, 0.50, 0.60, 0.60, 0.40, 0.6),
}
_COLUMNS = ("cord", "grey", "csf", "fat", "marrow", "bone", "disc", "muscle", "soft", "vessel",
            "lesion")  # fmt: skip


def random_contrast(
    rng: np.random.Generator, *, families: float = 0.55, equal: float = 0.08
) -> np.ndarray:
    """Draw the brightness of each tissue.

    Args:
        rng: Source of randomness.
        families: Share of draws around a real family of contrasts; the rest is any contrast.
        equal: Share of the wholly random draws in which fluid and cord are about equally bright.

    Returns:
        `(T,)` float32, not negative, cord about 0.1 to 1.

    Example:
        >>> random_contrast(np.random.default_rng(0)).shape == (len(TISSUES),)
        True
    """
    if rng.random() < families:
        family = list(_FAMILIES)[rng.integers(len(_FAMILIES))]
        draw = dict(zip(_COLUMNS, _FAMILIES[family], strict=True))
        spread = rng.uniform(0.05, 0.4)
        base = {k: v * rng.lognormal(0, spread) for k, v in draw.items() if k not in _RATIOS}
        # The fluid's ratio to the cord is the family's mark: half as much spread keeps it.
        base["csf"] = base["cord"] * draw["csf"] / draw["cord"] * rng.lognormal(0, spread / 2)
        base["grey"] = draw["grey"] * rng.lognormal(0, 0.05)
        base["lesion"] = draw["lesion"] * rng.lognormal(0, 0.15)
    else:
        base = {k: rng.uniform(0, 1) for k in _COLUMNS}
        base["cord"] = rng.uniform(0.12, 1)
        base["csf"] = _fluid(rng, base["cord"], equal)
        base["grey"] = rng.uniform(0.75, 1.3)
        base["lesion"] = rng.uniform(0.5, 2.0)
    return _all_tissues(base, rng)


_RATIOS = ("grey", "lesion")


def _fluid(rng: np.random.Generator, cord: float, equal: float) -> float:
    """Fluid clearly brighter or darker than the cord, or about as bright."""
    if rng.random() < equal:
        return cord * rng.uniform(0.9, 1.1)
    if rng.random() < 0.5:
        return cord * rng.uniform(1.15, 3.5)
    return cord * rng.uniform(0.0, 0.85)


def _all_tissues(base: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    cord, fluid = base["cord"], base["csf"]

    def near(value: float, spread: float) -> float:
        return value * rng.lognormal(0, spread)

    values = {
        "air": rng.uniform(0, 0.03),
        "white_matter": cord,
        "grey_matter": cord * base["grey"],
        "lesion": cord * base["lesion"],
        "oedema": cord * near(base["lesion"], 0.2),
        "cavity": near(fluid, 0.1),
        "pia": max(0.0, cord + rng.uniform(-0.2, 1.2) * (fluid - cord)),
        "brainstem": near(cord, 0.06),
        "csf": fluid,
        "roots": near(0.7 * cord + 0.3 * fluid, 0.25),
        "dura": near(base["bone"] + 0.1, 0.4),
        "epidural_fat": near(base["fat"], 0.3),
        "marrow": base["marrow"],
        "cortical_bone": base["bone"] * 0.6,
        "disc": base["disc"],
        "muscle": base["muscle"],
        "fat": base["fat"],
        "skin": near(base["fat"] * 0.6, 0.4),
        "vessel": base["vessel"],
        "soft_tissue": base["soft"],
        "brain": near(cord, 0.15),
    }
    return np.array([values[name] for name in TISSUES], np.float32)


TEXTURE = {
    "muscle": 1.0,
    "fat": 0.8,
    "marrow": 1.5,
    "soft_tissue": 1.5,
    "skin": 1.0,
    "epidural_fat": 1.5,
    "disc": 0.8,
    "csf": 0.5,
    "vessel": 1.0,
    "brain": 0.8,
}
"""Relative strength of the grain within a tissue; the cord is the most even of all."""


def grain_strengths() -> np.ndarray:
    """`(T,)` strength of the grain in each tissue."""
    return np.array([TEXTURE.get(name, 0.25) for name in TISSUES], np.float32)


@dataclass(frozen=True, eq=False)
class ObjectMaps:
    """What is in front of the scanner, each `(X, Y, Z)`.

    Attributes:
        clean: Brightness, about 0 to 1.
        grain: Strength of the grain.
        fluid: Fraction of cerebrospinal fluid.
        cord: Fraction of cord.
    """

    clean: np.ndarray
    grain: np.ndarray
    fluid: np.ndarray
    cord: np.ndarray


def degrade(rng: np.random.Generator, maps: ObjectMaps, spacing_mm: np.ndarray) -> np.ndarray:
    """Turn a clean image into what a scanner might have shown.

    Args:
        rng: Source of randomness.
        maps: The clean image and what it is made of.
        spacing_mm: `(3,)` voxel size.

    Returns:
        `(X, Y, Z)` float32, not negative.
    """
    image = maps.clean * _grain(rng, maps.grain, spacing_mm)
    if rng.random() < 0.35:
        image = _pulsation(rng, image, maps, spacing_mm)
    if rng.random() < 0.8:
        image = image * _shading(rng, image.shape, spacing_mm)
    if rng.random() < 0.6:
        image = ndimage.gaussian_filter(image, rng.uniform(0.2, 0.8) * (np.array(image.shape) > 1))
    if rng.random() < 0.3:
        image = _truncated(rng, image)
    if rng.random() < 0.12:
        axis = int(rng.integers(2))
        image = image + rng.uniform(0.03, 0.15) * np.roll(image, image.shape[axis] // 2, axis)
    image = _noisy(rng, image, _reference(maps))
    if rng.random() < 0.4:
        top = max(float(image.max()), 1e-6)
        image = top * (image / top) ** np.exp(rng.uniform(-0.35, 0.35))
    return image.astype(np.float32, copy=False)


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, ...], spacing_mm: np.ndarray, length_mm: float
) -> np.ndarray:
    """A random field of unit standard deviation and a given correlation length."""
    # Drawn on a coarse grid of two points a length and interpolated: as smooth and much faster.
    coarse = [
        max(2, int(np.ceil(n * h / length_mm * 1.5)) + 2)
        for n, h in zip(shape, spacing_mm, strict=True)
    ]
    coarse = [min(c, n) if n > 1 else 1 for c, n in zip(coarse, shape, strict=True)]
    field = rng.standard_normal(coarse, dtype=np.float32)
    for axis, (few, many) in enumerate(zip(coarse, shape, strict=True)):
        if few != many:
            at = np.linspace(0, few - 1, many)
            low = np.minimum(at.astype(int), few - 2)
            part = (at - low).reshape([-1 if a == axis else 1 for a in range(3)]).astype(np.float32)
            part = part * part * (3 - 2 * part)
            below, above = field.take(low, axis), field.take(low + 1, axis)
            field = below + (above - below) * part
    return field


def _grain(rng: np.random.Generator, strength: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    amplitude = rng.uniform(0.02, 0.16)
    field = smooth_field(rng, strength.shape, spacing_mm, rng.uniform(1.2, 3.0))
    field = field + 0.7 * smooth_field(rng, strength.shape, spacing_mm, rng.uniform(6, 20))
    return np.clip(1 + amplitude * strength * field, 0.2, 2)


def _pulsation(
    rng: np.random.Generator, image: np.ndarray, maps: ObjectMaps, spacing_mm: np.ndarray
) -> np.ndarray:
    """Flowing fluid loses signal in patches, or shines."""
    field = smooth_field(rng, image.shape, spacing_mm, rng.uniform(4, 15))
    loss = np.clip(field, 0, 1) * rng.uniform(0.1, 0.7) * rng.choice([1, 1, -0.5])
    brightness = float((maps.clean * maps.fluid).sum() / max(float(maps.fluid.sum()), 1e-6))
    return np.maximum(image - loss * maps.fluid * brightness, 0)


def _shading(rng, shape, spacing_mm) -> np.ndarray:
    """Coil sensitivity: a slope, a falling off from a coil behind, and slow waves."""
    axes = np.meshgrid(
        *[(np.arange(n) - (n - 1) / 2) * h for n, h in zip(shape, spacing_mm, strict=True)],
        indexing="ij",
        sparse=True,
    )
    slope = sum(a * g for a, g in zip(axes, rng.normal(0, 0.006, 3), strict=True))
    behind = -axes[1] * rng.choice([0.0, 1.0]) * rng.uniform(0.0, 0.02)
    waves = rng.uniform(0, 0.25) * smooth_field(rng, shape, spacing_mm, rng.uniform(30, 80))
    return np.exp(np.clip(slope + behind + waves, -1.6, 1.6)).astype(np.float32)


def _truncated(rng, image: np.ndarray) -> np.ndarray:
    """Cut the image's highest frequencies along one or both axes, as a small matrix does."""
    for axis in range(2):
        size = image.shape[axis]
        if size < 8 or rng.random() < 0.4:
            continue
        spectrum = np.fft.rfft(image, axis=axis)
        keep = int(spectrum.shape[axis] * rng.uniform(0.55, 0.95))
        spectrum[(slice(None),) * axis + (slice(keep, None),)] = 0
        image = np.fft.irfft(spectrum, size, axis=axis)
    return np.maximum(image, 0).astype(np.float32)


def _reference(maps: ObjectMaps) -> float:
    """Brightness that noise is measured by: the cord's where there is one."""
    bright = float(np.percentile(maps.clean, 90))
    if float(maps.cord.sum()) < 10:
        return bright
    return min(bright, 1.3 * float((maps.clean * maps.cord).sum() / maps.cord.sum()))


def _noisy(rng, image: np.ndarray, reference: float) -> np.ndarray:
    """Rician noise, sometimes correlated between neighbours by interpolation."""
    scale = reference * rng.choice([0.02, 0.05, 0.1, 0.15]) * rng.uniform(0.2, 1.6)
    real, imaginary = rng.standard_normal((2, *image.shape), dtype=np.float32) * scale
    if rng.random() < 0.4:
        wide = rng.uniform(0.3, 0.7) * (np.array(image.shape) > 1)
        real = ndimage.gaussian_filter(real, wide) * 1.6
        imaginary = ndimage.gaussian_filter(imaginary, wide) * 1.6
    return np.sqrt((image + real) ** 2 + imaginary**2)
