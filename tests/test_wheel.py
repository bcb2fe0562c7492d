"""The wheel holds all that it needs and works where there is no checkout."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path
from shutil import copyfile, copytree, ignore_patterns

import numpy as np
import pandas as pd
import pytest

from softseg.network.weights import available_weights
from softseg.phantom.acquisition import acquire
from softseg.phantom.anatomy import random_anatomy
from softseg.volume import Volume

ROOT = Path(__file__).resolve().parents[1]
LARGEST_MB = 12
"""Of the wheel: weights take at most ten."""
LARGEST_INSTALLED_MB = 450
"""As `du --summarize --block-size=1M` counts, compiled modules and dependencies among them."""
NOT_IN_CORE = ("torch", "lightning", "monai", "matplotlib", "PIL", "pyarrow", "sympy", "skimage")
NO_NETWORK = ("unshare", "--map-root-user", "--net")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of the sources, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    copytree(ROOT / "softseg", source / "softseg", ignore=ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    words = ["wheel", str(source), "--no-deps", "--quiet", "--wheel-dir", str(folder / "dist")]
    try:
        major = int(version("setuptools").split(".")[0])
    except (ImportError, ValueError):
        major = 0
    if major >= 77:  # as pyproject.toml asks for: nothing need be downloaded
        words.append("--no-build-isolation")
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True)
    if done.returncode and "No matching distribution found for setuptools" in done.stderr:
        pytest.skip("pip has no index to fetch setuptools from, and none is installed")
    assert done.returncode == 0, done.stderr
    (built,) = (folder / "dist").glob("softseg-*.whl")
    return built


@pytest.fixture(scope="module")
def alone(wheel, tmp_path_factory) -> Path:
    """The folder of commands of an environment that was empty, with the wheel and what it asks for,
    from the package index."""
    folder = tmp_path_factory.mktemp("alone")
    venv.create(folder, with_pip=False, symlinks=True)
    paths = {"base": str(folder), "platbase": str(folder)}
    commands = Path(sysconfig.get_path("scripts", "venv", vars=paths))
    pip = [sys.executable, "-m", "pip", "--python", str(commands / "python"), "install", "--quiet"]
    done = subprocess.run([*pip, str(wheel)], capture_output=True, text=True, env=clean())
    if done.returncode and "No matching distribution found" in done.stderr:
        pytest.skip("pip has no index to fetch the dependencies from")
    assert done.returncode == 0, done.stderr
    return commands


def clean() -> dict[str, str]:
    """The environment without the checkout."""
    return {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SOFTSEG_ROOT")}


def run(*words: object, folder: Path) -> str:
    """Run a command far from the checkout; what it said."""
    done = subprocess.run(
        list(map(str, words)), cwd=folder, env=clean(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_every_file_of_the_package_is_in_the_wheel_and_nothing_else(wheel):
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "softseg").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    with zipfile.ZipFile(wheel) as file:
        inside = {name for name in file.namelist() if ".dist-info/" not in name}
        notes = {name.split(".dist-info/")[1] for name in file.namelist() if ".dist-info/" in name}
    assert inside == here
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= notes
    assert wheel.stat().st_size < LARGEST_MB * 1e6


def test_neither_the_study_nor_an_import_of_it_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as file:
        texts = {name: file.read(name).decode() for name in file.namelist() if name.endswith(".py")}
        notes = [name for name in file.namelist() if name.endswith("top_level.txt")]
        assert file.read(*notes).split() == [b"softseg"]
    study = re.compile(r"^\s*(?:from|import)\s+softseg_study\b", re.MULTILINE)
    assert [name for name, text in texts.items() if study.search(text)] == []


def test_the_wheel_alone_runs(alone, tmp_path):
    said = run(alone / "softseg", "--version", folder=tmp_path)
    assert said.split() == ["softseg", version("softseg")]
    where = run(alone / "python", "-c", "import softseg; print(softseg.__file__)", folder=tmp_path)
    assert Path(where.strip()).is_relative_to(alone.parent)


def test_an_empty_environment_grows_by_less_than_the_limit_and_without_what_trains_or_plots(
    alone, tmp_path
):
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(alone / "python", "-c", code, folder=tmp_path).strip())
    blocks = sum(path.lstat().st_blocks for path in site.rglob("*"))
    assert blocks / 2048 < LARGEST_INSTALLED_MB
    assert [name for name in NOT_IN_CORE if (site / name).exists()] == []


def test_the_wheel_alone_makes_a_mask_and_a_table(alone, tmp_path):
    if not available_weights():
        pytest.skip("no weights ship yet (softseg/weights holds none)")
    rng = np.random.default_rng([11, 4])
    scan = acquire(random_anatomy(rng), "T2star", rng=rng)
    image = scan.image.save(tmp_path / "image.nii.gz")
    command = alone / "softseg"
    mask = tmp_path / "mask.nii.gz"
    words = ["segment", image, "-o", mask, "--csa", "areas.csv", "--qc", "look"]
    closed = subprocess.run([*NO_NETWORK, "true"], capture_output=True).returncode == 0
    said = run(*(NO_NETWORK if closed else ()), command, *words, folder=tmp_path)
    assert (tmp_path / "look/index.html").exists()
    assert "no spinal cord" not in said
    soft = Volume.load(mask).data
    both = np.minimum(soft, scan.truth.data).sum()
    assert 2 * both / (soft.sum() + scan.truth.data.sum()) > 0.85
    run(command, "csa", mask, "-o", "again.csv", "--per-slice", folder=tmp_path)
    first, again = (pd.read_csv(tmp_path / name) for name in ("areas.csv", "again.csv"))
    np.testing.assert_allclose(first["area_mm2"], again["area_mm2"], rtol=1e-4)
    assert first["area_mm2"].between(30, 130).all()


def test_what_needs_an_extra_says_so_in_one_line_where_it_is_not_installed(alone, tmp_path):
    image = Volume(np.ones((20, 20, 4), np.float32), np.eye(4)).save(tmp_path / "image.nii.gz")
    segment = ["segment", image, "-o", tmp_path / "mask.nii.gz"]
    copyfile(ROOT / "softseg/weights/axial.safetensors", tmp_path / "mine.safetensors")
    for words, extra in (
        ([*segment, "--device", "cuda"], "gpu"),
        ([*segment, "--weights", tmp_path / "mine.safetensors"], "gpu"),
        (["csa", image, "-o", tmp_path / "a.csv", "--plot", tmp_path / "a.png"], "plot"),
        (["fetch", "pam50", tmp_path / "data"], "fetch"),
    ):
        done = subprocess.run(
            list(map(str, [alone / "softseg", *words])),
            cwd=tmp_path, env=clean(), capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 2
        (line,) = done.stderr.strip().splitlines()
        assert f'pip install "softseg[{extra}]"' in line
    assert {path.name for path in tmp_path.iterdir()} == {"image.nii.gz", "mine.safetensors"}
