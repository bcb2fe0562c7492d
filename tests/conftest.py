"""What several test modules need."""

import os
from pathlib import Path

import pytest
from rendered_book import Rendered, rendered_book

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
def built(tmp_path_factory) -> Rendered:
    """The committed book, rendered; processes that share out the tests share it."""
    base = tmp_path_factory.getbasetemp()
    return rendered_book((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "book")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real images beside the project; a test that needs them is skipped without."""
    from softseg.paths import SHARED

    folder = SHARED / "real"
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder}")
    return folder
