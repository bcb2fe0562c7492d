"""Overlap, distances and calibration against MONAI, SimpleITK and masks that one can count."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from softseg.metrics.volumes import dice, relative_volume_error, soft_dice
from softseg_study.statistics import surfaces
from softseg_study.statistics.calibration import (
    calibration_error,
    calibration_table,
    pool_calibration,
)
from softseg_study.statistics.surfaces import surface_distances

SPACING = (0.5, 0.8, 5.0)


def mean_surface_distance_mm(a, b, spacing_mm) -> float:
    return surfaces.mean_surface_distance_mm(*surface_distances(a, b, spacing_mm))


def hausdorff95_mm(a, b, spacing_mm) -> float:
    return surfaces.hausdorff95_mm(*surface_distances(a, b, spacing_mm))


def box(lower, upper, shape=(20, 22, 9)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(lower, upper, strict=True))] = True
    return mask


def blobs(seed, shape=(18, 20, 8)):
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, 2) > 0.02


soft_masks = arrays(float, (4, 3, 2), elements=st.floats(0, 1))


def test_dice_of_two_boxes_is_the_share_that_one_counts():
    a, b = box((2, 2, 2), (6, 6, 6)), box((4, 2, 2), (8, 6, 6))
    assert dice(a, b) == pytest.approx(0.5)


def test_two_empty_masks_agree_and_one_empty_mask_has_no_distance():
    empty, full = np.zeros((4, 4, 4), bool), box((1, 1, 1), (3, 3, 3), (4, 4, 4))
    assert dice(empty, empty) == soft_dice(empty, empty) == 1
    assert relative_volume_error(empty, empty) == 0
    assert mean_surface_distance_mm(empty, empty, SPACING) == 0
    assert dice(full, empty) == soft_dice(empty, full) == 0
    assert np.isnan(mean_surface_distance_mm(full, empty, SPACING))
    assert np.isnan(hausdorff95_mm(empty, full, SPACING))
    assert np.isnan(relative_volume_error(full, empty))
    assert relative_volume_error(empty, full) == -100


@given(soft_masks)
def test_soft_dice_of_a_mask_with_itself_is_one_whatever_its_values(mask):
    assert soft_dice(mask, mask) == pytest.approx(1)


@given(soft_masks, soft_masks)
def test_soft_dice_is_symmetric_and_lies_between_zero_and_one(a, b):
    value = soft_dice(a, b)
    assert value == pytest.approx(soft_dice(b, a))
    assert 0 <= value <= 1


@given(arrays(bool, (4, 3, 2)), arrays(bool, (4, 3, 2)))
def test_soft_dice_of_binary_masks_is_dice(a, b):
    assert soft_dice(a, b) == pytest.approx(dice(a, b))


def test_volume_error_counts_fractions():
    half = np.full((2, 2, 2), 0.5)
    assert relative_volume_error(half, np.ones((2, 2, 2))) == pytest.approx(-50)


def test_a_slab_moved_along_an_axis_is_as_far_as_the_voxels_are_long():
    for axis, length in enumerate(SPACING):
        a = np.zeros((9, 9, 9), bool)
        b = a.copy()
        a.swapaxes(0, axis)[2], b.swapaxes(0, axis)[5] = True, True
        assert mean_surface_distance_mm(a, b, SPACING) == pytest.approx(3 * length)
        assert hausdorff95_mm(a, b, SPACING) == pytest.approx(3 * length)


@pytest.mark.parametrize("seed", range(4))
def test_distances_and_dice_agree_with_simpleitk(seed):
    sitk = pytest.importorskip("SimpleITK")
    a, b = np.pad(blobs(seed), 1), np.pad(blobs(seed + 100), 1)
    images = [sitk.GetImageFromArray(m.astype(np.uint8).T) for m in (a, b)]
    for image in images:
        image.SetSpacing(SPACING)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(images[0], images[1])
    assert dice(a, b) == pytest.approx(overlap.GetDiceCoefficient())
    contours = [sitk.LabelContour(image, fullyConnected=False) for image in images]
    maps = [
        sitk.GetArrayFromImage(
            sitk.Abs(sitk.SignedMaurerDistanceMap(c, squaredDistance=False, useImageSpacing=True))
        ).T
        for c in contours
    ]
    edges = [sitk.GetArrayFromImage(c).T > 0 for c in contours]
    forth, back = maps[1][edges[0]], maps[0][edges[1]]
    ours = surface_distances(a, b, SPACING)
    assert ours[0].distance_mm.mean() == pytest.approx(forth.mean(), rel=1e-5)
    assert ours[1].distance_mm.mean() == pytest.approx(back.mean(), rel=1e-5)


@pytest.mark.filterwarnings("ignore:monai")
@pytest.mark.parametrize("seed", range(3))
def test_distances_agree_with_monai(seed):
    monai_metrics = pytest.importorskip("monai.metrics")
    torch = pytest.importorskip("torch")
    a = np.pad(blobs(seed), 2)
    b = np.pad(blobs(seed + 50), 2)
    tensors = [torch.from_numpy(m[None, None].astype(np.float32)) for m in (a, b)]
    options = {"include_background": True, "spacing": list(SPACING)}
    mean = monai_metrics.compute_average_surface_distance(*tensors, symmetric=True, **options)
    tail = monai_metrics.compute_hausdorff_distance(*tensors, percentile=95, **options)
    forth, back = (way.distance_mm for way in surface_distances(a, b, SPACING))
    assert np.concatenate([forth, back]).mean() == pytest.approx(float(mean), rel=1e-5)
    both = max(np.percentile(forth, 95), np.percentile(back, 95))
    assert both == pytest.approx(float(tail), rel=1e-5)


def test_surfaces_that_run_along_the_grid_are_measured_exactly():
    """A plate through the whole image shows its two sides, but for the rim at the image's edge."""
    for axis in range(3):
        plate = np.zeros((9, 9, 9), bool)
        plate.swapaxes(0, axis)[4] = True
        surface, _ = surface_distances(plate, plate, SPACING)
        face = np.prod(SPACING) / SPACING[axis]
        assert np.isclose(surface.area_mm2, 2 * face).sum() == 7 * 7


def test_a_spheres_surface_is_estimated_to_15_per_cent_whatever_the_voxel():
    # The sum of open faces would be 50 % too large.
    for spacing in ((1.0, 1.0, 1.0), (0.5, 0.5, 2.0), (0.8, 0.5, 0.4)):
        axes = [np.arange(-12, 12 + s, s) for s in spacing]
        x, y, z = np.meshgrid(*axes, indexing="ij")
        sphere = x**2 + y**2 + z**2 < 10**2
        surface, _ = surface_distances(sphere, sphere, spacing)
        assert surface.area_mm2.sum() == pytest.approx(4 * np.pi * 10**2, rel=0.15)


def test_surfaces_weigh_by_their_area_not_by_their_voxels():
    """A plate across Z moved by 10 mm and one across X moved by 1 mm: 10 and 1 by their areas."""
    n, spacing = 21, (0.5, 0.5, 5.0)
    a = np.zeros((60, n, 80), bool)
    b = a.copy()
    a[:n, :, 60], b[:n, :, 62] = True, True
    a[50, :, :n], b[52, :, :n] = True, True

    def area(spacing_across, first, second):
        flat, sides = 2 * first * second, (first * spacing_across, second * spacing_across)
        edges = sum(2 * (n - 2) * np.hypot(flat, side) for side in sides)
        return (n - 2) ** 2 * flat + edges + 4 * np.sqrt(flat**2 + sides[0] ** 2 + sides[1] ** 2)

    across_z, across_x = area(5.0, 0.5, 0.5), area(0.5, 0.5, 5.0)
    expected = (10 * across_z + 1 * across_x) / (across_z + across_x)
    assert mean_surface_distance_mm(a, b, spacing) == pytest.approx(expected)
    assert hausdorff95_mm(a, b, spacing) == 10
    # Of a smaller plate across Z the voxels are a tenth, the area is a thirtieth.
    a[:n, :, 60] = b[:n, :, 62] = False
    a[:7, :7, 60], b[:7, :7, 62] = True, True
    assert hausdorff95_mm(a, b, spacing) == 1


def test_an_empty_field_of_view_changes_no_metric():
    a, b = blobs(1), blobs(2)
    small = surfaces.overlap(a, b, SPACING)
    large = surfaces.overlap(np.pad(a, 7), np.pad(b, 7), SPACING)
    assert small == pytest.approx(large)


@settings(max_examples=25)
@given(st.permutations([0, 1, 2]), st.sets(st.sampled_from([0, 1, 2])))
def test_metrics_do_not_depend_on_the_storage_of_axes(order, flipped):
    a, b = blobs(3), blobs(4)
    moved = [np.flip(m, tuple(flipped)).transpose(order) for m in (a, b)]
    spacing = tuple(SPACING[axis] for axis in order)
    assert surfaces.overlap(*moved, spacing) == pytest.approx(surfaces.overlap(a, b, SPACING))


def test_overlap_says_the_same_as_its_parts():
    a, b = blobs(5), blobs(6)
    found = surfaces.overlap(a * 0.9, b * 1.0, SPACING)
    assert found["dice"] == dice(a, b)
    assert found["soft_dice"] == pytest.approx(soft_dice(a * 0.9, b * 1.0))
    assert found["hausdorff95_mm"] == hausdorff95_mm(a, b, SPACING)
    assert found["mean_surface_distance_mm"] == pytest.approx(
        mean_surface_distance_mm(a, b, SPACING)
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ((np.zeros((2, 2)), np.zeros((2, 3))), "one shape"),
        ((np.full((2, 2), 0.3), np.zeros((2, 2))), "threshold a soft mask"),
    ],
)
def test_wrong_masks_are_refused_with_the_rule(wrong, said):
    with pytest.raises(ValueError, match=said):
        dice(*wrong)


@pytest.mark.parametrize("value", [-0.11, 1.11, np.nan])
def test_soft_metrics_refuse_values_that_are_no_fractions(value):
    with pytest.raises(ValueError, match="a mask must"):
        soft_dice(np.array([value]), np.array([0.5]))


def test_a_perfect_prediction_lies_on_the_diagonal():
    truth = np.random.default_rng(0).uniform(size=5000)
    table = calibration_table(truth, truth)
    np.testing.assert_allclose(table["predicted"], table["truth"])
    assert calibration_error(table) == 0


def test_a_prediction_too_high_by_a_tenth_is_found_so():
    truth = np.random.default_rng(0).uniform(0.05, 0.85, size=5000)
    table = calibration_table(truth + 0.1, truth)
    filled = table[table["n_voxels"] > 0]
    np.testing.assert_allclose(filled["predicted"] - filled["truth"], 0.1)
    assert calibration_error(table) == pytest.approx(0.1)


def test_background_counts_only_when_asked_and_one_falls_in_the_last_bin():
    prediction = np.array([0.0, 0.0, 1.0])
    truth = np.array([0.0, 0.0, 1.0])
    assert calibration_table(prediction, truth)["n_voxels"].tolist() == [0] * 9 + [1]
    counted = calibration_table(prediction, truth, background=True)["n_voxels"]
    assert counted.tolist() == [2] + [0] * 8 + [1]


def test_pooled_tables_equal_the_table_of_all_voxels():
    rng = np.random.default_rng(1)
    truth, noise = rng.uniform(size=(2, 900)), rng.normal(0, 0.1, size=(2, 900))
    prediction = np.clip(truth + noise, 0, 1)
    tables = [calibration_table(p, t) for p, t in zip(prediction, truth, strict=True)]
    pooled = pool_calibration(pd.concat(tables))
    expected = calibration_table(prediction, truth)
    pd.testing.assert_frame_equal(pooled, expected, check_like=True)


def test_distances_of_a_cord_in_a_large_field_of_view_are_fast(benchmark):
    x, y = np.mgrid[:192, :192]
    disk = (x - 96) ** 2 + (y - 96) ** 2 < 8**2
    a = np.repeat(disk[:, :, None], 60, axis=2)
    benchmark(surfaces.overlap, a, np.roll(a, 1, axis=0), (0.8, 0.8, 0.8))
