"""`softseg csa`: what it writes, what it says, and how it refuses."""

import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from tubes import Curve, Tube, sample

from softseg.cli import main
from softseg.csa.automatic import AutomaticDiscs
from softseg.csa.measure import measure
from softseg.csa.norm import adjust_area
from softseg.volume import Volume

PER_SLICE = [
    "file", "slice", "level", "area_mm2", "angle_ap_deg", "angle_rl_deg", "diameter_ap_mm",
    "diameter_rl_mm", "eccentricity", "orientation_deg", "solidity", "length_mm", "flag",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tilted cord of 40 slices, its levels and its discs."""
    here = tmp_path_factory.mktemp("csa")
    soft = sample(Tube(Curve(tilt_deg=(0.0, 10.0))), (1.0, 1.0, 1.0), length_mm=40).soft
    soft.save(here / "soft.nii.gz")
    level = np.select([np.arange(40) >= 28, np.arange(40) >= 10], [2, 3], 4)
    soft.like((soft.data > 0.5) * level).save(here / "levels.nii.gz")
    discs = np.zeros(soft.data.shape)
    for number, z in ((2, 39), (3, 27), (4, 9)):
        discs[10, 12, z] = number
    soft.like(discs).save(here / "discs.nii.gz")
    return here


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main(["csa", *map(str, arguments)])
    return int(left.value.code or 0)


def test_one_mask_gives_one_row_over_all_slices(folder, tmp_path):
    assert run(folder / "soft.nii.gz", "-o", tmp_path / "a.csv") == 0
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["n_slices"].tolist() == [40]
    assert table["area_mm2"][0] == pytest.approx(70.0, rel=1e-3)
    assert table["area_mm2_std"][0] < 0.1
    assert table["file"].tolist() == [str(folder / "soft.nii.gz")]


def test_levels_choose_c2_and_c3_by_default(folder, tmp_path):
    out = tmp_path / "a.csv"
    assert run(folder / "soft.nii.gz", "-o", out, "--levels", folder / "levels.nii.gz") == 0
    table = pd.read_csv(out)
    assert table[["level", "slice", "n_slices"]].to_numpy().tolist() == [["2:3", "10:39", 30]]


def test_the_numbering_of_levels_may_be_named(folder, tmp_path):
    out, given = tmp_path / "a.csv", ("--level-names", "sct")
    for source in ("levels", "discs"):
        where = (f"--{source}", folder / f"{source}.nii.gz")
        assert run(folder / "soft.nii.gz", "-o", out, *where, *given) == 0
        assert pd.read_csv(out)["level"].tolist() == ["2:3"]


def test_a_landmark_gives_a_mean_at_a_distance_from_it_and_distances_of_slices(folder, tmp_path):
    out, given = tmp_path / "a.csv", (folder / "soft.nii.gz", "--pmj", "0,7,40")
    assert run(*given, "-o", out, "--at-mm", "40", "--extent-mm", "10") == 0
    row = pd.read_csv(out).iloc[0]
    assert (row["n_slices"], row["distance_mm"]) == (10, pytest.approx(40, abs=0.5))
    assert run(*given, "-o", out, "--per-slice") == 0
    assert len(pd.read_csv(out)) == 40


def test_vertebrae_slices_and_rows_per_level(folder, tmp_path):
    out, levels = tmp_path / "a.csv", ("--levels", folder / "levels.nii.gz")
    assert run(folder / "soft.nii.gz", "-o", out, *levels, "--vertebrae", "3") == 0
    assert pd.read_csv(out)["n_slices"].tolist() == [18]
    assert run(folder / "soft.nii.gz", "-o", out, "--slices", "10:30") == 0
    assert pd.read_csv(out)["n_slices"].tolist() == [21]
    assert run(folder / "soft.nii.gz", "-o", out, *levels, "--per-level") == 0
    assert pd.read_csv(out)[["level", "n_slices"]].to_numpy().tolist() == [
        [2, 12],
        [3, 18],
        [4, 10],
    ]


def test_a_row_per_slice_has_the_promised_columns(folder, tmp_path):
    out = tmp_path / "a.csv"
    arguments = ["-o", out, "--per-slice", "--discs", folder / "discs.nii.gz"]
    assert run(folder / "soft.nii.gz", *arguments) == 0
    table = pd.read_csv(out)
    assert table.columns[: len(PER_SLICE)].tolist() == PER_SLICE
    assert table["slice"].tolist() == list(range(40))
    assert {2, 3, 4} <= set(table["level"].dropna())


def test_slices_without_a_mask_have_no_row_and_are_counted(folder, tmp_path, capsys):
    mask = Volume.load(folder / "soft.nii.gz")
    drawn = np.where(np.arange(mask.data.shape[2]) % 10 == 0, mask.data, 0)
    drawn = mask.like(drawn).save(tmp_path / "drawn.nii.gz", dtype=np.float32)
    assert run(drawn, "-o", tmp_path / "a.csv", "--per-slice") == 0
    table = pd.read_csv(tmp_path / "a.csv")
    assert table["slice"].tolist() == [0, 10, 20, 30]
    assert table["area_mm2"].notna().all()
    assert "27 slices without a mask, without a row" in capsys.readouterr().err


def test_landmarks_on_the_command_line_do_what_a_disc_image_does(folder, tmp_path):
    image = nib.load(folder / "discs.nii.gz")
    where = np.argwhere(np.asarray(image.dataobj) > 0)
    points = []
    for voxel in where:
        x, y, z = nib.affines.apply_affine(image.affine, voxel)
        points += ["--disc", f"{int(image.dataobj[tuple(voxel)])}:{x},{y},{z}"]
    assert run(folder / "soft.nii.gz", "-o", tmp_path / "a.csv", "--per-slice", *points) == 0
    discs = ("--discs", folder / "discs.nii.gz")
    assert run(folder / "soft.nii.gz", "-o", tmp_path / "b.csv", "--per-slice", *discs) == 0
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


def test_no_angle_correction_and_threshold_reach_the_measurement(folder, tmp_path):
    out = tmp_path / "a.csv"
    assert run(folder / "soft.nii.gz", "-o", out, "--no-angle-correction") == 0
    plain = pd.read_csv(out)["area_mm2"][0]
    assert plain == pytest.approx(70.0 / np.cos(np.radians(10)), rel=1e-3)
    assert (
        run(folder / "soft.nii.gz", "-o", out, "--no-angle-correction", "--threshold", "0.9") == 0
    )
    assert pd.read_csv(out)["area_mm2"][0] < plain - 5


def test_a_profile_and_a_plot_stand_before_the_norm(folder, tmp_path):
    pytest.importorskip("matplotlib", reason="drawn by the extra softseg[plot]")
    levels = ("--levels", folder / "levels.nii.gz")
    profile, plot = tmp_path / "p.csv", tmp_path / "p.png"
    out = ("-o", tmp_path / "a.csv", "--profile", profile, "--plot", plot)
    assert run(folder / "soft.nii.gz", *out, *levels, "--sex", "F") == 0
    table = pd.read_csv(profile)
    assert set(table["level"]) == {2, 3, 4}
    assert table["z"].abs().max() < 3
    np.testing.assert_allclose(
        table["z"],
        (table["area_mm2"] - table["area_mm2_norm"]) / table["area_mm2_norm_std"],
        atol=1e-3,
    )
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_mask_without_levels_does_not_fail_the_profile_of_the_others(
    folder, tmp_path, monkeypatch, capsys
):
    def known(mask, image, **options):
        found = AutomaticDiscs(reason="levels unknown: none seen" if mask == bare else "")
        options["levels"] = None if mask == bare else folder / "levels.nii.gz"
        return found.told_in(measure(mask, **options, as_columns=True)), found.reason

    monkeypatch.setattr("softseg.csa.batch.with_automatic_levels", known)
    bare, whole = tmp_path / "bare.nii.gz", folder / "soft.nii.gz"
    Volume.load(whole).save(bare)
    table, profile = tmp_path / "a.csv", tmp_path / "p.csv"
    given = ("--levels", "auto", "-o", table, "--profile", profile)
    assert run(bare, whole, *given, "--image", bare, "--image", whole) == 1
    assert f"{bare}: no levels on whole slices, not in the profile" in capsys.readouterr().err
    assert pd.read_csv(table)["file"].tolist() == [str(bare), str(whole)]
    assert set(pd.read_csv(profile)["file"]) == {str(whole)}
    profile.unlink()
    assert run(bare, *given, "--image", bare) == 2
    assert not profile.exists()


def test_area_is_adjusted_for_sex_and_height_where_given(folder, tmp_path):
    out = tmp_path / "a.csv"
    assert run(folder / "soft.nii.gz", "-o", out) == 0
    assert "area_mm2_adjusted" not in pd.read_csv(out)
    assert run(folder / "soft.nii.gz", "-o", out, "--sex", "M", "--height", "180") == 0
    row = pd.read_csv(out).iloc[0]
    expected = float(adjust_area(row["area_mm2"], sex="M", height_cm=180))
    assert row["area_mm2_adjusted"] == pytest.approx(expected, abs=1e-3)
    assert row["area_mm2_adjusted"] < row["area_mm2"]
    assert run(folder / "soft.nii.gz", "-o", out, "--sex", "M", "--per-slice") == 0
    slices = pd.read_csv(out)
    expected = adjust_area(slices["area_mm2"], sex="M")
    np.testing.assert_allclose(slices["area_mm2_adjusted"], expected, atol=1e-3)


def broken(folder, tmp_path, kind):
    image = nib.load(folder / "soft.nii.gz")
    data = np.asarray(image.dataobj).copy()
    path = tmp_path / f"{kind}.nii.gz"
    if kind == "nan":
        data[0, 0, 0] = np.nan
    elif kind == "empty":
        data[:] = 0
    elif kind == "four":
        data = np.stack([data, data], axis=-1)
    elif kind == "outside":
        data[0, 0, 0] = 255
    elif kind == "text":
        path.write_text("no image")
        return path
    elif kind == "cut":
        path.write_bytes((folder / "soft.nii.gz").read_bytes()[:2000])
        return path
    elif kind == "missing":
        return path
    nib.save(nib.Nifti1Image(data, image.affine), path)
    return path


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("nan", "must be finite, found 1"),
        ("empty", "found a maximum of 0"),
        ("four", "three-dimensional image is needed, found 2 volumes"),
        ("outside", "must lie in [0, 1], found [0, 255]"),
        ("text", "not a readable NIfTI"),
        ("cut", "cannot be read"),
        ("missing", "no such file"),
    ],
)
def test_a_wrong_mask_is_refused_in_one_line_and_nothing_is_written(
    folder, tmp_path, capsys, kind, rule
):
    out = tmp_path / "new" / "a.csv"
    assert run(broken(folder, tmp_path, kind), "-o", out) == 2
    said = capsys.readouterr().err.strip()
    assert rule in said
    assert f"{kind}.nii.gz" in said
    assert "Traceback" not in said
    assert len(said.splitlines()) == 1
    assert not out.parent.exists()


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (["-o", "a.txt"], "must end in .csv"),
        (["-o", "a.csv", "--plot", "a.gif"], "must end in .png"),
        (["-o", "a.csv", "--profile", "a.csv"], "a.csv: is another output of this command"),
        (["-o", "line.csv", "--centreline", "./line.csv"], "line.csv: is read by this command"),
        (["-o", "a.csv", "--profile", "line.csv", "--centreline", "line.csv"], "is read by this"),
        (["-o", "a.csv", "--profile", "a.csv2"], "must end in .csv"),
        (["-o", "a.csv", "--profile", "a.b.csv"], "a length profile needs levels"),
        (["-o", "a.csv", "--sex", "x"], "sex must be F or M"),
        (["-o", "a.csv", "--height", "1.8"], "height must be in centimetres"),
        (["-o", "a.csv", "--vertebrae", "3-4"], "--vertebrae takes two whole numbers"),
        (["-o", "a.csv", "--slices", "9:3"], "--slices takes two whole numbers"),
        (["-o", "a.csv", "--disc", "3:1,2"], "--disc takes a disc and a point"),
        (["-o", "a.csv", "--disc", "3:1,2,3", "--disc", "3:1,2,4"], "each disc once"),
        (["-o", "a.csv", "--disc", "3:1,2,3", "--levels", "x.nii"], "not several"),
        (["-o", "a.csv", "--per-slice", "--per-level"], "not both"),
        (["-o", "a.csv", "--slices", "3:4", "--vertebrae", "2"], "not both"),
        (["-o", "a.csv", "--per-level"], "a row per level needs levels, found no level known"),
        (["-o", "a.csv", "--per-level", "--slices", "3:4"], "a row per level needs levels, found"),
        (["-o", "a.csv", "--slices", "80:90"], "found slices 0 to 39"),
        (["-o", "a.csv", "--levels", "soft.nii.gz"], "must be whole numbers"),
        (
            ["-o", "a.csv", "--level-names", "spine"],
            "--level-names must be one of softseg, sct, total",
        ),
        (["-o", "a.csv", "--level-names", "sct"], "leave it out, or give --levels or --discs"),
        (
            ["-o", "a.csv", "--level-names", "sct", "--disc", "3:0,0,0"],
            "leave it out, or give --levels or --discs",
        ),
        (["-o", "a.csv", "--at-mm", "60"], "need a landmark; give --pmj"),
        (["-o", "a.csv", "--pmj", "0,0"], "--pmj takes a point"),
        (["-o", "a.csv", "--pmj", "0,0,0", "--extent-mm", "0"], "a length above 0"),
        (["-o", "a.csv", "--levels", "discs.nii.gz"], "single points; use --discs"),
        (["-o", "a.csv", "--discs", "levels.nii.gz"], "found areas; use --levels"),
        (["-o", "a.csv", "--threshold", "2"], "needs voxels above 2, found a maximum of 1"),
        (["-o", "a.csv", "--full-value", "nan"], "--full-value must be above 0"),
        (["-o", "a.csv", "--centreline", "no.csv"], "no.csv: no such file"),
    ],
)
def test_wrong_use_is_refused_in_one_line_and_nothing_is_written(
    folder, tmp_path, monkeypatch, capsys, arguments, rule
):
    monkeypatch.chdir(folder)
    (folder / "line.csv").write_text(line := "x_mm,y_mm,z_mm\n0,-3.5,-20\n0,3.5,20\n")
    arguments = [str(tmp_path / a) if a.startswith("a.") else a for a in arguments]
    assert run("soft.nii.gz", *arguments) == 2
    said = capsys.readouterr().err.strip()
    assert rule in said
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
    assert (folder / "line.csv").read_text() == line


def test_a_mask_below_0_is_not_sent_to_a_threshold(folder, tmp_path, capsys):
    soft = Volume.load(folder / "soft.nii.gz")
    soft.like(-soft.data).save(tmp_path / "neg.nii.gz")
    assert run(tmp_path / "neg.nii.gz", "-o", tmp_path / "a.csv") == 2
    said = capsys.readouterr().err
    assert "none above 0; turn their sign round" in said
    assert "--threshold" not in said


def test_an_older_table_survives_a_wrong_mask(folder, tmp_path):
    out = tmp_path / "a.csv"
    out.write_text("kept")
    assert run(broken(folder, tmp_path, "nan"), "-o", out) == 2
    assert out.read_text() == "kept"


def test_one_wrong_mask_does_not_keep_the_others_from_being_measured(folder, tmp_path, capsys):
    out = tmp_path / "a.csv"
    assert run(broken(folder, tmp_path, "nan"), folder / "soft.nii.gz", "-o", out) == 1
    assert pd.read_csv(out)["file"].tolist() == [str(folder / "soft.nii.gz")]
    assert "must be finite" in capsys.readouterr().err


def test_other_objects_are_mentioned(folder, tmp_path, capsys):
    image = nib.load(folder / "soft.nii.gz")
    data = np.pad(np.asarray(image.dataobj), ((0, 10), (0, 0), (0, 0)))
    data[-4:-1, 5:8, 5:8] = 1
    nib.save(nib.Nifti1Image(data, image.affine), tmp_path / "two.nii.gz")
    assert run(tmp_path / "two.nii.gz", "-o", tmp_path / "a.csv") == 0
    assert "1 other (27 mm³) left out" in capsys.readouterr().err


def test_measuring_a_mask_imports_what_it_needs_alone(folder, tmp_path):
    code = (
        "import sys\n"
        "from softseg.cli import main\n"
        "try:\n"
        f"    main(['csa', {str(folder / 'soft.nii.gz')!r}, '-o', {str(tmp_path / 'a.csv')!r}])\n"
        "except SystemExit as left:\n"
        "    assert not left.code\n"
        "heavy = {'torch', 'lightning', 'matplotlib', 'skimage', 'pandas', 'scipy.ndimage'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"
