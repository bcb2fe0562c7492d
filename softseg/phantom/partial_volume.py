"""Sampling an anatomy on a grid with true partial volume.

Voxels that the cord's edge may cross are divided into points, each of which is covered in part
according to its distance from the edge; all other voxels are wholly in or out. The surroundings
need no such care and are evaluated once a voxel, the innermost structures first.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from softseg.phantom.anatomy import Anatomy
from softseg.phantom.cord_geometry import STEP_MM
from softseg.phantom.neck import paint_head, paint_soft_tissue
from softseg.phantom.pathology import Injury, Lesion
from softseg.phantom.profiles import NAMES, Profiles
from softseg.phantom.spine import paint_bones, paint_canal
from softseg.phantom.surroundings import Composite, VoxelBatch, coverage
from softseg.phantom.tissues import CORD_TISSUES, INDEX, TISSUES
from softseg.volume import Grid

POINT_MM = (0.4, 0.4, 0.5)
"""Distance between points inside a voxel: across the cord, across, along."""
CHUNK = 1 << 15
"""Points evaluated together, few enough to stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class LocatedVoxels:
    """The voxels of a grid as seen from a centreline.

    Attributes:
        s, u, v: `(P,)` places of the voxel centres, in millimetres.
        axes: `(3, 3)` voxel axes (rows) in the frame right, front, up at the grid's middle.
    """

    anatomy: Anatomy
    grid: Grid
    s: np.ndarray
    u: np.ndarray
    v: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, anatomy: Anatomy, grid: Grid) -> "LocatedVoxels":
        """Locate every voxel of a grid."""
        points = _voxel_points(grid)
        line = anatomy.centreline
        s, u, v = (np.empty(len(points), np.float32) for _ in range(3))
        for start in range(0, len(points), CHUNK):
            part = slice(start, start + CHUNK)
            s[part], u[part], v[part] = line.locate(points[part])
        middle = np.interp(points[len(points) // 2, 2], line.position[:, 2], line.s_mm)
        frame = np.stack(
            [line.look_up(t, np.array([middle]))[0] for t in (line.right, line.front, line.tangent)]
        )
        return cls(anatomy, grid, s, u, v, (frame @ grid.affine[:3, :3]).T)

    @cached_property
    def _table(self) -> np.ndarray:
        tables = (self.anatomy.profiles.table, self.anatomy.surroundings.table)
        return np.concatenate(tables, axis=1)

    def batch(self, part: slice) -> VoxelBatch:
        """A batch of the voxels with all that the surroundings need to know."""
        anatomy = self.anatomy
        line, s = anatomy.centreline, self.s[part]
        # The nearest row is near enough for all but the level, which places the discs.
        row = np.clip(np.rint((s - line.start_mm) / STEP_MM), 0, len(line.position) - 1)
        rows = np.ascontiguousarray(self._table.take(row.astype(np.int32), axis=0).T)
        here = dict(zip((*NAMES, *anatomy.surroundings.names), rows, strict=True))
        here["level"] = line.look_up(anatomy.profiles.column("level"), s)
        return VoxelBatch(
            s, self.u[part], self.v[part], here, *_extent_mm(self.axes), anatomy.surroundings
        )


def _extent_mm(axes: np.ndarray) -> tuple[float, float]:
    """Extent of a voxel with these axes across the cord and along it."""
    return float(np.sqrt((axes[:, :2] ** 2).sum() / 2)), float(np.sqrt((axes[:, 2] ** 2).sum()))


def cord_fraction(anatomy: Anatomy, grid: Grid, *, supersampling: int | None = None) -> np.ndarray:
    """Fraction of each voxel that is cord: the soft truth.

    Args:
        anatomy: Whose cord.
        grid: Where to sample, in the subject frame.
        supersampling: Points along each voxel axis at the cord's edge; by default as many as
            keep the area within 0.3 %.

    Returns:
        `(X, Y, Z)` float32 in [0, 1].
    """
    located = LocatedVoxels.of(anatomy, grid)
    index = _near_cord(located)
    out = np.zeros(len(located.s), np.float32)
    rows = [INDEX[name] for name in CORD_TISSUES]
    out[index] = _cord_tissues(located, index, supersampling)[rows].sum(axis=0)
    return np.clip(out, 0, 1).reshape(grid.shape)


def blend(
    anatomy: Anatomy, grid: Grid, values: np.ndarray, *, supersampling: int | None = None
) -> np.ndarray:
    """Images in which each tissue has a value, without holding every tissue's fractions.

    Args:
        anatomy: Whose body.
        grid: Where to sample, in the subject frame.
        values: `(K, T)`: for each of K images, the value of each of `TISSUES`. The unit matrix
            gives the fractions themselves.
        supersampling: As for `cord_fraction`.

    Returns:
        `(K, X, Y, Z)` float32.
    """
    values = np.asarray(values, dtype=np.float32)
    located = LocatedVoxels.of(anatomy, grid)
    index = _near_cord(located)
    inner = _cord_tissues(located, index, supersampling)
    present = np.flatnonzero(inner.any(axis=1))
    count = len(located.s)
    out = np.empty((len(values), count), np.float32)
    buffer = np.empty((len(TISSUES), min(CHUNK, count)), np.float32)
    for start in range(0, count, CHUNK):
        part = slice(start, min(start + CHUNK, count))
        picture = Composite(buffer[:, : part.stop - start])
        first, last = np.searchsorted(index, [part.start, part.stop])
        for row in present:
            picture.add(TISSUES[row], inner[row, first:last], index[first:last] - start)
        batch = located.batch(part)
        for paint in (paint_canal, paint_bones, paint_head, paint_soft_tissue):
            paint(batch, picture)
        picture.finish("air")
        out[:, part] = values @ picture.fractions
    return out.reshape(len(values), *grid.shape)


def _voxel_points(grid: Grid) -> np.ndarray:
    axes = [
        np.arange(n, dtype=np.float32)[:, None] * grid.affine[:3, a].astype(np.float32)
        for a, n in enumerate(grid.shape)
    ]
    points = axes[0][:, None, None] + axes[1][:, None] + axes[2]
    return (points + grid.affine[:3, 3].astype(np.float32)).reshape(-1, 3)


def _near_cord(located: LocatedVoxels) -> np.ndarray:
    """Indices of the voxels that cord or pia may touch."""
    across = np.hypot(located.axes[:, 0], located.axes[:, 1]) + 0.25 * np.abs(located.axes[:, 2])
    reach_mm = float(across.sum() / 2 * 1.15 + 0.1)  # no edge further from a centre crosses a voxel
    widest = float(located.anatomy.profiles.column("half_rl").max()) + 1
    box = np.flatnonzero(np.maximum(np.abs(located.u), np.abs(located.v)) < widest + reach_mm)
    here = located.anatomy.profiles_at(located.s[box])
    away = np.hypot(located.u[box] / here["half_rl"], located.v[box] / here["half_ap"]) - 1.2
    return box[away * here["half_ap"] < reach_mm + here["pia"]]


def _points_per_axis(located: LocatedVoxels, supersampling: int | None) -> np.ndarray:
    if supersampling is not None:
        return np.full(3, supersampling)
    along = np.abs(located.axes[:, 2])
    across = np.hypot(located.axes[:, 0], located.axes[:, 1])
    return np.maximum(
        1, np.ceil(np.maximum(across / POINT_MM[0], along / POINT_MM[2]) - 0.05)
    ).astype(int)


def _cord_tissues(
    located: LocatedVoxels, index: np.ndarray, supersampling: int | None
) -> np.ndarray:
    """`(T, n)` fractions of cord tissues, pia and brainstem in the voxels of `index`."""
    count = _points_per_axis(located, supersampling)
    steps = [(np.arange(n) + 0.5) / n - 0.5 for n in count]
    offsets = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)  # (K, 3) voxels
    shift = (offsets @ located.grid.affine[:3, :3].T).astype(np.float32)
    along = (offsets @ located.axes[:, 2]).astype(np.float32)
    width, height = _extent_mm(located.axes / count[:, None])
    found = np.zeros((len(TISSUES), len(index)), np.float32)
    voxels = np.stack(np.unravel_index(index, located.grid.shape), -1)
    centres = (voxels @ located.grid.affine[:3, :3].T + located.grid.affine[:3, 3]).astype(
        np.float32
    )
    size = max(1, CHUNK // len(offsets))
    for start in range(0, len(index), size):
        part = slice(start, start + size)
        points = (centres[part, None] + shift).reshape(-1, 3)
        guess = (located.s[index[part]][:, None] + along).ravel()
        s, u, v = located.anatomy.centreline.locate(points, guess_mm=guess, iterations=1)
        for tissue, share in cord_points(located.anatomy, s, u, v, width, height).items():
            found[INDEX[tissue], part] = share.reshape(-1, len(offsets)).mean(axis=1)
    return found


def cord_points(
    anatomy: Anatomy, s: np.ndarray, u: np.ndarray, v: np.ndarray, width: float, height: float
) -> dict[str, np.ndarray]:
    """Fractions of what cord, pia and brainstem fill at points of a given extent (mm).

    Args:
        anatomy: Whose cord.
        s, u, v: `(P,)` places.
        width, height: Extent of a point across the cord and along it.

    Returns:
        Tissue -> `(P,)` fractions; the `CORD_TISSUES` among them add up to the cord's.
    """
    here = anatomy.profiles_at(s)
    half_u, half_v = here["half_rl"], here["half_ap"]
    cosine, sine = np.cos(here["twist"]), np.sin(here["twist"])
    x, y = u * cosine + v * sine, v * cosine - u * sine
    edge = anatomy.outline.distance(x, y, half_u, half_v)
    # Points of width w cover π w² / 12 too much of any convex outline; its perimeter shares that.
    edge = edge + width**2 / (24 * np.sqrt((half_u**2 + half_v**2) / 2))
    inside = coverage(edge, width)
    pia = coverage(edge - here["pia"], width) - inside
    below = coverage(s - anatomy.profiles.top_mm, height)
    above = coverage(anatomy.profiles.bottom_mm - s, height)
    cord = inside * below * above
    horns = anatomy.butterfly.distance(x, y, half_u, half_v)
    grey = coverage(horns - here["grey"], width)
    found = {
        "grey_matter": cord * grey,
        "white_matter": cord * (1 - grey),
        "pia": pia * above,
        "brainstem": inside * (1 - below),
    }
    for lesion in anatomy.pathology.lesions:
        spot = _lesion(lesion, anatomy.profiles, s, x, y, half_u, half_v, width)
        _replace(found, "lesion", spot)
    if anatomy.pathology.injury is not None:
        for tissue, share in _injury(anatomy, s, x, y, here, width).items():
            _replace(found, tissue, share)
    return found


def _replace(found: dict[str, np.ndarray], tissue: str, share: np.ndarray) -> None:
    """Turn a share of all cord tissue into another."""
    taken = np.zeros_like(share)
    for other in ("white_matter", "grey_matter", "lesion", "oedema"):
        if other in found and other != tissue:
            taken += found[other] * share
            found[other] = found[other] * (1 - share)
    found[tissue] = found.get(tissue, 0) + taken


def _lesion(lesion: Lesion, profiles: Profiles, s, x, y, half_u, half_v, width) -> np.ndarray:
    across = np.hypot(x - lesion.right * half_u, y - lesion.front * half_v) / lesion.radius_mm
    along = (s - profiles.arc_length(lesion.level)) / lesion.length_mm
    reach = np.sqrt(across**2 + along**2)
    return coverage((reach - 1) * lesion.radius_mm, max(width, 0.6))


def _injury(anatomy: Anatomy, s, x, y, here, width) -> dict[str, np.ndarray]:
    """Oedema that fades out along the cord, and a cavity in its middle."""
    injury: Injury = anatomy.pathology.injury
    along = s - anatomy.profiles.arc_length(injury.level)
    relative = np.hypot(x / here["half_rl"], y / here["half_ap"])
    length = injury.oedema_mm * (1.15 - 0.3 * relative)
    found = {"oedema": coverage(np.abs(along) - length, 4.0) * 0.9}
    if injury.cavity > 0:
        room = np.sqrt(np.clip(1 - (along / injury.cavity_mm) ** 2, 0, 1))
        edge = (relative - injury.cavity * room) * here["half_ap"]
        found["cavity"] = coverage(edge, max(width, 0.3)) * (room > 0)
    return found
