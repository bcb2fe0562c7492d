"""`softseg-bids`: sessions, runs, unusual suffixes, a link to nothing and a broken file."""

import json

import numpy as np
import pandas as pd
import pytest

from softseg import __version__
from softseg.cli.bids_app import main
from softseg.dataset.bids_filter import Selection
from softseg.errors import InputError
from softseg.phantom.acquisition import acquire
from softseg.phantom.anatomy import random_anatomy
from softseg.volume import Volume

IMAGES = (
    "sub-1/ses-1/anat/sub-1_ses-1_run-1_T2w",
    "sub-1/ses-2/anat/sub-1_ses-2_acq-top_T2star",
    "sub-2/anat/sub-2_UNIT1",
)


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    root = tmp_path_factory.mktemp("bids") / "set"
    rng = np.random.default_rng(7)
    scan = acquire(random_anatomy(rng), "T2star", rng=rng)
    for name in IMAGES:
        scan.image.save(root / f"{name}.nii.gz")
    discs = np.zeros(scan.image.data.shape)
    middle = np.argwhere(scan.truth.data == 1).mean(axis=0).astype(int)
    for disc, z in ((3, -2), (4, len(discs[0, 0]) // 2), (5, 1)):
        discs[middle[0], middle[1], z] = disc
    labels = root / "derivatives/labels"
    scan.image.like(discs).save(labels / f"{IMAGES[2]}_label-discs_dlabel.nii.gz")
    about = {"Name": "phantoms", "BIDSVersion": "1.9.0"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    for who in ("sub-3", "sub-4"):
        (root / who / "anat").mkdir(parents=True)
    (root / "sub-3/anat/sub-3_T2w.nii.gz").symlink_to("../../.git/annex/objects/none")
    (root / "sub-4/anat/sub-4_T2w.nii.gz").write_bytes(b"broken")
    return root


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(map(str, arguments)))
    return int(left.value.code or 0)


def test_version_and_the_command_to_ask_for_help_are_its_own(capsys):
    assert run("-V") == run("--version") == 0
    assert capsys.readouterr().out == f"softseg {__version__}\n" * 2
    assert run("--divine") == 2
    assert "see softseg-bids --help" in capsys.readouterr().err


def test_participants_one_by_one_and_then_the_group(data_set, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(data_set, out, "participant", "--n-cpus", 1) == 1  # two cannot be read
    said = capsys.readouterr()
    assert "3 made, 2 failed" in said.out
    assert "sub-3_T2w.nii.gz: not fetched" in said.err
    assert "sub-4_T2w.nii.gz: not a readable NIfTI" in said.err
    for name in IMAGES:
        assert (out / f"{name}_label-SC_softseg.nii.gz").is_file()
    table = pd.read_csv(out / "sub-1/sub-1_desc-slices_csa.tsv", sep="\t", dtype=str)
    keys = ["participant_id", "session_id", "run", "contrast"]
    assert table[keys].drop_duplicates().fillna("").to_numpy().tolist() == [
        ["sub-1", "ses-1", "1", "T2w"],
        ["sub-1", "ses-2", "", "T2star"],
    ]
    doubt = {"uncertain", "presence", "quality", "area_error", "edge_mm"}
    assert doubt <= set(table)
    assert table["presence"].notna().all()
    record = out / f"{IMAGES[0]}_label-SC_softseg.json"
    said = json.loads(record.read_text())
    said |= {"Note": "blurred edges", "UncertainReasons": {"0": "no signal"}, "EdgeWidth": 1.0}
    record.write_text(json.dumps(said))
    beside = json.loads((out / "sub-1/sub-1_desc-slices_csa.json").read_text())
    assert beside["area_mm2"]["Units"] == "mm^2"

    assert run(data_set, out, "group") == 0
    said = capsys.readouterr()
    assert "3 images of 2 participants" in said.out
    assert "no levels in 2 of 3 masks" in said.err
    means = pd.read_csv(out / "group_csa.tsv", sep="\t", dtype={"level": str})
    assert means["contrast"].tolist() == ["T2w", "T2star", "UNIT1"]
    assert means["level"].fillna("").tolist() == ["", "", "2:3"]
    assert doubt <= set(means)
    assert means["presence"].notna().all()
    assert means["uncertain"][0] == "no signal"
    assert means["edge_mm"][0] == 1
    page = (out / "report/index.html").read_text()
    assert page.count("<section") == 3
    assert "<b>blurred edges</b>" in page
    assert len(list((out / "report/pictures").iterdir())) == 3

    assert run(data_set, out, "participant", "--participant-label", "2") == 0
    assert (out / "sub-2/sub-2_desc-slices_csa.tsv").is_file()


def test_chosen_sessions_with_the_standards_name(data_set, tmp_path):
    filter_file = tmp_path / "filter.json"
    filter_file.write_text('{"any": {"datatype": "anat", "acquisition": null}}')
    words = ["--session-label", "1", "--participant-label", "sub-1", "--probseg"]
    out = tmp_path / "out"
    assert run(data_set, out, "participant", *words, "--bids-filter-file", filter_file) == 0
    (mask,) = out.rglob("*.nii.gz")
    assert mask.name == "sub-1_ses-1_run-1_label-SC_desc-T2w_probseg.nii.gz"
    assert pd.read_csv(out / "sub-1/sub-1_desc-slices_csa.tsv", sep="\t")["contrast"][0] == "T2w"


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["participant", "--participant-label", "9"], "no sub-9 in it"),
        (["participant", "--session-label", "9"], "no ses-9 in it"),
        (["participant", "--participant-label", "2", "--session-label", "1"], "none of its images"),
        (["group"], "run the level participant first"),
        (["both"], "both"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(data_set, tmp_path, capsys, words, rule):
    assert run(data_set, tmp_path / "out", *words) == 2
    said = capsys.readouterr().err.strip()
    assert rule in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_data_set_without_description_is_refused_unless_asked(tmp_path, capsys):
    (tmp_path / "set/sub-1").mkdir(parents=True)
    assert run(tmp_path / "set", tmp_path / "out", "participant") == 2
    assert "must name Name and BIDSVersion" in capsys.readouterr().err
    words = ["participant", "--skip-bids-validation"]
    assert run(tmp_path / "set", tmp_path / "out", *words) == 2
    assert "no sub-* folders with images" in capsys.readouterr().err


def test_a_filter_with_an_unknown_entity_names_the_nearest(tmp_path):
    (tmp_path / "f.json").write_text('{"t2": {"aquisition": "ax"}}')
    with pytest.raises(InputError, match="no entity 'aquisition'; is acquisition meant"):
        Selection.read(tmp_path, filter_file=tmp_path / "f.json")


def test_a_group_of_empty_masks_has_rows_without_areas_and_says_nothing_odd(tmp_path, capsys):
    root, out = tmp_path / "set", tmp_path / "out"
    noise = np.random.default_rng(0).random((40, 40, 6)).astype(np.float32)
    image = Volume(noise, np.diag([-1.0, 1.0, 3.0, 1.0]))
    image.save(root / "sub-1/anat/sub-1_T2w.nii.gz")
    assert run(root, out, "participant", "--skip-bids-validation") == 0
    slices = pd.read_csv(out / "sub-1/sub-1_desc-slices_csa.tsv", sep="\t")
    assert slices["flag"].tolist() == ["no mask"]
    capsys.readouterr()
    assert run(root, out, "group", "--skip-bids-validation") == 0
    assert "no mean" not in capsys.readouterr().err
    (row,) = pd.read_csv(out / "group_csa.tsv", sep="\t").to_dict("records")
    assert (row["n_slices"], row["flag"]) == (0, "no mask")
    assert np.isnan(row["area_mm2"])
    assert "nan" not in (out / "report/index.html").read_text().partition("<section")[2]
