"""Where a cord ends is seen along the mask: straightened pictures, the network, what it cuts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import loaded_script
from segmentation_network import discs

from softseg.phantom.acquisition import acquire
from softseg.phantom.anatomy import random_anatomy
from softseg.segmentation import along_cord
from softseg.segmentation.along_cord import (
    BEYOND_MM,
    SIDE_MM,
    SPARE_MM,
    STEP_MM,
    Pictures,
    below_the_cord,
    below_the_end,
    forward,
    most_like_a_cord,
    pictures,
)
from softseg.segmentation.engine import segment
from softseg.segmentation.slice_features import FEATURES, slice_features

SPACING = (1.0, 1.0, 2.0)
COLUMNS = round(2 * SIDE_MM / STEP_MM)


def tube(slices=40, slope=0.0, empty=0, radius=5.0) -> np.ndarray:
    """A mask that leans to the front, with nothing on its lowest slices."""
    height = np.arange(slices) - (slices - 1) / 2
    one = [discs([(0, slope * SPACING[2] * h)], (60, 60), SPACING, radius) for h in height]
    soft = np.concatenate(one, axis=2)
    soft[:, :, :empty] = 0
    return soft


def found_in(soft, image=None) -> Pictures:
    image = 1 - soft if image is None else image
    return pictures(soft, image, SPACING, slice_features(soft, image, SPACING, air=-9.0))


def test_pictures_follow_a_mask_that_leans():
    found = found_in(tube(slope=0.3))
    assert found.image.shape == found.soft.shape == (2, 79, COLUMNS)
    weight = found.soft.sum(axis=2)
    middle = (found.soft * np.arange(COLUMNS)).sum(axis=2) / weight
    np.testing.assert_allclose(middle, (COLUMNS - 1) / 2, atol=0.3)
    np.testing.assert_allclose(found.rows, np.arange(40) * 2.0, atol=1e-9)


def test_pictures_go_on_a_little_below_the_mask_and_end_with_the_image():
    found = found_in(tube(empty=30, slices=60))
    assert found.rows[30] == pytest.approx(BEYOND_MM)
    assert found.rows[-1] == found.image.shape[1] - 1
    assert np.isnan(found.features[:, : int(BEYOND_MM) - 2]).all()
    assert not found.soft[:, : int(BEYOND_MM) - 2].any()


def test_what_lies_outside_the_image_is_unknown():
    soft = tube()[15:45]
    found = found_in(soft)
    assert np.isnan(found.image[1, :, 0]).all()
    assert np.isfinite(found.image[0]).all()


def test_without_a_mask_there_are_no_pictures():
    assert found_in(np.zeros((20, 20, 5), np.float32), np.ones((20, 20, 5))) is None


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=60), st.floats(0.5, 8))
def test_only_what_lies_below_the_end_is_cut_and_never_what_is_sure(odds, step_mm):
    cut = below_the_end(np.array(odds), np.ones(len(odds), bool), step_mm)
    assert (np.diff(cut.astype(int)) <= 0).all()
    assert not below_the_end(np.abs(odds), np.ones(len(odds), bool), step_mm).any()


def test_the_tip_is_spared():
    odds = np.repeat([-9.0, 9.0], 20)
    assert below_the_end(odds, np.ones(40, bool), 2.0).sum() == 20 - SPARE_MM / 2


def cut_by(monkeypatch, odds) -> tuple[np.ndarray, float]:
    """What is cut off a tube whose slices 2 mm apart have these log odds, and the best of them."""
    soft = tube(slices=len(odds))
    monkeypatch.setattr(along_cord, "log_odds", lambda found, layers: np.asarray(odds))
    features = slice_features(soft, 1 - soft, SPACING, air=-9.0)
    return below_the_cord(soft, 1 - soft, SPACING, features)


def test_a_mask_without_any_cord_is_not_cut_but_unlikely(monkeypatch):
    ended, best = cut_by(monkeypatch, np.full(40, -6.0))
    assert best == pytest.approx(-6)
    assert not ended.all()
    ended, best = cut_by(monkeypatch, np.repeat([-6.0, 6.0], 20))
    assert best == pytest.approx(6)
    assert ended.sum() == 20 - SPARE_MM / 2


def test_what_looks_most_like_a_cord_is_never_cut(monkeypatch):
    odds = np.repeat([-9.0, 4.0, -9.0, -2.0], [10, 16, 40, 4])
    ended, best = cut_by(monkeypatch, odds)
    assert best == pytest.approx(4)
    assert ended.sum() == 10


def test_slices_without_a_mask_are_left_out_of_what_looks_most_like_a_cord():
    odds, masked = np.array([9.0, 9.0, 1.0, 2.0, 3.0]), np.array([False, False, True, True, True])
    assert most_like_a_cord(odds, masked, 15.0) == (2.5, 3)
    assert most_like_a_cord(odds, masked, 2.0) == (2.0, 2)


def test_slices_without_a_mask_say_nothing_about_the_end():
    masked = np.array([False] * 20 + [True] * 20)
    assert not below_the_end(np.where(masked, 5.0, -9.0), masked, 2.0).any()


def test_the_network_in_numpy_is_the_one_that_learns():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = loaded_script("notebooks/train_presence.py").AlongCord().eval()
    layers = {name: values.astype(np.float32) for name, values in network.arrays().items()}
    rng = np.random.default_rng(0)
    sides = rng.normal(size=(2, 4, 40, COLUMNS)).astype(np.float32)
    table = rng.normal(size=(len(FEATURES) + 1, 40)).astype(np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(sides[None]), torch.from_numpy(table[None]))[0].numpy()
    np.testing.assert_allclose(forward(sides, table, layers), wanted, atol=2e-3)


@pytest.fixture(scope="module")
def lumbar():
    """A digital spine from T11 to the sacrum, of an own seed, and the heights of its cord."""
    rng = np.random.default_rng([19, 4])
    scan = acquire(random_anatomy(rng), "T2w", rng=rng, voxel_scale=2.0, field_of_view="lumbar")
    return scan.image.oriented(), scan.truth.oriented().data.sum(axis=(0, 1)) > 0.1


def masked_mm(image, where, **options) -> float:
    soft = segment(image, weights="axial", **options).soft.oriented()
    masked = (soft.data > 0.5).any(axis=(0, 1))
    return float((masked & where).sum() * soft.spacing_mm[2])


def test_a_mask_ends_where_the_cord_does(lumbar):
    image, cord = lumbar
    assert masked_mm(image, ~cord, keep=True) > 50
    assert masked_mm(image, ~cord) <= SPARE_MM + 10
    assert masked_mm(image, cord) == masked_mm(image, cord, keep=True)


def test_what_is_kept_beyond_the_end_is_uncertain(lumbar):
    kept = segment(lumbar[0], weights="axial", keep=True)
    ended = segment(lumbar[0], weights="axial")
    areas = [(one.soft.oriented().data > 0.5).any(axis=(0, 1)) for one in (kept, ended)]
    beyond = set(np.flatnonzero(areas[0] & ~areas[1]).tolist())
    assert beyond
    assert beyond <= set(kept.reasons)
    assert not beyond & set(ended.reasons)


def test_in_a_neck_nothing_is_cut():
    rng = np.random.default_rng([19, 5])
    scan = acquire(random_anatomy(rng), "T1w", rng=rng, voxel_scale=1.5)
    everywhere = np.ones(scan.image.oriented().data.shape[2], bool)
    seen = segment(scan.image, weights="axial", keep=True).soft.data
    np.testing.assert_array_equal(segment(scan.image, weights="axial").soft.data, seen)
    assert masked_mm(scan.image, everywhere) > 80


def test_a_leaning_cord_is_cut_wider_and_what_lies_behind_it_higher_up():
    pytest.importorskip("torch")
    tilted = loaded_script("notebooks/train_presence.py")._tilted
    away = np.arange(COLUMNS) - (COLUMNS - 1) / 2
    disc, mask = np.zeros((60, COLUMNS)), np.zeros((60, COLUMNS))
    disc[30], mask[:, np.abs(away) < 5] = 1, 1
    seen, wider = tilted(np.stack([disc, mask]), 30)
    assert wider[30].sum() == pytest.approx(10 / np.cos(np.pi / 6), abs=0.7)
    heights = (seen[:, 10:30] * np.arange(60)[:, None]).sum(axis=0) / seen[:, 10:30].sum(axis=0)
    np.testing.assert_allclose(heights, 30 - away[10:30] / 2, atol=0.3)
