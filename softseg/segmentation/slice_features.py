"""What describes a mask where no truth is known: numbers a slice, and of the whole image."""

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from softseg.masks import FAINT
from softseg.volume import Spacing

NEAR_MM = 10.0
"""Neighbours along the cord, to either side."""
RING_MM = 2.5
"""How wide a ring about the mask the image is compared with."""
FEATURES = (
    "log_area", "contrast", "void", "compact", "round", "steady", "jump", "sure_near",
    "follows_near",
)  # fmt: skip
IMAGE_FEATURES = (
    "log_length", "slice_presence", "low_presence", "sure", "follows", "contrast", "void",
    "compact", "steady", "jump",
)  # fmt: skip
"""What a card's models may take: of a slice, and of the whole image."""


def slice_features(
    soft: np.ndarray, image: np.ndarray, spacing_mm: Spacing, *, air: float
) -> dict[str, np.ndarray]:
    """Numbers that describe each slice of a soft mask, `(Z,)` each, nan where it is empty.

    Args:
        soft: `(X, Y, Z)` in working orientation, one component, values in [0, 1].
        image: The same shape, normalised intensities.
        spacing_mm: Voxel size.
        air: Normalised intensity below which there is no signal.

    Returns:
        `log_area` of mm² above one half (0 for none); `sure`, the mean value weighted by itself;
        `follows`, how closely values and image agree within `RING_MM` of the mask (absolute
        correlation); `contrast` of inside and ring in their SDs; `void`, the share of the inside
        that is as dark as air; `compact`, the area of the ellipse of the same moments over the
        mask's; `round`, its short over its long axis; `steady`, how far the area's logarithm is
        from the median within `NEAR_MM`; `jump`, how far the centre is from between its
        neighbours' in mm per mm along the body, at most 3; `sure_near` and `follows_near`, means
        within `NEAR_MM`.
    """
    rows = np.full((soft.shape[2], 10), np.nan)
    for z in np.flatnonzero((soft > FAINT).any(axis=(0, 1))):
        rows[z] = _describe(soft[:, :, z], image[:, :, z], spacing_mm, air)
    names = ("log_area", "sure", "follows", "contrast", "void", "compact", "round", "log_total")
    found = dict(zip(names, rows.T, strict=False))
    reach = max(1, round(NEAR_MM / spacing_mm[2]))
    total = found.pop("log_total")
    found["steady"] = np.minimum(np.abs(total - _near(np.nanmedian, total, reach)), 3.0)
    found["jump"] = _jump(rows[:, 8:], spacing_mm[2])
    for name in ("sure", "follows"):
        found[f"{name}_near"] = _near(np.nanmean, found[name], reach)
    return found


def _describe(
    soft: np.ndarray, image: np.ndarray, spacing_mm: Spacing, air: float
) -> tuple[float, ...]:
    """The numbers of one slice that need no neighbour, and its centre in mm."""
    mm = np.array(spacing_mm[:2])
    low, high = (f(np.argwhere(soft > FAINT), axis=0) for f in (np.min, np.max))
    margin = np.ceil(RING_MM / mm).astype(int) + 1
    low = np.maximum(low - margin, 0)
    crop = tuple(slice(a, b + m + 1) for a, b, m in zip(low, high, margin, strict=True))
    soft, image = soft[crop].astype(np.float64), image[crop].astype(np.float64)
    total = soft.sum()
    x, y = ((start + np.arange(n)) * h for start, n, h in zip(low, soft.shape, mm, strict=True))
    centre = np.array([soft.sum(axis=1) @ x, soft.sum(axis=0) @ y]) / total
    u, v = x[:, None] - centre[0], y - centre[1]
    own = mm**2 / 12  # of a voxel's own extent
    xx, yy, xy = ((soft * part).sum() / total for part in (u * u, v * v, u * v))
    spread = np.array([[xx + own[0], xy], [xy, yy + own[1]]])
    short, long = np.sqrt(np.maximum(np.linalg.eigvalsh(spread), 1e-6))
    inside = soft > 0.5
    if not inside.any():
        inside = soft == soft.max()
    ring = ndimage.distance_transform_edt(~inside, sampling=tuple(mm)) <= RING_MM
    outside = ring & (soft < 0.25)
    values = image[inside], image[outside] if outside.any() else image[ring]
    noise = np.sqrt((values[0].var() + values[1].var()) / 2)
    area_mm2 = float((soft > 0.5).sum() * mm.prod())
    return (
        np.log(max(area_mm2, 1.0)),
        float((soft**2).sum() / total),
        _agreement(soft[ring], image[ring]),
        float(min(abs(values[0].mean() - values[1].mean()) / max(noise, 1e-3), 5.0)),
        float((values[0] < air).mean()),
        float(4 * np.pi * short * long / (total * mm.prod())),
        float(short / long),
        float(np.log(total * mm.prod())),
        *centre,
    )


def _agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Absolute correlation; 0 where either is constant."""
    a, b = first - first.mean(), second - second.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float(abs((a * b).sum()) / scale) if scale > 1e-9 * len(a) else 0.0


def _near(statistic, values: np.ndarray, reach: int) -> np.ndarray:
    """A statistic of the known values within `reach` of each known one."""
    result = np.full(len(values), np.nan)
    for z in np.flatnonzero(np.isfinite(values)):
        result[z] = statistic(values[max(0, z - reach) : z + reach + 1])
    return result


def _jump(centres: np.ndarray, step_mm: float) -> np.ndarray:
    result = np.where(np.isfinite(centres[:, 0]), 0.0, np.nan)
    if len(centres) > 2:
        off = centres[1:-1] - (centres[:-2] + centres[2:]) / 2
        apart = np.minimum(np.hypot(*off.T) / step_mm, 3.0)
        result[1:-1] = np.where(np.isfinite(apart), apart, result[1:-1])
    return result


def image_features(
    features: Mapping[str, np.ndarray], slice_presence: np.ndarray, step_mm: float
) -> dict[str, float]:
    """Numbers that describe a whole mask, from those of its slices.

    Returns:
        `log_length` of the mm in which slices are present; `slice_presence`, its mean over slices
        with a mask, and `low_presence`, its 10th percentile; of the slices that are present (all,
        if none is) the medians of the others.
    """
    seen = np.isfinite(features["sure"])
    present = seen & (slice_presence >= 0.5)
    chosen = present if present.any() else seen
    found = {"log_length": float(np.log(max(present.sum() * step_mm, 1.0)))}
    shown = slice_presence[seen] if seen.any() else np.zeros(1)
    found |= {
        "slice_presence": float(shown.mean()),
        "low_presence": float(np.percentile(shown, 10)),
    }
    return found | {
        name: float(np.median(features[name][chosen])) if chosen.any() else 0.0
        for name in IMAGE_FEATURES[3:]
    }
