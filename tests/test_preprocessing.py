"""Orientation, grids, echoes and diffusion series with known movements."""

import json

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from softseg.errors import InputError
from softseg.paths import SHARED
from softseg.preprocessing.batch import preprocess
from softseg.preprocessing.diffusion import mean_diffusion, read_b_values
from softseg.preprocessing.images import combine_echoes, to_working_grid
from softseg.volume import Volume

LAS = np.diag([-0.9, 0.9, 5.0, 1.0])


def cord_series(shifts: np.ndarray, b_values, noise: float = 0.0) -> np.ndarray:
    """A bright blob on a dim background, moved by `(volumes, slices, 2)` voxels."""
    x, y = np.indices((48, 40))
    rng = np.random.default_rng(5)
    series = np.zeros((48, 40, shifts.shape[1], len(b_values)), dtype=np.float32)
    for t, b in enumerate(b_values):
        for z in range(shifts.shape[1]):
            dx, dy = shifts[t, z]
            cord = ((x - 23 - 0.3 * z - dx) / 7) ** 2 + ((y - 20 - dy) / 4.5) ** 2
            signal = 100 / (1 + np.exp(8 * (np.sqrt(cord) - 1)))
            series[..., z, t] = 20 + (signal if b else 3 * (110 - signal))
    return series + rng.normal(0, noise, series.shape).astype(np.float32)


def write_series(path, series, b_values=None, affine=LAS):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(series, affine), path)
    if b_values is not None:
        bval = path.with_name(path.name.removesuffix(".nii.gz") + ".bval")
        bval.write_text(" ".join(f"{b:g}" for b in b_values) + "\n")
    return path


@pytest.fixture
def shaken(tmp_path):
    b_values = [0, 0] + [800] * 10
    shifts = np.random.default_rng(2).uniform(-1.5, 1.5, (12, 4, 2))
    series = cord_series(shifts, b_values, noise=3.0)
    return write_series(tmp_path / "sub-1_dwi.nii.gz", series, b_values), shifts[2:], b_values


def test_slices_are_moved_by_their_known_shifts(shaken):
    path, shifts, _ = shaken
    found = mean_diffusion(path).shift_mm / 0.9
    # Only movement between volumes can be seen; the mean position is free.
    error = (found - found.mean(axis=0)) + (shifts - shifts.mean(axis=0))
    assert np.sqrt((error**2).mean()) < 0.15


def test_the_corrected_mean_is_nearly_as_sharp_as_one_without_motion(shaken, tmp_path):
    path, _, b_values = shaken
    still = cord_series(np.zeros((12, 4, 2)), b_values, noise=3.0)
    sharp = mean_diffusion(write_series(tmp_path / "still_dwi.nii.gz", still, b_values)).mean.data

    def edge(data: np.ndarray) -> float:
        return float(np.sqrt((np.gradient(data, axis=1) ** 2).mean()))

    corrected = edge(mean_diffusion(path).mean.data)
    blurred = edge(mean_diffusion(path, motion_correction=False).mean.data)
    assert blurred < 0.9 * edge(sharp)
    assert corrected > 0.97 * edge(sharp)


def test_only_weighted_volumes_are_averaged(shaken):
    path, _, b_values = shaken
    result = mean_diffusion(path, motion_correction=False)
    assert list(result.weighted) == [b > 50 for b in b_values]
    series = np.asarray(nib.load(path).dataobj)
    np.testing.assert_allclose(result.mean.data, series[..., 2:].mean(axis=3), rtol=1e-4)


def test_a_still_series_is_not_moved_and_a_torn_slice_is_left_alone(tmp_path):
    b_values = [800] * 5
    shifts = np.zeros((5, 3, 2))
    shifts[2, 1] = 12, 0  # beyond what a head does: not applied
    path = write_series(tmp_path / "a_dwi.nii.gz", cord_series(shifts, b_values), b_values)
    found = mean_diffusion(path).shift_mm
    assert np.abs(np.delete(found, 2, axis=0)).max() < 0.3
    assert np.linalg.norm(found[2, 1]) <= 4.0


def test_orientation_of_the_series_does_not_change_its_mean(shaken, tmp_path):
    path, _, b_values = shaken
    image = nib.load(path)
    turned = image.as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt("SPL")
        )
    )
    other = tmp_path / "turned_dwi.nii.gz"
    nib.save(turned, other)
    a, b = mean_diffusion(path).mean, mean_diffusion(other, b_values=b_values).mean
    assert b.orientation == "LAS"
    assert a.grid.matches(b.grid)
    np.testing.assert_allclose(a.data, b.data, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"b_values": [0, 800]}, "12 volumes but 2 b-values"),
        ({"b_values": [0] * 12}, "no volume has b > 50"),
    ],
)
def test_wrong_b_values_are_refused(shaken, options, message):
    with pytest.raises(InputError, match=message):
        mean_diffusion(shaken[0], **options)


def test_a_series_without_b_values_and_a_single_volume_are_refused(tmp_path):
    path = write_series(tmp_path / "a_dwi.nii.gz", np.ones((4, 4, 4, 3), np.float32))
    with pytest.raises(InputError, match="b-values are needed"):
        mean_diffusion(path)
    path.with_name("a_dwi.bval").write_text("0 eight hundred 800")
    with pytest.raises(InputError, match="must be numbers"):
        read_b_values(path)
    single = write_series(tmp_path / "b_dwi.nii.gz", np.ones((4, 4, 4), np.float32), [800])
    with pytest.raises(InputError, match="a series of volumes"):
        mean_diffusion(single)


def test_echoes_combine_to_their_root_mean_square_as_series_or_files(tmp_path):
    rng = np.random.default_rng(0)
    echoes = rng.uniform(0, 100, (5, 6, 4, 3)).astype(np.float32)
    expected = np.sqrt((echoes.astype(float) ** 2).mean(axis=3))
    series = write_series(tmp_path / "all.nii.gz", echoes)
    files = [write_series(tmp_path / f"e{k}.nii.gz", echoes[..., k]) for k in range(3)]
    np.testing.assert_allclose(combine_echoes(series).data, expected, rtol=1e-5)
    np.testing.assert_allclose(combine_echoes(files).data, expected, rtol=1e-5)
    moved = write_series(tmp_path / "moved.nii.gz", echoes[..., 0], affine=2 * LAS)
    with pytest.raises(InputError, match="echoes lie on one grid"):
        combine_echoes([files[0], moved])


def test_the_working_grid_keeps_the_field_of_view_and_the_signal():
    x = np.linspace(0, 1, 30)
    data = np.broadcast_to(x[:, None, None], (30, 20, 20)).astype(np.float32)
    image = Volume(data, np.diag([1.1, 1.1, 1.1, 1.0])).oriented("PSR")
    grid = to_working_grid(image, (0.8, 0.8, 0.8))
    assert grid.orientation == "LAS"
    np.testing.assert_allclose(grid.spacing_mm, 0.8)
    sizes = np.array(grid.data.shape) * 0.8
    np.testing.assert_allclose(sizes, [33, 22, 22], atol=0.4)
    # A ramp stays a ramp.
    profile = grid.data[2:-2, 5, 5]
    np.testing.assert_allclose(np.diff(profile), -0.8 / 1.1 / 29, rtol=1e-3)
    assert to_working_grid(image).data.shape == (30, 20, 20)


def test_raw_scans_become_a_data_set_of_working_images(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    b_values = [0, 800, 800]
    write_series(
        raw / "sub-1/dwi/sub-1_dwi.nii.gz", cord_series(np.zeros((3, 4, 2)), b_values), b_values
    )
    structural = ndimage.gaussian_filter(np.random.default_rng(0).random((12, 12, 12)), 2)
    isotropic = np.diag([1.0, 1.0, 1.0, 1.0])
    for name, affine in (("T1w", isotropic), ("T2w", isotropic)):
        write_series(raw / f"sub-1/anat/sub-1_{name}.nii.gz", structural, affine=affine)
    for echo in (1, 2):
        image = np.full((6, 6, 3), 3.0 + 1 * (echo == 2), np.float32)
        write_series(raw / f"sub-1/anat/sub-1_echo-{echo}_T2star.nii.gz", image)
    write_series(raw / "sub-1/anat/sub-1_acq-MTon_MTS.nii.gz", np.ones((6, 6, 3), np.float32))
    (raw / "sub-1/anat/sub-1_T1w.json").write_text(
        json.dumps({"EchoTime": 0.003, "PatientName": "Doe", "SeriesDescription": "Doe, head"})
    )
    written = preprocess(raw, out)
    assert sorted(path.name for path in written) == [
        "sub-1_T1w.nii.gz",
        "sub-1_T2star.nii.gz",
        "sub-1_T2w.nii.gz",
        "sub-1_flip-1_mt-on_MTS.nii.gz",
        "sub-1_rec-average_dwi.nii.gz",
    ]
    assert Volume.load(out / "sub-1/anat/sub-1_T2w.nii.gz").spacing_mm == pytest.approx([0.8] * 3)
    rms = Volume.load(out / "sub-1/anat/sub-1_T2star.nii.gz").data
    np.testing.assert_allclose(rms, np.sqrt((9 + 16) / 2), rtol=1e-6)
    sidecar = json.loads((out / "sub-1/anat/sub-1_T1w.json").read_text())
    assert sidecar["EchoTime"] == 0.003
    assert "Doe" not in json.dumps(sidecar)  # nor anything else that says who it was
    assert sidecar["GeneratedBy"][0]["Name"] == "softseg preprocessing"
    assert preprocess(raw, out) == []  # everything is there


def test_unknown_participants_are_refused(tmp_path):
    (tmp_path / "sub-1").mkdir()
    with pytest.raises(InputError, match="no participant sub-2"):
        preprocess(tmp_path, tmp_path / "out", subjects=["sub-2"])
    with pytest.raises(InputError, match="at all"):
        preprocess(tmp_path / "sub-1", tmp_path / "out")


@pytest.mark.real
@pytest.mark.skipif(not (SHARED / "real").is_dir(), reason=f"no real images at {SHARED}")
def test_motion_correction_makes_real_diffusion_volumes_agree_better():
    path = SHARED / "real/sub-sct019/dwi/sub-sct019_dwi.nii.gz"
    volumes = nib.load(path).shape[3]
    b_values = [0] * 5 + [800] * (volumes - 5)  # the first volumes are b=0
    result = mean_diffusion(path, b_values=b_values)
    assert np.abs(result.shift_mm).max() <= 4.0
    plain = mean_diffusion(path, b_values=b_values, motion_correction=False)

    def edge(volume: Volume) -> float:
        data = volume.data
        bright = data > np.percentile(data, 90)
        return float(np.hypot(*np.gradient(data, axis=(0, 1)))[bright].mean())

    assert edge(result.mean) > edge(plain.mean)
