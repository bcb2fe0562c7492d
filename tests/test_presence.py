"""What is said of a mask without knowing the truth: by features that a picture determines."""

import numpy as np
import pytest
from segmentation_network import discs

from softseg.errors import InputError
from softseg.segmentation import presence
from softseg.segmentation.presence import Logistic, cord_slices, examine
from softseg.segmentation.slice_features import (
    FEATURES,
    IMAGE_FEATURES,
    image_features,
    slice_features,
)

SPACING = (1.0, 1.0, 2.0)
AIR = -3.0
ALWAYS = {"features": ["contrast"], "weights": [0.0], "bias": 4.0}


def cord(slices=12, radii=None, slope=0.0) -> np.ndarray:
    z = np.arange(slices) - (slices - 1) / 2
    one = [
        discs([(0, slope * SPACING[2] * h)], (60, 60), SPACING, radius)
        for h, radius in zip(z, radii or [5.0] * slices, strict=True)
    ]
    return np.concatenate(one, axis=2)


def image_of(soft: np.ndarray, contrast=4.0, noise=0.3) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (contrast * (0.5 - soft) + rng.normal(0, noise, soft.shape)).astype(np.float32)


def features_of(soft, image=None, spacing=SPACING):
    image = image_of(soft) if image is None else image
    return slice_features(soft, image, spacing, air=AIR)


def reasons_of(soft, image=None, card=None):
    image = image_of(soft) if image is None else image
    return examine(soft, image, SPACING, air=AIR, card=card or {}).reasons


def test_a_round_section_is_described_by_its_area_its_shape_and_its_edge():
    found = features_of(cord())
    assert set(FEATURES) <= set(found)
    np.testing.assert_allclose(np.exp(found["log_area"]), 80, rtol=0.1)
    np.testing.assert_allclose(found["round"], 1, atol=0.01)
    np.testing.assert_allclose(found["compact"], 1, atol=0.06)
    assert found["follows"].min() > 0.9
    assert found["contrast"].min() > 3
    assert found["steady"].max() < 0.01
    assert found["jump"].max() < 0.01
    assert found["void"].max() == 0


def test_slices_without_a_mask_have_no_features():
    soft = cord()
    soft[:, :, 4] = 0
    found = features_of(soft)
    for name in FEATURES:
        assert np.flatnonzero(np.isnan(found[name])).tolist() == [4]


@pytest.mark.parametrize("slope", [0.0, 1.0, -1.0])
def test_an_oblique_cord_does_not_jump_and_one_that_is_moved_aside_does(slope):
    soft = cord(slope=slope)
    assert features_of(soft)["jump"].max() < 0.05
    soft[:, :, 5] = np.roll(soft[:, :, 5], 6, axis=0)
    assert features_of(soft)["jump"][5] == pytest.approx(3.0)


def test_neither_gain_of_the_normalised_image_nor_its_polarity_matters():
    soft = cord()
    image = image_of(soft)
    first, second = features_of(soft, image), features_of(soft, -2 * image)
    for name in ("follows", "contrast", "sure", "compact"):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-5)


def test_a_mask_over_an_image_without_an_edge_says_so():
    soft = cord()
    image = np.random.default_rng(0).normal(0, 1, soft.shape)
    assert features_of(soft, image)["follows_near"].max() < 0.18
    assert set(reasons_of(soft, image).values()) == {"no edge in the image"}
    assert reasons_of(soft) == {}


def test_a_void_across_the_cord_says_so():
    soft = cord()
    image = image_of(soft)
    image[:, :, 4:7] = -5.0
    assert reasons_of(soft, image) == dict.fromkeys((4, 5, 6), "no signal")


def test_a_slice_unlike_its_neighbours_or_empty_says_so():
    soft = cord(radii=[5.0] * 6 + [3.0] + [5.0] * 5)
    soft[:, :, 3] = 0
    assert reasons_of(soft) == {3: "empty", 6: "unlike its neighbours"}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("side", [0, 1])
def test_a_cord_close_to_the_border_of_the_image_says_so_where_the_image_ends(axis, side):
    soft = cord()
    places = [slice(None)] * 3
    places[axis] = slice(23, None) if side == 0 else slice(None, 37)
    soft, image = soft[tuple(places)], image_of(cord())[tuple(places)]
    cut = [False] * 4
    assert examine(soft, image, SPACING, air=AIR, card={}, cut=tuple(cut)).reasons == {}
    cut[2 * axis + side] = True
    found = examine(soft, image, SPACING, air=AIR, card={}, cut=tuple(cut)).reasons
    assert found == dict.fromkeys(range(12), "at the image's border")


def test_without_models_in_the_card_size_alone_counts_and_quality_is_unknown():
    found = examine(cord(), image_of(cord()), SPACING, air=AIR, card={})
    assert found.presence == 1
    assert np.isnan(found.quality)
    small = cord(radii=[1.0] * 12)
    assert examine(small, image_of(small), SPACING, air=AIR, card={}).presence == 0


@pytest.mark.parametrize(("along", "score"), [(9.0, 4.0), (-1.0, 1.5), (-6.0, -3.5)])
def test_models_in_the_card_decide_as_far_as_a_cord_is_seen_along_the_mask(
    monkeypatch, along, score
):
    monkeypatch.setattr(presence, "below_the_cord", lambda *_: (np.zeros(12, bool), along))
    card = {"presence": {"slice": ALWAYS, "image": ALWAYS, "threshold": 0.3}, "quality": ALWAYS}
    found = examine(cord(), image_of(cord()), SPACING, air=AIR, card=card)
    expected, together = 1 / (1 + np.exp(-4)), 1 / (1 + np.exp(-score))
    assert found.presence == pytest.approx(together)
    assert found.quality == pytest.approx(expected if together >= 0.3 else together)
    np.testing.assert_allclose(found.slice_presence, expected)
    assert found.threshold == 0.3
    nothing = np.zeros_like(cord())
    found = examine(nothing, nothing, SPACING, air=AIR, card=card)
    assert (found.presence, found.quality, found.reasons) == (0, 0, {})


@pytest.mark.parametrize(("along", "score"), [(9.0, 0.0), (5.5, -0.5), (3.0, -2.0)])
def test_what_clearly_is_a_cord_along_the_mask_is_not_withheld(monkeypatch, along, score):
    monkeypatch.setattr(presence, "below_the_cord", lambda *_: (np.zeros(12, bool), along))
    card = {"presence": {"slice": ALWAYS, "image": ALWAYS | {"bias": -1.0}, "threshold": 0.3}}
    found = examine(cord(), image_of(cord()), SPACING, air=AIR, card=card)
    assert found.presence == pytest.approx(1 / (1 + np.exp(-score)))


def test_a_model_is_a_weighted_sum_behind_a_sigmoid():
    entry = {"features": ["sure", "follows"], "weights": [2.0, -1.0], "bias": 0.5}
    model = Logistic.from_card(entry, IMAGE_FEATURES)
    values = {"sure": np.array([1.0, np.nan]), "follows": np.array([0.5, 0.5]), "other": 3}
    np.testing.assert_allclose(model(values), [1 / (1 + np.exp(-2.0)), np.nan])


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"features": ["void"], "weights": [1.0]},
        {"features": ["void"], "weights": [1.0, 2.0], "bias": 0},
        {"features": ["hue"], "weights": [1.0], "bias": 0},
        {"features": ["void"], "weights": [float("nan")], "bias": 0},
        {"features": ["void"], "weights": ["x"], "bias": 0},
    ],
)
def test_a_card_that_describes_no_model_is_refused(entry):
    with pytest.raises(InputError, match="weights' card"):
        Logistic.from_card(entry, FEATURES)


def test_an_image_is_described_by_the_slices_that_are_present():
    features = {name: np.array([1.0, 2.0, 9.0, np.nan]) for name in IMAGE_FEATURES[3:]}
    found = image_features(features, np.array([0.9, 0.8, 0.1, 0.0]), 5.0)
    assert set(found) == set(IMAGE_FEATURES)
    assert np.exp(found["log_length"]) == pytest.approx(10.0)
    assert found["slice_presence"] == pytest.approx(0.6)
    assert found["sure"] == 1.5


@pytest.mark.parametrize("tip", [0.06, 0.3, 0.49, 0.51, 0.9])
def test_the_end_does_not_hinge_on_a_slice_in_between(tip):
    """Presence of the last slices of a cord drifts; the end is where it falls below the lowest."""
    kept = cord_slices(np.array([0.9, 0.9, tip, tip, 0.01, 0.01]))
    assert kept.tolist() == [True] * 4 + [False] * 2


def test_low_presence_in_the_middle_ends_nothing():
    assert cord_slices(np.array([0.7, 0.0, 0.05, 0.7])).all()
    assert cord_slices(np.array([0.01, 0.3, 0.01])).all()
