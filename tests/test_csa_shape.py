"""Diameters, eccentricity, orientation and solidity of figures whose shape is known."""

import numpy as np
import pytest
from tubes import Curve, Tube, sample

from softseg.csa.measure import measure
from softseg.volume import Volume

AXES = (12.0, 4 * 70.0 / (np.pi * 12.0))


def drawn(inside, spacing=(0.5, 0.5, 3.0), half_mm=10.0, slices=3, fine=8) -> Volume:
    """A prism over the figure `inside(x, y)`, by counting points; x to the left, y forward."""
    counts = [round(2 * half_mm / s) for s in spacing[:2]]
    axes = [
        -half_mm + (np.arange(n)[:, None] + (np.arange(fine) + 0.5) / fine).ravel() * s
        for n, s in zip(counts, spacing, strict=False)
    ]
    points = inside(*np.meshgrid(*axes, indexing="ij")).astype(float)
    plane = points.reshape(counts[0], fine, counts[1], fine).mean(axis=(1, 3))
    affine = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    return Volume(np.repeat(plane[:, :, None], slices, axis=2), affine)


def ellipse(angle_deg=0.0, axes=AXES):
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return lambda x, y: (
        ((c * x + s * y) / axes[0] * 2) ** 2 + ((c * y - s * x) / axes[1] * 2) ** 2 <= 1
    )


@pytest.mark.parametrize("spacing", [(0.5, 0.5, 5.0), (0.9, 0.9, 5.0), (0.8, 0.8, 0.8)])
@pytest.mark.parametrize("tilt_deg", [(0.0, 0.0), (0.0, 25.0), (20.0, 0.0)])
def test_an_ellipse_has_its_diameters_and_eccentricity_at_every_tilt(spacing, tilt_deg):
    table = measure(sample(Tube(Curve(tilt_deg=tilt_deg)), spacing, length_mm=20).soft)
    np.testing.assert_allclose(table["diameter_rl_mm"], AXES[0], rtol=0.01)
    # Mean height of the ellipse over its central 3 mm.
    u = np.linspace(-1.5, 1.5, 1001)
    central = AXES[1] * np.sqrt(1 - (2 * u / AXES[0]) ** 2).mean()
    np.testing.assert_allclose(table["diameter_ap_mm"], central, rtol=0.02)
    eccentricity = np.sqrt(1 - (AXES[1] / AXES[0]) ** 2)
    np.testing.assert_allclose(table["eccentricity"], eccentricity, atol=0.01)
    np.testing.assert_allclose(table["orientation_deg"], 0.0, atol=0.5)
    np.testing.assert_allclose(table["solidity"], 1.0, atol=0.01)


@pytest.mark.parametrize("angle_deg", [-30, -5, 12, 40])
def test_orientation_is_the_angle_of_the_long_axis_and_turns_leave_diameters(angle_deg):
    row = measure(drawn(ellipse(angle_deg)), angle_correction=False).iloc[1]
    assert row["orientation_deg"] == pytest.approx(angle_deg, abs=0.3)
    assert row["diameter_rl_mm"] == pytest.approx(AXES[0], rel=0.01)
    straight = measure(drawn(ellipse(0)), angle_correction=False).iloc[1]
    assert row["diameter_ap_mm"] == pytest.approx(straight["diameter_ap_mm"], rel=0.02)


def test_a_cord_longer_from_back_to_front_keeps_the_names_of_its_diameters():
    row = measure(drawn(ellipse(0, (8.0, 10.0)))).iloc[1]
    assert row["diameter_rl_mm"] == pytest.approx(8.0, rel=0.01)
    assert row["diameter_ap_mm"] == pytest.approx(9.8, rel=0.03)


def test_a_circle_has_no_eccentricity():
    row = measure(drawn(ellipse(0, (9.0, 9.0)))).iloc[1]
    assert row["eccentricity"] < 0.1


def test_a_notch_lowers_solidity_by_its_share_of_the_hull():
    """A square of 10 mm with a notch of 2 by 3 mm in front: 94 of 100 mm²."""

    def notched(x, y):
        square = (np.abs(x) < 5) & (np.abs(y) < 5)
        return square & ~((np.abs(x) < 1) & (y > 2))

    row = measure(drawn(notched)).iloc[1]
    assert row["solidity"] == pytest.approx(0.94, abs=0.01)
    sideways = measure(drawn(lambda x, y: notched(y, x))).iloc[1]
    assert sideways["solidity"] == pytest.approx(0.94, abs=0.01)


def test_a_binary_mask_has_nearly_the_shape_of_the_soft_one():
    sampled = sample(Tube(), (0.5, 0.5, 5.0), length_mm=20, offset_voxels=(0.3, 0.2, 0))
    soft, binary = measure(sampled.soft), measure(sampled.binary)
    for name in ("diameter_ap_mm", "diameter_rl_mm"):
        np.testing.assert_allclose(binary[name], soft[name], rtol=0.04)
    assert (binary["solidity"] > 0.93).all()


def test_moments_agree_with_another_library():
    measurements = pytest.importorskip("skimage.measure")
    mask = drawn(ellipse(20), spacing=(0.5, 0.5, 3.0))
    plane = (mask.data[:, :, 1] > 0.5).astype(int)
    other = measurements.regionprops(plane, spacing=(0.5, 0.5))[0]
    row = measure(mask.like((mask.data > 0.5).astype(float))).iloc[1]
    assert row["diameter_rl_mm"] == pytest.approx(other.axis_major_length, rel=0.01)
    assert row["eccentricity"] == pytest.approx(other.eccentricity, abs=0.01)


def test_without_shape_the_columns_are_empty_and_areas_the_same():
    mask = drawn(ellipse(0))
    table, full = measure(mask, shape=False), measure(mask)
    assert table["solidity"].isna().all()
    np.testing.assert_array_equal(table["area_mm2"], full["area_mm2"])
