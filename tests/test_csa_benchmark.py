"""How fast and how exact: run with `pytest --benchmark-only tests/test_csa_benchmark.py`.

The tests of speed compare processor time with the standard tool's 4 ms a slice.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from csa_accuracy import RESOLUTIONS, accuracy_table, geometry_table
from tubes import STANDARD, sample

from softseg.csa.measure import measure

TOOL_MS_PER_SLICE = 4.0
BOOK_TABLES = Path(__file__).resolve().parents[1] / "book" / "tables"
pytestmark = pytest.mark.benchmark(group="csa")


@pytest.fixture(scope="module")
def mask():
    """55 slices of 0.8 mm, as the standard tool was timed on."""
    return sample(STANDARD["wave of 6 mm"](), (0.8, 0.8, 0.8), length_mm=44.0).soft


def fastest_ms_per_slice(function, slices: int, repeats: int = 15) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        function()
        seconds.append(time.process_time() - started)
    return 1e3 * min(seconds) / slices


def test_area_and_angles_take_a_twentieth_of_the_tools_time(benchmark, mask):
    benchmark(measure, mask, shape=False)
    taken = fastest_ms_per_slice(lambda: measure(mask, shape=False), mask.data.shape[2])
    assert taken < TOOL_MS_PER_SLICE / 20


def test_all_measures_take_a_quarter_of_the_tools_time(benchmark, mask):
    benchmark(measure, mask)
    taken = fastest_ms_per_slice(lambda: measure(mask), mask.data.shape[2])
    assert taken < TOOL_MS_PER_SLICE / 4


def test_an_empty_field_of_view_costs_next_to_nothing(benchmark, mask):
    """64 times the voxels; reading them once to check their values is all that grows."""
    wide = [(60, 60), (70, 70), (40, 40)]
    padded = np.pad(mask.data.astype(np.float32), wide)
    volume = type(mask)(padded, mask.affine)
    benchmark(measure, volume, shape=False)
    plain = fastest_ms_per_slice(lambda: measure(mask, shape=False), 1)
    large = fastest_ms_per_slice(lambda: measure(volume, shape=False), 1)
    assert large < plain + 2e-5 * padded.size / 20


def test_the_command_takes_less_than_a_second_and_a_half_of_processor_time(
    benchmark, mask, tmp_path
):
    path = mask.save(tmp_path / "mask.nii.gz")
    command = [sys.executable, "-m", "softseg", "csa", str(path), "-o", str(tmp_path / "a.csv")]

    def run():
        started = os.times()
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        ended = os.times()
        return (
            ended.children_user - started.children_user
            + ended.children_system - started.children_system
        )  # fmt: skip

    seconds = benchmark.pedantic(run, rounds=3, iterations=1)
    assert seconds < 1.5


def test_areas_are_exact_at_every_resolution_of_the_standard_tools_table(benchmark):
    table = benchmark.pedantic(accuracy_table, rounds=1, iterations=1).set_index("resolution")
    assert list(table.index) == list(RESOLUTIONS)
    assert (table["soft_rms"] <= 0.10).all()
    assert (table["soft_worst"] <= 0.8).all()
    assert (table["soft_mean"] <= 0.1).all()
    assert (table["binary_rms"] < table["tool_binary_rms"]).all()
    shown = pd.read_csv(BOOK_TABLES / "csa_accuracy.csv", index_col="Voxels")
    np.testing.assert_allclose(shown["Soft: RMS"], table["soft_rms"], atol=0.005)
    np.testing.assert_allclose(shown["Binary: RMS"], table["binary_rms"], atol=0.02)


def test_areas_of_other_geometries_stay_exact(benchmark):
    table = benchmark.pedantic(geometry_table, rounds=1, iterations=1)
    assert (table["soft_rms"] < 0.35).all()
    assert (table["soft_mean"] < 0.2).all()
