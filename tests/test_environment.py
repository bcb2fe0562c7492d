"""One list of dependencies: what conda and the constraints say agrees with `pyproject.toml`."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
STUDY = tomllib.loads((ROOT / "notebooks/pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def read_pins() -> dict[str, Version]:
    """Name to version of `constraints.txt`."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("#")[0].split(";")[0].strip() for line in lines]
    named = [pin.split("==") for pin in pins if pin and not pin.startswith("-")]
    assert all(len(pin) == 2 for pin in named), "every line pins one package by =="
    return {canonicalize_name(name): Version(version) for name, version in named}


def asked_for(extra: str | None = None) -> list[Requirement]:
    """Requirements of the package, with an extra and what that extra brings along.

    `study` stands for the second package, the analysis beside the notebooks.
    """
    requirements = [Requirement(text) for text in PROJECT["dependencies"]]
    waiting = [extra] if extra else []
    while waiting:
        name = waiting.pop()
        for text in STUDY["dependencies"] if name == "study" else EXTRAS[name]:
            requirement = Requirement(text)
            if requirement.name == PROJECT["name"]:
                waiting += requirement.extras
            else:
                requirements.append(requirement)
    return requirements


def conda_requirements() -> dict[str, str]:
    """What conda itself installs: name to specifier."""
    plain = [entry for entry in CONDA["dependencies"] if isinstance(entry, str)]
    parts = [re.match(r"([\w-]+)\s*=*\s*(.*)", entry).groups() for entry in plain]
    return dict(parts)


def pip_lines() -> list[str]:
    return next(entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict))


def test_conda_brings_a_python_that_the_package_allows():
    version = conda_requirements()["python"]
    assert Version(f"{version}.99") in SpecifierSet(PROJECT["requires-python"])


def test_conda_installs_the_package_with_extras_that_exist_and_the_same_pins():
    lines = pip_lines()
    package, study = (line for line in lines if line.startswith("--editable"))
    assert study == "--editable notebooks"
    extras = re.fullmatch(r"--editable \.\[([\w,]+)\]", package)
    assert extras is not None
    assert set(extras[1].split(",")) <= set(EXTRAS)
    assert "--constraint constraints.txt" in lines
    assert (ROOT / "constraints.txt").exists()


def test_conda_lists_no_package_of_its_own_beside_python_pip_and_make():
    assert set(conda_requirements()) == {"python", "pip", "make"}
    assert all(line.startswith("--") for line in pip_lines())


@pytest.mark.parametrize("extra", [None, "train", "book", "study", "test"])
def test_every_dependency_is_pinned_inside_its_range(extra):
    pins = read_pins()
    wrong = [
        str(requirement)
        for requirement in asked_for(extra)
        if canonicalize_name(requirement.name) not in pins
        or not requirement.specifier.contains(pins[canonicalize_name(requirement.name)])
    ]
    assert wrong == []


def test_what_the_pinned_packages_need_is_pinned_too():
    pins = read_pins()
    seen, waiting = set(), [*asked_for("test"), *asked_for("study")]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        needed = map(Requirement, distribution(name).requires or [])
        waiting += [
            each for each in needed if each.marker is None or "extra" not in str(each.marker)
        ]
    assert seen - set(pins) - {"pip", "setuptools", "wheel"} == set()  # pip freeze leaves them out


def test_the_package_asks_for_nothing_that_only_the_study_imports():
    """Import names of the core's dependencies, searched for in the package's own files."""
    modules = {"scikit-image": "skimage", "pyyaml": "yaml"}
    text = "\n".join(path.read_text("utf-8") for path in (ROOT / "softseg").rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:from|import)\s+(\w+)", text, re.MULTILINE))
    asked = {modules.get(r.name, r.name.replace("-", "_")): r.name for r in asked_for()}
    assert [name for module, name in asked.items() if module not in imported] == []


def test_the_package_itself_needs_no_torch_nothing_that_plots_and_no_arrow():
    core = {canonicalize_name(requirement.name) for requirement in asked_for()}
    train = {canonicalize_name(requirement.name) for requirement in asked_for("train")} - core
    assert {"torch", "lightning", "monai", "onnx", "dynamic-network-architectures"} <= train
    assert "onnxruntime" in core
    assert core & {"matplotlib", "pillow", "pyarrow", "bids2table", "scikit-image"} == set()
    gpu = {canonicalize_name(requirement.name) for requirement in asked_for("gpu")} - core
    assert gpu == {"torch", "dynamic-network-architectures"}


def test_torch_is_the_version_that_installs_without_cuda_on_the_development_machines():
    assert str(read_pins()["torch"]) == "2.13.0"


def test_the_book_is_rendered_by_the_version_that_reads_its_configuration():
    pinned = {r.name: r.specifier for r in asked_for("book")}
    assert str(pinned["jupyter-book"]) == "==1.0.4.post1"
    assert not pinned["sphinx-book-theme"].contains("1.3.0")
