"""A cord's edge in each slice as radii from its centre, found from a soft mask.

Radii at many angles are finer than any voxel, and scaled so that the outline encloses exactly the
soft mask's area.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from softseg.errors import InputError
from softseg.volume import Volume

ANGLES = 72
_RADIAL_STEP_MM = 0.2  # the picture is linear between voxels: finer steps find the same edge
_FARTHEST_MM = 13.0


@dataclass(frozen=True, eq=False)
class Outlines:
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
        return np.arange(ANGLES) * (2 * np.pi / ANGLES)

    @property
    def step_mm(self) -> float:
        """Distance between slices."""
        return self.spacing_mm[2]

    @property
    def area_mm2(self) -> np.ndarray:
        """`(S,)` area that each outline encloses."""
        return (self.radius_mm**2).mean(axis=1) * np.pi

    def displaced(self, push_mm: np.ndarray) -> "Outlines":
        """Move the edge along its normal.

        Args:
            push_mm: `(S, ANGLES)`, outward positive.
        """
        step = 2 * np.pi / ANGLES
        slope = (np.roll(self.radius_mm, -1, 1) - np.roll(self.radius_mm, 1, 1)) / (2 * step)
        oblique = np.sqrt(1 + (slope / self.radius_mm) ** 2)  # 1 / cos between normal and radius
        moved = np.maximum(self.radius_mm + push_mm * np.minimum(oblique, 1.5), 0.2)
        return replace(self, radius_mm=moved)

    def scaled(self, factor: np.ndarray) -> "Outlines":
        """Multiply the radii of each slice by `(S,)` factors."""
        return replace(self, radius_mm=self.radius_mm * factor[:, None])

    def centred(self, centre_mm: np.ndarray) -> "Outlines":
        """The same outlines around other centres, `(S, 2)`."""
        return replace(self, centre_mm=centre_mm)

    def subset(self, keep: np.ndarray) -> "Outlines":
        """Only the slices where `(S,)` is true."""
        return replace(
            self,
            slices=self.slices[keep],
            centre_mm=self.centre_mm[keep],
            radius_mm=self.radius_mm[keep],
        )

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


def trace(truth: Volume, *, least_mm2: float = 8.0) -> Outlines:
    """Find the edge of a soft mask in each slice.

    Args:
        truth: Fraction of cord in each voxel; X and Y lie across the cord.
        least_mm2: Slices with less cord are left out.

    Raises:
        InputError: If no slice has that much cord.

    Example:
        >>> x = np.hypot(*np.meshgrid(np.arange(-12, 13), np.arange(-12, 13)))
        >>> disk = np.clip(5.5 - x, 0, 1)[:, :, None].astype(np.float32)
        >>> outline = trace(Volume(disk, np.diag([-1.0, 1, 1, 1])))
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
    return Outlines(slices, np.array(centre), np.array(radius), spacing)


def _centre_mm(picture: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    total = picture.sum(dtype=float)
    x = (picture.sum(axis=1) @ np.arange(picture.shape[0])) / total
    y = (picture.sum(axis=0) @ np.arange(picture.shape[1])) / total
    return np.array([x * spacing[0], y * spacing[1]])


def _radii_mm(
    picture: np.ndarray, middle: np.ndarray, spacing: tuple[float, float, float]
) -> np.ndarray:
    """`(ANGLES,)` distance at which the picture first falls below one half."""
    angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    reach = np.arange(0, _FARTHEST_MM, _RADIAL_STEP_MM)
    x = (middle[0] + np.cos(angle)[:, None] * reach) / spacing[0]
    y = (middle[1] + np.sin(angle)[:, None] * reach) / spacing[1]
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
