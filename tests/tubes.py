"""Tubes whose cross-section is known exactly: analytic cords for tests.

A `Tube` is an ellipse swept along a smooth curve and always perpendicular to it. Where its area is
constant, so is what must be measured, whatever the tilt, the bend, the voxel and the place in the
field. A voxel's value is the fraction of it that the tube covers: exact along X, and along Y and Z
by sums so fine that a slice's area is good to 0.03 % (`sample`), or counted on any grid
(`covered`). In a `SlicedTube` the ellipse lies in the axial plane: what raters draw slice by slice.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from softseg.contrasts import CONTRASTS, Contrast
from softseg.volume import Grid, Volume

RADII_MM = (6.5, 4.0)
AREA_MM2 = math.pi * RADII_MM[0] * RADII_MM[1]
"""Of the tube that raters draw."""

Move = Callable[[np.ndarray], np.ndarray]

_CLOSE_MM = 1e-7
_ROW_MM = 0.04
_PLANES_PER_MM = 3.0


@dataclass(frozen=True)
class Curve:
    """A centreline as a graph over Z: tilts, an arc or a wave about each of two axes.

    Attributes:
        tilt_deg: Angle to Z in the X-Z and in the Y-Z plane.
        radius_mm: Radius of an arc in the Y-Z plane, upright at Z = 0; infinite for none.
        amplitude_mm: Amplitude of a sine along X and along Y.
        period_mm: Its period along Z.

    Example:
        >>> Curve(tilt_deg=(45.0, 0.0)).at(np.array([2.0]))[0].round(3)
        array([[2., 0.]])
    """

    tilt_deg: tuple[float, float] = (0.0, 0.0)
    radius_mm: float = math.inf
    amplitude_mm: tuple[float, float] = (0.0, 0.0)
    period_mm: float = 80.0

    def at(self, z_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position (X, Y), slope and second derivative along Z, each `(..., 2)`."""
        z = np.asarray(z_mm, dtype=float)[..., None]
        tangent = np.tan(np.radians(self.tilt_deg))
        wave, amplitude = 2 * math.pi / self.period_mm, np.array(self.amplitude_mm)
        position = tangent * z + amplitude * np.sin(wave * z)
        slope = tangent + amplitude * wave * np.cos(wave * z)
        second = -amplitude * wave**2 * np.sin(wave * z)
        if math.isfinite(self.radius_mm):
            along_y = np.array([0.0, 1.0])
            height = np.sqrt(self.radius_mm**2 - z**2)
            position = position + along_y * (self.radius_mm - height)
            slope = slope + along_y * z / height
            second = second + along_y * self.radius_mm**2 / height**3
        return position, slope, second


@dataclass(frozen=True)
class Tube:
    """An ellipse swept along a curve.

    Attributes:
        curve: Where its centre runs.
        area_mm2: Area of the perpendicular section at Z = 0.
        width_mm: Right-left diameter at Z = 0; the other follows from the area.
        taper_per_mm: Relative change of the area per millimetre along Z.
        waist: Relative loss of area of a compression at Z = 0 that flattens the tube, 0 for none.
        waist_mm: Standard deviation along Z of that compression.

    Example:
        >>> tube = Tube()
        >>> round(float(tube.section_area(np.array(0.0))), 6)
        70.0
    """

    curve: Curve = Curve()
    area_mm2: float = 70.0  # near the population's at C2-C3
    width_mm: float = 12.0
    taper_per_mm: float = 0.0
    waist: float = 0.0
    waist_mm: float = 6.0

    def centre(self, z_mm: np.ndarray) -> np.ndarray:
        """Position (X, Y) of the centre at a height, `(..., 2)`."""
        return self.curve.at(z_mm)[0]

    def semi_axes_mm(self, z_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Half the R-L and the A-P diameter of the section whose centre lies at height `z_mm`."""
        along = np.asarray(z_mm, dtype=float)
        growth = np.sqrt(np.maximum(1 + self.taper_per_mm * along, 1e-6))
        squeeze = 1 - self.waist * np.exp(-0.5 * (along / self.waist_mm) ** 2)
        height_mm = 4 * self.area_mm2 / (math.pi * self.width_mm)
        return growth * self.width_mm / 2, growth * squeeze * height_mm / 2

    def section_area(self, z_mm: np.ndarray) -> np.ndarray:
        """Area in mm² of the perpendicular section whose centre lies at height `z_mm`."""
        first, second = self.semi_axes_mm(z_mm)
        return math.pi * first * second

    def outside(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside the tube, 0 on its surface, positive outside."""
        foot = z
        for _ in range(3):
            position, slope, second = self.curve.at(foot)
            dx, dy, dz = x - position[..., 0], y - position[..., 1], z - foot
            along = dx * slope[..., 0] + dy * slope[..., 1] + dz
            bend = dx * second[..., 0] + dy * second[..., 1]
            step = along / (1 + (slope**2).sum(-1) - bend)
            foot = foot + step
            if np.abs(step).max(initial=0.0) < _CLOSE_MM:
                break
        position, slope, _ = self.curve.at(foot)
        dx, dy = x - position[..., 0], y - position[..., 1]
        sx, sy = slope[..., 0], slope[..., 1]
        # Right-left axis of the section: X made perpendicular to the tangent (sx, sy, 1).
        across = dx * np.sqrt((1 + sx**2 + sy**2) / (1 + sy**2))
        distance2 = dx**2 + dy**2 + (z - foot) ** 2
        first, second = self.semi_axes_mm(foot)
        return (across / first) ** 2 + np.maximum(distance2 - across**2, 0) / second**2 - 1

    def chords(self, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where lines along X enter and leave the tube; equal where they miss it."""
        middle = self.curve.at(z)[0][..., 0]
        half = np.full(np.shape(middle), 1.0)
        for _ in range(4):
            # Along a line `outside` is nearly a parabola: fit one, move to its roots, repeat.
            low, centre, high = (self.outside(middle + k * half, y, z) for k in (-1, 0, 1))
            curvature = np.maximum((low + high) / 2 - centre, 1e-12)
            shift = np.clip((low - high) / (4 * curvature), -4, 4)
            reach2 = shift**2 - centre / curvature
            middle = middle + shift * half
            half = half * np.clip(np.sqrt(np.maximum(reach2, 1e-6)), 0.05, 20)
            if np.abs(np.where(reach2 > 0, shift, 0)).max(initial=0.0) < _CLOSE_MM:
                break
        half = np.where(reach2 > 0, half, 0.0)
        return middle - half, middle + half

    def fractions(
        self,
        shape: tuple[int, int, int],
        spacing_mm: tuple[float, float, float],
        first_mm: tuple[float, float, float],
    ) -> np.ndarray:
        """Covered fraction of each voxel.

        Args:
            shape: `(X, Y, Z)`.
            spacing_mm: Voxel sizes.
            first_mm: Centre of voxel `(0, 0, 0)` in the tube's frame.

        Returns:
            Float64 array of `shape` in [0, 1].
        """
        (nx, ny, nz), (px, py, pz) = shape, spacing_mm
        rows, planes = max(4, math.ceil(py / _ROW_MM)), max(4, math.ceil(pz * _PLANES_PER_MM))
        edges = first_mm[0] + (np.arange(nx + 1) - 0.5) * px
        nodes, weights = np.polynomial.legendre.leggauss(planes)
        soft = np.zeros(shape)
        for k in range(nz):
            z = first_mm[2] + (k + nodes / 2) * pz
            low, high = self._reach_mm(z)
            start = int(np.clip((low - first_mm[1]) // py, 0, ny))
            stop = int(np.clip((high - first_mm[1]) // py + 2, start, ny))
            y = first_mm[1] + (start - 0.5 + (np.arange((stop - start) * rows) + 0.5) / rows) * py
            enter, leave = self.chords(y[:, None], np.broadcast_to(z, (y.size, planes)))
            beyond = edges[:, None, None]
            left = np.maximum(leave, beyond) - np.maximum(enter, beyond)
            covered = -np.diff(left, axis=0) @ (weights / 2)  # (X, rows of Y)
            soft[:, start:stop, k] = covered.reshape(nx, stop - start, rows).mean(axis=2) / px
        return np.clip(soft, 0.0, 1.0)

    def _reach_mm(self, z_mm: np.ndarray) -> tuple[float, float]:
        # A section's edge lies at most its semi-axis times the secant from the centre.
        position, slope, _ = self.curve.at(z_mm)
        semi = np.stack(self.semi_axes_mm(z_mm)).max() * 1.2 + 1.0
        reach = semi * math.sqrt(1 + float((slope**2).sum(-1).max()))
        return float(position[..., 1].min()) - reach, float(position[..., 1].max()) + reach

    def slab_areas(self, n_slices: int, spacing_z_mm: float, first_z_mm: float) -> np.ndarray:
        """True area of each slice: mean of the perpendicular area along the centreline inside it.

        Returns:
            `(n_slices,)` in mm².
        """
        nodes, weights = np.polynomial.legendre.leggauss(8)
        z = first_z_mm + (np.arange(n_slices)[:, None] + nodes / 2) * spacing_z_mm
        speed = np.sqrt(1 + (self.curve.at(z)[1] ** 2).sum(-1)) * weights
        return (speed * self.section_area(z)).sum(1) / speed.sum(1)


@dataclass(frozen=True)
class Sampled:
    """A tube on a grid: the soft mask and the area of each of its slices."""

    soft: Volume
    area_mm2: np.ndarray

    @property
    def binary(self) -> Volume:
        """Voxels more than half covered."""
        return replace(self.soft, data=(self.soft.data > 0.5).astype(np.float32))


def sample(
    tube: Tube,
    spacing_mm: tuple[float, float, float],
    *,
    length_mm: float = 60.0,
    offset_voxels: tuple[float, float, float] = (0.0, 0.0, 0.0),
    margin_mm: float = 3.0,
) -> Sampled:
    """Put a tube through a grid in working orientation (LAS) just large enough for it.

    The tube runs through both ends of the grid, as a cord does through a field of view.

    Args:
        tube: What to sample.
        spacing_mm: Voxel sizes.
        length_mm: Extent along Z, rounded to whole slices.
        offset_voxels: Displacement of the grid, in voxels.
        margin_mm: Empty space beside the tube.

    Example:
        >>> sampled = sample(Tube(), (1.0, 1.0, 5.0), length_mm=10)
        >>> sampled.soft.data.sum(axis=(0, 1)).round(1)
        array([70., 70.])
    """
    spacing = np.array(spacing_mm, dtype=float)
    n_slices = max(1, round(length_mm / spacing[2]))
    offset = np.array(offset_voxels) * spacing
    first_z = -(n_slices - 1) / 2 * spacing[2] + offset[2]
    z = first_z + (np.arange(n_slices * 4 + 1) / 4 - 0.5) * spacing[2]
    position, slope, _ = tube.curve.at(z)
    semi = np.stack(tube.semi_axes_mm(z), axis=-1)
    reach = semi.max() * np.sqrt(1 + (slope**2).sum(-1)).max() + margin_mm
    low, high = position.min(0) - reach, position.max(0) + reach
    counts = np.ceil((high - low) / spacing[:2]).astype(int) + 1
    first = (*(low + offset[:2]), first_z)
    shape = (int(counts[0]), int(counts[1]), n_slices)
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    affine[:3, 3] = (-first[0], first[1], first[2])
    soft = tube.fractions(shape, tuple(spacing), first)
    return Sampled(Volume(soft, affine), tube.slab_areas(n_slices, spacing[2], first_z))


STANDARD: dict[str, Callable[[], Tube]] = {
    "upright": lambda: Tube(),
    "10° forward": lambda: Tube(Curve(tilt_deg=(0.0, 10.0))),
    "20° forward": lambda: Tube(Curve(tilt_deg=(0.0, 20.0))),
    "30° forward": lambda: Tube(Curve(tilt_deg=(0.0, 30.0))),
    "20° sideways": lambda: Tube(Curve(tilt_deg=(20.0, 0.0))),
    "20° and 15°": lambda: Tube(Curve(tilt_deg=(15.0, 20.0))),
    "arc of 100 mm": lambda: Tube(Curve(radius_mm=100.0)),
    "wave of 6 mm": lambda: Tube(Curve(amplitude_mm=(0.0, 6.0))),
}
"""The eight geometries on which the field's standard tool was measured."""

DIFFICULT: dict[str, Callable[[], Tube]] = {
    "40° forward": lambda: Tube(Curve(tilt_deg=(0.0, 40.0))),
    "wave sideways": lambda: Tube(Curve(amplitude_mm=(6.0, 0.0))),
    "sinuous": lambda: Tube(Curve(amplitude_mm=(3.0, 4.0), period_mm=60.0)),
    "tapering": lambda: Tube(Curve(tilt_deg=(0.0, 20.0)), taper_per_mm=0.01),
    "compressed": lambda: Tube(Curve(tilt_deg=(0.0, 10.0)), waist=0.4),
    "thin": lambda: Tube(Curve(tilt_deg=(0.0, 15.0)), area_mm2=30.0, width_mm=7.0),
}
"""Geometries beyond those: steep, sinuous, tapering, compressed and thin cords."""


# What raters draw, slice by slice


def at_rest(z: np.ndarray) -> np.ndarray:
    return np.zeros((*np.shape(z), 2))


@dataclass(frozen=True)
class SlicedTube(Tube):
    """An ellipse in the axial plane, the same in every slice, along a line that bends and tilts.

    Attributes:
        move: From height to a displacement `(..., 2)` of the centre.
        turn_deg: Turn of the ellipse about Z.
        taper: From height to the relative size of the ellipse; None for 1.
    """

    area_mm2: float = AREA_MM2
    width_mm: float = 2 * RADII_MM[0]
    move: Move = at_rest
    turn_deg: float = 0.0
    taper: Callable[[np.ndarray], np.ndarray] | None = None

    def centre(self, z_mm: np.ndarray) -> np.ndarray:
        """Bent to the side and tilted by 10 to 15°."""
        bend = np.stack([1.5 * np.sin(z_mm / 60), 10 * np.cos(z_mm / 70) + 0.12 * z_mm], axis=-1)
        return bend + self.move(z_mm)

    def outside(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Negative inside the tube, 0 on its surface, positive outside."""
        dx, dy = np.moveaxis(np.stack([x, y], axis=-1) - self.centre(z), -1, 0)
        c, s = np.cos(np.deg2rad(self.turn_deg)), np.sin(np.deg2rad(self.turn_deg))
        size = 1.0 if self.taper is None else np.maximum(self.taper(z), 1e-6)
        first, second = self.semi_axes_mm(z)
        across, along = (c * dx + s * dy) / (size * first), (c * dy - s * dx) / (size * second)
        return across**2 + along**2 - 1


def grid_of(
    contrast: Contrast,
    *,
    half_mm: tuple[float, float, float] | None = None,
    offset_mm: np.ndarray | tuple = (0.0, 0.0, 0.0),
) -> Grid:
    """A grid around the tube, sagittal ones longer than axial ones, in LAS."""
    half = half_mm or ((16, 24, 42) if contrast.plane == "sagittal" else (16, 24, 32.5))
    spacing = np.array(contrast.spacing_mm)
    shape = np.round(2 * np.array(half) / spacing).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = np.diag(spacing * [-1, 1, 1])
    affine[:3, 3] = np.array(offset_mm) - affine[:3, :3] @ ((shape - 1) / 2)
    return Grid(tuple(int(n) for n in shape), affine)


def covered(grid: Grid, tube: Tube) -> np.ndarray:
    """Share of each voxel inside a tube, by counting points 0.25 x 0.25 x 0.6 mm apart."""
    spacing = np.array(grid.spacing_mm)
    counts = np.maximum(1, np.ceil(spacing / [0.25, 0.25, 0.6])).astype(int)
    offsets = np.stack(
        np.meshgrid(*[(np.arange(n) + 0.5) / n - 0.5 for n in counts], indexing="ij"), -1
    ).reshape(-1, 3)

    def world(voxels: np.ndarray) -> np.ndarray:
        return voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3]

    reach = max(tube.width_mm / 2, RADII_MM[0]) + 2 + spacing[2] / 2
    if np.count_nonzero(grid.affine[:3, :3]) == 3:  # axes run along the body's: no need to try all
        x, y, z = (
            grid.affine[a, a] * np.arange(n) + grid.affine[a, 3] for a, n in enumerate(grid.shape)
        )
        middle = tube.centre(z)
        near_x = np.abs(x[:, None] - middle[:, 0]) < reach  # (X, Z)
        near_y = np.abs(y[:, None] - middle[:, 1]) < reach  # (Y, Z)
        voxels = np.argwhere(near_x[:, None] & near_y[None])
    else:
        voxels = np.argwhere(np.ones(grid.shape, dtype=bool))
        places = world(voxels)
        apart = places[:, :2] - tube.centre(places[:, 2])
        voxels = voxels[(np.abs(apart) < reach).all(axis=1)]
    inside = np.zeros(len(voxels))
    for offset in offsets:
        inside += tube.outside(*world(voxels + offset).T) < 0
    data = np.zeros(grid.shape, dtype=np.float32)
    data[tuple(voxels.T)] = inside / len(offsets)
    return data


def fraction(grid: Grid, move: Move = at_rest, **shape) -> np.ndarray:
    """Share of each voxel inside the tube that raters draw."""
    return covered(grid, SlicedTube(move=move, **shape))


def rater_mask(grid: Grid, move: Move = at_rest, **shape) -> Volume:
    """What a rater without noise draws: voxels of which at least half is cord."""
    return Volume((fraction(grid, move, **shape) >= 0.5).astype(np.float32), grid.affine)


def random_moves(seed: int, reference: str = "T2w") -> dict[str, Move]:
    """For every contrast but the reference a shift of up to 3 mm that drifts along the cord."""
    moves: dict[str, Move] = {reference: at_rest}
    for index, name in enumerate(CONTRASTS):
        rng = np.random.default_rng([seed, index])
        start, slope = rng.uniform(-3, 3, 2), rng.uniform(-0.02, 0.02, 2)
        if name != reference:
            moves[name] = lambda z, a=start, b=slope: a + np.asarray(z)[:, None] * b
    return moves


def moved_masks(seed: int, reference: str = "T2w") -> tuple[dict[str, Volume], dict[str, Move]]:
    """Masks of the six contrasts, each moved, each on a grid with its own offset."""
    moves = random_moves(seed, reference)
    masks = {}
    for index, (name, contrast) in enumerate(CONTRASTS.items()):
        offset = np.random.default_rng([seed, index, 1]).uniform(-0.5, 0.5, 3)
        masks[name] = rater_mask(grid_of(contrast, offset_mm=offset), moves[name])
    return masks, moves
