"""`softseg segment` on images of every kind, with the weights that ship.

Until weights ship, a network that finds bright tubes stands in for them. Files that are broken are
in `test_nifti.py`.
"""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from segmentation_network import CONFIG, overlap, trained, tube

from softseg import cli
from softseg.metrics.volumes import dice
from softseg.network.weights import available_weights, save_weights
from softseg.phantom.acquisition import acquire
from softseg.phantom.anatomy import random_anatomy
from softseg.segmentation.engine import Model, segment
from softseg.volume import Volume

ORIENTATIONS = [
    "".join(signs)
    for axes in itertools.permutations(("LR", "AP", "SI"))
    for signs in itertools.product(*axes)
]


@dataclass(frozen=True, eq=False)
class Case:
    """Weights, an image of a cord that they know, and the true fraction of cord in it.

    Attributes:
        weights: What `--weights` is given.
        image: In working orientation, at most 30 mm of cord.
        truth: On the image's grid.
        ships: Whether the weights ship; the stand-in is not asked to know what is no cord.
    """

    weights: str
    image: Volume
    truth: Volume
    ships: bool

    @property
    def model(self) -> Model:
        """On the processor, with the same numbers everywhere."""
        return Model.load(self.weights, device="cpu", precision="float32")


def part(volume: Volume, slices: slice) -> Volume:
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 2] * slices.start
    return Volume(np.ascontiguousarray(volume.data[:, :, slices]), affine)


@pytest.fixture(scope="module", params=available_weights() or ["stand-in"])
def case(request, tmp_path_factory) -> Case:
    if request.param in available_weights():
        rng = np.random.default_rng([11, 4])
        scan = acquire(random_anatomy(rng), "T2w", rng=rng)
        middle = scan.image.data.shape[2] // 2
        slices = slice(middle - 18, middle + 18)
        return Case(request.param, part(scan.image, slices), part(scan.truth, slices), True)
    path = tmp_path_factory.mktemp("weights") / "tubes.safetensors"
    save_weights(path, trained(), CONFIG, {"data": "tubes"})
    image, truth = tube(shape=(48, 44, 10), offset=(3, -4))
    return Case(str(path), image, truth, False)


@pytest.fixture
def softseg(case, capsys):
    """Run the command on one image with the case's weights: exit code and what it said."""

    def run(image: Path, out: Path, *options: str) -> tuple[int, str]:
        words = ["segment", str(image), "-o", str(out), "--weights", case.weights, *options]
        with pytest.raises(SystemExit) as left:
            cli.main([*words, "--device", "cpu", "--precision", "float32"])
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out + captured.err

    return run


def write(volume: Volume, path: Path, data: np.ndarray | None = None, endian: str = "<") -> Path:
    """A NIfTI file as another program would write it."""
    data = volume.data if data is None else data
    header = nib.Nifti1Header(endianness=endian)
    header.set_data_dtype(data.dtype.newbyteorder(endian))
    header.set_xyzt_units("mm", "sec")
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(data, volume.affine, header).to_filename(path)
    return path


def area_mm2(mask: Volume) -> float:
    """Mean area of the slices that hold any cord."""
    per_slice = mask.oriented().data.sum(axis=(0, 1)) * np.prod(mask.oriented().spacing_mm[:2])
    return float(per_slice[per_slice > 10].mean()) if (per_slice > 10).any() else 0.0


def check_mask(path: Path, image: Path) -> np.ndarray:
    """What holds of every mask: fractions on the image's grid, at most a record beside it."""
    mask, source = nib.load(path), nib.load(image)
    assert mask.shape == source.shape[:3]
    np.testing.assert_array_equal(mask.affine, source.affine)
    values = np.asarray(mask.dataobj)
    assert np.isfinite(values).all()
    assert values.min() >= 0
    assert values.max() <= 1
    stem = path.name.split(".")[0]
    assert {p.name for p in path.parent.iterdir()} <= {path.name, f"{stem}.json"}
    return values


def test_the_cord_of_the_case_is_found(case):
    mask = segment(case.image, weights=case.model).soft
    assert overlap(mask, case.truth) > 0.85


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_without_a_finite_value_is_refused(case, softseg, tmp_path, value):
    data = np.full(case.image.data.shape, value, np.float32)
    image = write(case.image, tmp_path / "in" / "empty.nii.gz", data)
    code, said = softseg(image, tmp_path / "out" / "mask.nii.gz")
    assert code == 2
    assert "empty.nii.gz: an image needs finite values, found not one" in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
    data[20:30, 20:30] = 1.0
    code, said = softseg(
        write(case.image, tmp_path / "in" / "some.nii.gz", data), tmp_path / "mask.nii.gz"
    )
    assert code == 0
    assert "no spinal cord found" in said


def test_a_series_of_volumes_is_refused_unless_it_is_averaged(case, softseg, tmp_path):
    series = np.stack([case.image.data, 1.2 * case.image.data, 0.8 * case.image.data], axis=3)
    image = write(case.image, tmp_path / "in" / "series.nii.gz", series.astype(np.float32))
    code, said = softseg(image, tmp_path / "out" / "mask.nii.gz")
    assert code == 2
    assert "series.nii.gz" in said
    assert "average" in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
    code, _ = softseg(image, tmp_path / "out" / "mask.nii.gz", "--average", "mean")
    assert code == 0
    mask = check_mask(tmp_path / "out" / "mask.nii.gz", image)
    expected = segment(case.image, weights=case.model).soft.data
    np.testing.assert_allclose(mask, expected, atol=1e-3)


def noise(shape=(96, 90, 24)) -> np.ndarray:
    return np.random.default_rng(3).normal(100, 20, shape)


def limb(shape=(160, 160, 22)) -> np.ndarray:
    """A thigh: skin and fat around muscles with fat between them, a bone with bright marrow in a
    dark shell, and vessels; 1 mm in the slice."""
    rng = np.random.default_rng(4)
    x, y = np.mgrid[: shape[0], : shape[1]] - (np.array(shape[:2])[:, None, None] - 1) / 2.0
    slices = []
    for z in range(shape[2]):
        edge = np.hypot(x / 72, y / 66)
        picture = np.where(edge < 1, 230.0, 4.0)
        picture[edge < 0.85] = 90.0
        angle = np.arctan2(y, x)
        septa = (np.abs(np.sin(1.5 * angle + 0.02 * z)) < 0.04) & (edge < 0.85)
        picture[septa] = 200.0
        bone = np.hypot(x - 8, y + 6 + 0.1 * z)
        picture[bone < 16] = 15.0
        picture[bone < 10] = 210.0
        for u, v, radius in ((-30, 14, 4), (-24, 20, 5), (26, -26, 2)):
            picture[np.hypot(x - u, y - v) < radius] = 20.0
        slices.append(picture)
    return np.abs(np.stack(slices, axis=2) + rng.normal(0, 5, shape))


def other_limb(seed: int) -> np.ndarray:
    """A limb of another size, turned, in another contrast, and off centre every other time."""
    rng = np.random.default_rng(seed)
    image = ndimage.zoom(limb(), (*[rng.uniform(0.6, 1.4)] * 2, 1), order=1)
    image = ndimage.rotate(image, rng.uniform(0, 360), reshape=False, order=1, mode="nearest")
    dark, muscle, fat, marrow = (
        rng.uniform(*ends) for ends in ((0.02, 0.3), (0.2, 1.0), (0.1, 1.2), (0.1, 1.2))
    )
    image = np.interp(image, [0, 20, 90, 200, 230], [0, dark, muscle, marrow, fat])
    image = ndimage.gaussian_filter(image, (*[rng.uniform(0, 1.2)] * 2, 0))
    noise = rng.normal(0, rng.uniform(0.01, 0.06), (2, *image.shape))
    start = rng.integers(0, 30, 2) * (seed % 2)
    return np.hypot(image + noise[0], noise[1])[start[0] :, start[1] :]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(np.zeros((64, 60, 20)), id="zeros"),
        pytest.param(np.full((64, 60, 20), 7.0), id="constant"),
        pytest.param(noise(), id="noise"),
        pytest.param(np.abs(noise() - 100), id="rectified noise"),
    ],
)
def test_without_a_cord_the_mask_is_empty_and_it_is_said(case, softseg, tmp_path, data):
    mask, said = segment_data(softseg, tmp_path, data)
    assert not mask.any()
    assert re.search(r"no spinal cord found \(.+\), the mask is empty", said)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(limb(), id="limb"),
        *(pytest.param(other_limb(seed), id=f"limb {seed}") for seed in range(8)),
    ],
)
def test_a_limb_has_no_cord(case, softseg, tmp_path, data):
    mask, said = segment_data(softseg, tmp_path, data)
    if case.ships:  # the stand-in takes whatever is round and bright for its tube
        assert not mask.any()
        assert re.search(r"no spinal cord found \(.+\), the mask is empty", said)


def segment_data(softseg, tmp_path, data) -> tuple[np.ndarray, str]:
    volume = Volume(data.astype(np.float32), np.diag([-1.0, 1.0, 3.0, 1.0]))
    image = write(volume, tmp_path / "in" / "image.nii.gz")
    code, said = softseg(image, tmp_path / "out" / "mask.nii.gz")
    assert code == 0
    return check_mask(tmp_path / "out" / "mask.nii.gz", image), said


def test_a_single_slice_gets_its_mask(case, softseg, tmp_path):
    middle = case.image.data.shape[2] // 2
    one = slice(middle, middle + 1)
    image = write(part(case.image, one), tmp_path / "in" / "slice.nii.gz")
    assert softseg(image, tmp_path / "out" / "mask.nii.gz")[0] == 0
    mask = check_mask(tmp_path / "out" / "mask.nii.gz", image)
    truth = part(case.truth, one).data
    assert mask.shape[2] == 1
    assert 2 * np.minimum(mask, truth).sum() / (mask.sum() + truth.sum()) > 0.8


@pytest.mark.parametrize(
    ("spacing_mm", "tolerance"),
    [((0.2, 0.2, 3.0), 0.06), ((0.2, 0.2, 0.2), 0.06), ((1.0, 1.0, 5.0), 0.08), ((5, 5, 5), None)],
    ids=["0.2 mm in the slice", "0.2 mm", "5 mm slices", "5 mm"],
)
def test_the_voxel_size_hardly_changes_the_area(case, softseg, tmp_path, spacing_mm, tolerance):
    source, length_mm = case.image, 24 if spacing_mm[2] > 1 else 3
    count = max(1, round(length_mm / source.spacing_mm[2]))
    middle = source.data.shape[2] // 2
    piece = slice(max(0, middle - count // 2), max(0, middle - count // 2) + count)
    volume, truth = part(source, piece), part(case.truth, piece)
    fine = volume.resampled(volume.respaced_grid(spacing_mm), mode="nearest")
    image = write(fine, tmp_path / "in" / "image.nii.gz", fine.data.astype(np.float32))
    code, said = softseg(image, tmp_path / "out" / "mask.nii.gz")
    assert code == 0
    mask = check_mask(tmp_path / "out" / "mask.nii.gz", image)
    if tolerance is None:
        # A cord is two voxels wide here: found or not, but never silently empty.
        assert mask.any() or "no spinal cord found" in said
        return
    expected = area_mm2(segment(volume, weights=case.model).soft)
    assert area_mm2(fine.like(mask)) == pytest.approx(expected, rel=tolerance)
    assert area_mm2(fine.like(mask)) == pytest.approx(area_mm2(truth), rel=0.25)


def test_all_48_orientations_of_the_file_get_the_same_mask(case, softseg, tmp_path):
    assert len(ORIENTATIONS) == 48
    middle = case.image.data.shape[2] // 2
    image = part(case.image, slice(middle - 4, middle + 4))
    model = case.model
    expected = segment(image, weights=model)
    for codes in ORIENTATIONS:
        found = segment(image.oriented(codes), weights=model)
        assert found.soft.orientation == codes
        assert found.cord_found == expected.cord_found
        assert found.uncertain_slices == expected.uncertain_slices
        back = found.soft.oriented(image.orientation)
        np.testing.assert_allclose(back.data, expected.soft.data, atol=1e-6, err_msg=codes)
    # One of them through a file.
    path = write(image.oriented("PIR"), tmp_path / "in" / "turned.nii")
    assert softseg(path, tmp_path / "out" / "mask.nii")[0] == 0
    mask = image.oriented("PIR").like(check_mask(tmp_path / "out" / "mask.nii", path))
    np.testing.assert_allclose(mask.oriented(image.orientation).data, expected.soft.data, atol=1e-6)


def test_stored_integers_with_a_scale_are_the_numbers_they_stand_for(case, softseg, tmp_path):
    low, high = float(case.image.data.min()), float(case.image.data.max())
    slope, intercept = (high - low) / 60000, (high + low) / 2
    stored = np.round((case.image.data - intercept) / slope).astype(np.int16)
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    scaled = nib.Nifti1Image(stored, case.image.affine, header)
    scaled.header.set_slope_inter(slope, intercept)
    path = tmp_path / "in" / "scaled.nii.gz"
    path.parent.mkdir()
    scaled.to_filename(path)
    # Whatever the library made of it: these are the numbers that the file stands for.
    numbers = nib.load(path).get_fdata(dtype=np.float32)
    np.testing.assert_allclose(numbers, stored * slope + intercept, rtol=1e-4, atol=slope)
    plain = write(case.image, tmp_path / "plain" / "plain.nii.gz", numbers)
    assert softseg(path, tmp_path / "a" / "mask.nii.gz")[0] == 0
    assert softseg(plain, tmp_path / "b" / "mask.nii.gz")[0] == 0
    masks = [
        check_mask(tmp_path / name / "mask.nii.gz", image)
        for name, image in (("a", path), ("b", plain))
    ]
    np.testing.assert_allclose(masks[0], masks[1], atol=1e-4)
    assert masks[0].any()


@pytest.mark.parametrize("kind", [np.float32, np.int16, np.uint16, np.float64])
def test_the_order_of_bytes_and_the_kind_of_number_do_not_matter(case, softseg, tmp_path, kind):
    data = np.round(case.image.data - min(0, case.image.data.min())).astype(kind)
    masks = []
    for endian in "<>":
        image = write(case.image, tmp_path / endian / "image.nii.gz", data, endian)
        assert nib.load(image).header.endianness == endian
        out = tmp_path / f"out{endian}" / "mask.nii.gz"
        assert softseg(image, out)[0] == 0
        masks.append(check_mask(out, image))
    np.testing.assert_array_equal(masks[0], masks[1])
    assert masks[0].any()


FULL_FIELDS = (
    "sub-errsm21_acq-fullfov_T2w",
    "sub-errsm23_acq-fullfov_T2w",
    "sub-gmc9418_acq-fullfov_run-1_T2star",
)


@pytest.mark.parametrize("name", FULL_FIELDS)
def test_the_cord_is_found_in_a_field_that_nobody_cropped(real_data, name):
    (path,) = real_data.glob(f"sub-*/**/{name}.nii.gz")
    (drawn,) = real_data.glob(f"derivatives/labels/**/{name}_label-SC_seg.nii.gz")
    result = segment(Volume.load(path), weights="axial")
    manual = Volume.load(drawn).oriented().data > 0.5
    mask = result.soft.oriented().data > 0.5
    assert result.cord_found
    assert dice(mask & manual.any(axis=(0, 1)), manual) > 0.88
    assert mask.sum() < 1.3 * manual.sum()
