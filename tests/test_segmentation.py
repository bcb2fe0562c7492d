"""From an image to a soft mask, with a network that finds bright tubes."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from segmentation_network import CONFIG, discs, overlap, trained, tube
from test_segmentation_prepare import ORIENTATIONS

from softseg.errors import InputError
from softseg.network.config import NetworkConfig
from softseg.network.onnx_export import export_network
from softseg.network.onnx_session import OnnxNetwork
from softseg.network.torch_inference import inference
from softseg.network.unet import activate, build_network
from softseg.network.weights import save_weights
from softseg.segmentation.components import fill_gaps, largest_component
from softseg.segmentation.engine import Model, segment
from softseg.segmentation.predict import predict_volume, soft_values
from softseg.volume import Volume


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(trained(), CONFIG)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"shape": (20, 22, 8)},
        {"shape": (200, 180, 20), "offset": (40, -40)},
        {"shape": (110, 120, 40), "spacing_mm": (0.5, 0.5, 0.8)},
        {"shape": (220, 220, 3), "spacing_mm": (0.2, 0.2, 5.0)},
        {"shape": (16, 16, 9), "spacing_mm": (5.0, 5.0, 5.0)},
        {"shape": (20, 60, 30), "spacing_mm": (3.0, 0.7, 0.7)},
        {"shape": (48, 48, 1), "spacing_mm": (1.0, 1.0, 5.0)},
        {"shape": (48, 48, 5), "spacing_mm": (1.0, 1.0, 16.5)},
    ],
    ids=str,
)
def test_a_tube_is_found_at_any_field_and_voxel_size(model, settings):
    image, truth = tube(**settings)
    result = segment(image, weights=model)
    assert result.cord_found
    assert result.soft.grid.matches(image.grid)
    assert 0 <= result.soft.data.min() <= result.soft.data.max() <= 1
    assert overlap(result.soft, truth) > 0.8
    assert result.soft.data.sum() == pytest.approx(truth.data.sum(), rel=0.12)


@pytest.mark.parametrize("activation", ["clamp", "sigmoid", "normalised_relu"])
def test_blank_slices_hold_no_cord_behind_any_activation(model, activation):
    """Registered and cropped images have them; half of 1 everywhere would be a cord of 1000 mm²."""
    image, _ = tube()
    data = image.data.copy()
    data[:, :, :2] = 0
    data[:, :, -1] = 7
    soft = segment(image.like(data), weights=model, activation=activation).soft.data
    assert not soft[:, :, :2].any()
    assert not soft[:, :, -1].any()
    assert soft[:, :, 2:-1].any()


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_all_48_orientations_get_the_same_mask(model, codes):
    image, _ = tube(shape=(30, 28, 6), spacing_mm=(1.1, 1.3, 3.0))
    expected = segment(image, weights=model).soft
    turned = segment(image.oriented(codes), weights=model).soft
    assert turned.orientation == codes
    np.testing.assert_allclose(turned.oriented("LAS").data, expected.data, atol=1e-6)


@pytest.mark.parametrize(("gain", "offset"), [(0.001, 0), (7, 0), (1, 900)])
def test_gain_and_offset_of_the_scanner_change_nothing(model, gain, offset):
    image, _ = tube()
    other = image.like((image.data * gain + offset).astype(np.float32))
    expected = segment(image, weights=model).soft
    np.testing.assert_allclose(segment(other, weights=model).soft.data, expected.data, atol=0.02)


def test_shifting_the_image_in_its_field_shifts_the_mask(model):
    image, _ = tube(shape=(90, 90, 8))
    shifted = image.like(np.roll(image.data, (4, -8), axis=(0, 1)))
    expected = np.roll(segment(image, weights=model).soft.data, (4, -8), axis=(0, 1))
    assert np.abs(segment(shifted, weights=model).soft.data - expected).max() < 0.02


def test_a_brighter_body_far_from_the_cord_is_left_alone(model):
    image, truth = tube(shape=(160, 160, 16))
    image.data[120:150, 110:150, 3:6] += 300
    image.data[10:20, 120:130, 8] += 100  # as bright and large as the tube, on one slice
    result = segment(image, weights=model).soft
    assert overlap(result, truth) > 0.85
    assert result.data[100:].sum() + result.data[:, 100:].sum() == 0


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((40, 40, 6)),
        np.full((90, 40, 6), 3.5),
        np.full((40, 40, 6), np.nan),
        np.random.default_rng(0).random((40, 40, 6)),
        np.random.default_rng(0).normal(size=(120, 100, 20)),
        np.ones((1, 1, 1)),
        np.random.default_rng(0).random((2, 3, 1)),
    ],
    ids=["zeros", "constant", "nan", "noise", "wide noise", "one voxel", "six voxels"],
)
def test_an_image_without_a_cord_gets_an_empty_mask_that_says_so(model, data):
    image = Volume(data.astype(np.float32), np.diag([-1.0, 1.0, 3.0, 1.0]))
    result = segment(image, weights=model)
    assert not result.cord_found
    assert result.soft.data.shape == data.shape
    assert (result.soft.data == 0).all()
    assert "no spinal cord found" in result.note


@pytest.mark.parametrize("keep_one", [True, False])
def test_low_probability_background_is_set_to_zero(keep_one):
    image, truth = tube()
    steep = Model(trained(), CONFIG, {"temperature": 0.1})
    mask = segment(image, weights=steep, largest_component=keep_one).soft
    assert mask.data[mask.data > 0].min() >= 1e-4
    assert overlap(mask, truth) > 0.85


def test_nan_in_the_background_does_no_harm(model):
    image, truth = tube()
    image.data[:6] = np.nan
    image.data[:, :5, 3] = np.inf
    assert overlap(segment(image, weights=model).soft, truth) > 0.85


def test_mirroring_and_shifting_variants_keep_the_mask_and_say_how_sure_it_is(model):
    image, truth = tube(shape=(60, 60, 10))
    plain = segment(image, weights=model).soft
    averaged = segment(image, weights=model, tta=True, uncertainty=True)
    assert overlap(averaged.soft, plain) > 0.95
    assert averaged.uncertainty.data.shape == image.data.shape
    edge = (truth.data > 0.2) & (truth.data < 0.8)
    assert averaged.uncertainty.data[edge].mean() > 3 * averaged.uncertainty.data[~edge].mean()
    alone = segment(image, weights=model, uncertainty=True)
    np.testing.assert_array_equal(alone.soft.data, plain.data)


def test_an_averaged_symmetric_image_gets_a_symmetric_mask(model):
    image, _ = tube(shape=(31, 31, 4), slope=0.0)
    image = image.like((image.data + image.data[::-1]) / 2)
    wide = replace(CONFIG, patch_size=(32, 32))
    mask = segment(image, weights=(model.network, wide), tta=True).soft.data
    plain = segment(image, weights=(model.network, wide)).soft.data
    apart, apart_plain = (np.abs(m - m[::-1]).mean() for m in (mask, plain))
    assert apart < apart_plain


def test_segmenting_leaves_the_network_as_it_was_and_needs_no_gradient():
    network = build_network(replace(CONFIG, deep_supervision=True)).train()
    image, _ = tube(shape=(20, 20, 2))
    mask = segment(image, weights=(network, CONFIG), largest_component=False).soft
    assert network.training
    assert network.decoder.deep_supervision
    assert isinstance(mask.data, np.ndarray)


@pytest.mark.parametrize("activation", ["clamp", "sigmoid", "normalised_relu"])
def test_every_activation_ends_in_the_unit_interval(model, activation):
    image, _ = tube()
    mask = segment(image, weights=model, activation=activation, largest_component=False).soft
    assert 0 <= mask.data.min() <= mask.data.max() <= 1


def test_sixteen_bit_products_hardly_change_the_mask(model):
    image, _ = tube(shape=(90, 80, 12))
    exact = segment(image, weights=Model(model.network, CONFIG, precision="float32")).soft.data
    fast = segment(image, weights=Model(model.network, CONFIG, precision="auto")).soft.data
    assert np.abs(fast - exact).max() < 0.1
    assert fast.sum() == pytest.approx(exact.sum(), rel=5e-3)


def test_weights_on_disk_segment_as_those_in_memory(model, tmp_path):
    save_weights(tmp_path / "model.safetensors", model.network, CONFIG)
    image, _ = tube()
    np.testing.assert_array_equal(
        segment(image, weights=tmp_path).soft.data, segment(image, weights=model).soft.data
    )


@pytest.fixture
def folder(model, tmp_path):
    """A model's folder as a training leaves it."""
    card = save_weights(tmp_path / "model.safetensors", model.network, CONFIG)
    export_network(tmp_path / "model.onnx", model.network, CONFIG, card)
    return tmp_path


def test_an_exported_network_segments_as_that_in_pytorch(model, folder):
    exported = Model.load(folder)
    assert isinstance(exported.network, OnnxNetwork)
    assert exported.precision == "float32"
    image, _ = tube()
    found = segment(image, weights=exported, tta=True, uncertainty=True)
    exact = replace(model, precision="float32")
    expected = segment(image, weights=exact, tta=True, uncertainty=True)
    np.testing.assert_allclose(found.soft.data, expected.soft.data, atol=1e-4)
    np.testing.assert_allclose(found.uncertainty.data, expected.uncertainty.data, atol=1e-4)
    assert found.uncertain_slices == expected.uncertain_slices


def test_an_exported_volume_network_takes_the_same_path(tmp_path):
    network = build_network(VOLUME)
    card = save_weights(tmp_path / "model.safetensors", network, VOLUME)
    export_network(tmp_path / "model.onnx", network, VOLUME, card)
    image, _ = tube(shape=(20, 22, 7))
    found, expected = (
        segment(image, weights=weights, activation="sigmoid", largest_component=False).soft.data
        for weights in (tmp_path, Model(network, VOLUME, precision="float32"))
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_pytorch_runs_what_is_named_as_its_file_or_wanted_on_another_device(folder):
    assert isinstance(Model.load(folder / "model.onnx", device="cpu").network, OnnxNetwork)
    assert isinstance(Model.load(folder / "model.safetensors").network, torch.nn.Module)
    for weights in (folder, folder / "model.onnx"):
        network = Model.load(weights, device="meta").network
        assert {value.device.type for value in network.parameters()} == {"meta"}
    with pytest.raises(InputError, match="runs on the CPU"):
        Model.load(Model.load(folder), device="cuda")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"there is no model\.safetensors beside it"):
        Model.load(folder / "model.onnx", device="meta")


def test_an_export_of_other_weights_is_refused(folder):
    save_weights(folder / "model.safetensors", build_network(CONFIG, seed=9), CONFIG)
    with pytest.raises(InputError, match=r"exported from other weights than model\.safetensors"):
        Model.load(folder)


@pytest.mark.parametrize("kind", ["none", "clamp", "normalised_relu", "sigmoid"])
def test_soft_values_of_arrays_are_those_of_tensors(kind):
    raw = np.random.default_rng(0).normal(0, 30, (3, 4, 50)).astype(np.float32)
    for values in (raw, -np.abs(raw), raw[:0]):
        expected = activate(torch.from_numpy(values), kind).clamp(0, 1).numpy()
        found = soft_values(values, kind)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(ValueError, match="unknown activation"):
        soft_values(raw, "softmax")


def test_an_absent_device_is_wrong_input(model):
    image, _ = tube(shape=(20, 20, 2))
    with pytest.raises(InputError, match="--device"):
        segment(image, weights=(model.network, CONFIG), device="cuda:99")


def test_a_model_goes_to_the_device_and_precision_asked_for_and_keeps_its_own_otherwise(model):
    exact = replace(model, precision="float32")
    assert Model.load(exact).precision == "float32"
    assert Model.load(exact).network is model.network
    assert Model.load(exact, device="cpu", precision="auto").precision == "auto"
    with pytest.raises(InputError, match="--device"):
        Model.load(model, device="cuda:99")
    moved = Model.load(Model(build_network(CONFIG), CONFIG), device="meta")
    assert {value.device.type for value in moved.network.parameters()} == {"meta"}


class Blur(torch.nn.Module):
    """In place of a trained 3-D network: a prediction that is known."""

    def __init__(self):
        super().__init__()
        self.kernel = torch.nn.Parameter(torch.full((1, 1, 3, 3, 3), 1 / 27))
        self.decoder = torch.nn.Module()
        self.decoder.deep_supervision = True

    def forward(self, x):
        padded = torch.nn.functional.pad(x, (1,) * 6, mode="replicate")
        return torch.nn.functional.conv3d(padded, self.kernel)


VOLUME = NetworkConfig(
    dimension=3,
    features_per_stage=(4, 8),
    strides=(1, 2),
    spacing_mm=(1.0, 1.0, 1.0),
    patch_size=(16, 16, 16),
)


@pytest.mark.parametrize("shape", [(16, 16, 16), (20, 37, 50), (5, 16, 40), (3, 4, 5)])
def test_overlapping_windows_give_the_answer_of_the_whole_volume(shape):
    noise = np.random.default_rng(0).random(shape).astype(np.float32)
    image = ndimage.gaussian_filter(noise, 1.5)
    with inference(Blur()) as network:
        raw = predict_volume(network, image, (16, 16, 16))
        padded = np.pad(image, 16, mode="edge")
        whole = Blur()(torch.from_numpy(padded)[None, None])[0, 0, 16:-16, 16:-16, 16:-16]
    assert raw.shape == shape
    # A window that ends inside the volume repeats its own edge, where it counts least.
    np.testing.assert_allclose(raw, whole.numpy(), atol=0.02)


@pytest.mark.parametrize("tta", [False, True])
def test_a_three_dimensional_network_takes_the_same_path(tta):
    image, truth = tube(shape=(30, 28, 15), spacing_mm=(1.0, 1.2, 2.0))
    mask = segment(image, weights=(Blur(), VOLUME), activation="sigmoid", tta=tta).soft
    assert mask.grid.matches(image.grid)
    assert overlap(segment(image, weights=(Blur(), VOLUME), tta=tta).soft, truth) > 0.5


def test_a_freshly_built_volume_network_segments_something_of_the_right_shape():
    image, _ = tube(shape=(20, 22, 7))
    network = build_network(replace(VOLUME, deep_supervision=True))
    assert segment(image, weights=(network, VOLUME)).soft.data.shape == (20, 22, 7)


# Components


def cord(dropped=(), shape=(40, 40, 30), slope=0.0) -> np.ndarray:
    z = np.arange(shape[2]) - shape[2] / 2
    soft = discs(np.stack([0 * z, slope * z], axis=1), shape, (1.0, 1.0))
    soft[:, :, list(dropped)] = 0
    return soft


@pytest.mark.parametrize("slope", [0.0, 0.6, -0.6])
@pytest.mark.parametrize("dropped", [(12,), (10, 11, 12, 13, 14), (5, 20)])
def test_gaps_of_five_millimetres_do_not_cut_the_cord_in_two(slope, dropped):
    soft = cord(dropped, slope=slope)
    np.testing.assert_array_equal(largest_component(soft, (1, 1, 1)), soft)


def test_longer_gaps_cut_and_the_larger_part_stays():
    soft = cord(range(10, 17))
    kept = largest_component(soft, (1, 1, 1))
    assert kept[:, :, :17].sum() == 0
    np.testing.assert_array_equal(kept[:, :, 17:], soft[:, :, 17:])


def test_a_blob_beside_the_cord_goes():
    soft = cord()
    blob = soft.copy()
    blob[0:8, 0:8, 4:12] = 1.0
    np.testing.assert_array_equal(largest_component(blob, (1, 1, 1)), soft)


@given(st.integers(0, 2**32))
def test_taking_the_largest_component_twice_is_taking_it_once(seed):
    rng = np.random.default_rng(seed)
    soft = (rng.random((9, 9, 9)) ** 6).astype(np.float32)
    once = largest_component(soft, (1.5, 1.0, 3.0))
    assert ((once == 0) | (once == soft)).all()
    np.testing.assert_array_equal(largest_component(once, (1.5, 1.0, 3.0)), once)


def test_thick_slices_of_a_steep_cord_stay_together():
    soft = discs([(0, 7.0 * z - 14) for z in range(5)], (60, 60), (1.0, 1.0))
    np.testing.assert_array_equal(largest_component(soft, (1, 1, 16.5)), soft)


def test_dropped_slices_are_filled_between_their_neighbours():
    whole, soft = cord(), cord((12, 13))
    filled = fill_gaps(soft, (1, 1, 1))
    np.testing.assert_allclose(filled, whole, atol=1e-6)


def test_long_gaps_and_open_ends_are_not_invented():
    soft = cord((0, 1, *range(10, 17), 29))
    np.testing.assert_array_equal(fill_gaps(soft, (1, 1, 1)), soft)


def test_an_oblique_image_keeps_its_affine_to_the_last_bit(model):
    image, _ = tube()
    turn = np.eye(4)
    turn[:3, :3] = nib.eulerangles.euler2mat(0.3, 0.2, 0.1)
    oblique = replace(image, affine=turn @ image.affine)
    mask = segment(oblique, weights=model).soft
    np.testing.assert_array_equal(mask.affine, oblique.affine)
    np.testing.assert_allclose(mask.data, segment(image, weights=model).soft.data, atol=1e-6)
