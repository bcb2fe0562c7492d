"""Tables for statistics: one name a quantity, one order, and a dictionary of every column."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from softseg.cli import main
from softseg.csa.aggregation import aggregate, select
from softseg.csa.columns import columns_of
from softseg.csa.measure import COLUMNS, measure
from softseg.csa.norm import against_norm, length_profile
from softseg.csa.table import _dictionary, arranged, data_dictionary
from softseg.dataset.names import entities_of
from softseg.volume import Volume

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def slices() -> pd.DataFrame:
    data = np.zeros((20, 20, 40), np.float32)
    data[6:14, 6:15] = 1
    mask = Volume(data, np.diag([-1.0, 1.0, 1.0, 1.0]))
    points = {3: (-10, 10, 38), 4: (-10, 10, 22), 5: (-10, 10, 5)}
    return measure(mask, discs=points).assign(file="sub-1_ses-2_run-3_T2w_label-SC_softseg.nii.gz")


def cohort(folder: Path, *names: str) -> list[str]:
    data = np.zeros((16, 16, 10), np.float32)
    data[4:12, 4:13] = 1
    return [str(Volume(data, np.eye(4)).save(folder / f"{name}.nii.gz")) for name in names]


def test_a_quantity_has_one_name_in_rows_per_slice_per_level_and_in_means(slices):
    measures = {"area_mm2", "angle_ap_deg", "diameter_ap_mm", "solidity", "length_mm", "flag"}
    tables = [slices, aggregate(slices), aggregate(slices, per_level=True)]
    assert all(measures <= set(table) for table in tables)
    assert aggregate(slices)["area_mm2"][0] == pytest.approx(
        slices[slices["level"].isin([2, 3])]["area_mm2"].mean(), rel=1e-3
    )


@pytest.mark.parametrize("options", [{}, {"per_level": True}, {"slices": (10, 30)}])
def test_columns_are_averaged_and_chosen_as_a_data_frame_is(slices, options):
    columns = columns_of(slices)
    averaged = pd.DataFrame(aggregate(columns, **options))
    pd.testing.assert_frame_equal(averaged, aggregate(slices, **options))
    chosen = select(columns, vertebrae=(3, 3))
    assert chosen["slice"].tolist() == select(slices, vertebrae=(3, 3))["slice"].tolist()


@pytest.mark.parametrize("flag", ["", "outlier"])
def test_a_table_that_is_read_again_is_averaged_as_it_was(slices, tmp_path, flag):
    slices = slices.assign(flag=["", flag] * (len(slices) // 2))
    slices.to_csv(tmp_path / "a.csv", index=False)
    again = pd.read_csv(tmp_path / "a.csv")  # where an empty flag is missing
    assert again["flag"].isna().any()
    pd.testing.assert_frame_equal(aggregate(again), aggregate(slices))
    wanted = {"vertebrae": (3, 3)}
    assert select(again, **wanted)["slice"].tolist() == select(slices, **wanted)["slice"].tolist()


def test_every_column_is_in_the_dictionary_and_every_unit_in_the_name(slices):
    profile = against_norm(length_profile(slices))
    for table in (slices, aggregate(slices), profile):
        told = data_dictionary(arranged(table))
        assert all(entry["Description"] for entry in told.values())
    units = {"mm^2": "_mm2", "mm": "_mm", "degree": "_deg"}
    for name, entry in _dictionary().items():
        assert "Units" not in entry or units[entry["Units"]] in name
    assert set(COLUMNS) <= set(_dictionary())


def test_the_page_shows_the_dictionary():
    rows = list(csv.reader((ROOT / "book/tables/csa_columns.csv").open(encoding="utf-8")))[1:]
    assert rows == [
        [f"`{name}`", entry.get("Units", ""), entry["Description"]]
        for name, entry in _dictionary().items()
    ]


def test_columns_of_names_come_where_a_name_tells_them(slices):
    assert list(arranged(slices))[:5] == [
        "file", "participant_id", "session_id", "run", "contrast",
    ]  # fmt: skip
    assert "contrast" not in arranged(slices.assign(file="cord.nii.gz"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sub-1_T2w_label-SC_seg.nii.gz", ("sub-1", None, None, "T2w")),
        ("sub-1_ses-b_run-02_T1w_seg-manual.nii", ("sub-1", "ses-b", "02", "T1w")),
        ("a/sub-1_acq-sag_PDw_label-SC_softseg.nii.gz", ("sub-1", None, None, "acq-sag_PDw")),
        ("sub-1_flip-1_mt-on_MTS_label-SC_softseg.nii.gz", ("sub-1", None, None, "MT-on")),
        ("sub-1_run-1_label-SC_desc-T2w_probseg.nii.gz", ("sub-1", None, "1", "T2w")),
        ("t2_label-SC_seg.nii.gz", (None, None, None, None)),
    ],
)
def test_who_when_and_what_is_read_off_a_masks_name(name, expected):
    assert tuple(entities_of(name).values()) == expected


def test_a_batch_says_who_with_six_digits_and_a_dictionary_beside_it(tmp_path, capsys):
    masks = cohort(tmp_path, "sub-1_ses-1_T2w_label-SC_seg", "sub-2_ses-1_T1w_label-SC_seg")
    with pytest.raises(SystemExit):
        main(["csa", *masks, "-o", str(tmp_path / "a.csv")])
    assert capsys.readouterr().err.count("no levels in 2 of 2 masks: the mean is over the") == 1
    table = pd.read_csv(tmp_path / "a.csv", dtype=str)
    assert table["participant_id"].tolist() == ["sub-1", "sub-2"]
    assert table["contrast"].tolist() == ["T2w", "T1w"]
    beside = json.loads((tmp_path / "a.csv.json").read_text())
    assert beside["area_mm2"]["Units"] == "mm^2"
    assert set(table) <= set(beside)


def test_a_mean_over_slices_names_the_levels_that_they_have(slices):
    row = aggregate(slices, slices=(10, 30)).iloc[0]
    assert row["level"] == "3:4"
    assert aggregate(slices.assign(level=pd.NA), slices=(10, 30))["level"][0] == ""
