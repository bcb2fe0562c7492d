"""Throughput by preset, share of the time spent on data, and FLOP/s against a matrix product."""

import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from tube_cohort import write_tubes

from softseg.network import PRESETS, build_network
from softseg.training import TrainingConfig, fit
from softseg.training.objective import make_loss
from softseg.training.runtime import choose_precision

BATCHES = {"small": 8, "axial": 4, "volume": 1}
SUBJECTS = [f"sub-{number:02d}" for number in range(1, 5)]


def training_step(preset: str, batch: int):
    """A function that does one training step of a preset on random data."""
    config = TrainingConfig(output="unused")
    network = build_network(PRESETS[preset])
    loss = make_loss(config, PRESETS[preset])
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    images = torch.randn(batch, 1, *PRESETS[preset].patch_size)
    softs = torch.rand(images.shape)
    half = choose_precision("auto") == "bf16-mixed"

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            output = network(images)
        optimizer.zero_grad()
        loss(output, softs).backward()
        optimizer.step()

    return step


def product_flops_per_second() -> float:
    """What one thread reaches in a product of two square matrices of 32-bit numbers."""
    matrix = torch.randn(1024, 1024)
    matrix @ matrix
    start = time.process_time()
    for _ in range(5):
        matrix @ matrix
    return 5 * 2 * 1024**3 / (time.process_time() - start)


@pytest.mark.parametrize("preset", list(BATCHES))
def test_training_steps_of_each_preset(benchmark, preset):
    torch.set_num_threads(1)
    batch = BATCHES[preset]
    step = training_step(preset, batch)
    with FlopCounterMode(display=False) as counter:
        step()
    start = time.process_time()
    benchmark.pedantic(step, rounds=3, iterations=1)
    seconds = (time.process_time() - start) / 3
    reached = counter.get_total_flops() / seconds
    benchmark.extra_info |= {
        "samples_per_cpu_second": batch / seconds,
        "gigaflops_per_second": reached / 1e9,
        "share_of_a_matrix_product": reached / product_flops_per_second(),
    }


def test_data_take_little_of_a_small_trainings_time(benchmark, tmp_path):
    cohort = write_tubes(tmp_path / "data", SUBJECTS)
    config = TrainingConfig(
        output=tmp_path / "model", dataset=cohort, contrasts=("T1w", "T2w"), steps=40,
        batch_size=8, cache=tmp_path / "cache", threads=1, progress="none",
    )  # fmt: skip
    history = benchmark.pedantic(fit, args=(config,), rounds=1, iterations=1)
    benchmark.extra_info |= history.timing
    assert history.timing["loading_share"] <= 0.1
