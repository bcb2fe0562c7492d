"""What rows of voxels tell, beside SciPy's components and distances."""

import numpy as np
import pytest
from scipy import ndimage
from tubes import STANDARD, sample

from softseg.rows import one_piece, unbroken, within

CORNERS = np.ones((3, 3, 3), dtype=bool)


def random_masks():
    rng = np.random.default_rng(3)
    for share in (0.02, 0.1, 0.3, 0.6, 0.9, 1.0):
        for size in ((1, 1, 1), (2, 3, 1), (3, 2, 4), (4, 5, 6)):
            for _ in range(40):
                yield rng.random(size) < share


def test_what_is_called_one_piece_is_one_and_no_hole_is_missed():
    called = 0
    for mask in random_masks():
        if one_piece(mask):
            called += 1
            assert ndimage.label(mask, structure=CORNERS)[1] == 1
        if unbroken(mask):
            across = CORNERS & (np.abs(np.indices((3, 3, 3)) - 1).sum(axis=0) <= 1)
            across[1, 1, [0, 2]] = False
            assert (ndimage.binary_fill_holes(mask, structure=across) == mask).all()
    assert called > 100


@pytest.mark.parametrize("name", STANDARD)
def test_every_standard_tube_is_seen_to_be_one_piece(name):
    sampled = sample(STANDARD[name](), (0.8, 0.8, 2.0), length_mm=40)
    for mask in (sampled.soft.data >= 0.1, sampled.binary.data > 0):
        assert one_piece(mask)
        assert not one_piece(mask & (np.arange(mask.shape[2]) != 9))


@pytest.mark.parametrize("lookups", [0, 10**7])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.7, 5.0), (3.0, 0.3, 0.9)])
def test_distances_are_those_of_scipy(lookups, spacing, monkeypatch):
    monkeypatch.setattr("softseg.rows.MOST_LOOKUPS", lookups)
    rng, spacing = np.random.default_rng(4), np.array(spacing)
    inside = rng.random((12, 11, 10)) < 0.01
    wanted = ~inside & (rng.random(inside.shape) < 0.5)
    distance = ndimage.distance_transform_edt(~inside, sampling=tuple(spacing))
    found = within(inside, wanted, spacing, 2.0 + 1e-6)
    np.testing.assert_array_equal(found, wanted & (distance <= 2.0 + 1e-6))
    assert found.any()
