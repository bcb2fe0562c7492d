"""The page on adding one's own, done as it stands: what it shows is run."""

import json
import os
import re
import shlex
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from test_scale_file import SCALES, check_scale
from tube_cohort import write_tubes

from softseg import cli
from softseg.contrasts import CONTRASTS
from softseg.errors import InputError
from softseg.phantom.protocols import PROTOCOLS, imaged
from softseg.volume import Volume
from softseg_study.evaluation.method_folders import find_folders
from softseg_study.evaluation.model_grid import read_factors

PAGE = (Path(__file__).resolve().parents[1] / "book/extend.md").read_text(encoding="utf-8")


def shown(title: str, language: str) -> list[str]:
    """The blocks of a section in a language."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## )", PAGE, re.DOTALL | re.MULTILINE)
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def softseg(line: str) -> int:
    words = shlex.split(line)
    assert words[0] == "softseg"
    with pytest.raises(SystemExit) as left:
        cli.main(words[1:])
    return left.value.code or 0


@pytest.fixture
def dataset(tmp_path, monkeypatch) -> Path:
    """A folder to work in that holds a cohort where the page has one."""
    monkeypatch.chdir(tmp_path)
    return write_tubes(tmp_path / "runs/demo/data", ["sub-001", "sub-002"])


def test_a_method_takes_part_by_its_folder_and_a_wrong_one_is_an_error(dataset):
    derivatives = dataset / "derivatives"
    for soft in sorted(derivatives.glob("labels_softseg/*/*/*.nii.gz")):
        mask = Volume.load(soft)
        level = mask.like(np.where(mask.data > 0, 3, 0).astype(np.float32))
        name = soft.name.replace("label-SC_softseg", "label-vertebrae_dseg")
        level.save(derivatives / "labels" / soft.parent.relative_to(soft.parents[2]) / name)
    (derivatives / "soft_all").symlink_to("labels_softseg")
    (code,) = shown("A method to compare with", "python")
    with pytest.raises(InputError, match="my-method: no such folder"):
        exec(code, {})
    (derivatives / "my-method/sub-001").mkdir(parents=True)
    with pytest.raises(InputError, match=r"my-method: holds no mask called sub-….*_softseg"):
        exec(code, {})
    (tree,) = shown("A method to compare with", "text")
    soft, hard = (line.split()[1] for line in tree.splitlines() if "sub-001_" in line)
    place = dataset / tree.split()[0]
    place.mkdir(parents=True)
    for name in (soft, hard):
        found = next(derivatives.glob(f"labels*/*/*/{name}"))
        (place / name).write_bytes(found.read_bytes())
    told: dict = {}
    exec(code, told)
    table = told["table"].set_index("method")
    assert set(table.index) == {"mine", "soft_all"}
    assert table.loc["soft_all", "area_mm2"].notna().all()
    mine = table.loc["mine"].groupby(["subject", "contrast"])["status"].first()
    assert mine.tolist() == ["no mask", "ok", "no mask", "no mask"]
    (scale,) = map(yaml.safe_load, shown("A method to compare with", "yaml"))
    check_scale(SCALES["demo"] | scale)
    data, known = told["dataset"], {"soft_all": "soft_all"}
    (mine,) = scale["notebooks"]["04_csa_variability"]["extra_methods"]
    assert mine in find_folders(data, known, [mine])
    with pytest.raises(InputError, match="elsewhere"):
        find_folders(data, known, ["elsewhere"])


def test_a_loss_has_its_place_in_the_chapter_on_ingredients(tmp_path):
    """What the tests of every loss ask of it is in `test_losses`."""
    (added,) = map(yaml.safe_load, shown("A loss", "yaml"))
    models = SCALES["grid"]["models"] | added["models"]
    check_scale(SCALES["book"] | {"models": models})
    (name,) = added["models"]
    assert f'LOSSES["{models[name]["loss"]}"]' in shown("A loss", "python")[0]
    (tmp_path / "grid.yml").write_text(yaml.safe_dump({"models": models}))
    assert read_factors(tmp_path / "grid.yml")["loss"][name] == "soft_all"


@pytest.mark.slow
def test_a_contrast_is_read_by_its_suffix_and_imaged_once_its_signal_is_known(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for table in (CONTRASTS, PROTOCOLS):  # as they are again after this test
        for name in ("PDw",):
            monkeypatch.setitem(table, name, None)
            del table[name]
    by_suffix, by_phantom = shown("A contrast", "sh")
    entry, protocol = shown("A contrast", "python")
    exec(entry, {})
    assert "PDw" in CONTRASTS
    assert "PDw" not in imaged(CONTRASTS)
    exec(protocol, {})
    assert "PDw" in imaged(CONTRASTS)
    assert softseg(by_phantom) == 0
    stem = "my-phantom/{}sub-001/anat/sub-001_PDw{}"
    image = Volume.load(stem.format("", ".nii.gz"))
    mask = Volume.load(stem.format("derivatives/labels/", "_label-SC_seg.nii.gz"))
    assert 0 < mask.data.mean() < 0.1
    assert image.data.std() > 0
    write_tubes(tmp_path / "my-dataset", ["sub-001"])
    for path in sorted((tmp_path / "my-dataset").rglob("*_T1w*")):
        path.rename(path.with_name(path.name.replace("T1w", "PDw")))
    del CONTRASTS["PDw"]
    assert softseg(by_suffix) == 0
    assert list(tmp_path.glob("my-dataset/derivatives/labels_softseg/sub-001/anat/*_PDw_*.gz"))


def test_a_data_set_of_links_is_found_and_averaged(dataset, tmp_path, capsys):
    for path in sorted(path for path in dataset.rglob("*") if path.is_file()):
        if "labels_softseg" not in path.parts:
            link = tmp_path / "my-dataset" / path.relative_to(dataset)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(path, link)
    (code,), (line,) = shown("A data set", "python"), shown("A data set", "sh")
    exec(code, {})
    assert capsys.readouterr().out.count("T2w") >= 2
    assert softseg(line) == 0
    made = sorted(tmp_path.glob("my-dataset/derivatives/labels_softseg/*/*/*_softseg.nii.gz"))
    assert len(made) == 4
    assert json.loads(made[0].with_name(made[0].name.replace(".nii.gz", ".json")).read_text())


def test_functions_that_the_page_names_exist():
    for name in re.findall(r"{py:func}`([\w.]+)`", PAGE):
        module, _, function = name.rpartition(".")
        assert callable(getattr(import_module(module), function))
