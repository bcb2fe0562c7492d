"""Finding the cord in a large field: whole slices first, then windows."""

import numpy as np
import pytest
import torch
from segmentation_network import CONFIG, discs, overlap, trained, tube

from softseg.segmentation import engine, predict
from softseg.segmentation.engine import Model, segment
from softseg.segmentation.locate import (
    LOOKS,
    candidate_windows,
    confirmed,
    interpolate,
    track,
)


def test_the_track_follows_a_bent_cord_past_brighter_false_answers():
    z = np.arange(12)
    centres = np.stack([20 * np.sin(z / 5), 2.5 * z - 15], axis=1)
    probability = discs(centres, (100, 100), (1.0, 1.0)).transpose(2, 0, 1) * 0.7
    for index, place in ((3, 10), (4, 80), (8, 5)):
        probability[index, place : place + 12, 80:92] = 1.0
    found = track(probability, (1.0, 1.0), 4.0)
    assert np.abs(found - (centres + 49.5)).max() < 1.0


def test_slices_without_an_answer_are_bridged_by_their_neighbours():
    centres = np.tile([5.0, -8.0], (9, 1))
    probability = discs(centres, (60, 60), (1.0, 1.0)).transpose(2, 0, 1)
    probability[[0, 4, 5]] = 0
    found = track(probability, (1.0, 1.0), 4.0)
    assert np.isnan(found[[0, 4, 5]]).all()
    every = interpolate(found, np.arange(9) * 3, np.arange(27))
    np.testing.assert_allclose(every, np.tile([34.5, 21.5], (27, 1)), atol=0.5)


def test_no_answer_anywhere_is_no_track():
    found = track(np.zeros((4, 30, 30)), (1.0, 1.0), 4.0)
    assert np.isnan(interpolate(found, np.arange(4), np.arange(4))).all()


@pytest.mark.parametrize("spacing", [(0.3, 0.3), (1.0, 1.0), (3.0, 0.7)])
def test_the_track_does_not_depend_on_the_voxel_size(spacing):
    shape = tuple(round(80 / mm) for mm in spacing)
    centres = np.stack([np.linspace(-10, 12, 6), np.linspace(5, -20, 6)], axis=1)
    probability = discs(centres, shape, spacing).transpose(2, 0, 1)
    found = (track(probability, spacing, 5.0) - (np.array(shape) - 1) / 2) * spacing
    assert np.abs(found - centres).max() < 1.0


def test_windows_lie_about_the_strongest_answers_and_apart():
    probability = np.zeros((3, 120, 100))
    probability[0, 20:32, 60:72] = 0.5
    probability[0, 90:102, 10:22] = 1.0
    probability[2, 40:52, 40:90] = 1.0
    slices, places = candidate_windows(probability, (1.0, 1.0), np.array([36, 36]))
    assert slices[:2].tolist() == [0, 0]
    assert 1 not in slices
    np.testing.assert_allclose(places[:2], [[95.5, 15.5], [25.5, 65.5]], atol=3)
    along = np.sort(places[slices == 2][:, 1])
    assert len(along) >= 2
    assert (np.diff(along) > 12).all()


def test_there_are_never_more_windows_in_a_slice_than_allowed():
    probability = np.random.default_rng(0).uniform(0.5, 1, (2, 300, 300))
    slices, places = candidate_windows(probability, (1.0, 1.0), np.array([32, 32]))
    assert np.bincount(slices).tolist() == [LOOKS, LOOKS]
    assert len(places) == 2 * LOOKS


def test_slices_that_answer_nothing_have_no_window():
    slices, places = candidate_windows(np.zeros((3, 50, 50)), (1.0, 1.0), np.array([32, 32]))
    assert slices.shape == (0,)
    assert places.shape == (0, 2)
    assert not confirmed(np.ones((3, 50, 50)), slices, places, np.zeros((0, 32, 32))).any()


def test_a_confirmed_answer_is_never_above_either_look():
    rng = np.random.default_rng(1)
    probability, predictions = rng.random((2, 60, 50)), rng.random((3, 24, 24))
    starts = np.array([[-6, 10], [0, 14], [40, 30]])
    both = confirmed(probability, np.array([0, 0, 1]), starts, predictions)
    assert (both <= probability).all()
    assert both.max() <= predictions.max()
    x, y = 9, 25  # in the cores of both windows of slice 0
    seen = max(predictions[0, 15, 15], predictions[1, 9, 11])
    assert both[0, x, y] == min(probability[0, x, y], seen)


def two_faced(on_slices):
    """A model that predicts on whole slices what `on_slices` makes of it, in windows as it is."""
    window = tuple(CONFIG.patch_size)

    class TwoFaced(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = trained()
            self.decoder = self.network.decoder

        def forward(self, images):
            raw = self.network(images)
            return raw if tuple(images.shape[2:]) == window else on_slices(images, raw)

    return Model(TwoFaced(), CONFIG)


def test_what_only_whole_slices_answer_is_not_followed():
    image, truth = tube(shape=(160, 160, 16))

    def on_slices(images, raw):
        raw = raw.clone()
        raw[:, :, 120:150, 100:140] = 1.0
        return raw

    assert overlap(segment(image, weights=two_faced(on_slices)).soft, truth) > 0.85


@pytest.fixture
def one_batch(monkeypatch):
    """All slices pass the network together, so that the first in a batch is the first of all."""
    monkeypatch.setattr(predict, "PIXELS_PER_BATCH", 2**30)
    monkeypatch.setattr(engine, "LOCATE_MM", 3.0)


def test_an_answer_on_one_slice_among_many_is_no_cord(one_batch):
    image, _ = tube(shape=(160, 160, 40))

    def on_slices(images, raw):
        raw = torch.zeros_like(raw)
        raw[0, :, 74:86, 74:86] = 1.0
        return raw

    assert not segment(image, weights=two_faced(on_slices)).cord_found


def test_a_cord_seen_on_fifteen_millimetres_is_enough(one_batch):
    image, truth = tube(shape=(160, 160, 40), slope=0.0)

    def on_slices(images, raw):
        raw = raw.clone()
        raw[5:] = 0
        return raw

    assert overlap(segment(image, weights=two_faced(on_slices)).soft, truth) > 0.85
