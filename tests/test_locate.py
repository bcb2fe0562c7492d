"""Finding the cord in a large field: whole slices first, then windows."""

import tracemalloc

import numpy as np
import pytest
import torch
from segmentation_network import CONFIG, discs, overlap, trained, tube

from softseg.network.config import PRESETS
from softseg.segmentation import cord_path, locate, predict
from softseg.segmentation.cord_path import CellMap, cell_means, interpolate, track
from softseg.segmentation.engine import Model, segment
from softseg.segmentation.locate import (
    LOOKS,
    candidate_windows,
    confirmed,
    find_cord,
)
from softseg.segmentation.prepare import prepare
from softseg.volume import Volume


def cells(probability, spacing=(1.0, 1.0)) -> CellMap:
    """A map whose first voxel's centre is at 0 mm."""
    values, size = cell_means(np.asarray(probability, float), spacing)
    return CellMap(values, -0.5 * np.array(spacing), size * np.array(spacing))


def test_the_track_follows_a_bent_cord_past_brighter_false_answers():
    z = np.arange(12)
    centres = np.stack([20 * np.sin(z / 5), 2.5 * z - 15], axis=1)
    probability = discs(centres, (100, 100), (1.0, 1.0)).transpose(2, 0, 1) * 0.7
    for index, place in ((3, 10), (4, 80), (8, 5)):
        probability[index, place : place + 12, 80:92] = 1.0
    found = track(cells(probability), 4.0)
    assert np.abs(found - (centres + 49.5)).max() < 1.0


def test_slices_without_an_answer_are_bridged_by_their_neighbours():
    centres = np.tile([5.0, -8.0], (9, 1))
    probability = discs(centres, (60, 60), (1.0, 1.0)).transpose(2, 0, 1)
    probability[[0, 4, 5]] = 0
    found = track(cells(probability), 4.0)
    assert np.isnan(found[[0, 4, 5]]).all()
    every = interpolate(found, np.arange(9) * 3, np.arange(27))
    np.testing.assert_allclose(every, np.tile([34.5, 21.5], (27, 1)), atol=0.5)


def test_no_answer_anywhere_is_no_track():
    found = track(cells(np.zeros((4, 30, 30))), 4.0)
    assert np.isnan(interpolate(found, np.arange(4), np.arange(4))).all()


@pytest.mark.parametrize("spacing", [(0.3, 0.3), (1.0, 1.0), (3.0, 0.7)])
def test_the_track_does_not_depend_on_the_voxel_size(spacing):
    shape = tuple(round(80 / mm) for mm in spacing)
    centres = np.stack([np.linspace(-10, 12, 6), np.linspace(5, -20, 6)], axis=1)
    probability = discs(centres, shape, spacing).transpose(2, 0, 1)
    found = track(cells(probability, spacing), 5.0) - (np.array(shape) - 1) / 2 * spacing
    assert np.abs(found - centres).max() < 1.0


def test_windows_lie_about_the_strongest_answers_and_apart():
    probability = np.zeros((3, 120, 100))
    probability[0, 20:32, 60:72] = 0.5
    probability[0, 90:102, 10:22] = 1.0
    probability[2, 40:52, 40:90] = 1.0
    slices, places = candidate_windows(cells(probability), np.array([36, 36]))
    assert slices[:2].tolist() == [0, 0]
    assert 1 not in slices
    np.testing.assert_allclose(places[:2], [[95.5, 15.5], [25.5, 65.5]], atol=3)
    along = np.sort(places[slices == 2][:, 1])
    assert len(along) >= 2
    assert (np.diff(along) > 12).all()


def test_there_are_never_more_windows_in_a_slice_than_allowed():
    probability = np.random.default_rng(0).uniform(0.5, 1, (2, 300, 300))
    slices, places = candidate_windows(cells(probability), np.array([32, 32]))
    assert np.bincount(slices).tolist() == [LOOKS, LOOKS]
    assert len(places) == 2 * LOOKS


def test_slices_that_answer_nothing_have_no_window():
    seen = cells(np.zeros((3, 50, 50)))
    slices, places = candidate_windows(seen, np.array([32, 32]))
    assert slices.shape == (0,)
    assert places.shape == (0, 2)
    assert not confirmed(seen, slices, places, np.ones(2), np.zeros((0, 32, 32)))[1].values.any()


def test_a_confirmed_answer_is_never_above_either_look():
    rng = np.random.default_rng(1)
    seen = CellMap(rng.random((2, 30, 25)), np.zeros(2), np.full(2, 2.0))
    predictions = np.repeat(np.repeat(rng.random((3, 12, 12)), 4, axis=1), 4, axis=2)
    low_mm = np.array([[-6.0, 10], [0, 14], [30, 30]])
    _, both = confirmed(seen, np.array([0, 0, 1]), low_mm, np.full(2, 0.5), predictions)
    both = both.values
    assert (both <= seen.values).all()
    assert both.max() <= predictions.max()
    x, y = 4, 12  # 8 to 10 and 24 to 26 mm: in the cores of both windows of slice 0
    looks = predictions[0, 28:32, 28:32].mean(), predictions[1, 16:20, 20:24].mean()
    assert both[0, x, y] == pytest.approx(min(seen.values[0, x, y], max(looks)))


class Counting:
    """Predicts a cord in the middle of the field, and counts what it is shown."""

    def __init__(self, prepared, config):
        self.pixels, self.largest = 0, 0
        self.shape = np.array(prepared.grid.shape[:2])

    def __call__(self, windows):
        self.pixels += windows.size
        self.largest = max(self.largest, windows.size)
        soft = np.zeros_like(windows)
        x, y = (n // 2 for n in windows.shape[1:])
        soft[:, x - 6 : x + 6, y - 6 : y + 6] = 1
        return soft


@pytest.mark.parametrize(
    ("shape", "spacing", "least_slices"),
    [
        ((224, 174, 370), (2.23, 2.23, 3.0), 50),
        ((452, 532, 115), (1.0, 1.0, 1.0), 5),
        ((600, 600, 600), (2.2, 2.2, 2.2), 10),
        ((16, 600, 600), (4.0, 0.5, 0.5), 15),
    ],
)
def test_slices_are_spread_along_the_body_in_any_field_and_what_is_looked_at_is_bounded(
    shape, spacing, least_slices
):
    config = PRESETS["axial"]
    blank = Volume(np.broadcast_to(np.float32(1), shape), np.diag([*spacing, 1.0]))
    prepared = prepare(blank, config)
    grids = list(locate._search_grids(config, prepared))
    assert len(locate._spread_slices(config, grids[0])) >= least_slices
    for searched in grids:
        pixels = len(locate._spread_slices(config, searched)) * np.prod(searched.grid.shape[:2])
        assert pixels < 1.2 * locate.MOST_VOXELS


def test_a_cord_is_found_in_the_middle_of_a_large_field_a_few_slices_at_a_time():
    config, shape = PRESETS["axial"], (224, 174, 70)
    blank = Volume(np.broadcast_to(np.float32(1), shape), np.diag([2.23, 2.23, 3.0, 1.0]))
    prepared = prepare(blank, config)
    network = Counting(prepared, config)
    centres = find_cord(network, config, prepared)
    assert network.largest <= locate.BATCH_VOXELS
    middle = np.tile((network.shape - 1) / 2, (shape[2], 1))
    np.testing.assert_allclose(centres, middle, atol=4)


def test_the_path_takes_little_more_memory_than_its_map():
    gain = np.random.default_rng(0).random((20, 150, 140), np.float32)
    tracemalloc.start()
    cord_path._best_path(gain, cord_path.FURTHEST_MOVE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * gain.nbytes


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
    monkeypatch.setattr(locate, "LOCATE_MM", 3.0)


def test_a_cord_seen_on_few_whole_slices_is_followed_on_all(one_batch):
    image, truth = tube(shape=(160, 160, 40), slope=0.0)

    def on_slices(images, raw):
        raw = raw.clone()
        raw[5:] = 0
        return raw

    assert overlap(segment(image, weights=two_faced(on_slices)).soft, truth) > 0.85
