"""The analytic tubes are what they claim: their areas are known without the code under test."""

import numpy as np
import pytest
from tubes import DIFFICULT, STANDARD, Curve, Tube, covered, sample

from softseg.volume import Grid


def slice_areas(sampled):
    return sampled.soft.data.sum(axis=(0, 1)) * np.prod(sampled.soft.spacing_mm[:2])


def test_an_upright_tubes_slices_hold_the_ellipses_area():
    sampled = sample(Tube(), (0.8, 0.8, 2.0), length_mm=10, offset_voxels=(0.3, 0.7, 0.1))
    np.testing.assert_allclose(slice_areas(sampled), 70.0, rtol=5e-4)


@pytest.mark.parametrize("tilt_deg", [(0.0, 30.0), (25.0, 0.0), (15.0, 20.0)])
def test_a_tilted_tubes_slices_are_larger_by_the_secant(tilt_deg):
    sampled = sample(Tube(Curve(tilt_deg=tilt_deg)), (1.0, 1.0, 5.0), length_mm=20)
    secant = np.sqrt(1 + (np.tan(np.radians(tilt_deg)) ** 2).sum())
    np.testing.assert_allclose(slice_areas(sampled), 70.0 * secant, rtol=5e-4)


@pytest.mark.parametrize("name", ["wave of 6 mm", "compressed", "sinuous"])
def test_covered_fractions_agree_with_counting_points_inside(name):
    tube = (STANDARD | DIFFICULT)[name]()
    first = (-12.0, -12.0, -4.0)
    soft = tube.fractions((25, 25, 4), (1.0, 1.0, 2.0), first)
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[:3, 3] = first
    counted = covered(Grid(soft.shape, affine), tube)
    assert np.abs(soft - counted).max() < 0.1
    np.testing.assert_allclose(soft.sum(axis=(0, 1)), counted.sum(axis=(0, 1)), rtol=5e-3)


def test_a_tapering_tubes_true_area_is_the_mean_over_its_slab():
    tube = Tube(taper_per_mm=0.01)
    areas = tube.slab_areas(3, 5.0, -5.0)
    np.testing.assert_allclose(areas, 70.0 * (1 + 0.01 * np.array([-5.0, 0.0, 5.0])), rtol=1e-12)


def test_a_bent_tube_keeps_its_volume_per_length_of_centreline():
    """Pappus: the volume between two sections is area times the centreline between them."""
    tube = STANDARD["arc of 100 mm"]()
    sampled = sample(tube, (0.5, 0.5, 0.5), length_mm=40)
    volume = slice_areas(sampled).sum() * 0.5
    length = 2 * 100.0 * np.arcsin(20.0 / 100.0)
    assert volume == pytest.approx(70.0 * length, rel=3e-3)


def test_the_binary_tube_holds_the_voxels_more_than_half_covered():
    sampled = sample(Tube(), (1.0, 1.0, 5.0), length_mm=5)
    np.testing.assert_array_equal(sampled.binary.data == 1, sampled.soft.data > 0.5)
    assert set(np.unique(sampled.binary.data)) == {0.0, 1.0}
