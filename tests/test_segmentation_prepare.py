import itertools
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softseg.errors import InputError
from softseg.network.config import PRESETS, NetworkConfig
from softseg.segmentation.prepare import normalise, prepare
from softseg.volume import Volume, interpolation_matrix

CONFIG = NetworkConfig(spacing_mm=(0.8, 0.8))
ORIENTATIONS = [
    "".join(codes)
    for order in itertools.permutations(("LR", "AP", "IS"))
    for codes in itertools.product(*order)
]


def tube(shape=(40, 36, 6), spacing=(0.7, 0.7, 4.0), seed=0) -> Volume:
    """A bright tube in grey tissue with air around it."""
    x, y, _ = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    distance = np.hypot((x - 19) * spacing[0], (y - 17) * spacing[1])
    data = 100.0 * (distance < 12) + 100.0 * (distance < 5)
    data += np.random.default_rng(seed).normal(0, 2, shape)
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    return Volume(np.abs(data).astype(np.float32), affine)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_all_48_orientations_look_the_same_to_the_network(codes):
    image = tube()
    expected = prepare(image, CONFIG).data
    turned = prepare(image.oriented(codes), CONFIG)
    np.testing.assert_array_equal(turned.data, expected)
    soft = prepare(image, CONFIG).restore(np.clip(expected, 0, 1))
    np.testing.assert_array_equal(turned.restore(np.clip(expected, 0, 1)), soft)
    restored = turned.pasted(soft)
    assert restored.orientation == codes
    np.testing.assert_array_equal(restored.oriented().data, soft)


@pytest.mark.parametrize("spacing", [(0.2, 0.2, 3.0), (0.8, 0.8, 0.8), (2.0, 1.0, 1.0), (5, 5, 5)])
@pytest.mark.parametrize("preset", ["small", "volume"])
def test_matrices_interpolate_as_volumes_do(spacing, preset):
    image = tube(shape=(24, 20, 9), spacing=spacing)
    prepared = prepare(image, PRESETS[preset])
    normal = prepared.image.like(prepared.scale.apply(prepared.image.data))
    resampled = normal.resampled(prepared.grid, mode="nearest")
    np.testing.assert_allclose(prepared.data, resampled.data, atol=2e-3)


def test_an_oblique_image_is_cut_along_its_own_axes():
    image = tube()
    turn = np.eye(4)
    turn[:3, :3] = nib.eulerangles.euler2mat(0.2, 0.3, 0.1)
    oblique = replace(image, affine=turn @ image.affine)
    np.testing.assert_array_equal(prepare(oblique, CONFIG).data, prepare(image, CONFIG).data)


@given(
    gain=st.floats(1e-3, 1e5), count=st.integers(2, 9), new=st.integers(1, 12), seed=st.integers(0)
)
def test_interpolation_keeps_constants_and_bounds(gain, count, new, seed):
    matrix = interpolation_matrix(count, 1.0, new, count / new)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-5)
    assert (matrix >= 0).all()
    values = np.random.default_rng(seed).random(count).astype(np.float32)
    assert (matrix @ values).max() <= values.max() + 1e-6


@given(gain=st.floats(1e-2, 1e4))
def test_normalised_intensities_do_not_depend_on_the_gain(gain):
    data = tube().data
    np.testing.assert_allclose(normalise(data * np.float32(gain)), normalise(data), atol=1e-3)


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_more_air_around_the_body_changes_nothing(noise):
    data = tube().data
    data[data < 20] = 0
    air = np.abs(np.random.default_rng(1).normal(0, 1, (400, 360, 6))) * noise
    air[100:140, 100:136] = data
    inside = normalise(air.astype(np.float32))[100:140, 100:136]
    tissue = data > 20
    np.testing.assert_allclose(inside[tissue], normalise(data)[tissue], atol=0.02)


def test_one_outlier_does_not_darken_the_rest():
    data = tube().data
    spoilt = data.copy()
    spoilt[0, 0, 0] = 1e6
    keep = np.ones(data.shape, bool)
    keep[0, 0, 0] = False
    np.testing.assert_allclose(normalise(spoilt)[keep], normalise(data)[keep], atol=0.02)


@pytest.mark.parametrize("air", ["none", "zeros", "noise"])
@pytest.mark.parametrize(
    ("share", "how_bright"), [(0.001, (20, 20)), (0.003, (20, 20)), (0.003, (2, 40))]
)
def test_outliers_far_above_the_tissue_do_not_move_it(air, share, how_bright):
    data = tube(shape=(80, 72, 12)).data
    if air == "none":
        data = np.abs(data) + 100
    elif air == "zeros":
        data[data < 20] = 0
    spoilt, rng = data.copy(), np.random.default_rng(5)
    count = round(share * (data > 0).sum())
    places = rng.choice(data.size, count, replace=False)
    spoilt.ravel()[places] = np.percentile(data, 99) * rng.uniform(*how_bright, count)
    kept = np.ones(data.shape, bool)
    kept.ravel()[places] = False
    np.testing.assert_allclose(normalise(spoilt)[kept], normalise(data)[kept], atol=0.05)


@pytest.mark.parametrize(("side", "depth"), [(6, 5), (10, 12), (18, 12)])
def test_a_block_of_text_that_was_burned_in_does_not_move_the_tissue(side, depth):
    data = tube(shape=(80, 72, 12)).data
    spoilt = data.copy()
    spoilt[:side, :side, :depth] = 20 * np.percentile(data, 99)
    np.testing.assert_allclose(normalise(spoilt)[side:], normalise(data)[side:], atol=0.05)


def test_a_small_bright_body_in_much_air_is_no_mark():
    rng = np.random.default_rng(3)
    air = np.hypot(*rng.normal(0, 5, (2, 100, 100, 10)))
    body = np.hanning(22)[1:21]
    air[40:60, 40:60] += 1000 * body[:, None, None] * body[:, None]
    inside = normalise(air)[46:54, 46:54]
    assert inside.std() > 0.1
    assert np.abs(inside).max() < 4.9


@pytest.mark.parametrize("value", [-2000, -1e6])
@pytest.mark.parametrize("width", [1, 30])
def test_padding_below_everything_is_as_dark_as_the_darkest_voxel(value, width):
    data = tube().data
    padded = np.pad(data, ((width, width), (width, width), (0, 0)), constant_values=value)
    normal = normalise(padded)
    inside = normal[width:-width, width:-width]
    np.testing.assert_allclose(inside, normalise(data), atol=0.02)
    assert np.unique(normal[:width]).tolist() == [normal.min()]
    assert normal.min() == pytest.approx(normalise(data).min(), abs=0.02)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_counts_as_dark(value):
    data = tube().data
    data[3:5, 3:5] = value
    normal = normalise(data)
    assert np.isfinite(normal).all()
    assert normal[3, 3, 0] <= np.median(normal)


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0, np.nan])
def test_an_image_without_any_structure_becomes_zeros(value):
    assert (normalise(np.full((4, 5, 6), value)) == 0).all()


def test_signed_images_keep_their_order():
    data = tube().data - 150
    normal = normalise(data)
    assert np.corrcoef(data.ravel(), normal.ravel())[0, 1] > 0.99


def test_windows_are_crops_of_the_working_image_with_its_edge_repeated():
    prepared = prepare(tube(), CONFIG)
    slices, starts = np.array([0, 3, 5]), np.array([[0, 0], [-5, 10], [20, -3]])
    windows = prepared.windows(slices, starts, (24, 16))
    padded = np.pad(prepared.data, ((50, 50), (50, 50), (0, 0)), mode="edge")
    for window, z, (x, y) in zip(windows, slices, starts, strict=True):
        expected = padded[50 + x : 74 + x, 50 + y : 66 + y, z]
        np.testing.assert_allclose(window, expected, atol=1e-4)


def test_windows_come_back_to_where_they_were_cut():
    prepared = prepare(tube(), CONFIG)
    shape = prepared.grid.shape
    soft = np.zeros(shape, np.float32)
    soft[12:20, 10:22] = np.random.default_rng(0).random((8, 12, shape[2]))
    slices = np.arange(shape[2])
    starts = np.stack([slices - 3, 2 - slices], axis=1)
    padded = np.pad(soft, ((50, 50), (50, 50), (0, 0)))
    windows = np.stack(
        [padded[50 + x : 82 + x, 50 + y : 82 + y, z] for z, (x, y) in enumerate(starts)]
    )
    box = prepared.box(starts, (32, 32))
    back = prepared.pasted(prepared.restore_windows(windows, slices, starts, box), box)
    np.testing.assert_allclose(back.oriented().data, prepared.restore(soft), atol=1e-6)


@pytest.mark.parametrize("side", [0.35, 0.5, 0.586, 0.703, 0.9, 1.0, 1.7])
def test_a_mask_goes_to_the_working_grid_and_keeps_its_area(side):
    image = tube(spacing=(side, side, 5.0))
    mask = image.like((image.data > 150).astype(np.float32))
    prepared = prepare(image, CONFIG)
    working = prepared.to_working(mask)
    area = mask.data.sum(axis=(0, 1)) * side**2
    np.testing.assert_allclose(working.sum(axis=(0, 1)) * 0.64, area, rtol=1e-3)
    back = prepared.restore(working)
    np.testing.assert_allclose(back.sum(axis=(0, 1)) * side**2, area, rtol=0.02)


def test_a_mask_of_another_grid_is_refused():
    image = tube()
    shifted = replace(image, affine=image.affine + np.eye(4, k=3) * 5)
    with pytest.raises(InputError, match="must lie on the grid"):
        prepare(image, CONFIG).to_working(shifted)
