import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from softseg.errors import InputError
from softseg.network.config import PRESETS, NetworkConfig
from softseg.network.torch_inference import inference
from softseg.network.unet import activate, build_network
from softseg.network.weights import load_weights, read_card, resolve_weights, save_weights

TINY = NetworkConfig(features_per_stage=(4, 8), strides=(1, 2), patch_size=(16, 16))
TINY_3D = NetworkConfig(
    dimension=3,
    features_per_stage=(4, 8, 8),
    strides=(1, 2, (1, 2, 2)),
    spacing_mm=(1, 1, 1),
    patch_size=(8, 16, 16),
    deep_supervision=True,
)


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_paper_preset_is_the_published_network():
    network = build_network(PRESETS["paper"])
    assert count_parameters(network) / 1e6 == pytest.approx(30.785, abs=5e-4)
    assert PRESETS["paper"].multiple == (16, 32, 32)
    assert len(network.decoder.seg_layers) == 5


def test_the_number_of_parameters_follows_from_the_layers():
    network = build_network(TINY)
    convolutions = [(1, 4), (4, 4), (4, 8), (8, 8), (8, 4), (4, 4)]
    expected = sum(i * o * 9 + o + 2 * o for i, o in convolutions)  # weights, bias, norm
    expected += 8 * 4 * 4 + 4  # transposed convolution
    expected += 4 + 1  # output
    assert count_parameters(network) == expected


@pytest.mark.parametrize("name", ["small", "axial", "volume"])
def test_presets_map_a_patch_to_an_output_of_its_size(name):
    config = PRESETS[name]
    assert all(features % 16 == 0 for features in config.features_per_stage)
    network = build_network(config)
    image = torch.randn(1, 1, *config.patch_size)
    with inference(network):
        assert network(image).shape == image.shape


def test_deep_supervision_gives_one_output_per_resolution_but_the_bottleneck():
    outputs = build_network(TINY_3D)(torch.randn(2, 1, 8, 16, 16))
    assert [tuple(o.shape[2:]) for o in outputs] == [(8, 16, 16), (4, 8, 8)]


@pytest.mark.parametrize("architecture", ["plain", "residual"])
def test_weights_start_as_in_the_paper(architecture):
    network = build_network(replace(PRESETS["small"], architecture=architecture))
    norms = [m for m in network.modules() if isinstance(m, nn.InstanceNorm2d)]
    assert all(m.eps == 1e-5 and m.affine for m in norms)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.bias is None or (m.bias == 0).all() for m in convolutions)
    widest = max(convolutions, key=lambda m: m.weight.numel())
    fan_in = widest.weight[0].numel()
    assert widest.weight.std().item() == pytest.approx(
        np.sqrt(2 / (1 + 0.01**2) / fan_in), rel=0.02
    )


def test_the_same_seed_gives_the_same_network_and_leaves_the_global_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second, other = (build_network(TINY, seed=s) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(
        not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True)
    )


def test_an_output_bias_starts_every_output_above_zero():
    network = build_network(replace(TINY, output_bias=0.5))
    assert all((head.bias == 0.5).all() for head in network.decoder.seg_layers)


@pytest.mark.parametrize("kind", ["clamp", "normalised_relu", "sigmoid"])
def test_soft_values_lie_in_the_unit_interval_and_keep_their_order(kind):
    raw = torch.linspace(-3, 4, 50).reshape(2, 25)
    soft = activate(raw, kind)
    assert soft.min() >= 0
    assert soft.max() <= 1
    assert (soft.flatten().diff() >= 0).all()


def test_normalised_relu_ignores_the_gain_and_a_dead_network_gives_zeros():
    raw = torch.randn(3, 7)
    torch.testing.assert_close(
        activate(raw, "normalised_relu"), activate(5 * raw, "normalised_relu")
    )
    assert (activate(-torch.ones(4), "normalised_relu") == 0).all()


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="unknown activation 'softmax'"):
        activate(torch.zeros(1), "softmax")


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"dimension": 4}, "dimension"),
        ({"architecture": "transformer"}, "architecture"),
        ({"activation": "softmax"}, "activation"),
        ({"strides": (1, 2, 2)}, "stages"),
        ({"strides": (2, 2, 2, 2)}, "first stride"),
        ({"spacing_mm": (1, 1, 1)}, "one number per dimension"),
        ({"spacing_mm": (0, 1)}, "spacing_mm"),
        ({"patch_size": (60, 64)}, "multiple"),
        ({"features_per_stage": (0, 1, 1, 1)}, "positive"),
    ],
)
def test_settings_that_describe_no_network_are_refused(changes, finding):
    with pytest.raises(InputError, match=finding):
        NetworkConfig(**changes)


def test_settings_survive_json():
    for config in (*PRESETS.values(), TINY_3D):
        assert NetworkConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_unknown_settings_are_refused():
    with pytest.raises(InputError, match="depth"):
        NetworkConfig.from_dict({"depth": 3})
    with pytest.raises(InputError, match="wrong kind"):
        NetworkConfig.from_dict({"strides": 3})


@pytest.mark.parametrize("config", [TINY, TINY_3D])
def test_weights_come_back_bit_by_bit(tmp_path, config):
    network = build_network(config, seed=3)
    card = save_weights(tmp_path / "model.safetensors", network, config, {"truth": "soft"})
    again, config_again, card_again = load_weights(tmp_path)
    assert config_again == config
    assert card_again["truth"] == "soft"
    assert card["parameters"] == count_parameters(network)
    for a, b in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_name_a_file_and_a_folder_all_resolve(tmp_path, monkeypatch):
    monkeypatch.setattr("softseg.network.weights.SHIPPED", tmp_path)
    save_weights(tmp_path / "good.safetensors", build_network(TINY), TINY)
    save_weights(tmp_path / "run" / "model.safetensors", build_network(TINY), TINY)
    assert resolve_weights("good") == tmp_path / "good.safetensors"
    assert resolve_weights(tmp_path / "good.safetensors") == tmp_path / "good.safetensors"
    assert resolve_weights(tmp_path / "run") == tmp_path / "run" / "model.safetensors"
    with pytest.raises(InputError, match=r"no such weights.*\(good\)"):
        resolve_weights("better")


def test_files_that_are_not_ours_are_named_with_the_finding(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_text("not weights")
    with pytest.raises(InputError, match=r"x\.safetensors: not a safetensors file"):
        load_weights(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(InputError, match="not softseg weights"):
        load_weights(path)
    save_file({"a": torch.zeros(2)}, path, {"format": "softseg-weights-1", "card": "{}"})
    with pytest.raises(InputError, match="without a readable card"):
        load_weights(path)


def test_damaged_or_foreign_numbers_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_weights(path, build_network(TINY), TINY)
    card = {"format": "softseg-weights-1", "card": json.dumps(read_card(path))}
    tensors = load_file(path)

    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"x\.safetensors: not a safetensors file"):
        load_weights(path)

    name = next(iter(tensors))
    save_file(tensors | {name: tensors[name] + 1}, path, card)
    with pytest.raises(InputError, match="checksum"):
        load_weights(path)
    save_file(tensors | {name: torch.zeros(3)}, path, card)
    with pytest.raises(InputError, match=f"do not fit.*{name}"):
        load_weights(path)
    save_file({k: v for k, v in tensors.items() if k != name}, path, card)
    with pytest.raises(InputError, match=f"do not fit.*{name}"):
        load_weights(path)


def test_weights_may_be_read_by_whoever_may_read_other_files(tmp_path):
    (tmp_path / "plain").touch()
    save_weights(tmp_path / "model.safetensors", build_network(TINY), TINY)
    modes = [(tmp_path / name).stat().st_mode for name in ("plain", "model.safetensors")]
    assert modes[0] == modes[1]


def test_the_same_weights_are_the_same_bytes_in_every_process(tmp_path):
    code = (
        "import sys; from softseg.network.config import NetworkConfig; "
        "from softseg.network.unet import build_network; "
        "from softseg.network.weights import save_weights; "
        "config = NetworkConfig(features_per_stage=(4, 8), strides=(1, 2), patch_size=(16, 16)); "
        "save_weights(sys.argv[1], build_network(config), config, {'truth': 'soft', 'a': 1})"
    )
    paths = [tmp_path / f"{number}.safetensors" for number in range(3)]
    for path in paths[:2]:
        subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    save_weights(paths[2], build_network(TINY), TINY, {"a": 1, "truth": "soft"})
    assert len({path.read_bytes() for path in paths}) == 1
    written = paths[0].read_bytes()
    header = json.loads(written[8 : 8 + int.from_bytes(written[:8], "little")])
    assert list(header) == sorted(header)
    assert list(header["__metadata__"]) == ["card", "format"]


def test_a_failed_save_leaves_the_old_weights(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_weights(path, build_network(TINY), TINY, {"version": 1})

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("softseg.network.weights.save", fail)
    with pytest.raises(InputError, match="No space left"):
        save_weights(path, build_network(TINY, seed=1), TINY, {"version": 2})
    assert load_weights(path)[2]["version"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


def test_only_the_decoder_goes_without_normalisation():
    kept, dropped = (
        build_network(NetworkConfig(decoder_normalisation=flag)) for flag in (True, False)
    )
    norms = (nn.InstanceNorm2d,)
    assert any(isinstance(m, norms) for m in kept.decoder.stages.modules())
    assert not any(isinstance(m, norms) for m in dropped.decoder.stages.modules())
    assert any(isinstance(m, norms) for m in dropped.encoder.modules())


def test_dropping_the_normalisation_survives_saving_and_loading(tmp_path):
    config = NetworkConfig(decoder_normalisation=False)
    network = build_network(config, seed=3)
    save_weights(tmp_path / "n.safetensors", network, config, {})
    again, read, _ = load_weights(tmp_path / "n.safetensors")
    assert read == config
    image = torch.randn(1, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(again.eval()(image), network.eval()(image))
