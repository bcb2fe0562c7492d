"""How an image becomes what a network sees, and how its prediction comes back.

This is the one place: training and inference both go through `prepare`, since instance
normalisation sees every difference in resolution, intensity and padding between the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from softseg.masks import check_grid
from softseg.network.config import NetworkConfig
from softseg.volume import Grid, Volume, interpolation_matrix, overlap_matrix

BACKGROUND = 0.1
"""Voxels darker than this share of the bright tissue are air."""
CLIP = (-5.0, 10.0)
"""Normalised intensities beyond are outliers: vessels, fat next to a surface coil."""
OUTLIERS = 0.005
"""Fewer of the values that are not air are no tissue: bright marks, spikes, a vessel's inflow."""
MARKED = 0.1
"""Nor are fewer than this of which half are equal: a mark in a stack of few slices."""
PADDING = 1e-3
"""Where more of the voxels than this hold the lowest value, and it is below 0, they are padding."""
MAX_SAMPLES = 1_000_000
LARGE = 200
"""Voxels of a side from which on few entries of an interpolation are not 0."""


@dataclass(frozen=True)
class IntensityScale:
    """How intensities are normalised: `(value - centre) / spread` within `CLIP`.

    Attributes:
        centre: Median of the tissue.
        spread: Its robust standard deviation; 0 for an image without structure, which becomes 0.
        darkest: Stands for what is not finite, and for what is darker: padding.
        air: Values below are air.
    """

    centre: float = 0.0
    spread: float = 0.0
    darkest: float = 0.0
    air: float = 0.0

    @property
    def normal_air(self) -> float:
        """`air` among normalised intensities; everything is above it in an image of nothing."""
        return (self.air - self.centre) / self.spread if self.spread > 0 else -np.inf

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Normalised float32 of the same shape."""
        values = np.asarray(values, dtype=np.float32)
        if self.spread <= 0:
            return np.zeros_like(values)
        darkest = np.float32(self.darkest)
        normal = np.where(np.isfinite(values), values, darkest)
        np.maximum(normal, darkest, out=normal)
        normal -= np.float32(self.centre)
        normal /= np.float32(self.spread)
        return np.clip(normal, *CLIP, out=normal)


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image in working orientation, how to normalise it, and its working grid.

    Values are normalised and brought to the working grid when asked for, and only where asked for:
    a network that looks at crops around the cord never pays for the rest of the body.

    Attributes:
        source: The image as it came.
        image: `(X, Y, Z)` in working orientation on its own voxels, a view of the source.
        scale: How its intensities are normalised.
        grid: The working grid over the same field of view.
    """

    source: Volume
    image: Volume
    scale: IntensityScale
    grid: Grid
    _matrices: tuple[np.ndarray, ...] = field(repr=False)
    _back: tuple[np.ndarray, ...] = field(repr=False)

    @cached_property
    def data(self) -> np.ndarray:
        """`(X, Y, Z)` normalised intensities on the working grid, not padded."""
        return _apply(self._matrices, self.scale.apply(self.image.data))

    def respaced(self, spacing_mm: Sequence[float]) -> "Prepared":
        """The same image on a working grid of other voxels in the slice."""
        return _on_grid(self.source, self.image, self.scale, spacing_mm)

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
        windows = np.empty((len(slices), *size), np.float32)
        for window, z, start in zip(windows, slices, starts, strict=True):
            (x, rows_x), (y, rows_y) = (
                _filled(matrix[_inside(first, n, len(matrix))])
                for matrix, first, n in zip(self._matrices, start, size, strict=False)
            )
            window[:] = (rows_y @ (rows_x @ self.scale.apply(self.image.data[x, y, z])).T).T
        return windows

    def restore(self, working: np.ndarray) -> np.ndarray:
        """Bring soft values from the working grid to the image's own voxels, in [0, 1].

        Interpolation is linear, so that a soft value stays a fraction of volume.

        Returns:
            `(X, Y, Z)` float32 in working orientation; `pasted` makes an image of it.
        """
        return np.clip(_apply(self._back, working), 0.0, 1.0)

    def box(self, starts: np.ndarray, size: Sequence[int]) -> tuple[slice, slice]:
        """The part of the image, along X and Y, that windows with these starts cover."""
        sides = []
        for axis, matrix in enumerate(self._back[:2]):
            low, high = starts[:, axis].min(), starts[:, axis].max() + size[axis]
            columns = slice(max(0, low), min(matrix.shape[1], high))
            rows = np.flatnonzero(matrix[:, columns].any(axis=1))
            sides.append(slice(int(rows[0]), int(rows[-1]) + 1))
        return tuple(sides)

    def restore_windows(
        self,
        windows: np.ndarray,
        slices: np.ndarray,
        starts: np.ndarray,
        box: tuple[slice, slice],
    ) -> np.ndarray:
        """The same as `restore` for windows as `windows` cut them; 0 outside of them.

        Returns:
            `(x, y, Z)` float32 on the image's own voxels inside `box`, in working orientation.
        """
        shape = [side.stop - side.start for side in box]
        native = np.zeros((*shape, self.image.data.shape[2]), dtype=np.float32)
        for window, z, start in zip(windows, slices, starts, strict=True):
            sides = []
            for axis, rows in enumerate(box):
                matrix = self._back[axis]
                index = start[axis] + np.arange(window.shape[axis])
                inside = (index >= 0) & (index < matrix.shape[1])
                sides.append((matrix[rows, index[inside]], inside))
            (left, keep_x), (right, keep_y) = sides
            native[:, :, z] = left @ window[np.ix_(keep_x, keep_y)] @ right.T
        return np.clip(native, 0.0, 1.0, out=native)

    def pasted(
        self, values: np.ndarray, box: tuple[slice, slice] = (slice(None), slice(None))
    ) -> Volume:
        """Values inside a box in working orientation on the image's own grid, 0 outside."""
        whole = self.source.like(np.zeros(self.source.data.shape, np.float32))
        whole.oriented().data[box] = values
        return whole


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
        >>> prepared.data.shape, prepared.restore(np.ones((16, 36, 4))).shape
        ((16, 36, 4), (8, 9, 4))
    """
    oriented = image.oriented()
    return _on_grid(image, oriented, intensity_scale(oriented.data), config.spacing_mm)


def _on_grid(
    source: Volume, image: Volume, scale: IntensityScale, spacing_mm: Sequence[float]
) -> Prepared:
    native = image.spacing_mm
    grid = image.respaced_grid((*spacing_mm, *native[len(spacing_mm) :]))
    axes = list(zip(image.data.shape, native, grid.shape, grid.spacing_mm, strict=True))
    return Prepared(
        source,
        image,
        scale,
        grid,
        tuple(interpolation_matrix(n, h, m, g) for n, h, m, g in axes),
        tuple(interpolation_matrix(m, g, n, h) for n, h, m, g in axes),
    )


def normalise(data: np.ndarray) -> np.ndarray:
    """Median 0 and unit robust spread over the tissue, as `intensity_scale` finds them.

    Each network's first instance normalisation removes what is left of gain and offset per slice;
    what matters here is that outliers are cut alike and that numbers are of order one.

    Args:
        data: Any intensities; what is not finite becomes the darkest value.

    Returns:
        float32 of the same shape within `CLIP`; zeros for a constant image.

    Example:
        >>> normalise(np.array([0.0, 0.0, 100.0, 110.0, 120.0])).round(2)
        array([-5.  , -5.  , -1.83,  0.  ,  1.83], dtype=float32)
    """
    return intensity_scale(data).apply(data)


def intensity_scale(data: np.ndarray) -> IntensityScale:
    """Where the tissue's intensities lie, however much air, padding or burned-in text there is.

    The darkest tissue is where `BACKGROUND` times the 98th percentile of everything brighter lies:
    a fixed point that does not move when more air is added. Where fewer than `OUTLIERS` of the
    values lie above it, or fewer than `MARKED` of which half are equal, they are none of the
    body's, and it is sought below them. A lowest value below 0 that many voxels share is padding.

    Args:
        data: Any shape and intensities.
    """
    flat = _samples(data)
    flat = flat[np.isfinite(flat)]
    if not flat.size:
        return IntensityScale()
    lowest, padded = float(flat.min()), False
    if lowest < 0:
        rest = flat[flat > lowest]
        padded = flat.size - rest.size > PADDING * flat.size
        if padded and rest.size:
            flat = rest
    base = float(flat.min())
    if base < 0:
        base = float(np.percentile(flat, 0.5))
    tissue, threshold = _tissue(flat - base)
    if tissue.size == 0:
        return IntensityScale()
    low, centre, high = (float(q) for q in np.percentile(tissue, (5, 50, 95)))
    spread = (high - low) / 3.29  # the 5th and 95th percentile of a normal lie 3.29 SD apart
    darkest = base if padded else lowest
    return IntensityScale(base + centre, spread, darkest, base + threshold)


def _samples(data: np.ndarray) -> np.ndarray:
    """At most `MAX_SAMPLES` evenly spaced values; no copy is made of a large array."""
    step = -(-data.size // MAX_SAMPLES)
    if step <= 1:
        return np.asarray(data, dtype=np.float32).ravel()
    places = np.unravel_index(np.arange(0, data.size, step), data.shape)
    return np.asarray(data[places], dtype=np.float32)


def _tissue(values: np.ndarray) -> tuple[np.ndarray, float]:
    """What is brighter than air, and from where on."""
    positive = values[values > 0]
    threshold = 0.0
    while positive.size:
        # From above, since from below a field of little but air would stop in the air's noise.
        threshold = BACKGROUND * float(np.percentile(positive, 99.9))
        for _ in range(20):
            tissue = positive[positive > threshold]
            before, threshold = threshold, BACKGROUND * float(np.percentile(tissue, 98))
            if abs(threshold - before) <= 1e-3 * before:
                break
        bright = positive > threshold
        tissue, rest = positive[bright], positive[~bright]
        if tissue.size >= OUTLIERS * positive.size and not _is_mark(tissue, rest):
            return tissue, threshold
        positive = rest
    return positive, threshold


def _is_mark(tissue: np.ndarray, rest: np.ndarray) -> bool:
    """Whether it is text or a frame, drawn in one brightness as no body is."""
    if tissue.size > MARKED * rest.size:
        return False
    return bool(np.unique(tissue, return_counts=True)[1].max() > tissue.size / 2)


def _apply(matrices: tuple[np.ndarray, ...], data: np.ndarray) -> np.ndarray:
    for axis, matrix in enumerate(matrices):
        if not np.array_equal(matrix, np.eye(*matrix.shape, dtype=np.float32)):
            data = np.moveaxis(np.tensordot(matrix, data, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(data, dtype=np.float32)


def _inside(start: int, size: int, count: int) -> np.ndarray:
    return np.clip(start + np.arange(size), 0, count - 1)


def _filled(rows: np.ndarray) -> tuple[slice, np.ndarray | sparse.csr_array]:
    """The columns that rows of a matrix reach, and the rows without the others.

    In large fields nearly all of what is left is 0, and only what is not is multiplied.
    """
    columns = np.flatnonzero(rows.any(axis=0))
    reach = slice(int(columns[0]), int(columns[-1]) + 1)
    rows = rows[:, reach]
    return reach, sparse.csr_array(rows) if rows.shape[1] > LARGE else rows
