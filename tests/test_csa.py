"""Area and angles: exact on tubes of known area, and free of the standard tool's defects."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from tubes import DIFFICULT, STANDARD, Curve, Tube, sample

from softseg.csa.aggregation import aggregate
from softseg.csa.measure import COLUMNS, MeasurementWarning, measure
from softseg.errors import InputError
from softseg.masks import MaskWarning
from softseg.volume import Volume

TILTED = Tube(Curve(tilt_deg=(0.0, 20.0)))


def percent(measured, truth):
    return 100 * (np.asarray(measured, dtype=float) / truth - 1)


@pytest.fixture(scope="module")
def tilted():
    return sample(TILTED, (0.8, 0.8, 0.8), length_mm=30)


@pytest.fixture(scope="module")
def bent():
    return sample(Tube(Curve(amplitude_mm=(2.0, 4.0))), (0.9, 0.9, 2.5), length_mm=45)


@pytest.mark.parametrize("spacing", [(0.8, 0.8, 0.8), (0.5, 0.5, 5.0), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("name", list(STANDARD))
def test_soft_areas_are_exact_to_a_tenth_of_a_per_cent(name, spacing):
    sampled = sample(STANDARD[name](), spacing, offset_voxels=(0.3, 0.4, 0.2))
    error = percent(measure(sampled.soft, shape=False)["area_mm2"], sampled.area_mm2)
    assert np.sqrt((error**2).mean()) < 0.1
    assert np.abs(error).max() < 0.8
    assert abs(error.mean()) < 0.1


@pytest.mark.parametrize("name", list(DIFFICULT))
def test_areas_of_difficult_cords_are_exact_to_a_quarter_of_a_per_cent(name):
    sampled = sample(DIFFICULT[name](), (0.5, 0.5, 5.0), offset_voxels=(0.3, 0.4, 0.2))
    error = percent(measure(sampled.soft, shape=False)["area_mm2"], sampled.area_mm2)
    assert np.sqrt((error**2).mean()) < 0.25


@pytest.mark.parametrize("pixel", [0.35, 0.84375, 0.9375, 2.0])
def test_pixels_that_are_no_multiple_of_anything_leave_no_bias(pixel):
    sampled = sample(TILTED, (pixel, pixel, 3.0), length_mm=36)
    error = percent(measure(sampled.soft, shape=False)["area_mm2"], sampled.area_mm2)
    assert np.abs(error).max() < 0.2


def test_wide_voxels_lose_no_thin_rim():
    """Sagittal planes of 3 mm: faint neighbours lie further away than the dilation of 2 mm."""
    sampled = sample(TILTED, (3.0, 0.7, 0.7), length_mm=20, offset_voxels=(0.45, 0.0, 0.0))
    error = percent(measure(sampled.soft, shape=False)["area_mm2"], sampled.area_mm2)
    assert np.abs(error).max() < 0.2


def test_a_tilt_about_both_axes_uses_the_exact_slope_factor():
    sampled = sample(STANDARD["20° and 15°"](), (1.0, 1.0, 2.0), length_mm=40)
    table = measure(sampled.soft)
    assert np.abs(percent(table["area_mm2"], 70.0)).max() < 0.1
    np.testing.assert_allclose(table["angle_ap_deg"], 15.0, atol=0.1)
    np.testing.assert_allclose(table["angle_rl_deg"], 20.0, atol=0.1)


def test_the_product_of_cosines_would_be_wrong_there():
    ap, rl = np.radians([15.0, 20.0])
    exact = 1 / np.sqrt(1 + np.tan(ap) ** 2 + np.tan(rl) ** 2)
    assert percent(np.cos(ap) * np.cos(rl), exact) < -0.3


def test_without_correction_the_slices_own_area_is_given(tilted):
    table = measure(tilted.soft, angle_correction=False)
    np.testing.assert_allclose(table["area_mm2"], 70.0 / np.cos(np.radians(20)), rtol=1e-3)


def test_binary_masks_follow_a_stiffer_line(tilted):
    soft, binary = measure(tilted.soft), measure(tilted.binary)
    assert np.abs(soft["angle_rl_deg"] - 20).max() < 0.1
    assert np.abs(binary["angle_rl_deg"] - 20).max() < 1.5
    raw = tilted.binary.data.sum(axis=(0, 1)) * 0.64
    np.testing.assert_allclose(binary["area_mm2"], raw * np.cos(np.radians(20)), rtol=0.012)


def test_the_columns_are_those_promised_and_slice_zero_is_the_most_inferior(tilted):
    table = measure(tilted.soft)
    assert tuple(table.columns) == COLUMNS
    assert table["slice"].tolist() == list(range(tilted.soft.data.shape[2]))
    assert table["centre_z_mm"].is_monotonic_increasing
    np.testing.assert_allclose(table["length_mm"], 0.8 / np.cos(np.radians(20)), rtol=1e-3)


def test_centres_lie_on_the_tubes_centreline():
    sampled = sample(STANDARD["arc of 100 mm"](), (1.0, 1.0, 5.0))
    table = measure(sampled.soft)
    x, y, _ = (table[f"centre_{a}_mm"].to_numpy() for a in "xyz")
    # LAS: the tube's X runs to the left, the scanner's to the right.
    place = STANDARD["arc of 100 mm"]().curve.at(table["centre_z_mm"].to_numpy())[0]
    np.testing.assert_allclose(np.column_stack([-x, y]), place, atol=0.02)


# What the standard tool gets wrong


def test_a_halo_of_rounding_size_on_one_side_changes_nothing(tilted):
    data = tilted.soft.data.copy()
    data[: data.shape[0] // 2][data[: data.shape[0] // 2] == 0] = 1e-8
    plain, halo = measure(tilted.soft), measure(tilted.soft.like(data))
    np.testing.assert_allclose(halo["area_mm2"], plain["area_mm2"], rtol=1e-6)
    np.testing.assert_allclose(halo["angle_ap_deg"], plain["angle_ap_deg"], atol=1e-3)


def test_a_constant_background_adds_its_ring_and_leaves_the_angles(tilted):
    faint = tilted.soft.like(np.maximum(tilted.soft.data, 0.01))
    with pytest.warns(MaskWarning, match=r"found a background of 0\.01 over its field"):
        table = measure(faint)
    np.testing.assert_allclose(table["angle_rl_deg"], 20.0, atol=0.3)
    # A ring 2 mm wide around the ellipse, at a value of 0.01.
    assert (percent(table["area_mm2"], 70.0) < 100 * 0.01 * 100 / 70).all()
    assert np.abs(percent(table["area_mm2"], 70.0)).max() < 1.6


def test_low_probability_background_far_from_the_cord_adds_nothing(tilted):
    data = np.pad(tilted.soft.data, ((20, 20), (20, 20), (0, 0)))
    faint = data.copy()
    faint[:10] = faint[-10:] = 0.09
    for values in (data, faint):
        table = measure(Volume(values, tilted.soft.affine))
        np.testing.assert_allclose(table["area_mm2"], measure(tilted.soft)["area_mm2"], rtol=1e-9)


def test_a_fainter_mask_has_a_smaller_area(tilted):
    plain = measure(tilted.soft)["area_mm2"]
    fainter = measure(tilted.soft.like(0.8 * tilted.soft.data))["area_mm2"]
    np.testing.assert_allclose(fainter, 0.8 * plain, rtol=1e-3)


def test_a_mask_too_faint_to_be_one_is_refused(tilted):
    with pytest.raises(InputError, match=r"of at least 0\.1, found a maximum of 0\.001"):
        measure(tilted.soft.like(0.001 * tilted.soft.data))


def test_half_covered_end_slices_have_half_the_area_and_are_flagged(tilted):
    data = tilted.soft.data.copy()
    data[:, :, [0, -1]] *= 0.5
    table = measure(tilted.soft.like(data))
    np.testing.assert_allclose(percent(table["area_mm2"].iloc[[0, -1]], 35.0), 0, atol=0.2)
    np.testing.assert_allclose(percent(table["area_mm2"].iloc[1:-1], 70.0), 0, atol=0.2)
    assert table["flag"].iloc[[0, -1]].tolist() == ["partial", "partial"]
    assert (table["flag"].iloc[1:-1] == "").all()
    mean = aggregate(table)
    assert mean["n_slices"][0] == len(table) - 2
    assert abs(percent(mean["area_mm2"][0], 70.0)) < 0.1
    assert mean["flag"][0] == "partial"


def test_ends_cut_across_the_cord_are_flagged_and_bend_nothing():
    sampled = sample(STANDARD["30° forward"](), (0.8, 0.8, 0.8), length_mm=50)
    data = sampled.soft.data.copy()
    y = np.arange(data.shape[1])[:, None] * 0.8 + sampled.soft.affine[1, 3]
    z = np.arange(data.shape[2])[None] * 0.8 + sampled.soft.affine[2, 3]
    along = y * np.sin(np.radians(30)) + z * np.cos(np.radians(30))
    data *= np.abs(along)[None] < 16
    table = measure(sampled.soft.like(data))
    whole = table["flag"] == ""
    assert (table.loc[table["area_mm2"] < 0.85 * 70, "flag"] != "").all()
    np.testing.assert_allclose(table.loc[whole, "angle_rl_deg"], 30.0, atol=2.5)


def test_a_cord_that_tapers_is_not_taken_for_partly_covered():
    tapering = Tube(taper_per_mm=0.012)
    for spacing in ((1.0, 1.0, 1.0), (0.5, 0.5, 5.0)):
        table = measure(sample(tapering, spacing).soft)
        assert (table["flag"] == "").all()


@pytest.mark.parametrize(
    ("value", "found"),
    [(-0.15, r"\[-0.15, 1\]; give --threshold"), (1.2, r"\[0, 1.2\]; give --full-value 1.2")],
)
def test_values_outside_zero_to_one_are_refused(tilted, value, found):
    data = tilted.soft.data.copy()
    data[0, 0, 0] = value
    with pytest.raises(InputError, match=f"must lie in .0, 1., found {found}"):
        measure(tilted.soft.like(data))


@pytest.mark.parametrize(("gain", "offset"), [(1.06, 0.0), (1.14, -0.07), (1.0, -0.09)])
def test_overshoot_of_an_interpolation_is_clipped_and_said(tilted, gain, offset):
    data = gain * tilted.soft.data + offset
    with pytest.warns(MaskWarning, match="clipped"):
        table = measure(tilted.soft.like(data))
    expected = measure(tilted.soft.like(data.clip(0, 1)))
    pd.testing.assert_frame_equal(table, expected)


@pytest.mark.parametrize(("full", "scale"), [(1, ""), (255, "--full-value 331.5 ")])
def test_overshoot_that_no_scale_mends_is_refused_with_what_does(tilted, full, scale):
    """From -0.2 to 1.3, as a spline of high order leaves a mask."""
    data = tilted.soft.data.copy() * full
    data[0, 0, 0], data[1, 0, 0] = -0.2 * full, 1.3 * full
    with pytest.raises(InputError, match=f"; give {scale}--threshold 0.5 for a binary mask, or"):
        measure(tilted.soft.like(data))
    binary = measure(tilted.soft.like(data), threshold=0.5, full_value=full)["area_mm2"]
    np.testing.assert_allclose(binary, measure(tilted.binary)["area_mm2"])


@pytest.mark.parametrize("full", [255, 100, 3, 65535])
def test_masks_of_other_ranges_are_read_by_the_value_of_a_full_voxel(tilted, full):
    scaled = tilted.soft.like((tilted.soft.data * full).astype(np.float32))
    with pytest.raises(InputError, match=f"give --full-value {full} if .* or --threshold"):
        measure(scaled)
    whole = measure(scaled, full_value=full)["area_mm2"]
    np.testing.assert_allclose(whole, measure(tilted.soft)["area_mm2"], rtol=1e-5)
    binary = measure(tilted.binary)["area_mm2"]
    np.testing.assert_allclose(measure(scaled, threshold=full / 2)["area_mm2"], binary)
    halved = measure(scaled, threshold=0.5, full_value=full)["area_mm2"]
    np.testing.assert_allclose(halved, binary)
    with pytest.raises(InputError, match="full-value must be above 0"):
        measure(scaled, full_value=0)


def test_few_whole_numbers_are_taken_for_labels(tilted):
    labels = np.where(np.arange(tilted.binary.data.shape[2]) < 12, 1, 2) * tilted.binary.data
    with pytest.raises(InputError, match=r"give --threshold 0.5 if its 2 numbers are .* or --full"):
        measure(tilted.soft.like(labels))
    one = measure(tilted.soft.like(labels), threshold=0.5)
    pd.testing.assert_frame_equal(one, measure(tilted.binary))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threshold": 0.5}, r"above 1 \(0.5 of --full-value 2\), found a maximum of 1"),
        ({"full_value": 20.0}, r"of at least 2 \(0.1 of --full-value 20\), found a maximum of 1"),
    ],
)
def test_a_full_value_that_leaves_no_cord_is_named(tilted, options, said):
    with pytest.raises(InputError, match=said):
        measure(tilted.binary, **{"full_value": 2.0} | options)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 5.0), (0.5, 0.5, 1.0)])
@pytest.mark.parametrize("kind", ["highest", "added", "noise"])
@pytest.mark.parametrize("value", [0.05, 0.09, 0.11, 0.3])
def test_a_background_is_refused_with_the_reason(spacing, kind, value):
    soft = sample(TILTED, spacing, length_mm=30).soft
    noise = np.random.default_rng(0).random(soft.data.shape) * 2
    added = {"highest": value, "added": soft.data + value, "noise": value * noise}[kind]
    data = np.minimum(np.maximum(soft.data, added), 1)
    with pytest.raises(InputError, match="must be 0 outside the cord, found a background of"):
        measure(soft.like(data))
    if value < 0.25:
        table = measure(soft.like(data), threshold=0.5)
        assert np.abs(percent(table["area_mm2"], 70.0)).max() < 12  # a binary mask's


def test_a_halo_that_adds_more_than_an_edge_does_is_flagged_and_said(tilted):
    data = np.pad(tilted.soft.data, ((9, 9), (9, 9), (0, 0)))
    core = np.pad(tilted.soft.data > 0, ((9, 9), (9, 9), (0, 0)))
    near = ndimage.binary_dilation(core, np.ones((7, 7, 1), bool))
    halo = Volume(np.where(near, np.maximum(data, 0.08), data), tilted.soft.affine)
    with pytest.warns(MeasurementWarning, match=r"values below 0\.1 around the cord make [4-9]"):
        table = measure(halo)
    assert (table["flag"] == "background").all()


@pytest.mark.parametrize(("scale", "implausible"), [(0.5, True), (0.8, False), (1.3, True)])
def test_an_area_that_no_cord_has_is_flagged_said_and_kept(tilted, scale, implausible):
    affine = tilted.soft.affine * [[scale], [scale], [scale], [1]]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = measure(replace(tilted.soft, affine=affine))
    np.testing.assert_allclose(percent(table["area_mm2"], 70.0 * scale**2), 0, atol=0.3)
    assert (table["flag"] == ("implausible" if implausible else "")).all()
    assert [("no level is known" in str(w.message)) for w in caught] == [True] * implausible
    levels = np.where(
        tilted.soft.data > 0.5, np.where(np.arange(data_slices(tilted)) > 20, 2, 7), 0
    )
    named = replace(tilted.soft, data=levels, affine=affine)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = measure(replace(tilted.soft, affine=affine), levels=named)
    marked = table["flag"].str.contains("implausible")
    # C7: 57 ± 7 mm², C2: 72 ± 7 mm²
    low, high = {0.5: (True, True), 0.8: (False, False), 1.3: (True, True)}[scale]
    assert marked[table["level"] == 7].eq(low).all()
    assert marked[table["level"] == 2].eq(high).all()


def data_slices(sampled):
    return sampled.soft.data.shape[2]


def test_values_outside_by_rounding_are_accepted(tilted):
    data = tilted.soft.data.copy()
    data[data == 1] = 1 + 1e-6
    data[0, 0, 0] = -1e-7
    expected = measure(tilted.soft)["area_mm2"]
    np.testing.assert_allclose(measure(tilted.soft.like(data))["area_mm2"], expected, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_is_refused(tilted, bad):
    data = tilted.soft.data.copy()
    data[1, 1, 1] = bad
    with pytest.raises(InputError, match="must be finite, found 1 NaN or infinite"):
        measure(tilted.soft.like(data))


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4, 2)])
def test_a_mask_without_three_dimensions_is_refused(shape):
    with pytest.raises(InputError, match="three dimensions, found"):
        measure(Volume(np.ones(shape), np.eye(4)))


def test_an_empty_mask_is_refused():
    with pytest.raises(InputError, match="found a maximum of 0"):
        measure(Volume(np.zeros((4, 4, 4)), np.eye(4)))


def test_a_mask_whose_axes_cannot_be_told_is_refused(tilted):
    with pytest.raises(InputError, match="neither qform nor sform"):
        measure(replace(tilted.soft, codes=(0, 0)))
    cube = Volume(np.pad(np.ones((6, 6, 6)), 3), tipped(45, 0))
    with pytest.raises(InputError, match="two equally oblique to it, and a cord too short"):
        measure(cube)


def tipped(angle_deg: float, axis: int) -> np.ndarray:
    """A turn about the right-left (0) or the anterior-posterior axis (1)."""
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    turn, rows = np.eye(4), [1 - axis, 2]
    turn[np.ix_(rows, rows)] = [[c, -s], [s, c]]
    return turn


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("spacing", "length_mm"),
    [((1.0, 1.0, 5.0), 80), ((0.8, 0.8, 0.8), 20), ((0.5, 0.5, 5.0), 15), ((0.9, 0.9, 12.0), 84)],
)
def test_a_tipped_stack_is_measured_up_to_sixty_degrees(spacing, length_mm, axis):
    sampled = sample(Tube(), spacing, length_mm=length_mm)
    for mask in (sampled.soft, sampled.binary, sampled.soft.oriented("PIR")):
        upright = measure(mask)["area_mm2"].to_numpy()
        for angle in (35, 45, 46, 53, -60):
            table = measure(replace(mask, affine=tipped(angle, axis) @ mask.affine))
            np.testing.assert_allclose(np.sort(table["area_mm2"]), np.sort(upright), rtol=1e-6)
            assert (table["flag"] == "").all()
            assert table["centre_z_mm"].is_monotonic_increasing


@pytest.mark.parametrize("angle", [66, -75, 90])
@pytest.mark.parametrize(
    ("spacing", "length_mm"),
    [((1.0, 1.0, 5.0), 60), ((0.5, 0.5, 5.0), 20), ((1.0, 1.0, 1.0), 20), ((0.5, 0.5, 2.5), 22.5)],
)
def test_a_stack_tipped_by_more_is_refused_with_the_reason(angle, spacing, length_mm):
    soft = sample(Tube(), spacing, length_mm=length_mm).soft
    with pytest.raises(InputError, match=rf"within 60° of the body's axis, found {abs(angle)}°"):
        measure(replace(soft, affine=tipped(angle, 0) @ soft.affine))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 5.0), (1.0, 1.0, 1.5)])
@pytest.mark.parametrize("angle", [38.0, 50.0, 56.0])
def test_an_upright_cord_in_a_tipped_stack_keeps_its_area(spacing, angle):
    turn = tipped(angle, 0)[:3, :3] @ np.diag([-spacing[0], spacing[1], spacing[2]])
    shape = np.ceil([20 / spacing[0], 150 / spacing[1], 40 / spacing[2]]).astype(int)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn, -turn @ ((shape - 1) / 2)
    soft = np.zeros(shape)
    index = np.moveaxis(np.indices(shape), 0, -1)
    points = [(np.arange(n) + 0.5) / n - 0.5 for n in (3, 3, 9)]
    for offset in np.stack(np.meshgrid(*points), -1).reshape(-1, 3):
        x, y, _ = np.moveaxis((index + offset) @ turn.T + affine[:3, 3], -1, 0)
        soft += (x / 6.0) ** 2 + (y / 3.7136) ** 2 <= 1
    table = measure(Volume((soft / 81).astype(np.float32), affine))
    assert len(table) == shape[2]
    assert np.abs(percent(table["area_mm2"], 70.0).mean()) < 0.5


@pytest.mark.parametrize(("spacing", "atol"), [((0.5, 0.5, 5.0), 0.05), ((0.8, 0.8, 0.8), 0.5)])
def test_four_slices_of_a_tilted_tube_are_enough(spacing, atol):
    sampled = sample(TILTED, spacing, length_mm=4 * spacing[2], offset_voxels=(0.3, 0.4, 0.0))
    table = measure(sampled.soft)
    assert len(table) == 4
    np.testing.assert_allclose(percent(table["area_mm2"], 70.0), 0, atol=atol)


def test_two_slices_give_a_straight_line_and_say_so():
    sampled = sample(TILTED, (0.5, 0.5, 5.0), length_mm=10)
    with pytest.warns(MeasurementWarning, match="straight line"):
        table = measure(sampled.soft)
    assert table["flag"].tolist() == ["straight", "straight"]
    np.testing.assert_allclose(percent(table["area_mm2"], 70.0), 0, atol=0.2)


def test_one_slice_is_measured_without_correction_and_says_so():
    sampled = sample(TILTED, (0.5, 0.5, 5.0), length_mm=5)
    with pytest.warns(MeasurementWarning, match="not angle-corrected"):
        table = measure(sampled.soft)
    assert table["flag"].tolist() == ["uncorrected"]
    assert table["area_mm2"][0] == pytest.approx(70 / np.cos(np.radians(20)), rel=1e-3)


def test_other_objects_are_reported_and_not_added(tilted):
    data = np.pad(tilted.soft.data, ((15, 0), (0, 0), (0, 0)))
    data[2:6, 20:24, 3:12] = 1.0
    data[2:4, 2:4, -3:] = 0.5
    with pytest.warns(MeasurementWarning, match=r"2 other \(77 mm³\) left out"):
        table = measure(Volume(data, tilted.soft.affine))
    assert (table["other_components"] == 2).all()
    np.testing.assert_allclose(table["area_mm2"], measure(tilted.soft)["area_mm2"], rtol=1e-9)


def test_gaps_along_the_cord_are_bridged_flagged_and_said_where_they_are_long(tilted):
    data = tilted.soft.data.copy()
    data[:, :, 12:18] = 0  # 4.8 mm
    table = measure(tilted.soft.like(data))
    assert table["flag"].tolist().count("gap") == 6
    assert table.loc[table["flag"] == "gap", "area_mm2"].isna().all()
    assert (table["other_components"] == 0).all()
    np.testing.assert_allclose(percent(table["area_mm2"].dropna(), 70.0), 0, atol=0.2)
    data[:, :, 12:24] = 0  # 9.6 mm
    with pytest.warns(MeasurementWarning, match=r"1 gap along the cord, of up to 9\.6 mm"):
        table = measure(tilted.soft.like(data))
    assert len(table) == data.shape[2]
    np.testing.assert_allclose(percent(table["area_mm2"].dropna(), 70.0), 0, atol=0.2)


@pytest.mark.parametrize("thickness", [3.0, 7.0, 12.0])
def test_one_empty_slice_is_a_gap_of_one_slice_however_thick(thickness):
    sampled = sample(TILTED, (0.8, 0.8, thickness), length_mm=9 * thickness)
    data = sampled.soft.data.copy()
    data[:, :, 4] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = measure(sampled.soft.like(data))
    assert table["flag"].tolist() == [*[""] * 4, "gap", *[""] * 4]
    np.testing.assert_allclose(percent(table["area_mm2"].dropna(), 70.0), 0, atol=0.3)


@pytest.mark.parametrize("every", [7, 10, 15])
def test_a_mask_drawn_on_every_nth_slice_keeps_all_of_them(every):
    sampled = sample(TILTED, (0.8, 0.8, 1.0), length_mm=91)
    data = np.zeros_like(sampled.soft.data)
    data[:, :, ::every] = sampled.soft.data[:, :, ::every]
    with pytest.warns(MeasurementWarning, match="gaps along the cord"):
        table = measure(sampled.soft.like(data))
    drawn = table.dropna(subset=["area_mm2"])
    assert drawn["slice"].tolist() == list(range(0, 91, every))
    np.testing.assert_allclose(percent(drawn["area_mm2"], 70.0), 0, atol=0.3)
    assert (drawn["flag"] == "").all()


@pytest.mark.parametrize(("thickness", "scraps"), [(5.0, 2), (5.0, 5), (1.0, 14), (12.0, 3)])
@pytest.mark.parametrize("end", [0, -1])
def test_scraps_in_end_slices_are_flagged_and_left_out_of_means(thickness, scraps, end):
    data = np.repeat(sample(Tube(), (1.0, 1.0, 1.0), length_mm=1).soft.data, 40, axis=2)
    x, y = np.array(data.shape[:2]) // 2
    for k in range(scraps):
        at = k if end == 0 else -1 - k
        data[..., at] = 0
        data[x : x + 1 + k % 3, y, at] = 1
    table = measure(Volume(data, np.diag([-1.0, 1.0, thickness, 1.0])))
    row = aggregate(table).iloc[0]
    assert (row["n_slices"], row["flag"]) == (40 - scraps, "partial")
    assert abs(percent(row["area_mm2"], 70.0)) < 0.3
    assert table["flag"].tolist().count("partial") == scraps


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("slices", [3, 4, 6])
def test_whole_end_slices_of_a_tapering_cord_stay_in_however_thick(slices, binary):
    for taper in (0.0065, -0.008):
        thickness = 17.0 if slices < 6 else 9.0
        tube = Tube(taper_per_mm=taper)
        sampled = sample(tube, (0.5, 0.5, thickness), length_mm=slices * thickness)
        table = measure(sampled.binary if binary else sampled.soft)
        assert (table["flag"] == "").all()
        row = aggregate(table).iloc[0]
        limit = 2.0 if binary else 0.5  # a binary mask's own error
        assert abs(percent(row["area_mm2"], sampled.area_mm2.mean())) < limit


def test_a_half_covered_end_slice_is_flagged_however_thick():
    sampled = sample(Tube(taper_per_mm=0.006), (0.5, 0.5, 17.0), length_mm=85)
    data = sampled.soft.data.copy()
    data[:, :, 0] *= 0.7
    assert measure(sampled.soft.like(data))["flag"].tolist() == ["partial", "", "", "", ""]


def test_a_leak_over_a_few_slices_does_not_tilt_the_cord():
    sampled = sample(Tube(), (0.8, 0.8, 0.8), length_mm=40)
    data = sampled.binary.data.copy()
    middle = data.shape[1] // 2
    data[:, middle - 2 : middle + 2, 20:24] = 1.0
    data[: data.shape[0] // 2, :, 20:24] = sampled.binary.data[: data.shape[0] // 2, :, 20:24]
    table = measure(sampled.soft.like(data))
    beside = np.r_[10:20, 24:34]
    assert np.abs(table["angle_ap_deg"].iloc[beside]).max() < 1.0
    assert (table["area_mm2"].iloc[20:24] > 70).all()


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(np.s_[10:-10, 20:-20, -15:], id="a brain on top"),
        pytest.param(np.s_[10:-10, 10:-10, -15:], id="a long brain on top"),
        pytest.param(np.s_[20:36, 8:48, 20:30], id="a leak half-way"),
        pytest.param(np.s_[20:36, 8:48, 5:16], id="a leak near an end"),
    ],
)
def test_slices_larger_than_any_cord_are_found_before_the_course_is(block):
    """A brain's centres would make the cord's own slices next to it the ones off the course."""
    sampled = sample(TILTED, (1.0, 1.0, 1.0), length_mm=60)
    margin = [(20, 20), (20, 20), (0, 0)]
    data = np.pad(sampled.soft.data, margin)
    data[block] = 1
    with pytest.warns(MeasurementWarning, match="larger than any cord .* brain, or leak"):
        table = measure(Volume(data, sampled.soft.affine), shape=False)
    wrong = np.zeros(len(table), dtype=bool)
    wrong[block[2]] = True
    assert (table["flag"].str.contains("outlier") == wrong).all()
    assert not table["flag"].str.contains("partial|implausible").any()
    assert percent(table["area_mm2"][~wrong], 70.0).max() < 1
    row = aggregate(table).iloc[0]
    assert row["n_left_out"] == wrong.sum()
    assert row["area_mm2"] == pytest.approx(70.0, rel=2e-3)


@pytest.mark.parametrize("ramp_mm", [8, 15, 25])
@pytest.mark.parametrize("top_mm2", [115, 160, 240])
def test_a_brainstem_does_not_enter_the_mean_on_its_way_to_the_cord(ramp_mm, top_mm2):
    """What is below the size of any cord up there is still no cord: 8 % of the mean at worst."""
    areas = [*[70.0] * 60, *np.linspace(70, top_mm2, ramp_mm + 1)[1:], *[top_mm2] * 20]
    data = stack_of_discs(areas)
    with pytest.warns(MeasurementWarning, match="does it hold the brain"):
        table = measure(Volume(data, np.diag([-0.5, 0.5, 1.0, 1.0])), shape=False)
    assert aggregate(table)["area_mm2"][0] == pytest.approx(70.0, rel=7e-3)
    assert not table["flag"].iloc[:60].str.contains("outlier").any()


@pytest.mark.parametrize("largest_mm2", [80, 95, 105])
def test_a_cord_that_grows_to_less_than_is_implausible_has_no_slice_that_is_too_large(largest_mm2):
    areas = [*np.linspace(60, largest_mm2, 40), *np.linspace(largest_mm2, 60, 40)]
    table = measure(Volume(stack_of_discs(areas), np.diag([-0.5, 0.5, 1.0, 1.0])), shape=False)
    assert not table["flag"].str.contains("outlier").any()


def stack_of_discs(areas_mm2) -> np.ndarray:
    """Soft discs in pixels of 0.5 mm."""
    data = np.zeros((48, 48, len(areas_mm2)))
    apart = np.hypot(*np.indices((48, 48)) - 23.5) * 0.5
    for k, area_mm2 in enumerate(areas_mm2):
        disc = np.clip((np.sqrt(area_mm2 / np.pi) - apart) / 0.5 + 0.5, 0, 1)
        data[..., k] = disc * area_mm2 / (disc.sum() * 0.25)
    return np.minimum(data, 1)


@pytest.mark.parametrize(("slices", "thickness_mm"), [(4, 2.0), (8, 2.0), (3, 5.0), (1, 5.0)])
@pytest.mark.parametrize("tilt_deg", [30, 58, 62, 75])
def test_a_short_stack_tipped_beyond_the_limit_is_refused_and_measured_below(
    slices, thickness_mm, tilt_deg
):
    """Too short to show where it runs: cut along the cord it held up to 95 mm² without a word."""
    sampled = sample(Tube(), (1.0, 1.0, thickness_mm), length_mm=slices * thickness_mm)
    turn, angle = np.eye(4), np.radians(tilt_deg)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    tipped = Volume(sampled.soft.data, turn @ sampled.soft.affine)
    if tilt_deg > 60:
        with pytest.raises(InputError, match=f"axis, found .* {tilt_deg}° by the header"):
            measure(tipped, shape=False)
    else:
        area = measure(tipped, shape=False)["area_mm2"]
        np.testing.assert_allclose(area, measure(sampled.soft)["area_mm2"], rtol=1e-6)


def test_a_tapering_and_a_compressed_cord_have_no_slice_that_is_too_large():
    data = np.zeros((24, 24, 40))
    for k, area_mm2 in enumerate(np.linspace(20, 80, 40)):
        inside = np.hypot(*np.indices((24, 24)) - 11.5) < np.sqrt(area_mm2 / np.pi)
        data[..., k] = inside
    data[:, [8, 9, 14, 15], 24:27] = 0  # flattened to half
    with warnings.catch_warnings():
        warnings.simplefilter("error", MeasurementWarning)
        table = measure(Volume(data, np.diag([-1.0, 1.0, 1.0, 1.0])), shape=False)
    assert not table["flag"].str.contains("outlier|implausible").any()


def test_the_own_mask_as_centreline_changes_nothing(bent):
    plain, given = measure(bent.soft), measure(bent.soft, centreline=bent.soft)
    for angle in ("angle_ap_deg", "angle_rl_deg"):
        np.testing.assert_allclose(given[angle], plain[angle], atol=0.1)
    np.testing.assert_allclose(given["area_mm2"], plain["area_mm2"], rtol=1e-3)


def test_a_centreline_file_gives_the_direction(tilted, tmp_path):
    path = tmp_path / "line.csv"
    z = np.linspace(-15, 15, 7)
    rows = [f"0,{v * np.tan(np.radians(20)):.6f},{v:.6f}" for v in z]
    path.write_text("x_mm,y_mm,z_mm\n" + "\n".join(rows))
    table = measure(tilted.binary, centreline=path)
    np.testing.assert_allclose(table["angle_rl_deg"], 20.0, atol=0.01)
    path.write_text("x_mm,y_mm\n1,2\n")
    with pytest.raises(InputError, match="needs columns x_mm, y_mm, z_mm"):
        measure(tilted.binary, centreline=path)


@pytest.mark.parametrize(("every", "within"), [(1, 2e-3), (10, 0.01), (20, 0.03)])
def test_points_far_apart_give_a_smooth_centreline_to_its_ends(every, within, tmp_path):
    path = tmp_path / "line.csv"
    wave = Curve(tilt_deg=(0.0, 10.0), amplitude_mm=(0.0, 3.0), period_mm=120.0)
    for curve in (Curve(radius_mm=150.0), wave):
        mask = sample(Tube(curve), (1.0, 1.0, 1.0), length_mm=81).soft
        plain = measure(mask, shape=False)
        points = plain[[f"centre_{axis}_mm" for axis in "xyz"]].iloc[::every]
        points.rename(columns=lambda name: name[7:]).to_csv(path, index=False)
        area = measure(mask, centreline=path, shape=False)["area_mm2"]
        np.testing.assert_allclose(area, plain["area_mm2"], rtol=within)


def straight(mm, tilt_deg=20.0, aside_mm=0.0, above_mm=0.0):
    z = np.linspace(-mm, mm, 9)
    y = z * np.tan(np.radians(tilt_deg))
    rows = [f"{aside_mm},{b:.4f},{c + above_mm:.4f}" for b, c in zip(y, z, strict=True)]
    return "x_mm,y_mm,z_mm\n" + "\n".join(rows)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ({"aside_mm": 500.0}, "found 500 mm away"),
        ({"aside_mm": -16.0}, "found 16 mm away"),
        ({"above_mm": 600.0}, "found 5[0-9]{2} mm away"),
        ({"tilt_deg": 55.0}, r"found turned by 35°|mm away"),
        ({"tilt_deg": -12.0}, "found turned by 32°"),
    ],
)
def test_a_centreline_of_another_cord_is_refused(tilted, tmp_path, line, found):
    path = tmp_path / "line.csv"
    path.write_text(straight(15, **line))
    with pytest.raises(InputError, match=f"line.csv: a centreline must run along mask, {found}"):
        measure(tilted.soft, centreline=path)
    other = sample(Tube(), (0.8, 0.8, 0.8), length_mm=30).soft
    moved = replace(other, affine=np.diag([1.0, 1, 1, 1]) + 0.0)
    moved.affine[:3] = other.affine[:3]
    moved.affine[0, 3] += 60
    with pytest.raises(InputError, match="found 60 mm away"):
        measure(tilted.soft, centreline=moved)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["0,0,0", "0,0,0"], "points of a centreline must differ, found one twice"),
        (["0,0,-9", "0,0,9", "0,0,-9"], "points of a centreline must differ, found one twice"),
        (["0,-20,0", "0,20,0"], "must run within 60° of the slices' normal, found 90°"),
        (["0,-9,-3", "0,9,3"], "must run within 60° of the slices' normal, found 72°"),
        (["0,0,0", "0,0.1,0.5"], r"must reach over two slices \(1.6 mm\), found 0.5 mm"),
    ],
)
def test_points_that_are_no_course_are_refused(tilted, tmp_path, rows, said):
    path = tmp_path / "line.csv"
    path.write_text("\n".join(["x_mm,y_mm,z_mm", *rows]))
    with pytest.raises(InputError, match=f"line.csv: .*{said}"):
        measure(tilted.soft, centreline=path)


def test_a_centreline_that_ends_before_the_cord_is_said(tilted, tmp_path):
    path = tmp_path / "line.csv"
    path.write_text(straight(4))
    with pytest.warns(MaskWarning, match=r"it misses 2\d mm of it"):
        table = measure(tilted.soft, centreline=path)
    np.testing.assert_allclose(percent(table["area_mm2"], 70.0), 0, atol=0.2)


def test_a_threshold_measures_the_binary_mask(tilted):
    np.testing.assert_allclose(
        measure(tilted.soft, threshold=0.5)["area_mm2"], measure(tilted.binary)["area_mm2"]
    )
    with pytest.raises(InputError, match=r"needs voxels above 1\.5, found a maximum of 1"):
        measure(tilted.soft, threshold=1.5)
    with pytest.raises(InputError, match="--threshold must be 0 or above"):
        measure(tilted.soft, threshold=-1)


def test_a_cord_at_the_side_of_the_field_is_flagged(tilted):
    cut = tilted.soft.data[tilted.soft.data.shape[0] // 2 :]
    table = measure(Volume(cut, tilted.soft.affine))
    assert table["flag"].str.contains("cut").all()


def test_reading_from_a_file_changes_nothing(tilted, tmp_path):
    path = tilted.soft.save(tmp_path / "mask.nii.gz")
    from_file = measure(path)
    assert (from_file["file"] == str(path)).all()
    np.testing.assert_allclose(from_file["area_mm2"], measure(tilted.soft)["area_mm2"], rtol=1e-6)


def test_measuring_raises_no_numerical_warning(bent):
    data = bent.soft.data.copy()
    data[:, :, 5] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(bent.soft.like(data))


@pytest.mark.real
def test_real_masks_have_areas_of_cervical_cords(real_data):
    """Manual masks of axial T2*w slices; the population's C2-C3 is 72 ± 7 mm² on T2w."""
    masks = sorted(real_data.glob("derivatives/labels/sub-sgmask*/**/*T2star_label-SC_seg.nii.gz"))
    assert len(masks) >= 6
    means = [aggregate(measure(mask))["area_mm2"][0] for mask in masks]
    assert 55 < min(means) < max(means) < 90


def test_masks_that_are_no_whole_cord_are_said(tilted):
    """A mask scaled to 0.4, an outline, and one full of holes: areas that no level rules out."""
    scaled = tilted.soft.like(0.4 * tilted.soft.data)
    with pytest.warns(MeasurementWarning, match=r"highest value is 0\.4; .* --full-value 0\.4"):
        measure(scaled)
    assert np.allclose(
        measure(scaled, full_value=0.4)["area_mm2"], measure(tilted.soft)["area_mm2"]
    )
    binary = tilted.binary.data
    inside = ndimage.binary_erosion(binary > 0, np.ones((3, 3, 1)))
    random = np.random.default_rng(0).random(binary.shape) > 0.3
    for spoilt in (np.where(inside, 0, binary), np.where(inside & random, 0, binary)):
        with pytest.warns(MeasurementWarning, match="holes within slices, or an outline"):
            measure(tilted.soft.like(spoilt))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measure(tilted.soft)
        measure(tilted.binary)
