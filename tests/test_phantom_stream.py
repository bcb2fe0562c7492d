"""The endless stream: pure in its index, varied, and quick enough to train from."""

import subprocess
import sys
import time

import numpy as np
import pytest

from softseg.errors import InputError
from softseg.phantom.random_acquisition import (
    ObjectMaps,
    ScannerOptions,
    Unseen,
    degrade,
    smooth_field,
)
from softseg.phantom.random_contrast import hidden_contrast, random_contrast
from softseg.phantom.stream import PhantomStream, StreamOptions
from softseg.phantom.tissues import INDEX, TISSUES


@pytest.fixture(scope="module")
def stream():
    return PhantomStream(3, size_mm=(51.2, 51.2), spacing_mm=(0.8, 0.8))


@pytest.fixture(scope="module")
def samples(stream):
    return [stream.sample(index) for index in range(60)]


def test_samples_have_the_shape_and_range_that_training_expects(samples):
    for image, soft in samples:
        assert image.shape == soft.shape == (64, 64)
        assert image.dtype == soft.dtype == np.float32
        assert np.isfinite(image).all()
        assert image.min() >= 0
        assert 0 <= soft.min() <= soft.max() <= 1


def test_a_sample_is_a_function_of_seed_and_index_alone(stream, samples):
    other = PhantomStream(3, size_mm=(51.2, 51.2), spacing_mm=(0.8, 0.8))
    for index in (17, 2, 40, 2):
        for got, wanted in zip(other.sample(index), samples[index], strict=True):
            np.testing.assert_array_equal(got, wanted)
    different = PhantomStream(4, size_mm=(51.2, 51.2), spacing_mm=(0.8, 0.8)).sample(2)
    assert not np.array_equal(different[0], samples[2][0])


def test_another_process_draws_the_same_sample(samples):
    code = (
        "from softseg.phantom.stream import PhantomStream; import hashlib;"
        "a = PhantomStream(3, size_mm=(51.2, 51.2), spacing_mm=(0.8, 0.8)).sample(9);"
        "print(hashlib.sha256(a[0].tobytes() + a[1].tobytes()).hexdigest())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    import hashlib

    image, soft = samples[9]
    assert out.stdout.strip() == hashlib.sha256(image.tobytes() + soft.tobytes()).hexdigest()


def test_most_samples_show_a_cord_and_some_do_not(samples):
    areas_mm2 = np.array([soft.sum() * 0.64 for _, soft in samples])
    assert 0.6 < np.mean(areas_mm2 > 15) < 0.95
    assert np.mean(areas_mm2 < 0.5) > 0.05
    assert 40 < np.median(areas_mm2[areas_mm2 > 15]) < 90


def test_fluid_is_brighter_darker_and_equal_to_the_cord_among_random_contrasts():
    draws = np.array([random_contrast(np.random.default_rng(n)) for n in range(400)])
    ratio = draws[:, INDEX["csf"]] / draws[:, INDEX["white_matter"]]
    assert draws.shape == (400, len(TISSUES))
    assert draws.min() >= 0
    assert np.mean(ratio > 1.15) > 0.3
    assert np.mean(ratio < 0.85) > 0.25
    assert 0.04 < np.mean(np.abs(ratio - 1) < 0.1) < 0.25


def test_the_layer_on_the_cord_looks_like_nerve_or_like_fluid_or_like_something_between():
    draws = np.array([random_contrast(np.random.default_rng(n)) for n in range(400)])
    cord, fluid, pia = (draws[:, INDEX[name]] for name in ("white_matter", "csf", "pia"))
    share = ((pia - cord) / (fluid - cord))[np.abs(fluid - cord) > 0.05]
    assert np.mean((share >= 0) & (share <= 1)) > 0.8
    assert np.mean(share < 0.25) > 0.15
    assert np.mean(share > 0.75) > 0.15


def test_in_a_contrast_that_hides_the_cord_nothing_parts_it_from_what_surrounds_it():
    values = hidden_contrast(np.random.default_rng(1))
    around = ("white_matter", "grey_matter", "pia", "csf", "roots", "dura")
    assert len({float(values[INDEX[name]]) for name in around}) == 1


def test_neighbouring_samples_share_a_participant_and_distant_ones_do_not(stream):
    size = stream.options.samples_per_anatomy
    assert stream.anatomy(0) is stream.anatomy(size - 1)
    first, next_one = stream.anatomy(0), stream.anatomy(size)
    assert not np.array_equal(first.profiles.table, next_one.profiles.table)


def test_soft_edges_of_the_mask_keep_partial_volume(samples):
    values = np.concatenate([soft[soft > 0] for _, soft in samples])
    assert 0.15 < np.mean((values > 0.02) & (values < 0.98)) < 0.9


def test_three_dimensional_samples_continue_through_their_slices():
    stream = PhantomStream(
        2, size_mm=(40, 40, 48), spacing_mm=(1, 1, 1), dimension=3,
        options=only(),
    )  # fmt: skip
    image, soft = stream.sample(1)
    assert image.shape == soft.shape == (40, 40, 48)
    per_slice = soft.sum(axis=(0, 1))
    both = (per_slice[1:] > 30) & (per_slice[:-1] > 30)  # not where the cord begins
    assert both.sum() > 20
    assert np.abs(np.diff(per_slice))[both].max() < 25


def test_it_is_a_map_style_data_set_that_workers_can_share(stream, samples):
    torch = pytest.importorskip("torch")
    few = torch.utils.data.Subset(stream, range(4))
    loader = torch.utils.data.DataLoader(few, batch_size=2, num_workers=2)
    images = torch.cat([batch[0] for batch in loader]).numpy()
    np.testing.assert_array_equal(images, np.stack([image for image, _ in samples[:4]]))


@pytest.mark.parametrize(
    "options",
    [
        {"dimension": 4},
        {"dimension": 3},
        {"size_mm": (0.0, 50.0)},
        {"spacing_mm": (-1.0, 1.0)},
    ],
)
def test_sizes_that_are_no_field_of_view_are_refused(options):
    with pytest.raises(InputError):
        PhantomStream(0, **options)


def test_an_index_below_zero_is_no_sample(stream):
    with pytest.raises(IndexError):
        stream.sample(-1)


def test_the_scanner_changes_the_image_and_never_below_zero():
    rng = np.random.default_rng(0)
    clean, nothing = np.full((32, 32, 1), 0.5, np.float32), np.zeros((32, 32, 1), np.float32)
    for _ in range(20):
        maps = ObjectMaps(clean, clean, nothing, nothing)
        image = degrade(rng, maps, np.array([1.0, 1.0, 5.0]))
        assert image.shape == clean.shape
        assert image.min() >= 0
        assert image.std() > 0


def test_smooth_fields_have_unit_spread_and_the_length_that_is_asked_for():
    fields = [
        smooth_field(np.random.default_rng(n), (64, 64, 1), np.ones(3), 8.0) for n in range(20)
    ]
    assert np.std(fields) == pytest.approx(0.8, abs=0.25)
    field = np.stack(fields)
    near = np.mean(field[:, 1:] * field[:, :-1]) / np.mean(field**2)
    far = np.mean(field[:, 20:] * field[:, :-20]) / np.mean(field**2)
    assert near > 0.9
    assert abs(far) < 0.3


def test_importing_the_stream_does_not_import_torch():
    code = "import sys, softseg.phantom.stream; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize(
    ("shape", "dimension", "rate"), [((64, 64), 2, 10.0), ((64, 64, 64), 3, 2.0)]
)
def test_samples_are_drawn_fast_enough_to_train_from(benchmark, shape, dimension, rate):
    spacing = (0.8,) * 2 if dimension == 2 else (1.0,) * 3
    size = tuple(n * h for n, h in zip(shape, spacing, strict=True))
    stream = PhantomStream(1, size_mm=size, spacing_mm=spacing, dimension=dimension)
    indices = iter(range(10**6))
    benchmark(lambda: stream.sample(next(indices)))
    assert 1 / benchmark.stats["median"] >= rate


def only(**changes):
    """Options under which a sample shows a whole cord in the middle, but for `changes`."""
    plain = {
        "centred": 1.0, "absent": 0.0, "narrow": 0.0, "tight": 0.0, "hidden": 0.0, "resized": 0.0,
        "tilted": 0.0, "void": 0.0, "padded": 0.0, "above": 0.0, "below": 0.0, "echo_planar": 0.0,
        "pathological": 0.0, "mirrored": 0.0,
    }  # fmt: skip
    return StreamOptions(**plain | changes)


def drawn(seed=5, count=24, **changes):
    stream = PhantomStream(seed, options=only(**changes))
    return [stream.sample(index) for index in range(count)]


def areas(samples):
    return np.array([soft.sum() * 0.64 for _, soft in samples])


def test_the_truth_is_the_same_however_sharp_the_image_is():
    stream = PhantomStream(4, options=StreamOptions(narrow=0.0, tight=0.0))
    for index in range(12):
        (first, soft), (second, again) = (stream.sample(index, look=n) for n in (0, 1))
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(soft, again)
    sharp, dull = (drawn(blurred=b, coarse=b, slices_mm=(3.0, 3.0)) for b in (0.0, 1.0))
    np.testing.assert_allclose(areas(sharp), areas(dull), rtol=1e-3)
    edges = [np.mean([np.abs(np.diff(i, axis=0)).max() / i.std() for i, _ in s])
             for s in (sharp, dull)]  # fmt: skip
    assert edges[1] < 0.93 * edges[0]


def test_a_picture_of_another_size_has_a_cord_of_another_area():
    plain = np.median(areas(drawn()))
    for factor in (0.7, 1.4):
        resized = np.median(areas(drawn(resized=1.0, resizes=(factor, factor))))
        assert resized / plain == pytest.approx(factor**2, rel=0.05)


def test_a_cut_at_forty_degrees_is_larger_by_its_slope():
    plain, tilted = (drawn(tilted=t, tilts_deg=(40.0, 40.0)) for t in (0.0, 1.0))
    ratio = areas(tilted) / areas(plain)
    assert 1.05 < np.median(ratio) < 1.6


def test_a_void_over_the_cord_leaves_no_truth_and_no_signal_there():
    unseen = Unseen(centre_mm=(0, 0, 0), radii_mm=(8, 8, 20))
    shape, spacing = (64, 64, 1), np.array([0.8, 0.8, 3.0])
    hidden = unseen.hidden(shape, spacing)
    assert hidden[32, 32, 0] > 0.99
    assert hidden[2, 2, 0] < 0.01
    image = unseen.without_signal(np.ones(shape), spacing)
    assert image[32, 32, 0] < 0.01
    assert image[2, 2, 0] == pytest.approx(1)
    with_voids, plain = drawn(void=1.0), drawn()
    assert np.mean(areas(with_voids)) < 0.7 * np.mean(areas(plain))


def test_padding_is_one_value_beyond_the_border_and_holds_no_truth():
    unseen = Unseen(padding=(0, 1, 10.0), value=0.0)
    image = unseen.padded(np.ones((64, 64, 1)), np.array([0.8, 0.8, 3.0]))
    assert (image[-19:] == 0).all()
    assert (image[:40] == 1).all()
    np.testing.assert_array_equal(unseen.hidden((64, 64, 1), (0.8, 0.8, 3.0)) > 0, image == 0)


def test_where_a_cord_cannot_be_seen_the_truth_is_empty():
    assert areas(drawn(hidden=1.0, count=6)).max() == 0
    assert areas(drawn(above=1.0, count=12)).mean() < 0.5 * areas(drawn(count=12)).mean()


def test_a_tight_crop_repeats_its_border_in_image_and_truth():
    for image, soft in drawn(tight=1.0, count=6):
        np.testing.assert_allclose(soft[0], soft[4], atol=1e-6)
        np.testing.assert_allclose(image[0], image[4], rtol=1e-4)


def test_echo_planar_images_are_softer_from_back_to_front_than_from_side_to_side():
    def slope(samples, axis):
        return np.mean([np.abs(np.diff(image, axis=axis)).mean() for image, _ in samples])

    plain, train = (drawn(echo_planar=e, coarse=0.0, count=40) for e in (0.0, 1.0))
    plain, train = (slope(s, 1) / slope(s, 0) for s in (plain, train))
    assert train < 0.9 * plain


def test_outliers_and_speckled_air_are_drawn():
    rng = np.random.default_rng(0)
    clean = np.full((64, 64, 1), 0.5, np.float32)
    clean[:20] = 0
    maps = ObjectMaps(clean, 0 * clean, 0 * clean, 0 * clean)
    none = {"blurred": 0.0, "outliers": 0.0, "speckled_air": 0.0}
    spread, peak = [], []
    for changes in ({}, {"speckled_air": 1.0}, {"outliers": 1.0}):
        options = ScannerOptions(**none | changes)
        images = [degrade(rng, maps, np.array([0.8, 0.8, 3.0]), options) for _ in range(12)]
        spread.append(np.median([image[2:16].std() for image in images]))
        peak.append(np.median([image.max() / np.median(image) for image in images]))
    assert spread[1] > 2 * spread[0]
    assert peak[2] > 2 * peak[0]
