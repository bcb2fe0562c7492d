"""A cord's edge in each slice as radii from its centre: finer than any voxel.

`cut_outlines` takes the edge from the anatomy itself; `trace_outlines` finds it in a soft mask.
"""

from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np
from scipy import ndimage

from softseg.errors import InputError
from softseg.phantom.anatomy import Anatomy
from softseg.volume import Grid, Volume

ANGLES = 144
_ANGLES = np.arange(ANGLES) * (2 * np.pi / ANGLES)
_RADIAL_STEP_MM = 0.2  # the picture is linear between voxels: finer steps find the same edge
_FARTHEST_MM = 13.0
_ROOT_STEPS = 6


@dataclass(frozen=True, eq=False)
class SliceOutlines:
    """The edge of one cord.

    Attributes:
        slices: `(S,)` indices along Z of the slices that have cord.
        centre_mm: `(S, 2)` centre along X and Y, in millimetres from the first voxel's centre.
        radius_mm: `(S, ANGLES)` distance from centre to edge, at `angles`.
        spacing_mm: Voxel size along X, Y and Z.
    """

    slices: np.ndarray
    centre_mm: np.ndarray
    radius_mm: np.ndarray
    spacing_mm: tuple[float, float, float]

    @property
    def angles(self) -> np.ndarray:
        """`(ANGLES,)` in radians from the X towards the Y axis."""
        return _ANGLES

    @property
    def step_mm(self) -> float:
        """Distance between slices."""
        return self.spacing_mm[2]

    @property
    def area_mm2(self) -> np.ndarray:
        """`(S,)` area that each outline encloses."""
        return (self.radius_mm**2).mean(axis=1) * np.pi

    @property
    def obliquity(self) -> np.ndarray:
        """`(S, ANGLES)` one over the cosine between the edge's normal and the radius."""
        step = 2 * np.pi / ANGLES
        slope = (np.roll(self.radius_mm, -1, 1) - np.roll(self.radius_mm, 1, 1)) / (2 * step)
        return np.sqrt(1 + (slope / self.radius_mm) ** 2)

    def displaced(self, push_mm: np.ndarray) -> "SliceOutlines":
        """Move the edge along its normal, by `(S, ANGLES)` millimetres outward."""
        moved = np.maximum(self.radius_mm + push_mm * np.minimum(self.obliquity, 1.5), 0.2)
        return replace(self, radius_mm=moved)

    def slid(self, shift_mm: np.ndarray) -> "SliceOutlines":
        """Move every edge along Y by what the place where it comes to lie says.

        `shift_mm` is that of each column of voxels, `(X, 1, Z)`, or of each voxel, `(X, Y, Z)`.
        """

        def moved(x: np.ndarray, y: np.ndarray, z: int) -> np.ndarray:
            found = y
            for _ in range(12 if shift_mm.shape[1] > 1 else 1):  # to the place that it comes from
                at = np.stack([x / self.spacing_mm[0], found / self.spacing_mm[1]])
                found = y + ndimage.map_coordinates(shift_mm[:, :, z], at, order=1, mode="nearest")
            return found

        cosine, sine = np.cos(self.angles), np.sin(self.angles)
        centre, radius = self.centre_mm.copy(), self.radius_mm.copy()
        for row, z in enumerate(self.slices):
            centre[row, 1] = moved(*centre[row][:, None], z)[0]
            x = self.radius_mm[row] * cosine
            y = self.radius_mm[row] * sine + self.centre_mm[row, 1]
            y = moved(x + centre[row, 0], y, z) - centre[row, 1]
            angle = np.arctan2(y, x)
            radius[row] = np.interp(self.angles, angle, np.hypot(x, y), period=2 * np.pi)
        return replace(self, centre_mm=centre, radius_mm=radius)

    def fill(self, shape: tuple[int, int, int]) -> np.ndarray:
        """`(X, Y, Z)` uint8: 1 where a voxel's centre lies inside the outline."""
        mask = np.zeros(shape, np.uint8)
        reach = np.ceil(self.radius_mm.max(initial=0.0) / np.array(self.spacing_mm[:2])).astype(int)
        closed = np.concatenate([self.radius_mm, self.radius_mm[:, :1]], axis=1)
        for row, z in enumerate(self.slices):
            middle = self.centre_mm[row] / self.spacing_mm[:2]
            low = np.clip(np.floor(middle).astype(int) - reach, 0, np.array(shape[:2]))
            high = np.clip(np.ceil(middle).astype(int) + reach + 1, 0, np.array(shape[:2]))
            x = np.arange(low[0], high[0])[:, None] * self.spacing_mm[0] - self.centre_mm[row, 0]
            y = np.arange(low[1], high[1])[None, :] * self.spacing_mm[1] - self.centre_mm[row, 1]
            place = np.mod(np.arctan2(y, x), 2 * np.pi) * (ANGLES / (2 * np.pi))
            edge = np.interp(place, np.arange(ANGLES + 1), closed[row])
            mask[low[0] : high[0], low[1] : high[1], z] = np.hypot(x, y) < edge
        return mask


def cut_outlines(anatomy: Anatomy, grid: Grid) -> SliceOutlines:
    """The cord's edge where the slices of a grid cut an anatomy.

    The outline of a thick slice is the mean of those at heights about a millimetre apart, in the
    sense that keeps their mean area. X and Y of the grid lie across the cord.

    Raises:
        InputError: If no slice of the grid cuts the cord.
    """
    spacing = grid.spacing_mm
    heights = max(1, round(spacing[2]))
    offsets = (np.arange(heights) + 0.5) / heights - 0.5
    z = np.arange(grid.shape[2])[:, None] + offsets  # (Z, H)
    line = anatomy.centreline
    voxels = nib.affines.apply_affine(np.linalg.inv(grid.affine), line.position)
    s = np.interp(z, voxels[:, 2], line.s_mm, left=-np.inf, right=np.inf)
    inside = (s <= anatomy.profiles.top_mm) & (s >= anatomy.profiles.bottom_mm)
    slices = np.flatnonzero(inside.sum(axis=1) > heights / 2)
    if len(slices) == 0:
        raise InputError("no slice of the grid cuts the cord; nothing can be drawn")
    z, weight = z[slices], inside[slices]
    s = np.clip(s[slices], line.start_mm, line.end_mm)
    centre = np.stack([np.interp(s, line.s_mm, voxels[:, a]).mean(axis=1) for a in (0, 1)], 1)
    points = np.concatenate([np.repeat(centre, heights, axis=0), z.reshape(-1, 1)], axis=1)
    squares = _edge_mm(anatomy, grid, points, s.ravel()).reshape(len(slices), heights, -1) ** 2
    mean = (squares * weight[:, :, None]).sum(axis=1) / weight.sum(axis=1)[:, None]
    return SliceOutlines(slices, centre * spacing[:2], np.sqrt(mean), spacing)


def _edge_mm(anatomy: Anatomy, grid: Grid, voxels: np.ndarray, guess_mm: np.ndarray) -> np.ndarray:
    """`(P, ANGLES)` distance from `(P, 3)` points to the cord's edge within their slice."""
    axes = grid.affine[:3, :2] / np.array(grid.spacing_mm[:2])
    rays = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1) @ axes.T  # (A, 3)
    start = nib.affines.apply_affine(grid.affine, voxels)
    guess = np.repeat(guess_mm, ANGLES)
    near, far = np.full(len(guess), 0.5), np.full(len(guess), 9.0)
    miss_near, miss_far = (_miss_mm(anatomy, start, rays, r, guess) for r in (near, far))
    last_outside = np.zeros(len(guess), bool)
    for _ in range(_ROOT_STEPS):
        radius = near - miss_near * (far - near) / np.maximum(miss_far - miss_near, 1e-6)
        miss = _miss_mm(anatomy, start, rays, radius, guess)
        outside = miss > 0
        # The Illinois rule: an end that stays weighs half, so that both close in.
        miss_near = np.where(outside & last_outside, miss_near / 2, miss_near)
        miss_far = np.where(~outside & ~last_outside, miss_far / 2, miss_far)
        last_outside = outside
        far, miss_far = np.where(outside, radius, far), np.where(outside, miss, miss_far)
        near, miss_near = np.where(outside, near, radius), np.where(outside, miss_near, miss)
    return radius.reshape(len(start), ANGLES)


def _miss_mm(
    anatomy: Anatomy, start: np.ndarray, rays: np.ndarray, radius: np.ndarray, guess: np.ndarray
) -> np.ndarray:
    """Signed distance from the edge at the ends of rays, negative inside the cord."""
    points = start[:, None] + rays * radius.reshape(len(start), ANGLES, 1)
    s, u, v = anatomy.centreline.locate(points.reshape(-1, 3), guess_mm=guess)
    here = anatomy.profiles_at(s)
    cosine, sine = np.cos(here["twist"]), np.sin(here["twist"])
    x, y = u * cosine + v * sine, v * cosine - u * sine
    return anatomy.outline.distance(x, y, here["half_rl"], here["half_ap"]).astype(float)


def trace_outlines(truth: Volume, *, least_mm2: float = 8.0) -> SliceOutlines:
    """Find the edge of a soft mask in each slice, scaled to enclose the mask's area.

    Between coarse voxels the edge is found to a tenth of a voxel, pulled towards their borders:
    what is displaced by less than a voxel afterwards should start from `cut_outlines`.

    Args:
        truth: Fraction of cord in each voxel; X and Y lie across the cord.
        least_mm2: Slices with less cord are left out.

    Raises:
        InputError: If no slice has that much cord.

    Example:
        >>> x = np.hypot(*np.meshgrid(np.arange(-12, 13), np.arange(-12, 13)))
        >>> disk = np.clip(5.5 - x, 0, 1)[:, :, None].astype(np.float32)
        >>> outline = trace_outlines(Volume(disk, np.diag([-1.0, 1, 1, 1])))
        >>> abs(outline.area_mm2[0] / disk.sum() - 1) < 1e-6
        np.True_
    """
    spacing = truth.spacing_mm
    area = truth.data.sum(axis=(0, 1), dtype=float) * spacing[0] * spacing[1]
    slices = np.flatnonzero(area >= least_mm2)
    if len(slices) == 0:
        raise InputError(f"{truth.name}: the truth holds no cord; nothing can be drawn")
    centre, radius = [], []
    for z in slices:
        middle = _centre_mm(truth.data[:, :, z], spacing)
        rim = _radii_mm(truth.data[:, :, z], middle, spacing)
        radius.append(rim * np.sqrt(area[z] / (np.pi * (rim**2).mean())))
        centre.append(middle)
    return SliceOutlines(slices, np.array(centre), np.array(radius), spacing)


def _centre_mm(picture: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    total = picture.sum(dtype=float)
    x = (picture.sum(axis=1) @ np.arange(picture.shape[0])) / total
    y = (picture.sum(axis=0) @ np.arange(picture.shape[1])) / total
    return np.array([x * spacing[0], y * spacing[1]])


def _radii_mm(
    picture: np.ndarray, middle: np.ndarray, spacing: tuple[float, float, float]
) -> np.ndarray:
    """`(ANGLES,)` distance at which the picture first falls below one half."""
    reach = np.arange(0, _FARTHEST_MM, _RADIAL_STEP_MM)
    x = (middle[0] + np.cos(_ANGLES)[:, None] * reach) / spacing[0]
    y = (middle[1] + np.sin(_ANGLES)[:, None] * reach) / spacing[1]
    low = np.maximum(np.floor([x.min(), y.min()]).astype(int) - 1, 0)
    part = picture[low[0] : int(x.max()) + 3, low[1] : int(y.max()) + 3]
    values = ndimage.map_coordinates(part, [x - low[0], y - low[1]], order=1)
    half = 0.5 * min(1.0, float(picture.max()))
    last = np.argmax(values < half, axis=1)
    last = np.where(last == 0, len(reach) - 1, last)
    rows = np.arange(ANGLES)
    inner, outer = values[rows, last - 1], values[rows, last]
    share = np.clip((inner - half) / np.maximum(inner - outer, 1e-6), 0, 1)
    return np.maximum(reach[last - 1] + share * _RADIAL_STEP_MM, 0.2)
