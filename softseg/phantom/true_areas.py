"""True area and level of each slice of a grid, by integration of the model itself.

The area of a slice is the volume of cord inside its slab divided by the length of centreline inside
it. The volume is an integral over fibres that run along the cord at fixed relative places of its
cross-section: no voxel takes part, so that it can check what is sampled on voxels.
"""

import numpy as np
import pandas as pd

from softseg.phantom.anatomy import Anatomy
from softseg.phantom.profiles import NAMES
from softseg.volume import Grid

RADIAL, ANGULAR = 4, 256
"""Points of the quadrature across the cord: doubling both changes areas by less than 0.01 %."""
SPARE_MM = 0.5
"""A slice this near the end of the cord counts as cut by it."""


def _slabs(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """A grid's slices, along its axis closest to the vertical, as slabs between parallel planes.

    Returns:
        `(3,)` unit normal upwards, and `(2, Z)` limits along it, from inferior to superior.
    """
    axes = grid.affine[:3, :3]
    axis = int(np.argmax(np.abs(axes[2]) / np.linalg.norm(axes, axis=0)))
    others = [a for a in range(3) if a != axis]
    normal = np.cross(axes[:, others[0]], axes[:, others[1]])
    normal = normal / np.linalg.norm(normal)
    normal = normal if normal[2] > 0 else -normal
    centres = normal @ (grid.affine[:3, 3:] + axes[:, axis, None] * np.arange(grid.shape[axis]))
    half = abs(normal @ axes[:, axis]) / 2
    centres = np.sort(centres)
    return normal, np.stack([centres - half, centres + half])


def slice_levels(anatomy: Anatomy, grid: Grid) -> np.ndarray:
    """`(Z,)` level where the centreline meets the middle of each slice; 0 outside the cord."""
    normal, (low_mm, high_mm) = _slabs(grid)
    line = anatomy.centreline
    return anatomy.level_at(np.interp((low_mm + high_mm) / 2, line.position @ normal, line.s_mm))


def true_areas(anatomy: Anatomy, grid: Grid) -> pd.DataFrame:
    """True cross-sectional area in each slice of a grid that the cord passes through whole.

    Slices are numbered as in working orientation: along the axis closest to the vertical, 0 most
    inferior.

    Returns:
        Columns `slice`, `level`, `area_mm2`, `length_mm` (of centreline), `volume_mm3`.
    """
    normal, limits_mm = _slabs(grid)
    low_mm, high_mm = limits_mm
    height, volume = _fibres(anatomy, normal, limits_mm)
    line, profiles = anatomy.centreline, anatomy.profiles
    edges = np.interp(limits_mm, line.position @ normal, line.s_mm)
    whole = low_mm >= height[:, 0].max() + SPARE_MM
    whole &= high_mm <= height[:, -1].min() - SPARE_MM
    inside_mm3 = sum(
        np.interp(high_mm, q, v) - np.interp(low_mm, q, v)
        for q, v in zip(height, volume, strict=True)
    )
    length_mm = edges[1] - edges[0]
    table = pd.DataFrame(
        {
            "slice": np.arange(len(whole)),
            "level": slice_levels(anatomy, grid),
            "area_mm2": inside_mm3 / length_mm,
            "length_mm": length_mm,
            "volume_mm3": inside_mm3,
        }
    )
    inside = whole & (edges[1] <= profiles.top_mm) & (edges[0] >= profiles.bottom_mm)
    return table[inside].reset_index(drop=True)


def _fibres(
    anatomy: Anatomy, normal: np.ndarray, limits_mm: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Height along the slabs' normal and volume below it, for each fibre of the cord.

    The fibres lie between the ends of the cord and of the slabs, with 20 mm to spare.

    Returns:
        `(F, N)` millimetres and `(F, N)` cumulated cubic millimetres.
    """
    line, profiles = anatomy.centreline, anatomy.profiles
    ends = [limits_mm[0, 0] - 20, limits_mm[1, -1] + 20]
    ends = np.interp(ends, line.position @ normal, line.s_mm)
    low, high = max(ends[0], profiles.bottom_mm), min(ends[1], profiles.top_mm)
    low, high = min(low, high - 1), max(high, low + 1)
    s = np.linspace(low, high, int(np.ceil((high - low) / 0.5)) + 1)
    table = line.look_up(profiles.table.astype(float), s)
    column = dict(zip(NAMES, table.T, strict=True))
    tables = (line.position, line.right, line.front, line.curvature)
    position, right, front, curvature = (line.look_up(table, s) for table in tables)
    nodes, weights = np.polynomial.legendre.leggauss(RADIAL)
    reach, weights = (nodes + 1) / 2, weights / 2
    angle = np.arange(ANGULAR) * 2 * np.pi / ANGULAR
    radius = anatomy.outline.radius_at(angle.astype(np.float32)).astype(float)
    x = (reach[:, None] * radius * np.cos(angle)).ravel()[:, None]  # (F, 1)
    y = (reach[:, None] * radius * np.sin(angle)).ravel()[:, None]
    share = (weights[:, None] * reach[:, None] * radius**2).ravel()[:, None] * 2 * np.pi / ANGULAR
    cosine, sine = np.cos(column["twist"]), np.sin(column["twist"])
    a, b = x * column["half_rl"], y * column["half_ap"]
    u, v = a * cosine - b * sine, a * sine + b * cosine  # (F, N)
    bend_u, bend_v = (np.einsum("ni,ni->n", curvature, side) for side in (right, front))
    height = position @ normal + u * (right @ normal) + v * (front @ normal)
    density = share * column["half_rl"] * column["half_ap"] * (1 - u * bend_u - v * bend_v)
    steps = (density[:, 1:] + density[:, :-1]) / 2 * np.diff(s)
    return height, np.concatenate([np.zeros((len(x), 1)), np.cumsum(steps, axis=1)], axis=1)
