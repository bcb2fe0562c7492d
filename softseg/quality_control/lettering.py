"""Names of levels and discs on a picture, and the picture as a file."""

import struct
import zlib

import nibabel as nib
import numpy as np
import pandas as pd

from softseg.volume import Volume

_SCALE = 2
_GLYPHS = {
    "0": "111101101101111", "1": "010110010010111", "2": "111001111100111", "3": "111001111001111",
    "4": "101101111001001", "5": "111100111001111", "6": "111100111101111", "7": "111001001001001",
    "8": "111101111101111", "9": "111101111001111", "C": "111100100100111", "T": "111010010010010",
    "L": "100100100100111", "S": "011100010001110", "-": "000000111000000",
}  # fmt: skip
"""Three columns and five rows each, row by row."""


def level_of_slices(levels: pd.DataFrame | None, image: Volume) -> np.ndarray:
    """Level of each slice of an image in working orientation `(Z,)`, 0 where none is known.

    Args:
        levels: Rows per slice of `softseg.csa.measure.measure`, of a mask on any grid; None for
            no levels.
        image: The image.
    """
    count = image.data.shape[2]
    known = None if levels is None else levels.dropna(subset=["level"])
    if known is None or known.empty:
        return np.zeros(count, dtype=int)
    centres = known[["centre_x_mm", "centre_y_mm", "centre_z_mm"]].to_numpy(dtype=float)
    at = nib.affines.apply_affine(np.linalg.inv(image.affine), centres)[:, 2]
    order = np.argsort(at)
    at, value = at[order], known["level"].to_numpy(dtype=int)[order]
    slices = np.arange(count)
    nearest = np.abs(slices[:, None] - at).argmin(axis=1)
    reach = np.median(np.diff(at)) / 2 + 0.5 if len(at) > 1 else 0.5
    return np.where(np.abs(slices - at[nearest]) <= reach, value[nearest], 0)


def write_name(picture: np.ndarray, name: str, corner: tuple[int, int]) -> None:
    """Write the name of a level or a disc into a picture, its upper left corner at (row, column).

    Example:
        >>> picture = np.zeros((12, 16, 3), dtype=np.uint8)
        >>> write_name(picture, "C2", (1, 1))
        >>> bool(picture[1, 1:7].all()), bool(picture[3:9, 3:7].any())
        (True, False)
    """
    row, column = corner
    for letter in name:
        bits = np.array(list(_GLYPHS[letter]), dtype=int).reshape(5, 3)
        ink = np.kron(bits, np.ones((_SCALE, _SCALE), dtype=int)).astype(bool)
        place = picture[max(row, 0) : row + ink.shape[0], column : column + ink.shape[1]]
        place[ink[: place.shape[0], : place.shape[1]]] = 255
        column += ink.shape[1] + _SCALE


def png(picture: np.ndarray) -> bytes:
    """A PNG file of `(rows, columns, 3)` uint8; a library for images of every kind is not needed.

    Each row is stored as differences to the pixel on the left (filter 1 of ISO/IEC 15948).
    """
    rows, columns = picture.shape[:2]
    differences = np.diff(picture, axis=1, prepend=np.zeros((rows, 1, 3), np.uint8))
    filtered = np.pad(differences.reshape(rows, -1), ((0, 0), (1, 0)), constant_values=1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(filtered.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
