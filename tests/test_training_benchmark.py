"""Throughput by preset, share of the time spent on data, and FLOP/s against a matrix product."""

import json
import os
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from tube_cohort import write_tubes

from softseg.network.config import PRESETS
from softseg.network.unet import build_network
from softseg.training.config import TrainingConfig
from softseg.training.fitting import choose_precision, fit
from softseg.training.module import make_loss

BATCHES = {"small": 8, "axial": 4, "volume": 1}
SUBJECTS = [f"sub-{number:02d}" for number in range(1, 5)]
PRODUCT_SIZE = 1024


def training_step(preset: str, batch: int):
    """A function that does one training step of a preset on random data and returns its loss."""
    config = TrainingConfig(output="unused")
    network = build_network(PRESETS[preset])
    loss = make_loss(config, PRESETS[preset])
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    images = torch.randn(batch, 1, *PRESETS[preset].patch_size)
    softs = torch.rand(images.shape)
    half = choose_precision("auto") == "bf16-mixed"

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            output = network(images)
        optimizer.zero_grad()
        value = loss(output, softs)
        value.backward()
        optimizer.step()
        return float(value.detach())

    return step


def step_flops(preset: str, batch: int) -> int:
    """Floating-point operations of a step's products, counted without doing any."""
    with torch.device("meta"):
        network = build_network(PRESETS[preset])
        images = torch.empty(batch, 1, *PRESETS[preset].patch_size)
    with FlopCounterMode(display=False) as counter:
        output = network(images)
        sum(part.sum() for part in (output if isinstance(output, list) else [output])).backward()
    return counter.get_total_flops()


def product_flops_per_second(kind: torch.dtype) -> float:
    """What one thread reaches in a product of two square matrices of such numbers."""
    matrix = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE).to(kind)
    matrix @ matrix
    start = time.process_time()
    for _ in range(5):
        matrix @ matrix
    return 5 * 2 * PRODUCT_SIZE**3 / (time.process_time() - start)


def rates(preset: str, batch: int, seconds: float) -> dict[str, float]:
    """What a step of so many seconds comes to."""
    half = choose_precision("auto") == "bf16-mixed"
    reached = step_flops(preset, batch) / seconds
    return {
        "samples_per_cpu_second": batch / seconds,
        "gigaflops_per_second": reached / 1e9,
        "share_of_a_matrix_product": reached / product_flops_per_second(torch.float32),
    } | (
        {"share_of_a_16_bit_product": reached / product_flops_per_second(torch.bfloat16)}
        if half
        else {}
    )


def test_flops_are_counted_without_arithmetic():
    """One convolution of 3×3 is 2·9 operations a channel pair and voxel, three times a step."""
    config = PRESETS["small"]
    pixels = config.patch_size[0] * config.patch_size[1]
    first_two = 2 * 9 * (1 * 16 + 16 * 16) * pixels
    counted = step_flops("small", 1)
    assert counted > 3 * first_two
    assert step_flops("small", 2) == 2 * counted


@pytest.mark.parametrize("preset", list(BATCHES))
def test_training_steps_of_each_preset(benchmark, preset):
    torch.set_num_threads(1)
    batch = BATCHES[preset]
    step = training_step(preset, batch)
    step()
    start = time.process_time()
    benchmark.pedantic(step, rounds=3, iterations=1)
    benchmark.extra_info |= rates(preset, batch, (time.process_time() - start) / 3)


@pytest.mark.parametrize("preset", ["small", "axial"])
def test_data_take_little_of_a_trainings_time(benchmark, tmp_path, preset):
    """Waiting for patches, drawn and augmented as in every training, takes at most a tenth."""
    cohort = write_tubes(tmp_path / "data", SUBJECTS)
    config = TrainingConfig(
        output=tmp_path / "model", dataset=cohort, contrasts=("T1w", "T2w"), steps=40,
        network=preset, batch_size=8, cache=tmp_path / "cache", threads=1, progress="none",
    )  # fmt: skip
    history = benchmark.pedantic(fit, args=(config,), rounds=1, iterations=1)
    benchmark.extra_info |= history.timing
    assert history.timing["loading_share"] <= 0.1


FULL_STEP = """
import json, math, resource, sys, time
sys.path.insert(0, {folder!r})
import torch
from test_training_benchmark import training_step
torch.set_num_threads(1)
step = training_step("paper", 1)
start, cpu = time.perf_counter(), time.process_time()
value = step()
print(json.dumps({{
    "loss": value,
    "wall_s": time.perf_counter() - start,
    "cpu_s": time.process_time() - cpu,
    "memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
}}))
"""


@pytest.mark.stress
def test_a_step_of_the_papers_network_at_its_full_size(benchmark, project_root):
    """One window of 64×192×320 forwards, backwards and updated, on a processor: it runs."""
    code = textwrap.dedent(FULL_STEP.format(folder=str(project_root / "tests")))
    env = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

    def run() -> dict[str, float]:
        words = [sys.executable, "-c", code]
        done = subprocess.run(words, capture_output=True, text=True, env=env, cwd=project_root)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    spent = benchmark.pedantic(run, rounds=1, iterations=1)
    benchmark.extra_info |= spent | rates("paper", 1, spent["cpu_s"])
    assert 0 < spent["loss"] < float("inf")
    assert spent["memory_gib"] < 8
