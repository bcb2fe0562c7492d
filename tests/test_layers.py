"""The package's imports point one way, and what is light stays light."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from softseg._renamed import RENAMED
from softseg.volume import Volume

ORDER = (
    "errors", "events", "files", "batch", "provenance", "paths", "contrasts", "nifti_header",
    "nifti", "volume", "rows", "masks", "dataset", "archives", "fetch", "phantom", "ground_truth",
    "metrics", "csa", "losses", "network", "segmentation", "augmentation", "training",
    "quality_control", "cli",
)  # fmt: skip
"""Each may import only what stands before it."""

STUDY_ORDER = (
    "run", "names", "filled", "phantom", "statistics", "competitors", "evaluation", "sentences",
    "figures",
)  # fmt: skip
"""The same for the analysis, which stands on all of the package."""

HEAVY = {
    "torch": {"losses", "network", "augmentation", "training"},
    "monai": {"augmentation"},
    "lightning": {"training"},
    "onnx": {"network"},
    "onnxruntime": {"network"},
}
ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "softseg"
STUDY = ROOT / "notebooks" / "softseg_study"
FILES = sorted(PACKAGE.rglob("*.py"))
STUDY_FILES = sorted(STUDY.rglob("*.py"))


def layer(path: Path) -> str:
    home = STUDY if path.is_relative_to(STUDY) else PACKAGE
    return path.relative_to(home).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute, found a relative one"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def assert_arrows_point_up(path: Path, package: str, order: tuple[str, ...]) -> None:
    own = layer(path)
    if own in ("__init__", "__main__", "_renamed"):
        return
    assert own in order, f"{package}/{own} has no place in the order of layers"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == package and len(parts) > 1 and parts[1] in order:
            assert order.index(parts[1]) <= order.index(own), f"{own} may not import {parts[1]}"


def test_the_reference_lists_the_layers_in_this_order():
    tables = (ROOT / "book/api.md").read_text(encoding="utf-8").split("|---|---|")[1:]
    rows = [re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for table in tables]
    package, study = (tuple(re.findall(r"`(\w+)`", " ".join(names))) for names in rows)
    assert package == ORDER
    assert study == STUDY_ORDER


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_what_stands_above_it(path):
    assert_arrows_point_up(path, "softseg", ORDER)
    assert not [name for name in imported(path) if name.startswith("softseg_study")]


@pytest.mark.parametrize("path", STUDY_FILES, ids=lambda path: str(path.relative_to(STUDY)))
def test_a_module_of_the_study_imports_only_what_stands_above_it(path):
    assert_arrows_point_up(path, "softseg_study", STUDY_ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_where_they_are_needed_only(path):
    for name in imported(path):
        allowed = HEAVY.get(name.split(".")[0])
        assert allowed is None or layer(path) in allowed, f"{layer(path)} may not import {name}"


@pytest.mark.parametrize("old", sorted(RENAMED))
def test_an_old_import_fails_with_one_line_that_names_the_new(old):
    new = RENAMED[old].split(";")[0]
    assert importlib.util.find_spec(new) is not None
    with pytest.raises(ModuleNotFoundError, match=re.escape(f"is now {new}")):
        importlib.import_module(old)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("softseg.cli", ("torch", "pandas", "scipy", "monai", "lightning")),
        ("softseg.csa.batch", ("torch", "pandas", "scipy.ndimage", "monai", "lightning")),
        ("softseg.phantom.cohort", ("torch", "monai", "lightning")),
        ("softseg.network.weights", ("torch", "monai", "lightning", "onnx")),
        ("softseg.segmentation.engine", ("torch", "monai", "lightning", "onnx", "pandas")),
        ("softseg.segmentation.batch", ("torch", "monai", "lightning", "onnx")),
        ("softseg_study.evaluation.areas", ("torch", "monai", "lightning")),
    ],
)
def test_importing_a_light_module_loads_nothing_heavy(module, absent):
    code = f"import sys, {module}; print(*(n for n in {absent!r} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_segmenting_and_measuring_load_no_torch(tmp_path):
    data = np.random.default_rng(0).normal(size=(60, 60, 8)).astype(np.float32)
    Volume(data, np.diag([1.0, 1.0, 3.0, 1.0])).save(tmp_path / "image.nii.gz")
    code = (
        "import sys; from softseg import cli\n"
        "try: cli.main(['segment', 'image.nii.gz', '-o', 'mask.nii.gz', '--csa', 'csa.csv'])\n"
        "except SystemExit as left: assert not left.code, left.code\n"
        f"print('loaded', *(n for n in {sorted(HEAVY)!r} if n in sys.modules))"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (tmp_path / "mask.nii.gz").exists()
    assert done.stdout.splitlines()[-1].split() == ["loaded", "onnxruntime"]
