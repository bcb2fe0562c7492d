"""How an image becomes what a network sees, and how its prediction comes back.

This is the one place: training and inference both go through `prepare`, since instance
normalisation sees every difference in resolution, intensity and padding between the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from softseg.masks import check_grid
from softseg.network.config import NetworkConfig
from softseg.volume import Grid, Volume, overlap_matrix, samples_within

BACKGROUND = 0.1
"""Voxels darker than this share of the bright tissue are air."""
CLIP = (-5.0, 10.0)
"""Normalised intensities beyond are outliers: vessels, fat next to a surface coil."""
MAX_SAMPLES = 1_000_000


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image in working orientation with normalised intensities, and its working grid.

    Values on the working grid are computed when asked for, and only where asked for: a network
    that looks at crops around the cord never pays for the rest of the body.

    Attributes:
        source: The image as it came.
        image: `(X, Y, Z)` in working orientation on its own voxels, normalised.
        grid: The working grid over the same field of view.
    """

    source: Volume
    image: Volume
    grid: Grid
    _matrices: tuple[np.ndarray, ...] = field(repr=False)
    _back: tuple[np.ndarray, ...] = field(repr=False)

    @cached_property
    def data(self) -> np.ndarray:
        """`(X, Y, Z)` normalised intensities on the working grid, not padded."""
        return _apply(self._matrices, self.image.data)

    def to_working(self, mask: Volume) -> np.ndarray:
        """A mask of the same image on the working grid, `(X, Y, Z)`, soft where voxels are cut.

        A fraction of volume goes to the voxels that cover it, so that areas stay what they are.

        Raises:
            InputError: If the mask does not lie on the image's grid.
        """
        check_grid(mask, self.source)
        native, working = mask.oriented(), self.grid
        axes = zip(
            native.data.shape, native.spacing_mm, working.shape, working.spacing_mm, strict=True
        )
        matrices = tuple(overlap_matrix(*axis) for axis in axes)
        return _apply(matrices, native.data.astype(np.float32, copy=False))

    def windows(self, slices: np.ndarray, starts: np.ndarray, size: Sequence[int]) -> np.ndarray:
        """Windows of axial slices; what lies outside the image repeats its edge.

        Args:
            slices: `(N,)` indices along Z; the slices are those of the image.
            starts: `(N, 2)` first working voxel of each window, may be negative.
            size: Working voxels of a window along X and Y.

        Returns:
            `(N, size_x, size_y)` float32.
        """
        rows_x, rows_y = (
            matrix[_inside(starts[:, axis], size[axis], len(matrix))]
            for axis, matrix in enumerate(self._matrices[:2])
        )  # (N, size, native)
        planes = np.moveaxis(self.image.data[:, :, slices], 2, 0)  # (N, X, Y)
        return np.matmul(np.matmul(rows_x, planes), rows_y.transpose(0, 2, 1))

    def restore(self, working: np.ndarray) -> Volume:
        """Bring soft values from the working grid to the image's own grid, in [0, 1].

        Interpolation is linear, so that a soft value stays a fraction of volume.
        """
        return self._finish(_apply(self._back, working))

    def restore_windows(
        self, windows: np.ndarray, slices: np.ndarray, starts: np.ndarray
    ) -> Volume:
        """The same for windows as `windows` cut them; 0 outside of them."""
        native = np.zeros(self.image.data.shape, dtype=np.float32)
        for window, z, start in zip(windows, slices, starts, strict=True):
            sides = []
            for axis in range(2):
                matrix = self._back[axis]
                index = start[axis] + np.arange(window.shape[axis])
                inside = (index >= 0) & (index < matrix.shape[1])
                sides.append((matrix[:, index[inside]], inside))
            (left, keep_x), (right, keep_y) = sides
            native[:, :, z] = left @ window[np.ix_(keep_x, keep_y)] @ right.T
        return self._finish(native)

    def _finish(self, native: np.ndarray) -> Volume:
        soft = self.image.like(np.clip(native, 0.0, 1.0)).oriented(self.source.orientation)
        return self.source.like(np.ascontiguousarray(soft.data))


def prepare(image: Volume, config: NetworkConfig) -> Prepared:
    """Orientation, working grid and intensities of what a network sees.

    A two-dimensional network gets the image's own axial slices with the in-plane voxel size of
    `config`; through the plane nothing is resampled.

    Args:
        image: Any orientation, voxel size and intensity.
        config: Says the working voxel size.

    Example:
        >>> image = Volume(np.random.default_rng(0).random((8, 9, 4)), np.diag([1, 2, 5, 1.0]))
        >>> prepared = prepare(image, NetworkConfig(spacing_mm=(0.5, 0.5)))
        >>> prepared.data.shape, prepared.restore(np.ones((16, 36, 4))).data.shape
        ((16, 36, 4), (8, 9, 4))
    """
    oriented = image.oriented()
    oriented = oriented.like(normalise(oriented.data))
    native = oriented.spacing_mm
    grid = oriented.respaced_grid((*config.spacing_mm, *native[config.dimension :]))
    axes = list(zip(oriented.data.shape, native, grid.shape, grid.spacing_mm, strict=True))
    return Prepared(
        image,
        oriented,
        grid,
        tuple(interpolation_matrix(n, h, m, g) for n, h, m, g in axes),
        tuple(interpolation_matrix(m, g, n, h) for n, h, m, g in axes),
    )


def normalise(data: np.ndarray) -> np.ndarray:
    """Median 0 and unit robust spread over the tissue, however much air there is around it.

    The darkest tissue is where `BACKGROUND` times the 98th percentile of everything brighter lies:
    a fixed point that does not move when more air is added. Each network's first instance
    normalisation removes what is left of gain and offset per slice; what matters here is that
    outliers are cut alike and that numbers are of order one.

    Args:
        data: Any intensities; what is not finite becomes the darkest value.

    Returns:
        float32 of the same shape within `CLIP`; zeros for a constant image.

    Example:
        >>> normalise(np.array([0.0, 0.0, 100.0, 110.0, 120.0])).round(2)
        array([-5.  , -5.  , -1.83,  0.  ,  1.83], dtype=float32)
    """
    data = np.asarray(data, dtype=np.float32)
    finite = np.isfinite(data)
    if not finite.any():
        return np.zeros_like(data)
    flat = data.ravel() if finite.all() else data[finite]
    flat = flat[:: -(-flat.size // MAX_SAMPLES)]
    lowest = float(flat.min())
    base = lowest if lowest >= 0 else float(np.percentile(flat, 0.5))
    tissue = _tissue(flat - base)
    if tissue.size == 0:
        return np.zeros_like(data)
    low, centre, high = (float(q) for q in np.percentile(tissue, (5, 50, 95)))
    spread = (high - low) / 3.29  # the 5th and 95th percentile of a normal lie 3.29 SD apart
    if spread <= 0:
        return np.zeros_like(data)
    normal = (np.where(finite, data, lowest) - np.float32(base + centre)) / np.float32(spread)
    return np.clip(normal, *CLIP, out=normal)


def _tissue(values: np.ndarray) -> np.ndarray:
    positive = values[values > 0]
    if positive.size == 0:
        return positive
    # From above, since from below a field of little but air would stop in the air's noise.
    threshold = BACKGROUND * float(np.percentile(positive, 99.9))
    for _ in range(20):
        tissue = positive[positive > threshold]
        before, threshold = threshold, BACKGROUND * float(np.percentile(tissue, 98))
        if abs(threshold - before) <= 1e-3 * before:
            break
    return positive[positive > threshold]


def interpolation_matrix(
    count: int, spacing_mm: float, new_count: int, new_spacing_mm: float
) -> np.ndarray:
    """Linear interpolation along one axis between two grids that share their centre.

    Thicker target voxels average as many samples as source voxels fit into them; beyond the
    outermost centres the edge is repeated. The working grid shares its axes with the image, so
    three such matrices are the whole resampling, and a matrix product is the fastest there is.

    Returns:
        `(new_count, count)`, rows that sum to 1.

    Example:
        >>> interpolation_matrix(2, 1.0, 4, 0.5)
        array([[1.  , 0.  ],
               [0.75, 0.25],
               [0.25, 0.75],
               [0.  , 1.  ]], dtype=float32)
    """
    ratio = new_spacing_mm / spacing_mm
    inside = samples_within(ratio)
    centre = np.arange(new_count) - (new_count - 1) / 2
    position = (centre[:, None] + inside) * ratio + (count - 1) / 2  # (new, points)
    position = np.clip(position, 0, count - 1)
    lower = np.minimum(position.astype(int), max(count - 2, 0))
    share = position - lower
    matrix = np.zeros((new_count, count))
    rows = np.broadcast_to(np.arange(new_count)[:, None], lower.shape)
    np.add.at(matrix, (rows, lower), (1 - share) / len(inside))
    np.add.at(matrix, (rows, np.minimum(lower + 1, count - 1)), share / len(inside))
    return matrix.astype(np.float32)


def _apply(matrices: tuple[np.ndarray, ...], data: np.ndarray) -> np.ndarray:
    for axis, matrix in enumerate(matrices):
        if not np.array_equal(matrix, np.eye(*matrix.shape, dtype=np.float32)):
            data = np.moveaxis(np.tensordot(matrix, data, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(data, dtype=np.float32)


def _inside(starts: np.ndarray, size: int, count: int) -> np.ndarray:
    return np.clip(starts[:, None] + np.arange(size), 0, count - 1)
