"""Where the cord runs: a smoothing spline through the slices' centres of mass.

How stiff the spline is follows from how noisy the centres are and from how much this cord bends. It
is the best estimate of a curve that bends as cords do (`Bending`), more or less so as the centres
themselves make probable, from centres whose noise is either visible, as jumps from slice to slice,
or implied by the mask: a binary edge is uncertain by a voxel, a soft one is not. Thick slices
average the curve over their thickness, and the fit knows it.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from softseg.csa.sections import Sections
from softseg.csa.spline import BENDING, SIZE_MM2, SLAB_MEAN, Bending, basis, smoother

ENDS = np.array([-0.5, 0.5])
"""Where a slice begins and ends, in slices from its middle."""
_FEWEST_DIFFERENCES = 5
_NORMAL_MEDIAN = 0.6745
"""Median of the absolute value of a standard normal variable."""
_ALIKE = 3.0
"""So many neighbouring centres of a binary mask are wrong alike, by a voxel's edge or a rater's
hand: they say no more about the course, its end and its bending than one independent centre."""
_SCALES = (0.125, 0.25, 0.5, 1.0, 2.0)
"""How many times as much as `BENDING` a cord may bend: from an almost straight one to a wave."""
_NOISES = (1.0, 4.0, 16.0, 64.0)
"""How many times as noisy as seen from slice to slice centres may be: a network's mask wavers over
several slices, which no such difference shows."""
_LARGEST_SHIFT = 0.1
"""In radii of a cord: no cord bends so much that its centre of mass moves further."""
_STIFF = 0.3
# An outlier slice lies further from its neighbours' course than half a voxel and six times the
# usual, the median over 15 mm or 7 slices; more than a fifth of the slices are no outliers.
_OUTLIER_MM = 15.0
_OUTLIER_SLICES = 7
_OUTLIER_PIXELS = 0.5
_OUTLIER_SCALES = 6.0
_OUTLIER_SHARE = 0.2


@dataclass(frozen=True)
class Centreline:
    """A curve over slices: X and Y as cubic splines of the slice number.

    Attributes:
        coefficients: `(n + 4, 2)` millimetres.
        thickness_mm: Distance between slices.
        noise_mm: Standard deviation of a centre.
        kind: `spline`, `straight` or `none`.
        outliers: `(n,)` slices whose centre leaves the cord's course and does not count.
    """

    coefficients: np.ndarray
    thickness_mm: float
    noise_mm: float
    kind: str
    outliers: np.ndarray

    @property
    def n_slices(self) -> int:
        """Number of slices."""
        return len(self.coefficients) - 4

    @cached_property
    def _windows(self) -> np.ndarray:
        return np.lib.stride_tricks.sliding_window_view(self.coefficients, 5, axis=0)

    def at_slices(self, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position, slope and second derivative per millimetre of Z, each `(n, 2)`.

        Args:
            offset: Where in each slice, from -0.5 to 0.5; several `(m,)` return `(m, n, 2)` each.
        """
        weights = basis(offset)
        values = (self._windows @ weights.reshape(-1, 5).T).transpose(2, 0, 1)  # (3 m, n, 2)
        value, slope, second = values.reshape(*weights.shape[:-1], *values.shape[1:])
        return value, slope / self.thickness_mm, second / self.thickness_mm**2

    def at(self, slices: np.ndarray) -> np.ndarray:
        """Position `(m, 3)` at any slice coordinate; straight beyond the ends."""
        slices = np.asarray(slices, dtype=float)
        inside = np.clip(slices, -0.5, self.n_slices - 0.5)
        nearest = np.clip(np.round(inside).astype(int), 0, self.n_slices - 1)
        offset = inside - nearest
        window = self.coefficients[nearest[:, None] + np.arange(5)]  # (m, 5, 2)
        value, slope, _ = np.einsum("dmj,mjc->dmc", basis(offset), window)
        xy = value + slope * (slices - inside)[:, None]
        return np.column_stack([xy, slices * self.thickness_mm])

    def angles_deg(self) -> tuple[np.ndarray, np.ndarray]:
        """Angle to the slice's normal in the R-L and in the A-P direction, mean over each slice.

        The first is named `angle_ap_deg`, since it is a turn about the A-P axis, as in the field's
        standard tool; the second `angle_rl_deg`.
        """
        bottom, top = self.at_slices(ENDS)[0]
        rise = (top - bottom) / self.thickness_mm
        tilt = np.degrees(np.arctan(rise))
        return tilt[:, 0], tilt[:, 1]


def fit_centreline(sections: Sections, *, bending: Bending = BENDING) -> Centreline:
    """The centreline of a cord from its slices.

    Slices that are empty or only partly covered do not count. With fewer than three usable slices
    the line is straight, with one there is no direction to be had.

    Args:
        sections: Areas, centres and spread per slice.
        bending: What is expected of a cord.
    """
    used = sections.trusted
    bending = bending.of_size(float(np.median(sections.area_mm2[used])))
    outliers = _outliers(sections, used, bending)
    used = used & ~outliers
    noise = max(quantisation_mm(sections), visible_noise_mm(sections, used, bending))
    alike = 1 + (_ALIKE - 1) * (1 - sections.softness)
    solve = smoother(
        used, noise, sections.thickness_mm, bending, scales=_SCALES, noises=_NOISES, alike=alike
    )
    kind = {1: "none", 2: "straight"}.get(int(used.sum()), "spline")
    start = solve(sections.centre_mm[used])
    line = Centreline(start, sections.thickness_mm, noise, kind, outliers)
    if kind != "spline":
        return line
    for _ in range(2):
        # Where a tube bends, a slice's centre of mass lies beside its centreline.
        centres = sections.centre_mm - centre_shift_mm(line, sections.covariance_mm2)
        line = replace(line, coefficients=solve(centres[used]))
    return line


def _outliers(sections: Sections, used: np.ndarray, bending: Bending) -> np.ndarray:
    """Slices whose centre leaves the cord's course, for example where a mask leaks.

    They are few and lie far from a stiff curve, compared with their neighbours and with all others.
    """
    outliers = np.zeros(used.size, dtype=bool)
    if used.sum() < 2 / _OUTLIER_SHARE:
        return outliers
    stiff_mm = _STIFF * math.sqrt(float(np.median(sections.area_mm2[used])) / SIZE_MM2)
    stiff = smoother(used, stiff_mm, sections.thickness_mm, bending)
    centres = sections.centre_mm[used]
    windows = np.lib.stride_tricks.sliding_window_view(stiff(centres), 5, axis=0)[used]
    beside = centres - windows @ SLAB_MEAN
    reach = max(_OUTLIER_SLICES, round(_OUTLIER_MM / sections.thickness_mm)) // 2
    around = np.pad(beside, ((reach, reach), (0, 0)), mode="reflect")
    usual = np.median(
        np.lib.stride_tricks.sliding_window_view(around, 2 * reach + 1, axis=0), axis=-1
    )
    apart = np.linalg.norm(beside - usual, axis=1)
    far = apart > _OUTLIER_PIXELS * np.sqrt(sections.pixel_mm2) + _OUTLIER_SCALES * np.median(apart)
    if far.mean() <= _OUTLIER_SHARE:
        outliers[np.flatnonzero(used)[far]] = True
    return outliers


def quantisation_mm(sections: Sections) -> float:
    """Noise of a centre that a binary edge implies; near 0 where the mask is soft.

    Each voxel on the edge of a binary mask is wrong by an amount that is uniform in a voxel, and
    moves the centre by its lever arm.
    """
    area = np.median(sections.area_mm2[sections.area_mm2 > 0])
    pixel = np.sqrt(sections.pixel_mm2)
    variance = np.median(np.trace(sections.covariance_mm2, axis1=1, axis2=2)) / 2 + pixel**2 / 12
    perimeter = 2 * np.sqrt(np.pi * area)
    binary = np.sqrt(perimeter * pixel**3 * variance / 6) / area
    return float(max(binary * np.sqrt(1 - sections.softness), 2e-3 * pixel))


def visible_noise_mm(sections: Sections, used: np.ndarray, bending: Bending) -> float:
    """Noise of the centres as seen from slice to slice: the size of their differences.

    A bend leaves differences too, less in high orders: of fourth and sixth differences the smaller
    estimate counts. Few slices have second differences only, of which the bend is taken off. 0
    with fewer than three slices.
    """
    rows = np.flatnonzero(used)
    estimates = []
    for order in (4, 6):
        apart = _differences(sections.centre_mm, rows, order)
        if len(apart) >= _FEWEST_DIFFERENCES:
            size = np.median(np.abs(apart), axis=0) / _NORMAL_MEDIAN
            variance = float((size**2).mean()) / math.comb(2 * order, order)
            estimates.append(math.sqrt(variance))
    if estimates:
        return min(estimates)
    apart = _differences(sections.centre_mm, rows, 2)
    bend = bending.curvature_per_mm * sections.thickness_mm**2
    excess = float((apart**2).mean()) - bend**2 if apart.size else 0.0
    return math.sqrt(max(excess, 0.0) / 6)


def _differences(centre_mm: np.ndarray, rows: np.ndarray, order: int) -> np.ndarray:
    """Differences over slices that follow each other."""
    apart = np.diff(centre_mm[rows], n=order, axis=0)
    return apart[rows[order:] - rows[:-order] == order]


def centre_shift_mm(line: Centreline, covariance_mm2: np.ndarray) -> np.ndarray:
    """How far the centre of mass of each slice of a bent tube lies from its centreline, `(n, 2)`.

    To first order in the curvature: with slope g, its change g' along Z, J² = 1 + |g|² and the
    slice's covariance S, the shift is (½ g' (g·S g) + S g (g·g')) / J⁴.
    """
    _, slope, second = line.at_slices()
    along_slope = np.einsum("nij,nj->ni", covariance_mm2, slope)
    along = (slope * along_slope).sum(-1, keepdims=True)
    bend = (slope * second).sum(-1, keepdims=True)
    secant4 = (1 + (slope**2).sum(-1, keepdims=True)) ** 2
    shift = (0.5 * second * along + along_slope * bend) / secant4
    size = np.sqrt(np.maximum(np.trace(covariance_mm2, axis1=1, axis2=2), 0.0))[:, None]
    return np.clip(shift, -_LARGEST_SHIFT * size, _LARGEST_SHIFT * size)
