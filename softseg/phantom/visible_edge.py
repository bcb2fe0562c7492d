"""Where a cord's edge lies in an image, whoever drew it and whatever is true.

The edge that a rater sees is the half level between where the picture first becomes flat on either
side of it. It moves with the sequence: blur, ringing and the layer on the cord's surface are part
of the picture. The same estimator reads simulated images from the true edge and real ones from a
drawn mask.
"""

import numpy as np
from scipy import ndimage

from softseg.phantom.outline import ANGLES, SliceOutlines
from softseg.volume import Volume

_STEP_MM = 0.1
_REACH_MM = (-2.0, 1.5)
"""Inward and outward: further out another tissue than the neighbour decides."""
_PLATEAU_MM = 1.2
"""Inside the cord, from the window's end to so far from the edge, no edge is blurred so widely."""
_BESIDE_MM = (0.3, 1.4)
"""Where the neighbouring tissue is looked for that says whether edges rise or fall."""
_SEARCH_MM = 0.8
"""Within which the edge is steepest, to either side of where it is looked for."""
_FLAT = 0.25
"""Share of its steepest slope below which an edge is over and the level beside it is read."""
_AGREED_MM = (0.1, 0.25)
"""Distance from the usual displacement up to which a place counts fully, and from which it does not
at all: there a root, a vessel or a disc that touches the cord is seen in place of its edge."""
_OFFSETS_MM = np.arange(_REACH_MM[0], _REACH_MM[1] + _STEP_MM / 2, _STEP_MM)
_LEVEL_WIDTHS = (15.0, 4.0)
_EDGE_WIDTHS = (4.0, 2.0)
"""Standard deviations, around in degrees and along in millimetres, over which the levels and the
edge are averaged: noise is lost, and the shape of a cord is not."""
_LEAST_CONTRAST = (0.3, 0.6)
"""Shares of the usual contrast below and above which a place counts for nothing and fully."""


def visible_outlines(image: Volume, outlines: SliceOutlines) -> SliceOutlines:
    """Find the edge that an image shows near a known one.

    Brightness is read along the known edge's normals, 2 mm inward to 1.5 mm outward. The levels are
    those where the profile first becomes flat to both sides of its steepest place, so that neither
    a coil's unevenness, nor grey matter, nor what lies behind the neighbouring tissue counts.
    Places that show no contrast, or are displaced otherwise than most, take what their neighbours
    show, and an image without contrast leaves the outlines as they are.

    Args:
        image: A picture in which X and Y lie across the cord.
        outlines: Where the cord is, to 1 mm: its true edge, or a mask's by `trace_outlines`.

    Returns:
        The same slices and centres with other radii.

    Example:
        >>> from softseg.phantom.outline import trace_outlines
        >>> x = np.hypot(*np.meshgrid(np.arange(-12, 12.5, 0.5), np.arange(-12, 12.5, 0.5)))
        >>> disc = Volume(np.clip(11 - 2 * x, 0, 1)[:, :, None], np.diag([-0.5, 0.5, 1, 1]))
        >>> drawn = trace_outlines(disc)
        >>> seen = visible_outlines(disc, drawn.displaced(np.full((1, ANGLES), 0.4)))
        >>> bool(abs(seen.radius_mm - drawn.radius_mm).mean() < 0.03)
        True
    """
    for _ in range(2):  # levels are read truly from an edge that is nearly right
        outlines = _moved(image, outlines)
    return outlines


def _moved(image: Volume, outlines: SliceOutlines) -> SliceOutlines:
    profiles = _profiles(image, outlines)  # (S, A, D)
    inner, outer, first = _levels(_averaged(profiles, outlines.step_mm, _LEVEL_WIDTHS))
    profiles = _averaged(profiles, outlines.step_mm, _EDGE_WIDTHS)
    relative = (profiles - inner[..., None]) / _nonzero(outer - inner)[..., None]
    push, top = _half_level(relative, first)
    contrast = np.abs(outer - inner) / np.maximum(np.abs(inner), 1e-6)
    usual = float(np.median(contrast))
    low, high = _LEAST_CONTRAST
    clear = np.clip((contrast * top / max(usual, 1e-6) - low) / (high - low), 0, 1)
    weight = clear * np.clip(4 * (top - 0.5), 0, 1)
    if usual < 1e-3 or not weight.any():
        return outlines
    low, high = _AGREED_MM
    weight *= np.clip((high - np.abs(push - _weighted_median(push, weight))) / (high - low), 0, 1)
    push = _filled(push, weight, outlines.step_mm)
    between = (push + np.roll(push, -1, axis=1)) / 2
    return outlines.displaced(np.stack([push, between], axis=-1).reshape(len(push), ANGLES))


def _profiles(image: Volume, outlines: SliceOutlines) -> np.ndarray:
    """`(S, ANGLES / 2, D)` brightness along every second normal of the edge."""
    radius = outlines.radius_mm[..., None] + outlines.obliquity[..., None] * _OFFSETS_MM
    radius = np.maximum(radius[:, ::2], 0)
    ray = np.stack([np.cos(outlines.angles), np.sin(outlines.angles)])[:, ::2, None]
    found = np.empty(radius.shape, np.float32)
    for row, z in enumerate(outlines.slices):
        spacing, centre = (
            np.reshape(v, (2, 1, 1)) for v in (outlines.spacing_mm[:2], outlines.centre_mm[row])
        )
        place = (centre + radius[row] * ray) / spacing
        low = np.maximum(np.floor(place.min(axis=(1, 2))).astype(int) - 6, 0)
        high = place.max(axis=(1, 2)).astype(int) + 8
        part = image.data[low[0] : high[0], low[1] : high[1], z].astype(float)
        found[row] = ndimage.map_coordinates(part, place - low[:, None, None], mode="nearest")
    return found


def _averaged(values: np.ndarray, step_mm: float, widths: tuple[float, float]) -> np.ndarray:
    """Gaussian averages of `(S, A, …)` along the cord and around it."""
    around, along = widths[0] * values.shape[1] / 360, widths[1] / step_mm
    values = ndimage.gaussian_filter1d(values, around, axis=1, mode="wrap", truncate=3)
    if along < 0.3:  # slices thicker than that show each its own edge
        return values
    return ndimage.gaussian_filter1d(values, along, axis=0, mode="nearest", truncate=3)


def _levels(profiles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Brightness inside and outside, `(S, A)` each, and the sample at which the outside begins."""
    inner = profiles[..., _OFFSETS_MM <= -_PLATEAU_MM].mean(axis=-1)
    near, far = _BESIDE_MM
    beside = (near <= _OFFSETS_MM) & (far >= _OFFSETS_MM)
    sign = np.sign((profiles[..., beside].mean(axis=-1) - inner).mean()) or 1.0
    slope = sign * np.gradient(profiles, axis=-1)
    looked = np.where(np.abs(_OFFSETS_MM) <= _SEARCH_MM, slope, -np.inf)
    steepest = np.argmax(looked, axis=-1)[..., None]
    flat = slope < _FLAT * np.take_along_axis(slope, steepest, axis=-1)
    flat[..., [0, -1]] = True
    index = np.arange(len(_OFFSETS_MM))
    last = np.max(np.where(flat & (index < steepest), index, 0), axis=-1)
    first = np.argmax(flat & (index > steepest), axis=-1)
    inner, outer = (
        np.take_along_axis(profiles, at[..., None], axis=-1)[..., 0] for at in (last, first)
    )
    inner = np.where(sign * (outer - inner) > 0, inner, outer)  # the other way round: no contrast
    return inner, outer, first


def _half_level(relative: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offset at which `(S, A, D)` profiles rise to one half, and how high they are at `first`."""
    index = np.arange(relative.shape[-1])
    below = (relative < 0.5) & (index < first[..., None])
    last = relative.shape[-1] - 1 - np.argmax(below[..., ::-1], axis=-1)
    top = np.take_along_axis(relative, first[..., None], axis=-1)[..., 0] * below.any(axis=-1)
    last = np.where(top > 0.5, last, 0)
    low, high = (
        np.take_along_axis(relative, (last + k)[..., None], axis=-1)[..., 0] for k in (0, 1)
    )
    share = np.clip((0.5 - low) / _nonzero(high - low), 0, 1)
    return _OFFSETS_MM[0] + (last + share) * _STEP_MM, top


def _filled(push: np.ndarray, weight: np.ndarray, step_mm: float) -> np.ndarray:
    """Averages over neighbours, over wider ones the less there is to see."""
    total, share = np.zeros_like(push), np.zeros_like(push)
    for widths, trust in ((_EDGE_WIDTHS, 1.0), (_LEVEL_WIDTHS, 1e-3), ((60.0, 20.0), 1e-6)):
        total += trust * _averaged(push * weight, step_mm, widths)
        share += trust * _averaged(weight, step_mm, widths)
    overall = (push * weight).sum() / weight.sum()
    return (total + 1e-9 * overall) / (share + 1e-9)


def _weighted_median(values: np.ndarray, weight: np.ndarray) -> float:
    order = np.argsort(values, axis=None)
    below = np.cumsum(weight.ravel()[order])
    return float(values.ravel()[order][np.searchsorted(below, below[-1] / 2)])


def _nonzero(values: np.ndarray) -> np.ndarray:
    return np.where(np.abs(values) < 1e-9, 1e-9, values)
