"""How long a mask takes: `pytest --benchmark-only tests/test_segmentation_benchmark.py`."""

import os
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass

import numpy as np
import pytest

from softseg.network.config import PRESETS
from softseg.network.unet import build_network
from softseg.network.weights import available_weights
from softseg.phantom.acquisition import acquire
from softseg.phantom.anatomy import random_anatomy
from softseg.segmentation.engine import Model, segment
from softseg.segmentation.prepare import prepare
from softseg.volume import Grid, Volume

SHAPE, SPACING_MM = (64, 320, 320), (0.8, 0.8, 0.8)
"""A cervical T2-weighted image of the Spine Generic protocol."""


@pytest.fixture(scope="module")
def image():
    """A digital cord with its surroundings in the middle of a field of that size."""
    rng = np.random.default_rng(0)
    scan = acquire(random_anatomy(rng), "T2w", rng=rng).image.oriented()
    middle = (np.array(scan.data.shape) - 1) / 2
    affine = scan.affine @ np.diag([*np.divide(SPACING_MM, scan.spacing_mm), 1.0])
    affine[:3, 3] += scan.affine[:3, :3] @ middle - affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return scan.resampled(Grid(SHAPE, affine))


@pytest.fixture(scope="module")
def model():
    if "axial" in available_weights():
        return Model.load("axial")
    # Fresh weights predict one half everywhere, so that every slice is looked at just the same.
    return Model(build_network(PRESETS["axial"]), PRESETS["axial"])


def test_preparing_a_volume(benchmark, image):
    benchmark.pedantic(lambda: prepare(image, PRESETS["axial"]), rounds=3)


def test_segmenting_a_volume(benchmark, image, model):
    mask = benchmark.pedantic(lambda: segment(image, weights=model).soft, rounds=3)
    assert mask.data.shape == SHAPE
    assert mask.data.any()


@dataclass(frozen=True)
class Spent:
    """What one process took."""

    wall_s: float
    cpu_s: float
    memory_gib: float
    said: tuple[str, ...] = ()


def measure(code: str, *, threads: int | None = 1) -> Spent:
    """Run Python code in a process of its own, start-up included; None leaves the threads to it."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    env = {name: value for name, value in os.environ.items() if name not in names}
    if threads:
        env |= dict.fromkeys(names, str(threads))
    code = (
        f"try:\n{textwrap.indent(code, '    ')}\nfinally:\n"
        "    import resource\n"
        "    used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "    print('spent', used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20)\n"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    wall_s = time.perf_counter() - start
    words = done.stdout.split()
    assert "spent" in words, done.stderr
    assert "Error" not in done.stderr, done.stderr
    cpu_s, memory_gib = map(float, words[words.index("spent") + 1 :][:2])
    return Spent(wall_s, cpu_s, memory_gib, tuple(words))


ONE_WINDOW = """
import time, torch
from softseg.network.config import PRESETS
from softseg.network.unet import build_network
from softseg.network.torch_inference import inference
network, size = build_network(PRESETS["paper"]), PRESETS["paper"].patch_size
start = time.process_time()
with inference(network):
    network(torch.zeros(1, 1, *size))
print(time.process_time() - start)
"""
"""One window of the paper's network at 32 bits, as published; it says its processor time."""


def windows_of_the_paper(image: Volume) -> int:
    """Windows of the paper's network, half overlapping, that cover the image at 1 mm."""
    config = PRESETS["paper"]
    sides = zip(prepare(image, config).grid.shape, config.patch_size, strict=True)
    return int(np.prod([1 + int(np.ceil(max(0, n - size) / (size / 2))) for n, size in sides]))


def test_from_the_command_to_the_mask_against_the_papers_network(benchmark, image, tmp_path):
    """The command, start-up included, takes at most 6 s on two idle cores and 2 GB; the paper's
    network ten times as long for its windows alone, of which one is timed."""
    image.save(tmp_path / "image.nii.gz")
    words = ["segment", "image.nii.gz", "-o", "mask.nii.gz", "--weights", "axial"]
    code = f"import os\nos.chdir({str(tmp_path)!r})\nfrom softseg import cli\ncli.main({{words}})"
    ours = measure(code.format(words=words))
    free = benchmark.pedantic(
        lambda: measure(code.format(words=words), threads=None), rounds=1, iterations=1
    )
    assert (tmp_path / "mask.nii.gz").exists()
    window = measure(ONE_WINDOW)
    windows = windows_of_the_paper(image)
    papers_cpu_s = windows * float(window.said[0])
    benchmark.extra_info |= {
        "wall_s": free.wall_s,
        "cpu_s": ours.cpu_s,
        "memory_gib": max(ours.memory_gib, free.memory_gib),
        "papers_windows": windows,
        "papers_cpu_s": papers_cpu_s,
        "papers_memory_gib": window.memory_gib,
        "ratio": papers_cpu_s / ours.cpu_s,
    }
    assert max(ours.memory_gib, free.memory_gib) < 2
    assert ours.cpu_s < 12  # two cores for six seconds
    assert papers_cpu_s > 10 * ours.cpu_s
