import json
import mmap
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tube_cohort import write_tubes

from softseg.augmentation.registry import get_augmentation
from softseg.contrasts import CONTRASTS
from softseg.errors import InputError
from softseg.losses.registry import LOSSES
from softseg.network.config import PRESETS, NetworkConfig
from softseg.network.onnx_session import OnnxNetwork
from softseg.network.unet import build_network
from softseg.network.weights import available_weights, load_weights, save_weights
from softseg.training.callbacks import Clock, PlainCheckpoints, StopDead, decode, encode
from softseg.training.config import TrainingConfig
from softseg.training.data import cache_folder, find_data, find_pools
from softseg.training.fitting import fit, round_ends
from softseg.training.history import History
from softseg.training.module import make_loss, make_network, rate_factor, score
from softseg.training.patches import Batches, PatchOrder, PatchPool, window_index
from softseg.volume import Volume
from softseg_study.evaluation.augmentation_effects import augmented_patches

SUBJECTS = tuple(f"sub-{number:02d}" for number in range(1, 6))
TINY = {
    "features_per_stage": (16, 32), "strides": (1, 2), "patch_size": (32, 32),
    "spacing_mm": (1.0, 1.0),
}  # fmt: skip


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    return write_tubes(tmp_path_factory.mktemp("tubes"), SUBJECTS)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def defaults(cohort, cache) -> TrainingConfig:
    return TrainingConfig(
        output="unused",
        dataset=cohort,
        contrasts=("T1w", "T2w"),
        training_subjects=SUBJECTS[:3],
        validation_subjects=SUBJECTS[3:],
        validation_volumes=2,
        network=TINY,
        steps=12,
        batch_size=4,
        warmup_steps=2,
        precision="float32",
        cache=cache,
        threads=1,
        progress="none",
    )


@pytest.fixture(scope="module")
def trained(defaults, tmp_path_factory) -> History:
    """What others are compared with, validated four times."""
    return fit(defaults.replaced(output=str(tmp_path_factory.mktemp("trained") / "model")))


@pytest.fixture
def config(defaults, tmp_path) -> TrainingConfig:
    """The same, but validated once, at the end, which takes half the time."""
    return defaults.replaced(output=str(tmp_path / "model"), validate_every=1000)


@pytest.fixture
def batches(config):
    """Batches of the cohort for any rank of any number of processes."""
    _, network = make_network(config)
    pairs, _ = find_data(config, network)
    order = PatchOrder(0, network.patch_size)

    def make(rank=0, world=1, first_step=0, augmentation="light"):
        augment = get_augmentation(augmentation)
        return Batches(
            pairs, order, augment, batch_size=8, first_step=first_step, last_step=20, rank=rank,
            world=world,
        )  # fmt: skip

    return make


def window(array, first, size) -> np.ndarray:
    return array[window_index(array.shape, first, size)]


def checksum(folder: Path | str) -> str:
    return json.loads((Path(folder) / "model.json").read_text())["checksum"]


def test_a_small_network_learns_the_area_of_unseen_tubes(config):
    config = config.replaced(
        steps=150, batch_size=8, learning_rate=5e-3, ema=0.9, validate_every=75
    )
    history = fit(config)
    first, last = history.validation.iloc[0], history.validation.iloc[-1]
    assert last.soft_dice > 0.9
    assert last.csa_error_mm2 < min(10.0, first.csa_error_mm2)
    assert history.losses.loss.iloc[-10:].mean() < 0.2 * history.losses.loss.iloc[:10].mean()


def test_the_folder_of_a_model_holds_weights_card_and_curves(trained):
    assert sorted(p.name for p in trained.folder.iterdir()) == [
        "history.csv", "model.json", "model.onnx", "model.safetensors", "timing.json",
    ]  # fmt: skip
    assert list(trained.losses.step) == list(range(1, 13))
    assert list(trained.validation.step) == [3, 6, 9, 12]
    _, network_config, card = load_weights(trained.folder)
    assert network_config == NetworkConfig(**TINY)
    assert card == trained.card == OnnxNetwork.load(trained.folder / "model.onnx").card
    assert card["truth"] == "soft"
    assert card["data"]["images"] == 6
    assert set(card["scores"]) == {"soft_dice", "csa_error_mm2", "volume_ratio"}
    assert "softseg" in card["versions"]
    assert str(trained.folder.parent) not in json.dumps(card)
    assert History.load(trained.folder).curves.equals(trained.curves)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(trained, config, tmp_path):
    again = fit(trained.config.replaced(output=config.output))
    for name in ("history.csv", "model.json"):  # the card holds the weights' checksum
        assert (again.folder / name).read_bytes() == (trained.folder / name).read_bytes()
    other = fit(config.replaced(output=str(tmp_path / "other"), seed=1))
    assert checksum(trained.folder) != checksum(other.folder)


def test_training_leaves_the_global_random_state_and_threads_alone(config):
    torch.manual_seed(7)
    expected, threads = torch.rand(3), torch.get_num_threads()
    torch.manual_seed(7)
    fit(config.replaced(steps=1, threads=2, validation_subjects=()))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def run_in_process(config: TrainingConfig, folder: Path, *, before: str = "") -> subprocess.Popen:
    """`fit` in a fresh interpreter, after the lines of `before`."""
    script = folder / "train.py"
    script.write_text(
        "import json, sys\nfrom softseg.training.config import TrainingConfig\n"
        f"from softseg.training.fitting import fit\n{before}"
        "if __name__ == '__main__':\n    fit(TrainingConfig(**json.load(open(sys.argv[1]))))\n"
    )
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    return subprocess.Popen(
        [sys.executable, script, folder / "config.json"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


KILLED = """
import os, signal
from softseg.training.callbacks import PlainCheckpoints
save = PlainCheckpoints.save_checkpoint
def killed(*arguments, **options):
    save(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
PlainCheckpoints.save_checkpoint = killed
"""


def test_a_training_killed_midway_continues_to_the_same_weights(config, tmp_path):
    config = config.replaced(steps=40, checkpoint_minutes=0.0, validate_every=10, ema=0.95)
    killed = config.replaced(output=str(tmp_path / "killed"))
    process = run_in_process(killed, tmp_path, before=KILLED)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, output
    assert (Path(killed.output) / "checkpoint" / "last.safetensors").exists()
    assert not (Path(killed.output) / "model.safetensors").exists()
    continued = fit(killed)
    assert continued.timing["steps"] == 30
    assert list(continued.losses.step) == list(range(1, 41))
    assert checksum(killed.output) == checksum(fit(config).folder)
    assert continued.curves.equals(History.load(config.output).curves)


def test_a_checkpoint_of_other_settings_is_put_aside(config):
    stale = Path(config.output) / "checkpoint"
    stale.mkdir(parents=True)
    (stale / "identity.json").write_text("{}")
    (stale / "last.safetensors").write_bytes(b"not a checkpoint")
    assert fit(config).timing["steps"] == config.steps


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(config, tmp_path):
    config = config.replaced(steps=8, ema=0.0, learning_rate=1e-3, validate_every=2)
    two = config.replaced(output=str(tmp_path / "two"), devices=2, strategy="ddp")
    process = run_in_process(two, tmp_path)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    one = fit(config)
    # Outputs, not weights: a bias before an instance normalisation is free to wander.
    image = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    alone, shared = (load_weights(folder)[0](image) for folder in (config.output, two.output))
    assert (alone - shared).abs().mean() < 0.01 * alone.std()
    curves = History.load(two.output)
    assert np.allclose(curves.validation.soft_dice, one.validation.soft_dice, atol=0.01), (
        "validation must cover all volumes, whichever process scores them"
    )


def test_processes_share_each_batch_without_overlap(batches):
    whole = batches()[3]
    parts = [batches(rank, 2)[3] for rank in range(2)]
    for index in range(2):
        together = torch.cat([part[index] for part in parts])
        assert torch.allclose(whole[index], together, atol=1e-4)


def test_a_continued_training_sees_the_batches_it_would_have_seen(batches):
    later = batches(first_step=5)
    assert torch.equal(batches()[7][0], later[2][0])


def test_every_image_is_shown_once_before_any_is_shown_again():
    order, contrasts = PatchOrder(3, (32, 32)), ("T1w", "T2w", "T2w", "DWI", "T2w", "T1w", "T2w")
    shown = [order.image_index(number, contrasts) for number in range(21)]
    turns = [shown[start : start + 7] for start in (0, 7, 14)]
    assert all(sorted(turn) == list(range(7)) for turn in turns)
    assert turns[0] != turns[1]


def test_contrasts_take_turns():
    names = ("T1w", "T2w", "DWI")
    contrasts = tuple(names[number % 3] for number in range(15))
    order = PatchOrder(0, (32, 32))
    shown = [contrasts[order.image_index(number, contrasts)] for number in range(45)]
    assert all(set(shown[start : start + 3]) == set(names) for start in range(0, 45, 3))


def test_image_and_mask_of_a_patch_belong_together(batches):
    images, softs = batches(augmentation="none")[0]
    for image, soft in zip(images, softs, strict=True):
        if soft.sum() > 20:
            inside, outside = image[soft > 0.9], image[soft < 0.1]
            assert abs(inside.mean() - outside.mean()) > 4 * outside.std()


def test_most_patches_hold_the_cord_and_some_do_not_have_to(batches, config):
    _, network = make_network(config)
    pairs, _ = find_data(config, network)
    always = PatchOrder(0, (16, 16), cord_share=1.0)
    for number in range(40):
        pair = pairs[always.image_index(number, tuple(pair.contrast for pair in pairs))]
        first, size = always.place(number, pair)
        assert window(pair.soft, first, size).max() > 0.5
    never = PatchOrder(0, (16, 16), cord_share=0.0)
    held = [
        window(pairs[0].soft, *never.place(number, pairs[0])).max() > 0.5 for number in range(60)
    ]
    assert 0 < np.mean(held) < 1


@given(first=st.tuples(*[st.integers(-6, 9)] * 3), size=st.tuples(*[st.integers(1, 7)] * 3))
@settings(max_examples=60, deadline=None)
def test_a_window_repeats_the_border_of_the_image(first, size):
    array = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    index = np.ix_(
        *(np.clip(np.arange(f, f + n), 0, m - 1) for f, n, m in zip(first, size, array.shape,
                                                                    strict=True))
    )  # fmt: skip
    assert np.array_equal(window(array, np.array(first), np.array(size)), array[index])


def test_prepared_masks_stay_fractions_and_keep_their_volume(config, cohort):
    _, network = make_network(config.replaced(network=TINY | {"spacing_mm": (0.8, 0.8)}))
    pairs, _ = find_data(config, network)
    truth = Volume.load(
        cohort / "derivatives/labels_softseg/sub-01/anat/sub-01_T1w_label-SC_softseg.nii.gz"
    )
    pair = next(p for p in pairs if (p.subject, p.contrast) == ("sub-01", "T1w"))
    soft = np.asarray(pair.soft, dtype=float)
    assert soft.min() >= 0
    assert soft.max() <= 1
    assert np.mean((soft > 0.05) & (soft < 0.95)) > 0.02
    assert soft.sum() * 0.8**2 * 4 == pytest.approx(truth.data.sum() * 4, rel=0.01)


def test_prepared_volumes_are_made_once_and_shared_between_truths(config, tmp_path):
    config = config.replaced(cache=str(tmp_path / "cache"))
    _, network = make_network(config)
    soft, _ = find_data(config, network)
    written = {p: p.stat().st_mtime_ns for p in cache_folder(config).iterdir()}
    hard, _ = find_data(config.replaced(truth="hard"), network)
    assert [p.image_path for p in soft] == [p.image_path for p in hard]
    assert {p.soft_path for p in soft}.isdisjoint(p.soft_path for p in hard)
    find_data(config, network)
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())


def test_volumes_are_mapped_from_disk_and_not_loaded(config):
    _, network = make_network(config)
    pairs, _ = find_data(config.replaced(workers=2), network)
    for array in (pairs[0].image, pairs[0].soft):
        while isinstance(array, np.ndarray):
            array = array.base
        assert isinstance(array, mmap.mmap)


def test_a_loss_of_ones_own_is_one_function_and_one_entry(config, monkeypatch):
    def log_cosh(prediction, target, *, reduction="mean"):
        values = torch.log(torch.cosh(prediction - target))
        return {"mean": values.mean(), "sum": values.sum(), "none": values}[reduction]

    monkeypatch.setitem(LOSSES, "log_cosh", log_cosh)
    history = fit(config.replaced(loss="log_cosh"))
    assert history.card["loss"] == "log_cosh"
    assert history.losses.loss.iloc[-3:].mean() < history.losses.loss.iloc[:3].mean()


def test_a_changed_mask_is_prepared_anew(tmp_path, config):
    cohort = write_tubes(tmp_path / "own", SUBJECTS)
    config = config.replaced(dataset=str(cohort), cache=str(tmp_path / "cache"))
    _, network = make_network(config)
    before, _ = find_data(config, network)
    path = next((cohort / "derivatives/labels_softseg/sub-01").rglob("*T1w*"))
    mask = Volume.load(path)
    mask.like(mask.data * 0.5).save(path)
    after, _ = find_data(config, network)
    changed = [a.soft_path != b.soft_path for a, b in zip(after, before, strict=True)]
    assert sum(changed) == 1


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"augmentation": "lightish"}, "lightish"),
        ({"loss": "adaptive_sting"}, "adaptive_sting"),
        ({"network": "huge"}, "huge"),
        ({"contrasts": ["T2star"]}, "T2star"),
        ({"truth": "labels_of_mine:label-SC_seg"}, "labels_of_mine"),
        ({"dataset": None}, "dataset"),
        ({"training_subjects": ["sub-99"]}, "sub-99"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(config, tmp_path, change, found):
    config = config.replaced(cache=str(tmp_path / "cache"))
    with pytest.raises(InputError, match=found):
        fit(config.replaced(**change))
    assert not Path(config.output).exists()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0}, {"truth": "softish"}, {"crop": "corner"}, {"cord_share": 1.5}, {"ema": 1.0},
        {"learning_rate": 0.0}, {"batch_size": 5, "devices": 2}, {"precision": "float8"},
        {"validation_subjects": ["sub-01"]}, {"no_such_setting": 1},
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused_in_one_line(config, change):
    with pytest.raises(InputError) as caught:
        config.replaced(**change)
    assert "\n" not in str(caught.value)


def test_a_truth_must_be_a_mask_on_its_images_grid_but_for_rounding(tmp_path, config):
    cohort = write_tubes(tmp_path / "own", SUBJECTS)
    config = config.replaced(dataset=str(cohort))
    _, network = make_network(config)
    path = next((cohort / "derivatives/labels_softseg/sub-02").rglob("*T2w*"))
    mask = Volume.load(path)
    mask.like(mask.data + 5e-4).save(path)
    pairs, _ = find_data(config, network)
    assert max(pair.soft.max() for pair in pairs) <= 1
    mask.like(mask.data * 3).save(path)
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        find_data(config, network)
    Volume(mask.data, mask.affine * [1.1, 1, 1, 1]).save(path)
    with pytest.raises(InputError, match="must lie on the grid of"):
        find_data(config, network)


def test_training_starts_from_given_weights(config, tmp_path):
    network_config = NetworkConfig(**TINY)
    network = build_network(network_config, seed=99)
    save_weights(tmp_path / "start.safetensors", network, network_config)
    tuned = config.replaced(
        init_weights=str(tmp_path / "start.safetensors"), steps=1, learning_rate=1e-9, ema=0.0
    )
    fit(tuned)
    trained = load_weights(config.output)[0]
    for before, after in zip(network.parameters(), trained.parameters(), strict=True):
        assert torch.allclose(before, after, atol=1e-6)


@pytest.mark.parametrize("name", available_weights())
def test_shipped_weights_are_tuned_by_their_name(config, name):
    tuned = config.replaced(init_weights=name, network=name, steps=1, learning_rate=1e-9, ema=0.0)
    fit(tuned.replaced(validation_subjects=()))
    shipped, trained = load_weights(name)[0], load_weights(config.output)[0]
    for before, after in zip(shipped.parameters(), trained.parameters(), strict=True):
        assert torch.allclose(before.float(), after, atol=1e-6)


def test_sixteen_bit_products_train_to_about_the_same(trained, config):
    exact, half = trained, fit(config.replaced(precision="bfloat16"))
    assert checksum(exact.folder) != checksum(half.folder)
    # The same weights at first; from there on rounding takes each training its own way.
    assert half.losses.loss[0] == pytest.approx(exact.losses.loss[0], rel=0.01)
    assert half.losses.loss[-3:].mean() == pytest.approx(exact.losses.loss[-3:].mean(), rel=0.3)


def test_a_terminal_shows_a_bar_and_leaves_no_lines(config, capsys):
    fit(config.replaced(progress="bar"))
    shown = capsys.readouterr()
    assert "soft Dice" in shown.err
    assert shown.out == ""


def test_an_output_that_died_is_reported(config):
    dead = config.replaced(
        network=TINY | {"activation": "normalised_relu", "output_bias": -1e3},
        steps=1, learning_rate=1e-9,
    )  # fmt: skip
    with pytest.warns(RuntimeWarning, match="died"):
        history = fit(dead)
    assert history.card["warnings"]


def test_a_training_whose_masks_stay_empty_ends_with_one_line(config, monkeypatch):
    monkeypatch.setattr(StopDead, "PATIENCE", 6)
    dead = config.replaced(
        network=TINY | {"activation": "sigmoid", "output_bias": -50.0}, loss="absolute_dice",
        steps=40, validate_every=4, learning_rate=1e-9,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"no mask has had a value above 0.1 for 8 steps"):
        fit(dead)
    assert not (Path(dead.output) / "model.safetensors").exists()
    alive = dead.replaced(network=TINY, steps=12)
    assert len(fit(alive).losses) == 12


def test_training_without_progress_stops_early(config):
    history = fit(config.replaced(learning_rate=1e-9, patience=1, ema=0.0, validate_every=3))
    assert len(history.losses) < config.steps
    assert len(history.validation) == 2


def test_the_best_weights_are_kept_on_request(config):
    wild = config.replaced(keep="best", learning_rate=0.5, steps=20, gradient_clip=None)
    history = fit(wild.replaced(validate_every=5))
    best = load_weights(history.weights)[0]
    _, network = make_network(config)
    _, volumes = find_data(config, network)
    scores = [score(volumes, network, best, index)["soft_dice"] for index in range(len(volumes))]
    assert np.mean(scores) == pytest.approx(history.validation.soft_dice.max(), abs=1e-6)


def test_lines_of_progress_hold_no_times(config, capsys):
    fit(config.replaced(progress="lines", output=config.output + "-a"))
    first = capsys.readouterr()
    fit(config.replaced(progress="lines", output=config.output + "-b"))
    second = capsys.readouterr()
    assert first.out == second.out
    assert "soft Dice" in first.out
    assert first.err == second.err == ""


def test_ctrl_c_stays_ctrl_c_and_works_again_afterwards(config, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Clock, "on_train_batch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(config)
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.undo()
    assert len(fit(config).losses) == config.steps


def test_worker_processes_change_nothing(trained, config):
    assert checksum(fit(config.replaced(workers=1)).folder) == checksum(trained.folder)


AGAINST = ("factor", "against")
"""Keys of the grid that chapter 05 reads."""


def test_the_grid_of_models_names_only_what_exists(project_root):
    grid = yaml.safe_load((project_root / "notebooks/scales/grid.yml").read_text())["models"]
    assert {"soft_all", "hard_all", "soft_bin_all", "hard_all_bigaug", "synthseg"} <= set(grid)
    for kind in ("soft", "hard"):
        alone = [m for m in grid.values() if m.get("method") == f"{kind}_per_contrast"]
        assert sorted(c for model in alone for c in model["contrasts"]) == sorted(CONTRASTS)
    for name, model in grid.items():
        of_notebook = ("method", "seeds", "own_truth", "segmented", "people", "settings", *AGAINST)
        settings = {k: v for k, v in model.items() if k not in of_notebook}
        config = TrainingConfig.from_dict({"output": name} | settings | model.get("settings", {}))
        make_loss(config, make_network(config)[1])
        get_augmentation(config.augmentation)
        assert set(config.contrasts) | set(model.get("segmented", ())) <= set(CONTRASTS)
        assert "steps" not in model, "every model gets the same number of steps"


def test_the_main_comparison_is_fourteen_models_of_the_grid(project_root):
    scales = project_root / "notebooks/scales"
    grid = yaml.safe_load((scales / "grid.yml").read_text())["models"]
    chosen = yaml.safe_load((scales / "comparison.yml").read_text())["models"]
    assert len(chosen) == 14
    for name, model in chosen.items():
        # How often a training is validated changes its record alone.
        assert set(model.get("settings", {})) <= {"validate_every"}
        assert {k: v for k, v in model.items() if k != "settings"} == {
            k: v for k, v in grid[name].items() if k not in ("seeds", *AGAINST)
        }


def test_how_often_a_training_is_validated_leaves_its_weights_alone(trained, config):
    once = fit(config)
    assert (len(trained.validation), len(once.validation)) == (4, 1)
    assert checksum(trained.folder) == checksum(once.folder)
    assert trained.losses.equals(once.losses)
    assert trained.validation.iloc[-1].equals(once.validation.iloc[-1])


def test_a_network_can_be_a_changed_preset(config):
    _, network = make_network(config.replaced(network='{"preset": "axial", "activation": "clamp"}'))
    assert network == replace(PRESETS["axial"], activation="clamp")
    with pytest.raises(InputError, match="not JSON"):
        config.replaced(network="{preset: axial")


def test_models_without_any_image_learn_from_the_phantom_stream(config):
    synthetic = config.replaced(
        augmentation="synthseg", synthetic_samples=12, training_subjects=[], steps=4
    )
    card = fit(synthetic).card
    assert card["data"]["images"] == 1
    again = fit(synthetic.replaced(dataset=None, validation_subjects=[]))
    assert again.card["data"]["fingerprint"] == card["data"]["fingerprint"]
    assert again.card["data"]["name"] == "phantom stream"
    assert again.validation.empty


def test_three_dimensional_networks_train_with_deep_supervision(config):
    volume = {
        "dimension": 3, "features_per_stage": [8, 16], "strides": [1, 2], "deep_supervision": True,
        "spacing_mm": [2.0, 2.0, 4.0], "patch_size": [16, 16, 8],
    }  # fmt: skip
    history = fit(config.replaced(network=volume, steps=6, batch_size=2))
    assert np.isfinite(history.losses.loss).all()
    assert history.validation.soft_dice.between(0, 1).all()


def test_settings_survive_json(config):
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert {f.name for f in fields(config)} == set(config.to_dict())


def test_the_papers_learning_rate_falls_on_the_published_cosine(config):
    """As PyTorch's schedule over 200 epochs does, at the beginning of every epoch."""
    paper = TrainingConfig.paper(config.output, dataset=config.dataset).with_steps(870)
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=200)
    for epoch in range(200):
        ours = paper.learning_rate * rate_factor(epoch * 435, paper.steps, paper.warmup_steps)
        assert ours == pytest.approx(theirs.get_last_lr()[0], rel=1e-6, abs=1e-12), epoch
        optimizer.step()
        theirs.step()


def test_the_paper_trains_as_published(config):
    paper = TrainingConfig.paper(config.output, dataset=config.dataset).with_steps(870)
    assert (paper.learning_rate, paper.optimizer, paper.weight_decay) == (1e-3, "adam", 0.0)
    assert (paper.batch_size, paper.steps, paper.patience) == (2, 200 * 435, 20)
    assert paper.steps // paper.validate_every == 200 // 5
    assert (paper.loss, paper.augmentation, paper.crop) == ("adaptive_wing", "paper_ran", "centre")
    network = PRESETS["paper"]
    loss = make_loss(paper, network)
    target = torch.ones(1, 1, 4, 4, 4)
    heads = [torch.full((1, 1, n, n, n), -0.5) for n in (4, 2)]
    # d = 1.5 > θ: the linear branch at y = 1, from the formula of section 3.6.
    power, theta, omega = 2.1 - 1, 0.5, 8.0
    slope = omega * power * theta ** (power - 1) / (1 + theta**power)
    expected = slope * 1.5 - (theta * slope - omega * np.log1p(theta**power))
    # Summed over voxels, a level of half the size counts an eighth of a half.
    assert loss(heads, target).item() == pytest.approx(expected * 64 * (1 + 1 / 16) / 2, rel=1e-5)


@pytest.mark.parametrize(
    "patch",
    [(16, 64, 64), pytest.param((64, 192, 320), marks=pytest.mark.stress)],
    ids=["small patch", "the published patch, 5 GB"],
)
def test_the_paper_network_takes_a_training_step_on_a_processor(patch):
    network_config = PRESETS["paper"]
    network = build_network(network_config)
    loss = make_loss(TrainingConfig.paper("unused"), network_config)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    generator = torch.Generator().manual_seed(0)
    # Halved numbers halve the memory; the small patch's bottleneck is too small for them.
    with torch.autocast("cpu", torch.bfloat16, enabled=patch[0] == 64):
        output = network(torch.randn(1, 1, *patch, generator=generator))
    value = loss(output, torch.rand(1, 1, *patch, generator=generator))
    value.backward()
    optimizer.step()
    assert torch.isfinite(value)
    assert all(torch.isfinite(p).all() for p in network.parameters())


@given(st.integers(1, 3000), st.one_of(st.none(), st.integers(1, 1000)))
@settings(max_examples=200, deadline=None)
def test_rounds_end_with_the_training_and_every_validation(steps, validate_every):
    ends, each = round_ends(steps, validate_every)
    lengths = np.diff([0, *ends])
    assert ends[-1] == steps
    assert lengths.min() >= 1
    assert lengths.max() <= 100
    assert len(ends) % each == 0


def test_a_checkpoint_holds_any_state_without_pickle(tmp_path):
    state = {
        "epoch": 3, "list": [1, 2.5, None, True], 0: {"exp_avg": torch.randn(2, 3)},
        "pair": (torch.tensor(4), "text"), "nan": float("inf"),
    }  # fmt: skip
    tensors: dict[str, torch.Tensor] = {}
    assert decode(json.loads(json.dumps(encode(state, tensors))), tensors)["list"] == state["list"]
    PlainCheckpoints().save_checkpoint(state, tmp_path / "a.safetensors")
    back = PlainCheckpoints().load_checkpoint(tmp_path / "a.safetensors")
    assert list(back) == list(state)
    assert torch.equal(back[0]["exp_avg"], state[0]["exp_avg"])
    assert back["pair"][1] == "text"
    with pytest.raises(TypeError, match="object"):
        encode({"x": object()}, {})
    (tmp_path / "b.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(InputError, match="not a checkpoint"):
        PlainCheckpoints().load_checkpoint(tmp_path / "b.safetensors")


def test_a_batch_holds_its_share_of_phantoms_and_of_what_is_no_cord(config):
    mixed = config.replaced(
        batch_size=8, synthetic_share=0.25, negative_share=0.5, synthetic_samples=12
    )
    _, network = make_network(mixed)
    pairs, _ = find_data(mixed, network)
    pools = find_pools(mixed, network)
    assert [pool.count for pool in pools] == [4, 2]
    order = PatchOrder(0, network.patch_size, cord_share=1.0)
    batches = Batches(
        pairs, order, get_augmentation("none"), batch_size=8, pools=pools, last_step=10
    )
    cords = torch.stack([softs.flatten(1).sum(1) for _, softs in (batches[n] for n in range(10))])
    assert (cords[:, :2] > 0).all()
    assert (cords[:, 2:6] == 0).all()
    assert (cords[:, 6:] > 0).float().mean() > 0.5


@pytest.fixture
def masks_without_images(tmp_path):
    """A data set of the tests' own where one participant has nothing but a manual mask."""
    root = tmp_path / "drawn"
    folder = root / "derivatives/labels/sub-drawn/anat"
    folder.mkdir(parents=True)
    x, y = np.meshgrid(*[np.arange(60) * 0.5 - 15] * 2, indexing="ij")
    cord = ((x / 6) ** 2 + (y / 4) ** 2 <= 1).astype(np.uint8)
    for part, mask in {"SC": cord, "GM": cord * (np.abs(x) < 2), "CSF": 1 - cord}.items():
        volume = Volume(np.repeat(mask[..., None], 4, axis=2), np.diag([0.5, 0.5, 5.0, 1.0]))
        volume.save(folder / f"sub-drawn_T2w_label-{part}_seg.nii.gz")
    return root


def test_participants_without_an_image_lend_their_outlines(config, masks_without_images):
    mixed = config.replaced(
        dataset=str(masks_without_images), truth="labels:label-SC_seg", batch_size=4,
        anatomy_subjects=("sub-drawn",), anatomy_share=0.5, synthetic_samples=40,
        synthetic_options={
            "centred": 1.0, "absent": 0.0, "resized": 0.0, "tight": 0.0, "above": 0.0, "below": 0.0,
            "narrow": 0.0, "void": 0.0, "padded": 0.0, "echo_planar": 0.0, "tilted": 0.0,
        },
    )  # fmt: skip
    _, network = make_network(mixed)
    (pool,) = find_pools(mixed, network)
    assert pool.count == 2
    areas = pool.pairs[0].cord[:, 0] * np.prod(network.spacing_mm)
    assert len(areas) == 10
    assert np.median(areas[areas > 15]) == pytest.approx(np.pi * 24, rel=0.25)
    with pytest.raises(InputError, match="none of 1 anatomy_subjects"):
        find_pools(mixed.replaced(anatomy_subjects=("sub-nobody",)), network)


def test_slices_that_hold_no_cord_are_shown_beside_pictures_without_one(config):
    path = next(iter(sorted(Path(config.dataset).glob("sub-*/anat/*_T2w.nii*"))))
    name = path.name.split(".")[0]
    mixed = config.replaced(
        batch_size=8, negative_share=0.5, synthetic_samples=8, empty_slices={name: [0, 3]}
    )
    (pool,) = find_pools(mixed, make_network(mixed)[1])
    assert [pair.contrast for pair in pool.pairs] == ["random", "real"]
    assert len(pool.pairs[1].image) == 3
    assert pool.pairs[1].soft.max() == 0 < pool.pairs[1].image.std()
    wrong = mixed.replaced(empty_slices={"sub-nobody_T2w": [0, 3]})
    with pytest.raises(InputError, match="no image there"):
        find_pools(wrong, make_network(wrong)[1])


def test_pools_are_made_in_parts(config, monkeypatch):
    monkeypatch.setattr("softseg.training.synthetic.SLICES", 5)
    mixed = config.replaced(batch_size=4, synthetic_share=0.5, synthetic_samples=12)
    (pool,) = find_pools(mixed, make_network(mixed)[1])
    assert [len(pair.image) for pair in pool.pairs] == [5, 5, 2]


def test_outlines_need_slices_and_participants_who_are_not_scored(config):
    with pytest.raises(InputError, match="both trained on and validated"):
        config.replaced(anatomy_subjects=("sub-v",), validation_subjects=("sub-v",))
    volumes = config.replaced(network="volume", anatomy_share=0.5, anatomy_subjects=("sub-a",))
    with pytest.raises(InputError, match="2-D networks alone"):
        find_pools(volumes, make_network(volumes)[1])


def test_pools_leave_the_order_of_the_data_sets_images_as_it_was(config):
    _, network = make_network(config)
    pairs, _ = find_data(config, network)
    order, augment = PatchOrder(0, network.patch_size), get_augmentation("none")
    alone = Batches(pairs, order, augment, batch_size=2, last_step=6)
    pool = PatchPool(pairs[:1], 2)
    beside = Batches(pairs, order, augment, batch_size=4, pools=[pool], last_step=6)
    assert [alone._source(n)[1] for n in range(12)] == [
        turn for source, turn in map(beside._source, range(24)) if source == 0
    ]


def test_a_mixed_training_says_what_it_saw(trained, config):
    card = fit(config.replaced(synthetic_share=0.5, synthetic_samples=6, steps=3)).card
    assert card["training"]["synthetic_share"] == 0.5
    assert card["data"]["fingerprint"] != trained.card["data"]["fingerprint"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"synthetic_share": 0.7, "negative_share": 0.4},
        {"synthetic_share": 0.7, "anatomy_share": 0.4},
        {"negative_share": -0.1},
    ],
)
def test_shares_beyond_a_batch_are_refused(config, wrong):
    with pytest.raises(InputError, match="shares of a batch"):
        config.replaced(**wrong)


def test_an_unknown_option_of_the_phantoms_is_refused(config, masks_without_images):
    wrong = config.replaced(augmentation="synthseg", synthetic_options={"narow": 0.5})
    with pytest.raises(InputError, match="synthetic_options"):
        fit(wrong)
    lent = wrong.replaced(
        dataset=str(masks_without_images), truth="labels:label-SC_seg",
        anatomy_subjects=("sub-drawn",), anatomy_share=0.5,
    )  # fmt: skip
    with pytest.raises(InputError, match="synthetic_options"):
        find_pools(lent, make_network(lent)[1])


def test_the_patches_of_the_figure_show_cord_and_change(config):
    first, *changed = augmented_patches(config, count=3)
    assert first["masks"]["labels_softseg"].data.sum() > 0
    assert first["image"].data.shape == (32, 32, 1)
    for one in changed:
        assert not np.allclose(one["image"].data, first["image"].data)
