"""Files that are broken, each in one way: what makes them, and headers drawn at random."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from hypothesis import strategies as st

SHAPE = (6, 7, 5)
AFFINE = np.diag([-1.0, 1.0, 3.0, 1.0])

# Byte offset and struct format of the fields of a NIfTI-1 header that say how to read the file.
FIELDS = {
    "sizeof_hdr": (0, "i"), "dim": (40, "8h"), "datatype": (70, "h"), "bitpix": (72, "h"),
    "pixdim": (76, "8f"), "vox_offset": (108, "f"), "scl_slope": (112, "f"),
    "scl_inter": (116, "f"), "xyzt_units": (123, "b"), "qform_code": (252, "h"),
    "sform_code": (254, "h"), "quaternion": (256, "3f"), "offset": (268, "3f"),
    "srow": (280, "12f"), "magic": (344, "4s"),
}  # fmt: skip


def mask_bytes(*, endian: str = "<", kind: type = np.float32, shape=SHAPE) -> bytearray:
    """A whole, uncompressed file: a small cord in the middle, which every command can read."""
    data = np.zeros(shape, kind)
    data[2:4, 2:5] = 1
    header = nib.Nifti1Header(endianness=endian)
    header.set_data_dtype(kind)
    image = nib.Nifti1Image(data, AFFINE, header)
    image.set_qform(AFFINE, 1)
    image.set_sform(AFFINE, 1)
    return bytearray(image.to_bytes())


def with_field(content: bytes, name: str, *values, endian: str = "<") -> bytearray:
    """The file with a header field overwritten."""
    offset, form = FIELDS[name]
    content = bytearray(content)
    packed = struct.pack(endian + form, *values)
    content[offset : offset + len(packed)] = packed
    return content


def _with_codes(content: bytes, qform: int, sform: int) -> bytearray:
    return with_field(with_field(content, "qform_code", qform), "sform_code", sform)


def _spacing(*mm: float) -> bytes:
    return with_field(_with_codes(mask_bytes(), 1, 0), "pixdim", 1, *mm, 0, 0, 0, 0)


def _srow(*values: float) -> bytes:
    return with_field(mask_bytes(), "srow", *values)


def _shaped(*shape: int) -> bytes:
    return with_field(mask_bytes(), "dim", len(shape), *shape, *[1] * (7 - len(shape)))


def _typed(code: int, bits: int) -> bytes:
    return with_field(with_field(mask_bytes(), "datatype", code), "bitpix", bits)


def _flipped_gzip() -> bytes:
    content = bytearray(gzip.compress(bytes(mask_bytes(shape=(20, 20, 20)))))
    content[-6] ^= 0x10  # in the checksum: every voxel still decompresses
    return content


def _bomb() -> bytes:
    """Half a gigabyte of zeros in half a megabyte, behind a header that asks for four of them."""
    head = with_field(mask_bytes(), "dim", 3, 2000, 2000, 1000, 1, 1, 1, 1)
    return gzip.compress(bytes(head) + bytes(2**24))


BROKEN: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty": (".nii.gz", lambda: b""),
    "text": (".nii.gz", lambda: b"no image, but a line of text\n" * 40),
    "json": (".nii", lambda: b'{"a": 1}'),
    "header-cut": (".nii", lambda: mask_bytes()[:200]),
    "header-only": (".nii", lambda: mask_bytes()[:352]),
    "cut": (".nii", lambda: mask_bytes()[:-40]),
    "cut-gzip": (".nii.gz", lambda: gzip.compress(bytes(mask_bytes(shape=(20, 20, 20))))[:-60]),
    "flipped-gzip": (".nii.gz", _flipped_gzip),
    "gzip-of-nothing": (".nii.gz", lambda: gzip.compress(b"")),
    "gzip-head": (".nii.gz", lambda: b"\x1f\x8b\x08\x00"),
    "gzip-bomb": (".nii.gz", _bomb),
    "wrong-magic": (".nii", lambda: with_field(mask_bytes(), "magic", b"n+9\0")),
    "no-magic": (".nii", lambda: with_field(mask_bytes(), "magic", b"\0\0\0\0")),
    "pair-magic": (".nii", lambda: with_field(mask_bytes(), "magic", b"ni1\0")),
    "wrong-endian": (".nii", lambda: with_field(mask_bytes(), "dim", 3, 6, 7, 5, 1, 1, 1, 1,
                                                endian=">")),
    "huge": (".nii", lambda: _shaped(32767, 32767, 32767)),
    "large": (".nii", lambda: _shaped(500, 500, 500)),
    "negative-dim": (".nii", lambda: _shaped(6, -7, 5)),
    "zero-dim": (".nii", lambda: _shaped(6, 0, 5)),
    "two-dimensional": (".nii", lambda: _shaped(6, 35)),
    "five-dimensional": (".nii", lambda: _shaped(6, 7, 1, 5, 1)[:42] + _shaped(2, 3, 5, 2, 3)[42:]),
    "no-dimensions": (".nii", lambda: with_field(mask_bytes(), "dim", 0, 6, 7, 5, 1, 1, 1, 1)),
    "nine-dimensions": (".nii", lambda: with_field(mask_bytes(), "dim", 9, 6, 7, 5, 1, 1, 1, 1)),
    "complex": (".nii", lambda: _typed(32, 64)),
    "colour": (".nii", lambda: _typed(128, 24)),
    "unknown-type": (".nii", lambda: _typed(777, 32)),
    "bits": (".nii", lambda: _typed(1, 1)),
    "negative-spacing": (".nii", lambda: _spacing(-1, 1, 3)),
    "zero-spacing": (".nii", lambda: _spacing(0, 1, 3)),
    "nan-spacing": (".nii", lambda: _spacing(1, float("nan"), 3)),
    "kilometres": (".nii", lambda: _srow(-1e6, 0, 0, 0, 0, 1e6, 0, 0, 0, 0, 3e6, 0)),
    "nan-affine": (".nii", lambda: _srow(*[float("nan")] * 12)),
    "infinite-affine": (".nii", lambda: _srow(-1, 0, 0, float("inf"), 0, 1, 0, 0, 0, 0, 3, 0)),
    "singular-affine": (".nii", lambda: _srow(-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)),
    "zero-affine": (".nii", lambda: _srow(*[0.0] * 12)),
    "dependent-affine": (".nii", lambda: _srow(1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 3, 0)),
    "wrong-quaternion": (".nii", lambda: with_field(_with_codes(mask_bytes(), 1, 0), "quaternion",
                                                    2, 2, 2)),
    "early-voxels": (".nii", lambda: with_field(mask_bytes(), "vox_offset", 12)),
    "late-voxels": (".nii", lambda: with_field(mask_bytes(), "vox_offset", 1e9)),
    "nan-offset": (".nii", lambda: with_field(mask_bytes(), "vox_offset", float("nan"))),
    "negative-offset": (".nii", lambda: with_field(mask_bytes(), "vox_offset", -352)),
    "wrong-scaling": (".nii", lambda: with_field(with_field(mask_bytes(), "scl_slope", 2),
                                                 "scl_inter", float("inf"))),
}  # fmt: skip
"""Name to ending and content; nobody can segment or measure these."""

ODD_NAMES = (
    "with space", "ünï cödé 脊髄", "$(touch pwned)", "`touch pwned`", "a;touch pwned", "a&b|c",
    "'quoted'", '"double"', "-leading", "--output", "[red]markup", "%s%n{0}", "new\nline",
    "tab\tand\x1b[31mescape", "~", "*", "a\\b", "#", "=1+1",
)  # fmt: skip
"""Names of files that hold a whole image; no command may stumble."""


def write_broken(folder: Path, name: str) -> Path:
    """One of `BROKEN` as a file."""
    ending, make = BROKEN[name]
    path = folder / f"{name}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(make()))
    return path


def write_whole(path: Path, **options) -> Path:
    """A small mask that is fine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = bytes(mask_bytes(**options))
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


_floats = st.floats(width=32) | st.sampled_from([0.0, -1.0, 1.0, 0.5, 3.0, 1e-30, 1e30])
_shorts = st.integers(-(2**15), 2**15 - 1) | st.integers(0, 8)
_DRAWN = {
    "sizeof_hdr": st.tuples(st.sampled_from([348, 540, 0, -1, 2**31 - 1])),
    "dim": st.tuples(*[_shorts] * 8),
    "datatype": st.tuples(st.sampled_from([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024,
                                           1280, 1536, 1792, 2048, 2304]) | _shorts),
    "bitpix": st.tuples(_shorts),
    "pixdim": st.tuples(*[_floats] * 8),
    "vox_offset": st.tuples(_floats | st.sampled_from([0.0, 352.0, 368.0, 350.5])),
    "scl_slope": st.tuples(_floats),
    "scl_inter": st.tuples(_floats),
    "xyzt_units": st.tuples(st.integers(-128, 127)),
    "qform_code": st.tuples(_shorts),
    "sform_code": st.tuples(_shorts),
    "quaternion": st.tuples(*[_floats] * 3),
    "offset": st.tuples(*[_floats] * 3),
    "srow": st.tuples(*[_floats] * 12),
    "magic": st.tuples(st.sampled_from([b"n+1\0", b"ni1\0", b"n+2\0"]) | st.binary(max_size=4)),
}  # fmt: skip


@st.composite
def nifti_bytes(draw) -> bytes:
    """A file that was whole before some header fields, bytes or its end were changed."""
    endian = draw(st.sampled_from("<>"))
    content = mask_bytes(endian=endian, kind=draw(st.sampled_from([np.float32, np.uint8])))
    for name in draw(st.sets(st.sampled_from(sorted(_DRAWN)), max_size=3)):
        content = with_field(content, name, *draw(_DRAWN[name]), endian=endian)
    for at in draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[at] ^= 1 << draw(st.integers(0, 7))
    if draw(st.booleans()) and draw(st.booleans()):
        content = content[: draw(st.integers(0, len(content)))]
    content = bytes(content)
    if draw(st.booleans()):
        content = gzip.compress(content, mtime=0)
        if draw(st.booleans()) and draw(st.booleans()):
            at = draw(st.integers(0, len(content) - 1))
            content = content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :]
    return content


_words = st.text("abc01-_. ünï$;'\n\\", min_size=1, max_size=6)


@st.composite
def bids_trees(draw) -> dict[str, bytes | str]:
    """Paths below a root to content (bytes) or to the target of a link (text)."""
    tree: dict[str, bytes | str] = {}
    for label in draw(st.lists(st.sampled_from(["1", "2"]) | _words, max_size=3, unique=True)):
        subject = f"sub-{label}".replace("/", "")
        for suffix in draw(st.sets(st.sampled_from(["T2w", "T1w", "T2star"]), min_size=1)):
            stem = f"{subject}/anat/{subject}_{suffix}"
            tree[f"{stem}.nii.gz"] = draw(_image())
            if draw(st.booleans()):
                tree[f"derivatives/labels/{stem}_label-SC_seg.nii.gz"] = draw(_image())
    for name in ("participants.tsv", "dataset_description.json", "sub-1/anat/sub-1_T2w.json"):
        if draw(st.booleans()):
            tree[name] = draw(st.binary(max_size=40) | st.just(b"participant_id\tsex\nsub-1\tF\n"))
    return tree


def _image():
    whole = st.just(gzip.compress(bytes(mask_bytes(kind=np.uint8, shape=(12, 14, 9))), mtime=0))
    link = st.sampled_from(["/etc/passwd", "../../../outside.nii.gz", "loop", "/dev/zero"])
    return whole | whole | nifti_bytes() | link


def write_tree(root: Path, tree: dict[str, bytes | str]) -> Path:
    """The tree on disk; names that this file system refuses are left out."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in tree.items():
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.symlink_to(path.name if content == "loop" else content)
            else:
                path.write_bytes(content)
        except (OSError, ValueError):
            continue
    return root
