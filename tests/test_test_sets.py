"""The test sets: fixed images, known changes, and a table that goes on where it stopped."""

import numpy as np
import pandas as pd
import pytest

from softseg.segmentation.engine import Segmentation
from softseg.volume import Volume
from softseg_study.phantom import test_set_scores as scoring
from softseg_study.phantom.metamorphic import CHANGES, resized
from softseg_study.phantom.test_sets import SETS, TestImage, make_image
from softseg_study.phantom.without_cord import KINDS, image_without_cord


def test_five_hundred_images_are_hard_and_two_hundred_hold_no_cord():
    hard = ("echo_planar", "fluid_as_cord", "kyphosis", "compression", "lesions")
    assert sum(SETS[name].count for name in hard) == 500
    assert SETS["without_cord"].count == 200


@pytest.mark.parametrize(("name", "index"), [("echo_planar", 3), ("without_cord", 2)])
def test_an_image_is_a_function_of_its_set_and_index(name, index):
    first, second = (make_image(name, index) for _ in range(2))
    np.testing.assert_array_equal(first.image.data, second.image.data)
    np.testing.assert_array_equal(first.truth.data, second.truth.data)
    assert not np.array_equal(first.image.data, make_image(name, index + 4).image.data)
    with pytest.raises(IndexError):
        make_image(name, SETS[name].count)


def test_fluid_is_about_as_bright_as_the_cord_in_its_set():
    shown = make_image("fluid_as_cord", 1)
    cord = shown.truth.data > 0.99
    around = np.zeros_like(cord)
    for axis in (0, 1):
        for step in (-4, 4):
            around |= np.roll(cord, step, axis)
    around &= shown.truth.data == 0
    ratio = np.median(shown.image.data[around]) / np.median(shown.image.data[cord])
    assert 0.75 < ratio < 1.25


@pytest.mark.parametrize("kind", KINDS)
def test_images_without_a_cord_are_made_of_every_kind(kind):
    image = image_without_cord(np.random.default_rng(4), kind)
    assert image.orientation == "LAS"
    assert image.data.min() >= 0 < image.data.std()


def shown(cord=slice(2, 8)):
    truth = np.zeros((20, 20, 10), np.float32)
    truth[6:14, 6:14, cord] = 1
    volume = Volume(truth, np.diag([-1.0, 1.0, 5.0, 1.0]))
    return TestImage("T2w", volume, volume)


def test_a_right_mask_has_no_error_and_a_long_one_says_by_how_much():
    whole = shown()
    row = scoring.score_image(whole, Segmentation(whole.truth, True))
    assert row["dice"] == 1
    assert row["error_percent"] == pytest.approx(0)
    assert row["wrong_mm"] == 0
    longer = shown(slice(0, 8)).truth
    assert scoring.score_image(whole, Segmentation(longer, True))["wrong_mm"] == 10.0


def test_scores_go_on_after_a_row_that_was_cut_off(tmp_path, monkeypatch):
    made = []

    def make(name, index):
        made.append(index)
        return shown()

    monkeypatch.setattr(scoring.Model, "load", lambda weights: weights)
    monkeypatch.setattr(scoring, "make_image", make)
    monkeypatch.setattr(
        scoring, "segment", lambda image, weights: Segmentation(shown().truth, True)
    )
    out = tmp_path / "scores.csv"
    whole = scoring.score_test_sets("a", out, sets=["lesions"], every=20)
    assert len(whole) == 5
    out.write_text(out.read_text()[:-5])
    again = scoring.score_test_sets("a", out, sets=["lesions"], every=20)
    assert made == [0, 20, 40, 60, 80, 80]
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), whole.drop(columns="seconds"))
    assert scoring.summarise(again)["good"].tolist() == [1.0]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_gives_an_image_of_the_same_place(change):
    whole = shown()
    rng = np.random.default_rng(0)
    image = whole.image.like(rng.uniform(0, 300, whole.image.data.shape).astype(np.float32))
    changed = CHANGES[change][0](image, whole.truth)
    assert np.isfinite(changed.data).all()
    assert changed.data.ndim == 3
    moved = np.abs(changed.affine[:3, 3] - image.affine[:3, 3]).max()
    assert moved <= 16


def test_a_header_of_larger_voxels_changes_nothing_but_the_voxels():
    image = shown().image
    larger = resized(image, image, factor=1.1)
    assert larger.spacing_mm == pytest.approx((1.1, 1.1, 5.0))
    np.testing.assert_array_equal(larger.data, image.data)
