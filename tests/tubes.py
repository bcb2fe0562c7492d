"""Analytic cords for tests: a bent elliptical tube whose mask on any grid is known."""

from collections.abc import Callable

import numpy as np

from softseg.contrasts import CONTRASTS, Contrast
from softseg.volume import Grid, Volume

RADII_MM = (6.5, 4.0)
AREA_MM2 = float(np.pi * RADII_MM[0] * RADII_MM[1])

Move = Callable[[np.ndarray], np.ndarray]


def at_rest(z: np.ndarray) -> np.ndarray:
    return np.zeros((len(z), 2))


def centre(z: np.ndarray) -> np.ndarray:
    """Centreline in the axial plane, RAS millimetres: bent to the side and tilted by 10 to 15°."""
    return np.stack([1.5 * np.sin(z / 60), 10 * np.cos(z / 70) + 0.12 * z], axis=-1)


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


def fraction(
    grid: Grid,
    move: Move = at_rest,
    *,
    turn_deg: float = 0.0,
    radii_mm: tuple[float, float] = RADII_MM,
    taper: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Share of each voxel inside the tube, by counting points 0.25 x 0.25 x 0.6 mm apart."""
    spacing = np.array(grid.spacing_mm)
    counts = np.maximum(1, np.ceil(spacing / [0.25, 0.25, 0.6])).astype(int)
    offsets = np.stack(
        np.meshgrid(*[(np.arange(n) + 0.5) / n - 0.5 for n in counts], indexing="ij"), -1
    ).reshape(-1, 3)

    def apart(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        world = points @ grid.affine[:3, :3].T + grid.affine[:3, 3]
        return world[:, :2] - centre(world[:, 2]) - move(world[:, 2]), world[:, 2]

    reach = max(radii_mm) + 2 + spacing[2] / 2
    if np.count_nonzero(grid.affine[:3, :3]) == 3:  # axes run along the body's: no need to try all
        x, y, z = (
            grid.affine[a, a] * np.arange(n) + grid.affine[a, 3] for a, n in enumerate(grid.shape)
        )
        middle = centre(z) + move(z)
        near_x = np.abs(x[:, None] - middle[:, 0]) < reach  # (X, Z)
        near_y = np.abs(y[:, None] - middle[:, 1]) < reach  # (Y, Z)
        voxels = np.argwhere(near_x[:, None] & near_y[None])
    else:
        voxels = np.argwhere(np.ones(grid.shape, dtype=bool))
        voxels = voxels[(np.abs(apart(voxels)[0]) < reach).all(axis=1)]
    inside = np.zeros(len(voxels))
    c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    for offset in offsets:
        plane, z = apart(voxels + offset)
        x, y = c * plane[:, 0] + s * plane[:, 1], -s * plane[:, 0] + c * plane[:, 1]
        limit = 1.0 if taper is None else np.maximum(taper(z), 0) ** 2
        inside += (x / radii_mm[0]) ** 2 + (y / radii_mm[1]) ** 2 < limit
    data = np.zeros(grid.shape, dtype=np.float32)
    data[tuple(voxels.T)] = inside / len(offsets)
    return data


def rater_mask(grid: Grid, move: Move = at_rest, **options) -> Volume:
    """What a rater without noise draws: voxels of which at least half is cord."""
    data = (fraction(grid, move, **options) >= 0.5).astype(np.float32)
    return Volume(data, grid.affine)


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
