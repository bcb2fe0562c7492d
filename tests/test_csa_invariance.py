"""What must not matter does not: place, storage, padding, orientation, unit of length."""

import functools
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tubes import Curve, Tube, sample

from softseg.csa.measure import MeasurementWarning, measure
from softseg.errors import InputError
from softseg.masks import MaskWarning
from softseg.volume import Volume

EXACT = 1e-6
CODES = ["LAS", "RAS", "LPI", "ASL", "SRP", "IPR", "PIL", "RSA"]
MEASURES = ["area_mm2", "diameter_ap_mm", "diameter_rl_mm", "eccentricity", "length_mm"]
ANGLES = ["angle_ap_deg", "angle_rl_deg", "orientation_deg"]
quick = settings(max_examples=12, deadline=None, derandomize=True)


@functools.cache
def cord(binary: bool = False) -> Volume:
    tube = Tube(Curve(tilt_deg=(5.0, 12.0), amplitude_mm=(1.0, 2.5), period_mm=70.0))
    sampled = sample(tube, (0.9, 0.8, 2.3), length_mm=46, offset_voxels=(0.2, 0.6, 0.3))
    return sampled.binary if binary else sampled.soft


def assert_same(table, other, *, rtol=EXACT):
    for name in MEASURES:
        np.testing.assert_allclose(table[name], other[name], rtol=rtol, err_msg=name)
    for name in ANGLES:
        np.testing.assert_allclose(table[name], other[name], atol=1e-4, err_msg=name)


def placed(data: np.ndarray, affine: np.ndarray, before: np.ndarray) -> Volume:
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3] @ before
    return Volume(data, moved)


@quick
@given(
    before=st.tuples(*[st.integers(0, 40)] * 2, st.integers(0, 9)),
    after=st.tuples(*[st.integers(0, 40)] * 2, st.integers(0, 9)),
    binary=st.booleans(),
)
def test_padding_and_place_in_the_field_do_not_matter(before, after, binary):
    mask = cord(binary)
    padded = np.pad(mask.data, list(zip(before, after, strict=True)))
    table, moved = measure(mask), measure(placed(padded, mask.affine, np.array(before)))
    assert_same(table, moved)
    np.testing.assert_array_equal(moved["slice"], table["slice"] + before[2])
    for axis in "xyz":
        centre = f"centre_{axis}_mm"
        np.testing.assert_allclose(moved[centre], table[centre], atol=1e-5)


@quick
@given(codes=st.sampled_from(CODES), binary=st.booleans())
def test_storage_order_and_direction_of_the_axes_do_not_matter(codes, binary):
    mask = cord(binary)
    table, turned = measure(mask), measure(mask.oriented(codes))
    assert_same(table, turned)
    np.testing.assert_array_equal(turned["slice"], table["slice"])


@quick
@given(axis=st.integers(0, 2), binary=st.booleans())
def test_a_mirrored_cord_has_the_same_areas(axis, binary):
    mask = cord(binary)
    table = measure(mask)
    mirrored = measure(mask.like(np.flip(mask.data, axis)))
    order = slice(None, None, -1) if axis == 2 else slice(None)
    for name in MEASURES:
        np.testing.assert_allclose(mirrored[name][order], table[name], rtol=EXACT, err_msg=name)


@quick
@given(scale=st.floats(0.7, 1.4), binary=st.booleans())
def test_area_grows_with_the_square_of_the_unit_of_length(scale, binary):
    mask = cord(binary)
    affine = mask.affine.copy()
    affine[:3] *= scale
    table, scaled = measure(mask), measure(Volume(mask.data, affine))
    np.testing.assert_allclose(scaled["area_mm2"], table["area_mm2"] * scale**2, rtol=EXACT)
    for name in ("diameter_rl_mm", "length_mm"):
        np.testing.assert_allclose(scaled[name], table[name] * scale, rtol=EXACT)
    for name in (*ANGLES, "eccentricity", "solidity"):
        np.testing.assert_allclose(scaled[name], table[name], atol=1e-4)


@quick
@given(
    pitch=st.floats(-25, 25),
    roll=st.floats(-25, 25),
    yaw=st.floats(-25, 25),
)
def test_how_the_patient_lay_in_the_scanner_does_not_matter(pitch, roll, yaw):
    mask = cord()
    turn = np.eye(4)
    for (a, b), angle in zip(((1, 2), (0, 2), (0, 1)), (pitch, roll, yaw), strict=True):
        step = np.eye(4)
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        step[[a, a, b, b], [a, b, a, b]] = c, -s, s, c
        turn = step @ turn
    table, turned = measure(mask), measure(Volume(mask.data, turn @ mask.affine))
    assert_same(table, turned)


@pytest.mark.parametrize("codes", ["LAS", "ASL"])
def test_memory_layout_and_type_of_the_values_do_not_matter(codes):
    mask = cord(True).oriented(codes)
    table = measure(mask)
    for dtype in (np.uint8, bool, np.float32):
        assert_same(table, measure(mask.like(np.asfortranarray(mask.data.astype(dtype)))))


def test_slices_that_are_sheared_against_each_other_are_measured_as_they_lie():
    """A gantry tilt: each slice lies further forward than the last, the upright cord with it."""
    tilted = sample(Tube(Curve(tilt_deg=(0.0, 20.0))), (0.8, 0.8, 2.0), length_mm=40).soft
    sheared = tilted.affine.copy()
    sheared[1, 2] = -2.0 * np.tan(np.radians(20))  # makes the centreline upright in space
    table = measure(Volume(tilted.data, sheared))
    np.testing.assert_allclose(table["angle_rl_deg"], 0.0, atol=0.1)
    np.testing.assert_allclose(table["area_mm2"], 70.0 / np.cos(np.radians(20)), rtol=1e-3)


def test_slices_that_are_oblique_to_an_upright_cord_give_its_perpendicular_area():
    """The same tube cut square and cut at 20° has one area."""
    square = measure(sample(Tube(), (0.8, 0.8, 2.0), length_mm=40).soft)
    oblique = measure(sample(Tube(Curve(tilt_deg=(0.0, 20.0))), (0.8, 0.8, 2.0), length_mm=40).soft)
    np.testing.assert_allclose(oblique["area_mm2"].mean(), square["area_mm2"].mean(), rtol=1e-3)
    for name in ("diameter_ap_mm", "diameter_rl_mm", "eccentricity"):
        np.testing.assert_allclose(oblique[name].mean(), square[name].mean(), rtol=0.01)


@quick
@given(shift=st.tuples(*[st.floats(0, 1)] * 3))
def test_a_shift_by_part_of_a_voxel_leaves_soft_areas_within_a_tenth_of_a_per_cent(shift):
    sampled = sample(Tube(Curve(tilt_deg=(0, 15))), (1.0, 1.0, 5.0), length_mm=40,
                     offset_voxels=shift)  # fmt: skip
    np.testing.assert_allclose(measure(sampled.soft)["area_mm2"], 70.0, rtol=1e-3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_mask_whatever_its_shape_ends_in_anything_but_a_table_or_a_refusal(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, size=3))
    data = np.clip(rng.normal(rng.uniform(-2, 1), rng.uniform(0.1, 2), size=shape), 0, 1)
    if rng.random() < 0.3:
        data = (data > 0.5).astype(np.float32)
    affine = np.eye(4)
    affine[:3, :3] = np.diag(rng.uniform(0.3, 6, 3) * rng.choice([-1, 1], 3))
    affine[:3, :3] += rng.uniform(-0.1, 0.1, (3, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in (MeasurementWarning, MaskWarning):
            warnings.simplefilter("ignore", kind)
        try:
            table = measure(Volume(data, affine))
        except InputError as error:
            refusal = str(error)
            known = ("of at least 0.1", "a background of", "within 60° of the body's axis")
            assert any(rule in refusal for rule in known)
            return
    filled = table["area_mm2"].notna()
    assert filled.any()
    assert (table.loc[filled, "area_mm2"] > 0).all()
    voxel = abs(np.linalg.det(affine[:3, :3]))
    volume = (table["area_mm2"] * table["length_mm"]).sum()
    assert volume < 1.5 * data.sum() * voxel + 1e-6


def test_memory_is_bounded_by_the_field_and_not_by_copies_of_it():
    """A large field costs a byte or two a voxel on top of the mask, whatever is asked."""
    small = sample(Tube(), (1.0, 1.0, 2.0), length_mm=60).soft.data.astype(np.float32)
    data = np.zeros((320, 320, 120), np.float32)
    data[150 : 150 + small.shape[0], 150 : 150 + small.shape[1], 40 : 40 + small.shape[2]] = small
    mask = Volume(data, np.diag([-1.0, 1.0, 2.0, 1.0]))
    levels = mask.like((data > 0.5) * np.float32(3))
    for options in ({}, {"threshold": 0.5}, {"levels": levels}, {"centreline": mask}):
        tracemalloc.start()
        table = measure(mask, **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(table) == small.shape[2]
        assert peak < 2.5 * data.size


@pytest.mark.parametrize("codes", ["RAS", "LPI"])
def test_specks_in_the_corners_of_a_field_cost_a_label_a_voxel_and_no_copies(codes):
    """Of a field turned to its working orientation no side may be taken by way of a copy."""
    data = np.zeros((200, 200, 100), np.float32)
    data[94:106, 96:104, 30:70] = 1
    without = measure(Volume(data, np.diag([1.0, 1.0, 2.0, 1.0])).oriented(codes))
    data[0, 0, 0] = data[-1, -1, -1] = 1
    mask = Volume(data, np.diag([1.0, 1.0, 2.0, 1.0])).oriented(codes)
    tracemalloc.start()
    with pytest.warns(MeasurementWarning, match="2 other"):
        table = measure(mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * data.size  # labels take four bytes each; copies of the field took 33
    assert table["other_components"].eq(2).all()
    assert table["area_mm2"].tolist() == without["area_mm2"].tolist()
