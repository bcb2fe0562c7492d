"""What a mask must be: fractions, on its image's grid, one cord."""

import warnings

import numpy as np
import pytest

from softseg.errors import InputError
from softseg.masks import (
    GRID_TOLERANCE_MM,
    OVERSHOOT,
    VALUE_TOLERANCE,
    as_fractions,
    bounding_box,
    check_grid,
    cord_component,
    finite_range,
    same_grid,
)
from softseg.volume import Volume


def cord(missing=()):
    """A square cord of 8 mm in 30 slices of 24 x 24 voxels of 1 mm."""
    soft = np.zeros((24, 24, 30), np.float32)
    soft[8:16, 8:16] = 1
    soft[..., list(missing)] = 0
    return soft


def test_values_that_are_fractions_are_returned_as_they_are():
    for values in (np.array([0.0, 0.4, 1.0]), np.array([True, False]), np.zeros(0)):
        assert as_fractions(values) is values


def test_values_beyond_are_clipped_said_or_refused_by_how_far_they_go():
    for by in (0.9 * VALUE_TOLERANCE, 1.1 * VALUE_TOLERANCE, OVERSHOOT):
        beyond = np.array([-by, 0.5, 1 + by])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert as_fractions(beyond, "a.nii").tolist() == [0, 0.5, 1]
        said = [str(warning.message) for warning in caught]
        assert bool(said) == (by > VALUE_TOLERANCE)
        assert all(line.startswith("a.nii: a mask lies in [0, 1], found [-0.") for line in said)
    for wrong in (-1.1 * OVERSHOOT, 1 + 1.1 * OVERSHOOT):
        with pytest.raises(InputError, match=r"^a.nii: a mask must lie in \[0, 1\], found"):
            as_fractions(np.array([0.5, wrong]), "a.nii")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(InputError, match=r"^a mask must be finite, found 1 NaN or infinite"):
        as_fractions(np.array([0.5, bad]))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ">f4", np.int16])
def test_the_range_is_found_by_the_bits_of_values_and_by_their_size_alike(kind):
    for values in ([0, 0.25, 3], [-0.0, 0.25], [-2, 0.25], [-2, -1], []):
        array = np.array(values).astype(kind)
        for each in (array, array[::-1]):
            assert finite_range(each) == (min([0, *each]), max([0, *each]))


def moved(volume, along_x_mm):
    affine = volume.affine.copy()
    affine[0, 3] += along_x_mm
    return Volume(volume.data, affine)


def test_a_mask_lies_on_its_images_grid_but_for_the_rounding_of_headers():
    image = Volume(np.zeros((4, 5, 6)), np.diag([-0.5, 0.5, 5.0, 1.0]))
    near, far = (moved(image, share * GRID_TOLERANCE_MM) for share in (0.9, 1.1))
    check_grid(near, image)
    check_grid(near, image.grid)
    assert same_grid(near.grid, image.grid)
    assert not same_grid(far.grid, image.grid)


def test_a_grid_that_differs_by_little_is_refused_with_the_difference():
    image = Volume(np.zeros((4, 5, 6)), np.diag([-0.5, 0.5, 5.0, 1.0]))
    rule = "m.nii: a mask must lie on the grid of t2.nii, found its corners up to 0.13 mm away"
    mask = Volume(image.data, moved(image, 0.13).affine, path="m.nii")
    with pytest.raises(InputError, match=rule):
        check_grid(mask, image.grid, "t2.nii")
    shorter = Volume(image.data[..., :5], image.affine)
    with pytest.raises(InputError, match=r"found 4 x 5 x 5 voxels of .* instead of 4 x 5 x 6"):
        check_grid(shorter, image)


def test_the_box_is_the_smallest_in_any_dimension():
    rng = np.random.default_rng(0)
    for shape in ((30,), (9, 14), (9, 14, 8)):
        mask = rng.random(shape) > 0.97
        mask[(2,) * len(shape)] = True
        where = np.argwhere(mask)
        expected = zip(where.min(0), where.max(0) + 1, strict=True)
        assert bounding_box(mask) == tuple(slice(a, b) for a, b in expected)
    assert bounding_box(np.zeros((3, 3, 3), bool)) is None


def test_no_cord_is_found_where_no_value_reaches_a_tenth():
    assert cord_component(np.full((4, 4, 4), 0.09), (1, 1, 1)) is None


def test_a_rim_of_two_millimetres_counts_and_low_values_further_out_do_not():
    soft = cord()
    found = cord_component(np.where(soft > 0, soft, 0.05), (1.0, 1.0, 1.0))
    plane = found.restored(soft)[..., 15]
    assert plane[12, 12] == 1
    assert (plane[12, :6] == 0).all()  # more than 2 mm off the cord's edge at 8
    np.testing.assert_allclose(plane[12, 6:8], 0.05)
    assert found.core.sum() == soft.sum()


@pytest.mark.parametrize("missing", [range(10, 15), range(10, 22), [1, 3, 5, *range(9, 28)]])
def test_pieces_that_continue_the_cord_belong_to_it_whatever_the_gap(missing):
    soft = cord(missing=missing)
    found = cord_component(soft, (1.0, 1.0, 1.0))
    assert found.other_components == 0
    assert (found.restored(soft) == soft).all()


def test_a_piece_beyond_a_gap_continues_the_cord_where_that_is_heading_and_as_wide():
    soft = np.pad(cord(missing=range(10, 20)), ((0, 20), (0, 0), (0, 0)))
    aside = soft.copy()
    aside[:, :, 20:] = np.roll(soft[:, :, 20:], 14, axis=0)
    thin = soft.copy()
    thin[:11, :, 20:] = 0
    thin[14:, :, 20:] = 0
    wide = soft.copy()
    wide[2:22, 2:22, 20:22] = 1.0
    for other in (aside, thin, wide):
        found = cord_component(other, (1.0, 1.0, 1.0))
        assert found.other_components == 1
        assert (found.core.any(axis=(0, 1))).sum() == 10


def test_one_empty_slice_is_bridged_in_a_torn_cord_too():
    soft = cord(missing=[10])
    for torn in (False, True):
        found = cord_component(soft, (1.0, 1.0, 17.0), torn=torn)
        assert found.other_components == 0


def test_other_objects_are_left_out_and_counted():
    soft = cord()
    with_others = soft.copy()
    with_others[1:3, 1:3, 4:7] = 0.5
    with_others[20:23, 1:3, 20:22] = 1.0
    found = cord_component(with_others, (1.0, 1.0, 1.0))
    assert (found.restored(soft) == soft).all()
    assert (found.other_components, found.other_voxels) == (2, 18.0)


def test_a_thin_piece_beside_the_end_does_not_continue_the_cord():
    soft = cord()
    soft[..., 20:] = 0
    soft[11, 11, 22:] = 1.0
    assert cord_component(soft, (1.0, 1.0, 1.0)).other_components == 1


def test_a_scrap_of_a_torn_cord_joins_what_lies_above_and_below_it():
    """A network may leave a few voxels of the slices that it loses; they are no second object."""
    soft = cord(missing=range(10, 20))
    soft[11, 11, 14] = 1.0
    assert (cord_component(soft, (1.0, 1.0, 1.0), torn=True).restored(soft) == soft).all()
    assert cord_component(soft, (1.0, 1.0, 1.0)).other_components == 1
    soft[11, 11, 14] = 0.0
    assert cord_component(soft, (1.0, 1.0, 1.0), torn=True).other_components == 1
