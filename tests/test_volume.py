"""Volumes: geometry survives what is done to them."""

import itertools
import warnings

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softseg.errors import InputError
from softseg.nifti import read_geometry
from softseg.nifti_header import HeaderWarning
from softseg.volume import Grid, Volume

ORIENTATIONS = [
    "".join(letters)
    for axes in itertools.permutations(["LR", "PA", "IS"])
    for letters in itertools.product(*axes)
]


def blob(shape=(9, 11, 7), spacing=(0.5, 0.8, 2.0)) -> Volume:
    """A smooth off-centre blob, so that every flip shows."""
    axes = [np.linspace(-1, 1, n) for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    data = np.exp(-((x - 0.3) ** 2 + (y + 0.2) ** 2 + (z - 0.1) ** 2) / 0.3).astype(np.float32)
    affine = np.diag([*(-spacing[0], spacing[1], spacing[2]), 1.0])
    affine[:3, 3] = (4.0, -12.0, 30.0)
    return Volume(data, affine)


def centre_mm(volume: Volume) -> np.ndarray:
    index = np.array(np.meshgrid(*map(np.arange, volume.data.shape), indexing="ij")).reshape(3, -1)
    weight = volume.data.ravel()
    return nib.affines.apply_affine(volume.affine, (index * weight).sum(1) / weight.sum())


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_and_back_is_the_same_volume(codes):
    volume = blob()
    turned = volume.oriented(codes)
    assert turned.orientation == codes
    np.testing.assert_allclose(centre_mm(turned), centre_mm(volume), atol=1e-4)
    back = turned.oriented(volume.orientation)
    np.testing.assert_array_equal(back.data, volume.data)
    np.testing.assert_allclose(back.affine, volume.affine, atol=1e-12)


def test_saving_and_loading_keeps_values_geometry_and_codes(tmp_path):
    volume = blob()
    volume = Volume(volume.data, volume.affine, codes=(2, 4))
    for name in ("a.nii", "a.nii.gz"):
        read = Volume.load(volume.save(tmp_path / name))
        np.testing.assert_array_equal(read.data, volume.data)
        np.testing.assert_allclose(read.affine, volume.affine, atol=1e-5)
        assert read.codes == (2, 4)


def test_two_saves_are_the_same_bytes(tmp_path):
    first = blob().save(tmp_path / "a.nii.gz").read_bytes()
    assert blob().save(tmp_path / "b" / "a.nii.gz").read_bytes() == first


def test_resampling_onto_the_own_grid_changes_nothing():
    volume = blob()
    np.testing.assert_allclose(volume.resampled(volume.grid).data, volume.data, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    spacing=st.tuples(*[st.floats(0.3, 6.0)] * 3),
    shift=st.tuples(*[st.floats(-0.4, 0.4)] * 3),
)
def test_resampling_keeps_the_volume_of_a_mask_and_the_range(spacing, shift):
    volume = blob((24, 24, 24), (1.0, 1.0, 1.0))
    volume = volume.like(np.pad((volume.data > 0.5)[6:18, 6:18, 6:18].astype(np.float32), 6))
    grid = volume.respaced_grid(spacing)
    affine = grid.affine.copy()
    affine[:3, 3] += shift
    # Two voxels more on each side, so that nothing leaves the field of view.
    affine[:3, 3] -= affine[:3, :3] @ (2, 2, 2)
    moved = volume.resampled(Grid(tuple(n + 4 for n in grid.shape), affine))
    assert moved.data.min() >= 0
    assert moved.data.max() <= 1 + 1e-6
    before = volume.data.sum() * np.prod(volume.spacing_mm)
    after = moved.data.sum() * np.prod(moved.spacing_mm)
    assert after == pytest.approx(before, rel=0.05)


def test_thick_slices_average_what_lies_inside_them():
    fine = Volume(np.zeros((4, 4, 10), np.float32), np.eye(4))
    fine.data[:, :, 5:] = 1
    affine = np.diag([1.0, 1.0, 10.0, 1.0])
    affine[2, 3] = 4.5
    thick = fine.resampled(Grid((4, 4, 1), affine))
    np.testing.assert_allclose(thick.data, 0.5, atol=1e-6)


def test_grids_match_only_where_their_corners_do():
    grid = blob().grid
    moved = grid.affine.copy()
    moved[0, 3] += 0.01
    assert grid.matches(Grid(grid.shape, grid.affine.copy()))
    assert not grid.matches(Grid(grid.shape, moved))
    assert not grid.matches(Grid((9, 11, 8), grid.affine))


def test_a_series_is_refused_unless_told_how_to_average(tmp_path):
    data = np.stack([np.full((3, 3, 3), value, np.float32) for value in (3.0, 4.0)], axis=-1)
    path = tmp_path / "dwi.nii.gz"
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    with pytest.raises(InputError, match="--average mean"):
        Volume.load(path)
    assert Volume.load(path, average="mean").data[0, 0, 0] == pytest.approx(3.5)
    assert Volume.load(path, average="rms").data[0, 0, 0] == pytest.approx(np.sqrt(12.5))
    with pytest.raises(InputError, match="mean or rms"):
        Volume.load(path, average="median")


def _write(path, content: bytes):
    path.write_bytes(content)
    return path


def _image(path, data, affine=None):
    nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), path)
    return path


def _truncated(tmp_path):
    whole = _image(tmp_path / "w.nii.gz", np.random.default_rng(0).normal(size=(20, 20, 20)))
    return _write(tmp_path / "t.nii.gz", whole.read_bytes()[:9000])


def _singular(tmp_path):
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), None)
    image.header.set_sform(np.diag([1.0, 1.0, 0.0, 1.0]), code=1)
    image.header["qform_code"] = 0
    nib.save(image, tmp_path / "singular.nii")
    return tmp_path / "singular.nii"


@pytest.mark.parametrize(
    ("make", "finding"),
    [
        (lambda p: p / "absent.nii.gz", "no such file"),
        (lambda p: _write(p / "text.nii.gz", b"not an image"), "not a readable NIfTI"),
        (lambda p: _write(p / "empty.nii", b""), "not a readable NIfTI"),
        (_truncated, "damaged"),
        (lambda p: _image(p / "c.nii", np.zeros((2, 2, 2), np.complex64)), "real numbers"),
        (lambda p: _image(p / "f.nii", np.zeros((2, 2, 2, 2, 2), np.float32)), "four dimensions"),
        (lambda p: _image(p / "flat.nii", np.zeros((2, 2), np.float32)), "three-dimensional"),
        (_singular, "affine"),
    ],
)
def test_what_is_no_image_is_named_with_file_and_finding(tmp_path, make, finding):
    path = make(tmp_path)
    with pytest.raises(InputError, match=finding) as caught:
        Volume.load(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_scaled_big_endian_integers_are_read_as_what_they_mean(tmp_path):
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    image = nib.Nifti1Image(np.arange(8, dtype=np.float32).reshape(2, 2, 2) / 4, np.eye(4), header)
    path = tmp_path / "big.nii"
    nib.save(image, path)
    assert nib.load(path).header.endianness == ">"
    np.testing.assert_allclose(Volume.load(path).data.ravel(), np.arange(8) / 4, atol=1e-3)


def test_the_geometry_of_a_file_is_read_from_its_header_alone(tmp_path):
    volume = Volume(np.zeros((3, 4, 5)), np.diag([-0.5, 0.5, 5.0, 1.0]), codes=(0, 1))
    path = volume.save(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[:400])  # voxels are not needed
    geometry = read_geometry(path)
    assert Grid(geometry.shape, geometry.affine).matches(volume.grid)
    assert geometry.qform is None
    np.testing.assert_allclose(geometry.sform, volume.affine)
    path.write_bytes(b"no header")
    with pytest.raises(InputError, match="not a readable NIfTI image"):
        read_geometry(path)


def _written(path, volume, *, unit="mm", scale=1.0, qform=None):
    """A file whose header is in `unit` and may hold a qform of its own, both codes set."""
    affine = volume.affine.copy()
    affine[:3] *= scale
    image = nib.Nifti1Image(volume.data, affine)
    image.set_sform(affine, 2)
    image.set_qform(affine if qform is None else qform, 1)
    image.header.set_xyzt_units(unit, "sec")
    nib.save(image, path)
    return path


@pytest.mark.parametrize(("unit", "scale"), [("meter", 1e-3), ("micron", 1e3), ("unknown", 1.0)])
def test_lengths_are_millimetres_whatever_unit_the_header_names(tmp_path, unit, scale):
    path = _written(tmp_path / "a.nii.gz", blob(), unit=unit, scale=scale)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        volume = Volume.load(path)
    np.testing.assert_allclose(volume.affine, blob().affine, rtol=1e-6)
    np.testing.assert_allclose(read_geometry(path).affine, blob().affine, rtol=1e-6)
    said = {"meter": ["metres"], "micron": ["micrometres"], "unknown": []}[unit]
    assert [str(each.message).split(";")[0] for each in caught] == [
        f"a.nii.gz: its header is in {word}" for word in said
    ]
    written = nib.load(volume.save(tmp_path / "b.nii.gz"))
    assert written.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(written.affine, blob().affine, rtol=1e-6)


@pytest.mark.parametrize(
    ("unit", "scale"), [("meter", 1.0), ("micron", 1.0), ("unknown", 1e-3), ("mm", 1e3)]
)
def test_a_unit_that_cannot_be_right_is_refused(tmp_path, unit, scale):
    path = _written(tmp_path / "a.nii", blob(), unit=unit, scale=scale)
    with pytest.raises(InputError, match="are the units right"):
        Volume.load(path)


def turned_about_x(affine, radians=0.4):
    turn = np.eye(4)
    turn[1:3, 1:3] = [
        [np.cos(radians), -np.sin(radians)],
        [np.sin(radians), np.cos(radians)],
    ]
    return turn @ affine


@pytest.mark.parametrize("codes", ["LAS", "PIR", "ASL"])
def test_a_qform_elsewhere_is_said_and_kept_through_turns_of_the_axes(tmp_path, codes):
    qform = turned_about_x(blob().affine)
    with pytest.warns(HeaderWarning, match=r"up to \d+\.\d mm apart; the sform is used"):
        volume = Volume.load(_written(tmp_path / "a.nii.gz", blob(), qform=qform))
    np.testing.assert_allclose(volume.affine, blob().affine, atol=1e-5)
    there = volume.oriented(codes)
    back = nib.load(there.oriented(volume.orientation).save(tmp_path / "b.nii.gz"))
    np.testing.assert_allclose(back.get_qform(), qform, atol=1e-5)
    np.testing.assert_allclose(back.get_sform(), blob().affine, atol=1e-5)
    assert [int(back.header[f"{form}_code"]) for form in ("qform", "sform")] == [1, 2]
    # A voxel keeps both its places when the axes are turned.
    turned = nib.load(there.save(tmp_path / "c.nii.gz"))
    index = np.unravel_index(there.data.argmax(), there.data.shape)
    first = np.unravel_index(volume.data.argmax(), volume.data.shape)
    for form in ("get_qform", "get_sform"):
        place = nib.affines.apply_affine(getattr(turned, form)(), index)
        np.testing.assert_allclose(
            place, nib.affines.apply_affine(getattr(back, form)(), first), atol=1e-4
        )


def test_both_transforms_are_kept_in_millimetres(tmp_path):
    qform = turned_about_x(blob().affine, 0.1)
    inches = qform.copy()
    inches[:3] *= 1e-3
    path = _written(tmp_path / "a.nii.gz", blob(), unit="meter", scale=1e-3, qform=inches)
    with pytest.warns(HeaderWarning):
        written = nib.load(Volume.load(path).save(tmp_path / "b.nii.gz"))
    np.testing.assert_allclose(written.get_qform(), qform, atol=1e-4)


def test_a_qform_that_rounding_moved_is_written_as_ever_and_not_said(tmp_path):
    near = blob().affine.copy()
    near[0, 3] += 5e-4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume = Volume.load(_written(tmp_path / "a.nii.gz", blob(), qform=near))
    assert volume.qform is None
    image = nib.load(volume.save(tmp_path / "b.nii.gz"))
    np.testing.assert_allclose(image.get_qform(), blob().affine, atol=1e-5)


def test_a_qform_that_cannot_be_read_is_said(tmp_path):
    image = nib.load(_written(tmp_path / "a.nii", blob()))
    image.header["quatern_b"] = 2.0
    content = image.header.binaryblock
    (tmp_path / "a.nii").write_bytes(content + (tmp_path / "a.nii").read_bytes()[len(content) :])
    with pytest.warns(HeaderWarning, match="its qform cannot be read"):
        volume = Volume.load(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.affine, blob().affine, atol=1e-5)


def test_slices_stored_as_volumes_are_told_from_a_series(tmp_path):
    for shape, said in (((4, 4, 1, 9), "one slice and 9 volumes"), ((4, 4, 3, 9), "average them")):
        path = tmp_path / "a.nii"
        nib.save(nib.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), path)
        with pytest.raises(InputError, match=said):
            Volume.load(path)
