"""Whether weights shift areas: the comparison itself, its command, and the weights that ship."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from reference_areas import (
    LIMIT_PERCENT,
    changes,
    measure_reference,
    reference_path,
    write_participants,
)
from segmentation_network import CONFIG, trained, tube

from softseg import cli
from softseg.dataset.index import Dataset
from softseg.network.unet import build_network
from softseg.network.weights import available_weights, save_weights
from softseg.segmentation.weights_comparison import compare_areas, measure_weights
from softseg.volume import Volume

NO_WEIGHTS = "no weights ship yet (softseg/weights holds none)"


def slices(weights: str, areas: dict[tuple, float]) -> pd.DataFrame:
    """Rows as `measure_weights` gives them, from (subject, contrast, slice, level) to area."""
    rows = [
        {
            "image": f"{subject}_{contrast}",
            "subject": subject,
            "contrast": contrast,
            "weights": weights,
            "slice": z,
            "level": level,
            "area_mm2": area,
            "status": "ok",
        }
        for (subject, contrast, z, level), area in areas.items()
    ]
    table = pd.DataFrame(rows)
    return table.astype({"slice": "Int64", "level": "Int64"})


def two(old: dict, new: dict) -> pd.DataFrame:
    return pd.concat([slices("old", old), slices("new", new)], ignore_index=True)


def random_areas(rng: np.random.Generator, participants: int = 8) -> dict:
    return {
        (f"sub-{number}", contrast, z, 2 + z // 3): rng.uniform(60, 90)
        for number in range(participants)
        for contrast in ("T1w", "T2w")
        for z in range(6)
    }


def test_the_same_areas_do_not_differ():
    areas = random_areas(np.random.default_rng(0))
    table = compare_areas(two(areas, areas))
    assert (table[["difference_mm2", "ci_low", "ci_high", "only_old", "only_new"]] == 0).all(None)
    assert list(table["contrast"].unique()) == ["T1w", "T2w", "all"]
    assert list(table["level"].unique()) == ["all", "C2", "C3"]
    assert (table["n_subjects"] == 8).all()


def test_a_shift_of_one_contrast_at_one_level_is_found_there():
    areas = random_areas(np.random.default_rng(1))
    moved = {k: a + (2.0 if k[1] == "T2w" and k[3] == 3 else 0.0) for k, a in areas.items()}
    table = compare_areas(two(areas, moved)).set_index(["contrast", "level"])
    expected = {
        ("T1w", "C2"): 0, ("T1w", "C3"): 0, ("T2w", "C2"): 0, ("T2w", "C3"): 2, ("T2w", "all"): 1,
        ("all", "C3"): 1, ("all", "all"): 0.5,
    }  # fmt: skip
    for key, shift in expected.items():
        row = table.loc[key]
        assert row["difference_mm2"] == pytest.approx(shift)
        # All moved alike, so that other participants would have given the same.
        assert (row["ci_low"], row["ci_high"]) == pytest.approx((shift, shift))
        assert row["difference_percent"] == pytest.approx(100 * shift / row["old_mm2"])


def test_the_interval_is_over_participants_not_over_slices():
    rng = np.random.default_rng(2)
    shift = {f"sub-{number}": rng.normal(1.0, 2.0) for number in range(12)}
    areas = {(p, "T2w", z, 2): 70.0 for p in shift for z in range(50)}
    moved = {key: area + shift[key[0]] for key, area in areas.items()}
    row = compare_areas(two(areas, moved)).iloc[0]
    standard_error = np.std(list(shift.values()), ddof=1) / np.sqrt(12)
    assert row["ci_high"] - row["ci_low"] == pytest.approx(2 * 1.96 * standard_error, rel=0.25)


def test_a_longer_mask_is_counted_not_averaged_in():
    old = {("sub-1", "T2w", z, 2): 70.0 for z in range(5)}
    new = {("sub-1", "T2w", z, 2): (71.0 if z < 5 else 30.0) for z in range(2, 8)}
    row = compare_areas(two(old, new)).iloc[0]
    assert row[["n_slices", "only_old", "only_new"]].tolist() == [3, 2, 3]
    assert row["difference_mm2"] == pytest.approx(1.0)
    assert np.isnan(row["ci_low"])  # one participant has no interval


def test_levels_are_those_of_the_old_mask_and_need_not_be_known():
    old = {("sub-1", "T2w", 0, 2): 70.0, ("sub-1", "T2w", 1, 3): 72.0}
    new = {("sub-1", "T2w", 0, 3): 70.0, ("sub-1", "T2w", 1, 3): 74.0}
    table = compare_areas(two(old, new)).set_index("level")
    assert table["difference_mm2"].to_dict() == pytest.approx({"all": 1.0, "C2": 0.0, "C3": 2.0})
    unknown = {("sub-1", "T2w", z, None): 70.0 for z in range(3)}
    assert compare_areas(two(unknown, unknown))["level"].tolist() == ["all"]


@pytest.fixture(scope="module")
def tubes(tmp_path_factory):
    """A BIDS data set of three participants with bright tubes in two contrasts and levels."""
    root = tmp_path_factory.mktemp("tubes")
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": "tubes", "BIDSVersion": "1.9.0"})
    )
    for number in (1, 2, 3):
        for suffix in ("T1w", "T2w"):
            image, soft = tube(shape=(40, 40, 8), slope=0.1, seed=number)
            stem = f"sub-0{number}/anat/sub-0{number}_{suffix}"
            image.save(root / f"{stem}.nii.gz")
            levels = (soft.data > 0.5) * np.where(np.arange(8) < 4, 3, 2)
            soft.like(levels.astype(np.uint8)).save(
                root / "derivatives" / "labels" / f"{stem}_label-vertebrae_dseg.nii.gz",
                dtype=np.uint8,
            )
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The tube network, and the same with an output raised everywhere: larger masks."""
    folder = tmp_path_factory.mktemp("weights")
    network = trained()
    save_weights(folder / "old.safetensors", network, CONFIG, {})
    raised = build_network(CONFIG)
    raised.load_state_dict(network.state_dict())
    with torch.no_grad():
        raised.decoder.seg_layers[-1].bias += 0.08
    save_weights(folder / "new.safetensors", raised, CONFIG, {})
    return folder


@pytest.fixture
def softseg(capsys):
    def run(*arguments) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(["compare-weights", *map(str, arguments)])
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out, captured.err

    return run


def test_the_command_shows_and_writes_how_areas_move(softseg, tubes, weights, tmp_path):
    before = {p for p in tubes.rglob("*") if p.is_file() and "cache" not in p.name}
    old, new = weights / "old.safetensors", weights / "new.safetensors"
    code, out, _ = softseg(old, new, tubes, "-o", tmp_path / "comparison.csv")
    assert code == 0
    table = pd.read_csv(tmp_path / "comparison.csv")
    assert set(zip(table["contrast"], table["level"], strict=True)) == {
        (contrast, level) for contrast in ("T1w", "T2w", "all") for level in ("all", "C2", "C3")
    }
    assert (table["difference_mm2"] > 1).all()
    assert (table["ci_low"] <= table["difference_mm2"]).all()
    assert (table["n_subjects"] == 3).all()
    for row in table.itertuples():
        assert f"{row.difference_mm2:+.2f}" in out
    # Nothing is written into the data set.
    assert {p for p in tubes.rglob("*") if p.is_file() and "cache" not in p.name} == before


def test_exit_codes_say_whether_areas_moved_too_far(softseg, tubes, weights):
    old, new = weights / "old.safetensors", weights / "new.safetensors"
    one = ("--subjects", "sub-01", "--contrasts", "T2w")
    assert softseg(old, old, tubes, *one, "--most", "0.01")[0] == 0
    code, _, said = softseg(old, new, tubes, *one, "--most", "0.5")
    assert code == 1
    assert "T2w: areas move by +" in said
    assert softseg(old, new, tubes, *one, "--most", "90")[0] == 0


def test_wrong_use_is_refused_before_any_work(softseg, tubes, weights, tmp_path):
    old = weights / "old.safetensors"
    cases = {
        "no such weights": ("absent", old, tubes),
        "--most: per cent above 0": (old, old, tubes, "--most", "0"),
        "no such": (old, old, tmp_path / "absent"),
        "no image of the contrasts": (old, old, tubes, "--contrasts", "T2star"),
    }
    for message, arguments in cases.items():
        code, out, said = softseg(*arguments, "-o", tmp_path / "comparison.csv")
        assert (code, out) == (2, ""), message
        assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "comparison.csv").exists()


def test_an_image_that_cannot_be_read_or_holds_no_cord_does_not_stop_the_batch(
    softseg, tubes, weights, tmp_path
):
    broken = tmp_path / "data"
    subprocess.run(["cp", "-r", str(tubes), str(broken)], check=True)
    stem = "sub-02/anat/sub-02_T1w.nii.gz"
    (broken / stem).write_bytes((broken / stem).read_bytes()[:200])
    empty = broken / "sub-03/anat/sub-03_T2w.nii.gz"
    volume = Volume.load(empty)
    volume.like(np.zeros_like(volume.data)).save(empty)
    old = weights / "old.safetensors"
    code, out, said = softseg(old, old, broken)
    assert code == 1
    assert "sub-02_T1w.nii.gz, old weights" in said
    assert "sub-03_T2w.nii.gz, new weights: no cord" in said
    assert "all" in out


def test_areas_are_those_of_the_masks_that_segment_writes(tubes, weights, tmp_path):
    from softseg.csa.measure import measure
    from softseg.segmentation.engine import segment

    path = weights / "old.safetensors"
    dataset = Dataset.index(tubes, subjects=["sub-02"], contrasts=["T2w"])
    table = measure_weights(dataset, {"a": path})
    mask = segment(Volume.load(tubes / "sub-02/anat/sub-02_T2w.nii.gz"), weights=path).soft
    labels = tubes / "derivatives/labels/sub-02/anat/sub-02_T2w_label-vertebrae_dseg.nii.gz"
    expected = measure(mask, levels=labels)
    expected = expected[~expected["flag"].str.contains("partial")]
    np.testing.assert_allclose(table["area_mm2"], expected["area_mm2"])
    assert table["level"].tolist() == expected["level"].tolist()


@pytest.fixture(scope="module")
def participants(tmp_path_factory):
    return write_participants(tmp_path_factory.mktemp("participants") / "data")


@pytest.mark.parametrize("name", available_weights() or [None])
def test_shipped_weights_measure_what_their_users_know(name, request):
    if name is None:
        pytest.skip(NO_WEIGHTS)
    root = request.getfixturevalue("participants")  # seconds, which a skipped test need not spend
    assert reference_path(name).is_file(), (
        f"{name} ships without reference areas: python tests/reference_areas.py {name}"
    )
    found = changes(pd.read_csv(reference_path(name)), measure_reference(root, name))
    assert not found, "\n".join(found)


def test_reference_areas_notice_moved_masks_other_images_and_lost_slices():
    table = pd.DataFrame(
        {
            "subject": "sub-001",
            "contrast": ["T1w", "T1w", "T2w", "T2w"],
            "level": [2, 3, 2, 3],
            "n_slices": 10,
            "area_mm2": [70.0, 72.0, 71.0, 73.0],
            "image_mean": [100.0, 100.0, 300.0, 300.0],
            "weights": "abc",
        }
    )
    assert changes(table, table) == []
    within = table.assign(area_mm2=table["area_mm2"] * (1 + 0.005 * LIMIT_PERCENT))
    assert changes(table, within) == []
    moved = table.assign(area_mm2=table["area_mm2"] * (1 + 0.02 * LIMIT_PERCENT))
    assert "T1w" in changes(table, moved)[0]
    assert "images" in changes(table, table.assign(image_mean=table["image_mean"] * 1.01))[0]
    assert "slices" in changes(table, table.assign(n_slices=8))[0]
    assert "slices" in changes(table, table.iloc[:-1])[0]


def test_the_script_is_run_as_documented(project_root):
    script = project_root / "tests" / "reference_areas.py"
    done = subprocess.run(
        [sys.executable, str(script), "--help"], capture_output=True, text=True, check=True
    )
    assert "NAME" in done.stdout
