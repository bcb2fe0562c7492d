"""NIfTI files from anywhere, read with suspicion.

The header is read as 348 bytes (540 in the second version) and every rule is checked before a voxel
is: so that no header makes the reader ask for more memory than the file can fill, and that wrong
geometry is refused rather than mended in silence. Extensions and texts of the header are not read.
Lengths leave this module in millimetres, whatever unit the header names.
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from softseg.errors import InputError, brief
from softseg.events import event
from softseg.nifti_header import Geometry, geometry_of, volume_shape

MAX_BYTES = 2**34
"""Of a series, uncompressed; it is averaged volume by volume and never held as a whole."""
MAX_COMPRESSION = 1032
"""No deflate stream is shorter than its content by more than this factor."""
TRAILING_BYTES = 2**20
"""Read after the voxels, to reach the checksum of a compressed file."""
_KINDS = {348: nib.Nifti1Header, 540: nib.Nifti2Header}


@dataclass(frozen=True, eq=False)
class Read:
    """What is kept of a file: `(X, Y, Z)` float32 voxels and where they lie."""

    data: np.ndarray
    geometry: Geometry


def read_geometry(path: Path) -> Geometry:
    """Where a file's voxels lie, from its header alone; a series counts as one volume.

    Raises:
        InputError: If the header breaks one of the rules of this module.
    """
    with _guarded(path) as (_, _, header):
        return geometry_of(path, header, *volume_shape(path, header, "mean"))


def read(path: Path, *, average: str | None = None) -> Read:
    """Voxels and geometry of a NIfTI file, compressed or not whatever its name says.

    What there is to say of the header, its `Geometry.remarks`, becomes a `HeaderWarning`.

    Args:
        path: The file.
        average: What to do with a series: None refuses it, `mean` and `rms` average its volumes.

    Raises:
        InputError: If the file breaks one of the rules of this module; the message names it.
    """
    if average not in (None, "mean", "rms"):
        raise InputError(f"--average takes mean or rms, found {average!r}")
    with _guarded(path) as (stream, packed, header):
        shape, volumes = volume_shape(path, header, average)
        _check_size(path, header, shape, volumes, packed)
        geometry = geometry_of(path, header, shape, volumes)
        data = _voxels(path, stream, header, shape, volumes, average)
    geometry.warn(path)
    event("read", file=path, shape=list(shape), volumes=volumes)
    return Read(data, geometry)


@contextmanager
def _guarded(path: Path) -> Iterator[tuple[BinaryIO, bool, nib.Nifti1Header]]:
    """Stream, whether it is compressed, and header of a file; what breaks becomes one line."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: a file's name must be text in UTF-8; rename it") from error
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}")
    try:
        with _opened(path) as (stream, packed):
            yield stream, packed, _header(path, stream)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged, cannot be read to its end ({brief(error)})") from error
    except MemoryError as error:
        raise InputError(f"{path}: not enough memory for its voxels; crop the image") from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """The stream of content, and whether it is compressed: decided by the first two bytes."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=file, mode="rb") as stream:
                yield stream, True
        else:
            yield file, False


def _header(path: Path, stream: BinaryIO) -> nib.Nifti1Header:
    try:
        block = stream.read(540)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a readable NIfTI image ({brief(error)})") from error
    sizes = {int.from_bytes(block[:4], order) for order in ("little", "big")}
    size = next((n for n in _KINDS if n in sizes), None)
    if size is None or len(block) < size:
        raise InputError(
            f"{path}: not a readable NIfTI image, it must start with a header of 348 or 540 bytes; "
            "convert it first, DICOM for example with dcm2niix"
        )
    order = "<" if int.from_bytes(block[:4], "little") == size else ">"
    header = _KINDS[size](block[:size], endianness=order, check=False)
    magic = header["magic"].item()
    if not magic.startswith((b"n+1", b"n+2")):
        what = "a pair of .hdr and .img" if magic.startswith(b"ni") else f"magic {magic!r}"
        raise InputError(f"{path}: a NIfTI image in one file is needed, found {what}")
    return header


def _check_size(
    path: Path,
    header: nib.Nifti1Header,
    shape: tuple[int, int, int],
    volumes: int,
    packed: bool,
) -> None:
    """Refuse a file that cannot hold what its header promises, before memory is asked for."""
    start = float(header["vox_offset"])
    least = int(header["sizeof_hdr"]) + 4
    if not math.isfinite(start) or start < 0 or 0 < start < least or start > 2**31:
        raise InputError(
            f"{path}: voxels must start at byte {least} or later, found vox_offset {start:g}"
        )
    if start == 0:
        header["vox_offset"] = least
    needed = math.prod(shape) * volumes * header.get_data_dtype().itemsize
    if needed > MAX_BYTES:
        raise InputError(f"{path}: series of up to {MAX_BYTES:,} bytes are read, found {needed:,}")
    size = path.stat().st_size
    most = size * MAX_COMPRESSION if packed else size - header.get_data_offset()
    if needed > most:
        raise InputError(
            f"{path}: damaged, the header promises {needed:,} bytes of voxels and the file of "
            f"{size:,} bytes cannot hold them; copy or convert it again"
        )


def _voxels(
    path: Path,
    stream: BinaryIO,
    header: nib.Nifti1Header,
    shape: tuple[int, int, int],
    volumes: int,
    average: str | None,
) -> np.ndarray:
    kind, start = header.get_data_dtype(), header.get_data_offset()
    try:
        slope, inter = header.get_slope_inter()
    except nib.spatialimages.HeaderDataError as error:
        raise InputError(f"{path}: the scaling of values is broken ({brief(error)})") from error
    # Zero and NaN in the header mean that values are not scaled.
    scaling = (1.0, 0.0) if slope is None else (slope, inter or 0.0)
    step = math.prod(shape) * kind.itemsize
    total = None
    for number in range(volumes):
        spec = (shape, kind, start + number * step, *scaling)
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                data = np.asanyarray(ArrayProxy(stream, spec, mmap=False), dtype=np.float32)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{path}: its voxels cannot be scaled ({brief(error)})") from error
        if volumes == 1:
            total = data
            break
        values = data.astype(float) ** (2 if average == "rms" else 1)
        total = values if total is None else total + values
    # The checksum of a compressed file is compared where its end is reached.
    stream.read(TRAILING_BYTES)
    if volumes == 1:
        return total
    mean = total / volumes
    return (np.sqrt(mean) if average == "rms" else mean).astype(np.float32)
