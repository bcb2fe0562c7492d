"""Fitting presence and quality where the truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from segmentation_network import CONFIG, trained, tube

from softseg.segmentation.engine import Model, segment
from softseg.segmentation.slice_features import FEATURES, IMAGE_FEATURES
from softseg_study.evaluation.presence_fit import (
    PRIOR,
    Case,
    Record,
    fit_area_error,
    fit_logistic,
    fit_presence,
    record,
    worsened,
)


def test_the_fit_finds_the_weights_that_made_the_outcomes():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20_000, 2)) * (1, 10) + (0, 5)
    chance = 1 / (1 + np.exp(-(0.5 + 2 * values[:, 0] - 0.1 * values[:, 1])))
    target = (rng.random(len(values)) < chance).astype(float)
    found = fit_logistic(values, target, np.ones(len(values)), ("a", "b"))
    np.testing.assert_allclose([*found.weights, found.bias], [2, -0.1, 0.5], atol=0.1)


def test_fractions_are_fitted_by_their_mean():
    values = np.zeros((3, 1))
    found = fit_logistic(values, np.array([0.2, 0.4, 0.9]), np.ones(3), ("a",))
    assert found({"a": 0.0}) == pytest.approx(0.5, abs=1e-3)


def drawn(rng: np.random.Generator, has_cord: bool) -> Record:
    features = {name: rng.normal(0.8 if has_cord else 0.4, 0.1, 12) for name in FEATURES}
    features |= {
        name: rng.normal(0.8 if has_cord else 0.4, 0.1, 12) for name in ("sure", "follows")
    }
    shared = np.full(12, 64.0 * has_cord)
    areas = (shared, shared / 0.8, np.full(12, 80.0))
    soft = np.full(12, 80.0 * np.exp(rng.normal(0, 0.05)))
    return Record(f"drawn-{rng.integers(10**6)}", features, *areas, 3.0, soft, shared / 0.8)


def test_dice_and_right_slices_are_those_of_the_areas():
    areas = np.array([60.0, 10.0, 0.0]), np.array([70.0, 70.0, 0.0]), np.array([70.0, 70.0, 70.0])
    whole = Record("three", {}, *areas, 1.0, areas[2], areas[1])
    assert whole.right.tolist() == [True, False, False]
    assert whole.dice == pytest.approx(140 / 350)
    assert not whole.part(slice(2, 3)).has_cord
    assert whole.part(slice(0, 1)).dice == pytest.approx(120 / 140)


def test_the_interval_of_the_area_holds_for_new_images_however_wide_their_errors_are():
    rng = np.random.default_rng(5)

    def made(count):
        values = rng.normal(size=(count, len(IMAGE_FEATURES)))
        scale = 0.02 * np.exp(0.8 * values[:, 3])
        return values, scale * rng.standard_t(4, count) + 0.01

    values, ratios = made(900)
    model = fit_area_error(values, ratios, np.repeat(np.arange(300), 3))
    values, ratios = made(4000)
    width = np.exp(model.score(dict(zip(IMAGE_FEATURES, values.T, strict=True))))
    inside = np.abs(ratios) <= width
    assert inside.mean() == pytest.approx(0.95, abs=0.02)
    for part in (values[:, 3] < -0.5, values[:, 3] > 0.5):  # where errors are small, and large
        assert inside[part].mean() == pytest.approx(0.95, abs=0.04)


def test_cases_with_and_without_a_cord_are_told_apart_and_little_is_withheld():
    rng = np.random.default_rng(3)
    entries = fit_presence([drawn(rng, number % 3 > 0) for number in range(90)])
    assert 0 < entries["presence"]["threshold"] <= 0.5
    assert (entries["presence"]["cases"], entries["presence"]["cases_without_cord"]) == (180, 60)
    assert PRIOR > 0.5
    image, _ = tube(shape=(40, 36, 8))
    found = segment(image, weights=Model(trained(), CONFIG, entries))
    assert 0 <= found.presence <= 1
    assert 0 <= found.quality <= 1
    assert 0 < found.area_error <= 1


def test_a_record_knows_the_slices_on_which_mask_and_truth_meet():
    image, truth = tube(shape=(40, 36, 8))
    model = Model(trained(), CONFIG)
    found = record(Case("tube", image, truth), model)
    assert found.has_cord
    assert found.right.all()
    assert found.dice > 0.85
    gone = truth.data.copy()
    gone[:, :, :3] = 0
    part = record(Case("part", image, truth.like(gone)), model)
    assert part.right.tolist() == [False] * 3 + [True] * 5
    none = record(Case("none", image, None), model)
    assert not none.has_cord
    assert none.dice == 0


@pytest.mark.parametrize("seed", range(12))
def test_a_worse_version_keeps_the_grid_of_image_and_truth_together(seed):
    image, truth = tube(shape=(40, 36, 8))
    worse = worsened(Case("tube", image, truth), np.random.default_rng(seed))
    assert worse.image.grid.matches(worse.truth.grid)
    assert np.isfinite(worse.image.data).all()
    same = worsened(Case("tube", replace(image), truth), np.random.default_rng(seed))
    np.testing.assert_array_equal(same.image.data, worse.image.data)
