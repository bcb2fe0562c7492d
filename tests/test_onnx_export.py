"""A network as one ONNX file: the same output as PyTorch's, the same bytes, no damage unseen."""

import json
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from test_network import TINY, TINY_3D

from softseg.errors import InputError
from softseg.network.config import PRESETS, NetworkConfig
from softseg.network.onnx_export import OPSET, export_network
from softseg.network.onnx_session import OnnxNetwork, processor_threads
from softseg.network.torch_inference import inference
from softseg.network.unet import build_network
from softseg.network.weights import SHIPPED, available_weights, load_weights, save_weights
from softseg.segmentation.predict import predict_slices, predict_volume

# PyTorch refuses to normalise features of a single voxel.
SIZES = {
    "small": [(1, 8, 16), (3, 48, 48), (2, 64, 120)],
    "axial": [(1, 16, 32), (3, 96, 96), (2, 160, 64), (1, 320, 336)],
    "volume": [(1, 8, 8, 16), (1, 48, 48, 64), (2, 24, 16, 40)],
    "tiny 3-D": [(1, 2, 4, 8), (2, 8, 16, 20)],
    "residual": [(1, 16, 8), (2, 24, 40)],
}
CONFIGS = PRESETS | {
    "tiny 3-D": TINY_3D,
    "residual": replace(PRESETS["small"], architecture="residual"),
}


def write(folder, config: NetworkConfig, seed: int = 0, **card):
    network = build_network(config, seed=seed)
    card = save_weights(folder / "model.safetensors", network, config, card)
    export_network(folder / "model.onnx", network, config, card)
    return network, card


def largest_difference(network, exported: OnnxNetwork, size: tuple[int, ...]) -> float:
    """Between two outputs of one random image, as a share of the output's largest value."""
    count, *axes = size
    image = np.random.default_rng(axes).normal(size=(count, 1, *axes)).astype(np.float32)
    with inference(network) as run:
        expected = run(image)
    found = exported(image)
    assert found.dtype == np.float32
    assert found.shape == image.shape
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("name", SIZES)
def test_the_exported_network_gives_the_output_of_the_trained_one(tmp_path, name):
    network, card = write(tmp_path, CONFIGS[name], seed=3, truth="soft")
    network.train()
    exported = OnnxNetwork.load(tmp_path / "model.onnx")
    assert exported.config == CONFIGS[name]
    assert exported.card == json.loads(json.dumps(card))
    for size in SIZES[name]:
        assert largest_difference(network, exported, size) < 1e-4


@pytest.mark.parametrize("name", available_weights())
def test_what_ships_is_exported_from_the_weights_beside_it(tmp_path, name):
    network, config, card = load_weights(name)
    exported = OnnxNetwork.load(SHIPPED / f"{name}.onnx")
    assert exported.card == card
    for size in [(2, 96, 96), (1, 320, 320)]:
        assert largest_difference(network, exported, size) < 1e-5
    export_network(tmp_path / "again.onnx", network, config, card)
    again = onnx.load(tmp_path / "again.onnx").graph
    assert again.initializer == onnx.load(SHIPPED / f"{name}.onnx").graph.initializer


def test_exporting_leaves_the_network_as_it_was(tmp_path):
    network = build_network(TINY_3D).train()
    export_network(tmp_path / "n.onnx", network, TINY_3D, {"config": {}, "checksum": ""})
    assert network.training
    assert network.decoder.deep_supervision
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_file_is_of_one_version_with_all_numbers_inside_and_no_text_of_this_machine(tmp_path):
    write(tmp_path, TINY)
    model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert not any(node.doc_string for node in model.graph.node)
    assert {tensor.data_type for tensor in model.graph.initializer} == {onnx.TensorProto.FLOAT}
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_param or axis.dim_value for axis in shape] == ["batch", 1, "x", "y"]


def test_equal_content_is_equal_bytes_in_every_process(tmp_path):
    code = (
        "import sys; from pathlib import Path; from test_onnx_export import TINY, write; "
        "folder = Path(sys.argv[1]); folder.mkdir(); write(folder, TINY, truth='soft')"
    )
    for number in range(2):
        words = [sys.executable, "-c", code, str(tmp_path / str(number))]
        subprocess.run(words, check=True, cwd=__file__.rpartition("/")[0])
    first, second = ((tmp_path / str(n) / "model.onnx").read_bytes() for n in range(2))
    assert first == second


def test_a_damaged_or_foreign_file_is_refused(tmp_path):
    write(tmp_path, TINY)
    path = tmp_path / "model.onnx"
    whole = path.read_bytes()
    for at in (100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(InputError, match=r"model\.onnx: .*damaged"):
            OnnxNetwork.load(path)
    for content in (b"", b"not a network", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"model\.onnx: not an ONNX file that softseg"):
            OnnxNetwork.load(path)
    foreign = onnx.load_from_string(whole)
    del foreign.metadata_props[:]
    onnx.save(foreign, path)
    with pytest.raises(InputError, match="not an ONNX file that softseg exported"):
        OnnxNetwork.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        OnnxNetwork.load(tmp_path)


def test_a_card_that_says_nothing_is_refused(tmp_path):
    export_network(tmp_path / "n.onnx", build_network(TINY), TINY, {"data": "none"})
    with pytest.raises(InputError, match="without a readable card"):
        OnnxNetwork.load(tmp_path / "n.onnx")


@pytest.mark.parametrize(("asked", "threads"), [("1", 1), ("2", 2), (" 3,2 ", 3)])
def test_threads_are_those_that_other_libraries_are_asked_for(monkeypatch, asked, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert processor_threads() == threads


@pytest.mark.parametrize("asked", ["", "0", "many"])
def test_without_a_number_of_threads_there_is_one_a_core(monkeypatch, asked):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert 1 <= processor_threads() <= 8


@pytest.mark.parametrize("preset", ["axial", "volume"])
def test_one_and_three_threads_give_the_same_bytes(tmp_path, monkeypatch, preset):
    write(tmp_path, PRESETS[preset])
    outputs = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        network = OnnxNetwork.load(tmp_path / "model.onnx")
        assert network.at_once == int(threads)
        image = np.random.default_rng(0).normal(size=(32, 48, 64)).astype(np.float32)
        if preset == "axial":
            outputs.append(predict_slices(network, image))
        else:
            outputs.append(predict_volume(network, image, (16, 32, 32)))
    np.testing.assert_array_equal(*outputs)


def test_calls_run_side_by_side_and_come_back_in_order():
    """Each waits for another one: one after the other they would wait forever."""
    together = threading.Barrier(2, timeout=20)

    class Slow:
        at_once, pixels_per_batch = 2, 1

        def __call__(self, images):
            together.wait()
            return images * 2

    slices = np.random.default_rng(0).normal(size=(6, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(predict_slices(Slow(), slices), slices * 2)


def test_an_error_of_one_call_comes_out():
    class Broken:
        at_once, pixels_per_batch = 2, 1

        def __call__(self, images):
            raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        predict_slices(Broken(), np.eye(4, dtype=np.float32)[None].repeat(9, axis=0))


def test_the_card_is_that_of_the_weights_it_was_made_from(tmp_path):
    _, card = write(tmp_path, TINY, truth="soft")
    stored = {p.key: p.value for p in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert json.loads(stored["card"]) == json.loads(json.dumps(card))
    assert len(stored["file_sha256"]) == 64
    assert torch.__version__.startswith(onnx.load(tmp_path / "model.onnx").producer_version)
