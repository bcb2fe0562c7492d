import numpy as np
import pytest

from softseg.phantom.distractors import KINDS, distractor


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "spacing"), [((40, 48), (0.5, 0.8)), ((24, 20, 9), (1, 1, 2))])
def test_every_kind_is_a_picture_of_the_shape_asked_for(kind, shape, spacing):
    image = distractor(np.random.default_rng(3), shape, spacing, kind=kind)
    assert image.shape == shape
    assert image.dtype == np.float32
    assert np.isfinite(image).all()
    assert image.min() >= 0 < image.std()


def test_the_same_seed_gives_the_same_picture():
    first, second = (distractor(np.random.default_rng(5), (32, 32), (1, 1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, distractor(np.random.default_rng(6), (32, 32), (1, 1)))


def test_a_limb_is_brighter_than_the_air_around_it():
    image = distractor(np.random.default_rng(1), (200, 200), (1.0, 1.0), kind="limb")
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert np.median(border) < 0.2 * np.percentile(image, 99)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind"):
        distractor(np.random.default_rng(0), (8, 8), (1, 1), kind="spleen")
