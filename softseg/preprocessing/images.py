"""Orientation, working grid and echoes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softseg.errors import InputError
from softseg.volume import WORKING, Spacing, Volume

WORKING_SPACING_MM: dict[str, Spacing] = {"T1w": (1.0, 1.0, 1.0), "T2w": (0.8, 0.8, 0.8)}
"""Contrasts that are resampled; axial ones keep their voxels."""


def to_working_grid(volume: Volume, spacing_mm: Spacing | None = None) -> Volume:
    """Reorient, and resample linearly to other voxel sizes over the same field of view.

    Example:
        >>> image = Volume(np.ones((4, 4, 4)), np.eye(4))
        >>> to_working_grid(image, (0.5, 0.5, 0.5)).data.shape
        (8, 8, 8)
    """
    oriented = volume.oriented(WORKING)
    if spacing_mm is None or np.allclose(oriented.spacing_mm, spacing_mm, atol=1e-4):
        return oriented
    return oriented.resampled(oriented.respaced_grid(spacing_mm), mode="nearest")


def combine_echoes(paths: Path | str | Sequence[Path | str]) -> Volume:
    """Root mean square over echoes: of one series, or of one file an echo.

    Raises:
        InputError: If a file cannot be read or the echoes lie on different grids.
    """
    if isinstance(paths, str | Path):
        return Volume.load(paths, average="rms").oriented(WORKING)
    echoes = [Volume.load(path) for path in paths]
    for echo in echoes[1:]:
        if not echo.grid.matches(echoes[0].grid):
            raise InputError(f"{echo.path}: echoes lie on one grid, this one not on the first's")
    squares = np.mean([echo.data.astype(np.float64) ** 2 for echo in echoes], axis=0)
    return echoes[0].like(np.sqrt(squares).astype(np.float32)).oriented(WORKING)
