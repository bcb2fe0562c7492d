"""What several test modules need."""

import os
from pathlib import Path

import pytest

# One thread everywhere: results are the same on every machine, and two test processes do not
# fight for two cores.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "agg")

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Let `pytest -m benchmark` run the benchmarks, which are skipped otherwise."""
    if config.option.markexpr == "benchmark":
        config.option.benchmark_skip = False


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real images beside the project; a test that needs them is skipped without."""
    from softseg.paths import SHARED

    folder = SHARED / "real"
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder}")
    return folder
