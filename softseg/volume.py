"""Images in space, read from NIfTI files and written to them.

Axis convention, stated once for the package: arrays are `(X, Y, Z)`. In *working orientation*
(`LAS`: the letters say where each axis runs to, as in nibabel) X runs right to left, Y posterior to
anterior and Z inferior to superior, so that slice 0 along Z is the most inferior. The Spinal Cord
Toolbox names the same orientation by where its axes come from, RPI.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations

from softseg.errors import InputError
from softseg.files import replacing
from softseg.nifti import read
from softseg.nifti_header import SAME_FORM_MM

WORKING = "LAS"
"""Orientation in which the package measures and segments."""

Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """Where voxels are: a shape and an affine from voxel index to millimetres."""

    shape: tuple[int, int, int]
    affine: np.ndarray = field(repr=False)

    @property
    def spacing_mm(self) -> Spacing:
        """Voxel size along each array axis, in millimetres."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))

    def matches(self, other: "Grid", tolerance_mm: float = 1e-3) -> bool:
        """Whether both have the same shape and no corner differs by more than `tolerance_mm`."""
        return self.apart_mm(other) <= tolerance_mm

    def apart_mm(self, other: "Grid") -> float:
        """Largest difference of a coordinate of a corner; infinite where shapes differ."""
        if self.shape != other.shape:
            return float("inf")
        corners = np.array([[0, n - 1] for n in self.shape])
        corners = np.stack(np.meshgrid(*corners, indexing="ij"), axis=-1).reshape(-1, 3)
        apart = nib.affines.apply_affine(self.affine - other.affine, corners)
        return float(np.abs(apart).max())


def samples_within(step: float) -> np.ndarray:
    """Where along one axis a voxel reads what it covers: thicker voxels average it.

    As many samples, evenly spread, as voxels of the source fit into one of the target; averaged,
    they keep the volume of a mask that is taken to thick slices.

    Args:
        step: Source voxels per target voxel.

    Returns:
        Offsets from the target voxel's centre, in target voxels.

    Example:
        >>> samples_within(0.5), samples_within(2.0)
        (array([0.]), array([-0.25,  0.25]))
    """
    count = max(1, int(np.ceil(step - 1e-3)))
    return (np.arange(count) + 0.5) / count - 0.5


def interpolation_matrix(
    count: int, spacing_mm: float, new_count: int, new_spacing_mm: float
) -> np.ndarray:
    """Linear interpolation along one axis between two grids that share their centre.

    Thicker target voxels average as many samples as source voxels fit into them; beyond the
    outermost centres the edge is repeated. Of grids that share their axes, too, three such matrices
    are the whole resampling, and a matrix product is the fastest there is.

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


def overlap_matrix(
    count: int, spacing_mm: float, new_count: int, new_spacing_mm: float
) -> np.ndarray:
    """Along one axis, what each voxel of a grid with the same middle covers of another's voxels.

    Fractions of volume that go through it keep their area exactly, between any two voxel sizes;
    beyond the source's border the border is repeated.

    Returns:
        `(new_count, count)` float32, rows that sum to 1.

    Example:
        >>> overlap_matrix(2, 1.5, 3, 1.0)
        array([[1. , 0. ],
               [0.5, 0.5],
               [0. , 1. ]], dtype=float32)
    """
    edges = (np.arange(count + 1) - count / 2) * spacing_mm
    edges[0], edges[-1] = -np.inf, np.inf
    new = (np.arange(new_count + 1) - new_count / 2) * new_spacing_mm
    shared = np.minimum(new[1:, None], edges[1:]) - np.maximum(new[:-1, None], edges[:-1])
    return (np.maximum(shared, 0) / new_spacing_mm).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Volume:
    """A three-dimensional image or mask and where it lies.

    Attributes:
        data: `(X, Y, Z)` array.
        affine: `(4, 4)` from voxel index to millimetres, right-anterior-superior positive.
        path: Where it was read, for messages.
        codes: NIfTI qform and sform codes, kept when written again.
        qform: Where the header's qform puts the voxels if that is elsewhere, kept when written
            again; `affine` is then the sform.

    Example:
        >>> volume = Volume(np.zeros((2, 3, 4)), np.diag([-0.5, 0.5, 5.0, 1.0]))
        >>> volume.orientation, volume.spacing_mm
        ('LAS', (0.5, 0.5, 5.0))
    """

    data: np.ndarray
    affine: np.ndarray
    path: Path | None = None
    codes: tuple[int, int] = (1, 1)
    qform: np.ndarray | None = field(default=None, repr=False)

    @property
    def grid(self) -> Grid:
        """Shape and affine."""
        return Grid(tuple(self.data.shape), self.affine)

    @property
    def spacing_mm(self) -> Spacing:
        """Voxel size along each array axis, in millimetres."""
        return self.grid.spacing_mm

    @property
    def orientation(self) -> str:
        """Where each axis runs to, for example `LAS`."""
        return "".join(nib.aff2axcodes(self.affine))

    @property
    def name(self) -> str:
        """File name for messages."""
        return self.path.name if self.path else "volume"

    def like(self, data: np.ndarray) -> "Volume":
        """Other values on the same grid.

        Raises:
            ValueError: If the shape differs.
        """
        if data.shape != self.data.shape:
            raise ValueError(f"values of shape {data.shape} do not fit a grid of {self.data.shape}")
        return replace(self, data=data)

    def oriented(self, codes: str = WORKING) -> "Volume":
        """The same voxels with axes permuted and flipped to run to `codes`; nothing is resampled.

        Example:
            >>> volume = Volume(np.arange(2).reshape(2, 1, 1), np.eye(4))
            >>> volume.oriented("LAS").data.ravel()
            array([1, 0])
        """
        change = orientations.ornt_transform(
            orientations.io_orientation(self.affine), orientations.axcodes2ornt(codes)
        )
        data = orientations.apply_orientation(self.data, change)
        back = orientations.inv_ornt_aff(change, self.data.shape)
        qform = None if self.qform is None else self.qform @ back
        return replace(self, data=data, affine=self.affine @ back, qform=qform)

    def resampled(
        self, grid: Grid, *, order: int = 1, mode: str = "constant", fill: float = 0.0
    ) -> "Volume":
        """Interpolate on another grid; thicker target voxels average what lies inside them.

        Each voxel of the target is the mean of its samples (`samples_within`).

        Args:
            grid: The target.
            order: Spline order; 1 keeps soft masks inside [0, 1].
            mode: What lies outside, as in `scipy.ndimage`: `constant` (`fill`) or `nearest`.
            fill: Value outside for `constant`.
        """
        from scipy import ndimage  # 0.2 s at start-up

        to_source = np.linalg.inv(self.affine) @ grid.affine
        samples = [samples_within(step) for step in np.abs(to_source[:3, :3]).max(axis=0)]
        points = np.array([len(each) for each in samples])
        fine = to_source.copy()
        fine[:3, :3] = to_source[:3, :3] / points
        offset = to_source[:3, 3] + to_source[:3, :3] @ [each[0] for each in samples]
        data = ndimage.affine_transform(
            self.data.astype(np.float32, copy=False),
            fine[:3, :3],
            offset,
            output_shape=tuple(np.array(grid.shape) * points),
            order=order,
            mode="grid-constant" if mode == "constant" else mode,
            cval=fill,
        )
        blocks = [size for pair in zip(grid.shape, points, strict=True) for size in pair]
        data = data.reshape(blocks).mean(axis=(1, 3, 5))
        return replace(self, data=data, affine=grid.affine, qform=None)

    def respaced_grid(self, spacing_mm: Spacing) -> Grid:
        """The grid over the same field of view with other voxel sizes along the array axes."""
        old = np.array(self.spacing_mm)
        new = np.array(spacing_mm, dtype=float)
        shape = np.maximum(1, np.round(np.array(self.data.shape) * old / new)).astype(int)
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] * (new / old)
        centre = nib.affines.apply_affine(self.affine, (np.array(self.data.shape) - 1) / 2)
        affine[:3, 3] = centre - affine[:3, :3] @ ((shape - 1) / 2)
        return Grid(tuple(int(n) for n in shape), affine)

    @classmethod
    def load(cls, path: Path | str, *, average: str | None = None) -> "Volume":
        """Read a NIfTI file as float32.

        Args:
            path: A NIfTI image in one file, compressed or not.
            average: What to do with a series: None refuses it, `mean` and `rms` average its
                volumes (root mean square for echoes).

        Raises:
            InputError: If the file is damaged, not a NIfTI image of real numbers in three
                dimensions, or its affine does not place voxels in space; see `softseg.nifti`.
        """
        path = Path(path)
        found = read(path, average=average)
        where = found.geometry
        qform = where.qform if where.forms_apart_mm > SAME_FORM_MM else None
        return cls(found.data, where.affine, path, where.codes, qform)

    def save(self, path: Path | str, dtype: type = np.float32, *, fractions: bool = False) -> Path:
        """Write to `path` whole or not at all; only geometry goes into the header, in millimetres.

        Args:
            path: `….nii` or `….nii.gz`.
            dtype: Of the numbers on disk.
            fractions: Of a mask in [0, 1]: viewers are to show this range, and the description
                says what it is.

        Raises:
            InputError: If the folder cannot be written to or the name is not a NIfTI name.
        """
        path = Path(path)
        if not path.name.endswith((".nii", ".nii.gz")):
            raise InputError(f"{path}: an image's name must end in .nii or .nii.gz")
        image = nib.Nifti1Image(self.data.astype(dtype, copy=False), self.affine)
        qform, sform = self.codes if any(self.codes) else (0, 2)
        place = self.affine if self.qform is None else self.qform
        image.set_qform(place, qform, strip_shears=True)
        image.set_sform(self.affine, sform)
        image.header.set_xyzt_units("mm")
        if fractions:
            image.header["cal_min"], image.header["cal_max"] = 0, 1
            binary = np.issubdtype(dtype, np.integer)
            what = "1 where the cord is" if binary else "fraction of spinal cord in each voxel"
            image.header["descrip"] = f"softseg: {what}"
        with replacing(path) as temporary:
            nib.save(image, temporary)
        return path
