import gzip
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from scripts import loaded_script

from softseg.errors import InputError
from softseg.network.config import PRESETS
from softseg.network.unet import build_network
from softseg.network.weights import (
    EARLIER,
    SHIPPED,
    available_weights,
    load_weights,
    resolve_weights,
    save_weights,
)
from softseg.segmentation.engine import Model

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def release():
    return loaded_script("notebooks/release.py")


def test_a_participant_is_scored_by_the_fold_that_left_them_out(release, tmp_path):
    network = build_network(PRESETS["small"])
    for number, people in ((1, ["sub-a", "sub-b"]), (2, ["sub-c"])):
        folder = tmp_path / "models" / f"fold_{number}_seed-1"
        folder.mkdir(parents=True)
        card = {"training": {"validation_subjects": people}}
        save_weights(folder / "model.safetensors", network, PRESETS["small"], card)
    folds = release.left_out(tmp_path)
    assert {name: folder.name for name, folder in folds.items()} == {
        "sub-a": "fold_1_seed-1", "sub-b": "fold_1_seed-1", "sub-c": "fold_2_seed-1",
    }  # fmt: skip


def test_scores_of_a_contrast_count_participants_not_images(release):
    scores = pd.DataFrame({
        "contrast": "T2star", "person": ["a", "a", "a", "b", "unf01"],
        "subject": ["sub-a", "sub-a", "sub-a", "sub-b", "sub-sgunf01"],
        "dice": [0.9, 0.9, 0.9, 0.98, 0.5], "error_percent": [-4.0, -4.0, -4.0, 2.0, 25.0],
    })  # fmt: skip
    row = release.by_contrast(scores)[0]
    assert (row["images"], row["people"], row["dice_lowest"]) == (4, 2, 0.9)
    assert row["area_bias_percent"] == pytest.approx(-1.0)
    assert row["dice"] == pytest.approx(0.92)


def test_the_network_that_ships_is_small_enough_for_the_package():
    size = sum(parameter.numel() for parameter in build_network(PRESETS["axial"]).parameters())
    assert size * torch.finfo(torch.float32).bits / 8 < 10e6


MACHINE = re.compile(rb"(?<![\w.:/~-])/(work|home|root|Users|scratch|mnt)/[\w.-]+")
"""Absolute paths of somebody's machine."""


def test_no_weights_card_or_table_names_a_place_on_a_machine():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    ).stdout
    kinds = (".json", ".csv", ".tsv", ".onnx", ".safetensors", ".yml", ".parquet", ".png")
    files = [ROOT / name for name in listed.decode().split("\0") if name.endswith(kinds)]
    contents = {path.name: path.read_bytes() for path in {*files, *SHIPPED.glob("*")}}
    unpacked = {
        name: gzip.decompress(content) if name.endswith(".gz") else content
        for name, content in contents.items()
    }
    found = {name: MACHINE.search(content) for name, content in unpacked.items()}
    assert {name: match.group() for name, match in found.items() if match} == {}


def test_weights_of_an_earlier_version_are_there_by_name_with_the_numbers_they_had():
    assert "axial-0.1" in available_weights(EARLIER)
    assert "axial-0.1" not in available_weights()
    card = Model.load("axial-0.1").card
    assert card["name"] == "axial-0.1"
    # Of the release 0.1: what a study wrote into its records.
    assert card["checksum"] == "a118e42923521e3021db9c8968e2c7de2b9ccc21743770d2408ec92bb364bfd0"
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 10e6


def test_an_earlier_file_that_is_damaged_is_refused_in_one_line(tmp_path):
    whole = resolve_weights("axial-0.1").read_bytes()
    for broken in (whole[:-2000], whole[:1000], b"\x1f\x8b"):
        (tmp_path / "old.onnx.gz").write_bytes(broken)
        with pytest.raises(InputError, match=r"old\.onnx\.gz: damaged"):
            Model.load(tmp_path / "old.onnx.gz")


def test_the_network_to_start_from_has_seen_no_image_of_anybody():
    network, config, card = load_weights(ROOT / "notebooks/pretrained/phantoms.safetensors")
    assert config == PRESETS["axial"]
    assert sum(parameter.numel() for parameter in network.parameters()) == card["parameters"]
    learnt, scale = card["training"], ROOT / "notebooks/scales/weights.yml"
    assert learnt["training_subjects"] == []
    assert learnt["empty_slices"] == {}
    planned = yaml.safe_load(scale.read_text(encoding="utf-8"))["models"]["phantoms_and_empty"]
    same = {**planned["settings"], "steps": planned["steps"], "loss": planned["loss"]}
    # Those whom a training is only watched with are no part of what it learns.
    unlike = {"validation_volumes", "validate_every", "anatomy_dataset"}
    found = {name: learnt[name] for name in same.keys() - unlike}
    assert found == {name: same[name] for name in found}
