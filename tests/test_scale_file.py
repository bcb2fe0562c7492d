"""A scale file whose names nothing knows ends before anything runs."""

import copy
import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from softseg.phantom.cohort import check_options
from softseg.phantom.subjects import CohortOptions

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))
from scale_file import check_scale  # noqa: E402

SCALES = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in (ROOT / "notebooks/scales").glob("*.yml")
}
WHOLE = sorted(name for name, scale in SCALES.items() if "run" in scale)


@pytest.mark.parametrize("name", WHOLE)
def test_every_scale_of_the_project_is_understood(name):
    check_scale(SCALES[name])


def test_the_grid_is_understood_with_the_scale_it_is_added_to():
    check_scale(SCALES["book"] | {"models": SCALES["grid"]["models"]})


def test_runs_on_other_cohorts_change_what_a_phantom_knows():
    page = (ROOT / "book/reproduce.md").read_text("utf-8")
    changes = [
        json.loads(found) for found in re.findall(r"^\| `[\w-]+` \| `({.*})` \|", page, re.M)
    ]
    assert len(changes) == 4
    for change in changes:
        dataset = SCALES["demo"]["dataset"] | change
        check_scale(SCALES["demo"] | {"dataset": dataset})
        given = CohortOptions(dataset["seed"], ("T2w",), **change)
        check_options(given, dataset["subjects"])


def test_the_book_has_enough_people_a_condition_and_seeds_for_its_intervals():
    notebooks = SCALES["book"]["notebooks"]
    assert notebooks["06_generalisation"]["people"] >= 24
    assert len(SCALES["book"]["seeds"]) >= 3


def test_a_data_set_of_ones_own_has_a_path_and_a_kind_that_is_known():
    scale = SCALES["tiny"] | {"dataset": {"kind": "bids", "pat": "my-dataset"}}
    with pytest.raises(ValueError, match=r"dataset: unknown 'pat', is 'path' meant\?"):
        check_scale(scale)
    check_scale(scale | {"dataset": {"kind": "bids", "path": "my-dataset"}})
    with pytest.raises(ValueError, match=r"kind: unknown 'bid', is 'bids' meant\?"):
        check_scale(scale | {"dataset": {"kind": "bid", "path": "my-dataset"}})


@pytest.mark.parametrize(
    ("place", "name", "value", "said"),
    [
        ((), "sedes", [1], "unknown 'sedes', is 'seeds' meant?"),
        (("notebooks", "03_training"), "step", 5, "03_training: unknown 'step', is 'steps' meant?"),
        (
            ("notebooks",),
            "04_csa",
            {},
            "unknown '04_csa', is '04_csa_variability'",
        ),
        (("models", "soft_all"), "trutth", "soft", "model soft_all: unknown 'trutth', is 'truth'"),
        (("models", "soft_all"), "settings", {"stepz": 1}, "settings: unknown 'stepz', is 'steps'"),
        (("dataset",), "subject", 3, "dataset: unknown 'subject', is 'subjects' meant?"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(place, name, value, said):
    scale = copy.deepcopy(SCALES["tiny"])
    inner = scale
    for key in place:
        inner = inner[key]
    inner[name] = value
    with pytest.raises(ValueError, match=r".") as error:
        check_scale(scale, "my.yml")
    assert str(error.value).startswith("my.yml: ")
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1
