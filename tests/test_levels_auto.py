"""Levels from the image alone: `softseg levels`, and `--levels auto` wherever area is measured."""

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from softseg.cli import main
from softseg.cli.bids_app import main as bids_app
from softseg.csa import automatic
from softseg.csa.automatic import automatic_discs, read_image
from softseg.csa.level_network import disc_heat
from softseg.csa.levels import read_discs
from softseg.csa.measure import measure
from softseg.errors import InputError
from softseg.nifti_header import HeaderWarning
from softseg.phantom.anatomy import Anatomy, random_anatomy
from softseg.phantom.partial_volume import blend, cord_fraction
from softseg.phantom.tissues import TISSUES
from softseg.quality_control.drawing import draw
from softseg.quality_control.lettering import png
from softseg.quality_control.page import MARKS
from softseg.segmentation.engine import Segmentation
from softseg.volume import Grid, Volume

T2W = {"white_matter": 0.32, "grey_matter": 0.35, "brainstem": 0.32, "brain": 0.35, "csf": 1.0,
       "pia": 0.7, "cavity": 1.0, "roots": 0.5, "dura": 0.1, "epidural_fat": 0.45, "marrow": 0.2,
       "cortical_bone": 0.04, "disc": 0.32, "muscle": 0.12, "fat": 0.5, "skin": 0.3,
       "vessel": 0.1, "soft_tissue": 0.25}  # fmt: skip


def slab(anatomy: Anatomy, low: int, high: int, spacing=(1.0, 1.0, 1.0)) -> tuple[Volume, Volume]:
    """Image and true mask of a spine between two discs, 24 mm wide."""
    line, discs = anatomy.centreline, anatomy.profiles.disc_mm
    at = np.arange(discs[low] - 8, discs[high] + 25, 2.0)
    points = line.look_up(line.position, at)
    first = points.min(axis=0) - [12, 28, 0]
    size = np.ceil((points.max(axis=0) - first + [12, 45, 0]) / spacing)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = first
    grid = Grid(tuple(size.astype(int)), affine)
    values = np.array([[T2W.get(name, 0.0) for name in TISSUES]])
    image = blend(anatomy, grid, values, supersampling=1)[0]
    noise = np.random.default_rng(0).normal(0, 0.015, image.shape)
    soft = cord_fraction(anatomy, grid, supersampling=1)
    return Volume((image + noise).astype(np.float32), affine), Volume(soft, affine)


@pytest.fixture(scope="module")
def anatomy() -> Anatomy:
    return random_anatomy(np.random.default_rng(11))


@pytest.fixture(scope="module")
def neck(anatomy, tmp_path_factory) -> tuple[Path, Path]:
    """A neck from the skull's base to T2, and its mask, called as in a data set."""
    folder = tmp_path_factory.mktemp("neck")
    image, soft = slab(anatomy, 9, 1)
    mask = folder / "sub-1_T2w_label-SC_softseg.nii.gz"
    return image.save(folder / "sub-1_T2w.nii.gz"), soft.save(mask)


def run(command, *arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        command(list(map(str, arguments)))
    return int(left.value.code or 0)


def off_mm(found: dict[int, np.ndarray], anatomy: Anatomy) -> dict[int, float]:
    """How far along the cord from the truth each disc lies."""
    far = {}
    for disc, point in found.items():
        s = anatomy.centreline.locate(np.array([point]), iterations=4)[0][0]
        far[disc] = abs(float(s - anatomy.profiles.disc_mm[disc]))
    return far


def test_discs_of_a_neck_are_numbered(neck, anatomy):
    found = automatic_discs(*neck)
    assert found.reason == ""
    assert {3, 4, 5, 6, 7} <= set(found.points_mm)
    assert 1 not in found.points_mm
    assert max(off_mm(found.points_mm, anatomy).values()) < 4
    assert min(found.confidence.values()) >= 0.9
    truth = anatomy.discs_mm
    assert all(np.linalg.norm(p - truth[k]) < 8 for k, p in found.points_mm.items())


def test_the_command_writes_points_that_csa_reads(neck, anatomy, tmp_path, capsys):
    out = tmp_path / "discs.nii.gz"
    given = (neck[0], "--mask", neck[1], "-o", out, "--qc", tmp_path / "look")
    assert run(main, "levels", *given) == 0
    discs = read_discs(out)
    assert max(off_mm(discs, anatomy).values()) < 4
    record = json.loads((tmp_path / "discs.json").read_text())
    assert set(record["Discs"]) == {str(k) for k in discs}
    assert all(0.9 <= one["ConfidenceLevel"] <= 1 for one in record["Discs"].values())
    page = (tmp_path / "look/index.html").read_text()
    assert "sub-1_T2w" in page
    assert f"C2-C3 {record['Discs']['3']['ConfidenceLevel']:.2f}" in page
    assert MARKS in page
    assert "3 = C2-C3 (" in capsys.readouterr().out
    assert {k: one["Name"] for k, one in record["Discs"].items()}["8"] == "C7-T1"
    areas = [tmp_path / f"{name}.csv" for name in ("marked", "automatic")]
    assert run(main, "csa", neck[1], "-o", areas[0], "--discs", out) == 0
    given = ("--levels", "auto", "--image", neck[0])
    assert run(main, "csa", neck[1], "-o", areas[1], *given) == 0
    marked, automatic = (pd.read_csv(path) for path in areas)
    assert automatic["area_mm2"][0] == pytest.approx(marked["area_mm2"][0], rel=0.002)
    assert automatic["level"][0] == "2:3"
    assert automatic["level_confidence"][0] >= 0.9
    assert marked["level_confidence"][0] == pytest.approx(
        automatic["level_confidence"][0], abs=1e-3
    )


def test_a_mask_of_0_to_255_is_read_as_the_message_says(neck, tmp_path, capsys):
    image, soft = (Volume.load(path) for path in neck)
    bright = soft.like(np.round(255 * soft.data)).save(tmp_path / "255.nii.gz", dtype="uint8")
    out = tmp_path / "discs.nii.gz"
    given = ("levels", neck[0], "--mask", bright, "-o", out, "--qc", tmp_path / "look")
    assert run(main, "levels", "--help") == 0
    known = capsys.readouterr().out
    for mask in (bright, neck[0]):
        assert run(main, "levels", neck[0], "--mask", mask, "-o", out) == 2
        said = capsys.readouterr().err
        assert (named := set(re.findall(r"--[a-z-]+", said)))
        assert all(option in known for option in named)
    assert not out.exists()
    assert run(main, *given, "--full-value", 255, "--threshold", 0.5) == 0
    cut = soft.like((np.round(255 * soft.data) > 127.5).astype(np.float32))
    wanted = automatic_discs(image, cut)
    assert list(read_discs(out)) == sorted(wanted.points_mm)
    record = json.loads((tmp_path / "discs.json").read_text())
    used = record["GeneratedBy"][0]["Parameters"]
    assert (used["full_value"], used["threshold"]) == (255, 0.5)
    for disc, point in wanted.points_mm.items():
        read = record["Discs"][str(disc)]["PointMillimetres"]
        np.testing.assert_allclose(read, point, atol=0.006)
    picture = draw(image, {"cord": cut}, levels=measure(cut, discs=wanted.points_mm), found=wanted)
    assert (tmp_path / "look/pictures/sub-1_T2w.png").read_bytes() == png(picture)


def test_how_a_mask_is_read_needs_a_mask(neck, tmp_path, capsys):
    for words in (("--threshold", 0.5), ("--full-value", 255)):
        assert run(main, "levels", neck[0], "-o", tmp_path / "discs.nii.gz", *words) == 2
        assert "give --mask" in capsys.readouterr().err
    given = ("levels", neck[0], "--mask", neck[1], "-o", tmp_path / "discs.nii.gz")
    assert run(main, *given, "--full-value", 0) == 2
    assert "--full-value must be above 0" in capsys.readouterr().err
    assert run(main, *given, "--threshold", -1) == 2
    assert "--threshold must be 0 or above" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_discs_that_somebody_moved_have_no_probability(neck, tmp_path):
    out, table = tmp_path / "discs.nii.gz", tmp_path / "a.csv"
    assert run(main, "levels", neck[0], "--mask", neck[1], "-o", out) == 0
    moved = Volume.load(out)
    moved.like(np.roll(moved.data, 1, axis=2)).save(out, dtype="int16")
    assert run(main, "csa", neck[1], "-o", table, "--discs", out) == 0
    assert "level_confidence" not in pd.read_csv(table)


def test_a_disc_that_is_given_against_the_picture_is_said(neck, anatomy, tmp_path, capsys):
    third, fourth = (",".join(map(str, anatomy.discs_mm[k])) for k in (3, 4))
    given = (neck[0], "--mask", neck[1], "-o", tmp_path / "discs.nii.gz")
    assert run(main, "levels", *given, f"--disc=5:{third}") in (0, 1)
    assert "disc 5 (C4-C5) is given where the image shows 3 (C2-C3)" in capsys.readouterr().err
    assert run(main, "levels", *given, "--overwrite", f"--disc=3:{third}") == 0
    assert "given" not in capsys.readouterr().err
    assert run(main, "levels", *given, f"--disc=3:{fourth}", f"--disc=4:{fourth}") == 2
    assert "at least 6 mm apart" in capsys.readouterr().err


def test_a_disc_that_does_not_fit_numbers_nothing(neck, anatomy, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(automatic, "search_discs", lambda heat, known=None: {})
    point = ",".join(map(str, anatomy.discs_mm[5]))
    given = ("--levels", "auto", "--image", neck[0], "--disc", f"7:{point}")
    assert run(main, "csa", neck[1], "-o", tmp_path / "a.csv", *given) == 1
    assert "the discs given do not fit what is seen" in capsys.readouterr().err
    row = pd.read_csv(tmp_path / "a.csv").iloc[0]
    assert np.isnan(row["level"])
    assert "levels-unknown" in row["flag"]


def test_discs_replace_no_file_of_somebody_else(neck, tmp_path, capsys):
    out = tmp_path / "mine.nii.gz"
    out.write_bytes(neck[0].read_bytes())
    before = out.read_bytes()
    given = (neck[0], "--mask", neck[1], "-o", out)
    assert run(main, "levels", *given) == 2
    assert "softseg did not make it; --overwrite replaces it" in capsys.readouterr().err
    assert out.read_bytes() == before
    assert run(main, "levels", *given, "--overwrite") == 0
    assert run(main, "levels", *given) == 0


def test_the_area_at_c2_c3_is_that_of_the_true_discs(neck, anatomy, tmp_path):
    words = [f"--disc={k}:{','.join(map(str, p))}" for k, p in anatomy.discs_mm.items() if k < 9]
    areas = []
    for name, given in {"a": words, "b": ["--levels", "auto", "--image", neck[0]]}.items():
        assert run(main, "csa", neck[1], "-o", tmp_path / f"{name}.csv", *given) == 0
        areas.append(pd.read_csv(tmp_path / f"{name}.csv")["area_mm2"][0])
    assert areas[1] == pytest.approx(areas[0], rel=0.015)


def test_without_the_top_levels_are_unknown_until_a_disc_is_named(anatomy, tmp_path, capsys):
    image, soft = slab(anatomy, 12, 6)
    paths = image.save(tmp_path / "chest.nii.gz"), soft.save(tmp_path / "cord.nii.gz")
    out = tmp_path / "discs.nii.gz"
    given = ("levels", paths[0], "--mask", paths[1], "-o", out)
    assert run(main, *given) == 1
    assert "levels unknown" in capsys.readouterr().err
    assert not out.exists()
    point = ",".join(f"{x:.2f}" for x in anatomy.discs_mm[8])
    assert run(main, *given, "--disc", f"8:{point}") == 0
    discs = read_discs(out)
    assert {7, 8, 9, 10} <= set(discs)
    record = json.loads((tmp_path / "discs.json").read_text())
    assert list(record["Discs"]) == [str(disc) for disc in sorted(discs)]
    assert max(off_mm(discs, anatomy).values()) < 4
    table = tmp_path / "a.csv"
    given = ("csa", paths[1], "-o", table, "--levels", "auto", "--image", paths[0])
    assert run(main, *given) == 1
    said = capsys.readouterr().err
    assert "levels unknown" in said
    assert "the mean is over the whole cord, not over levels C2 and C3" in said
    row = pd.read_csv(table).iloc[0]
    assert pd.isna(row["level"])
    assert "levels-unknown" in row["flag"]
    table.unlink()
    assert run(main, *given, "--vertebrae", "2:3") == 2
    assert not table.exists()
    assert run(main, *given, "--disc", f"8:{point}", "--vertebrae", "8") == 0
    assert "levels-unknown" not in str(pd.read_csv(table)["flag"][0])


def above(volume: Volume, first: int, last: int | None = None) -> Volume:
    """The slices from one on, and up to another."""
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 2] * first
    return Volume(volume.data[:, :, first:last], affine)


def test_a_mask_that_ends_below_c2_numbers_nothing_by_what_lies_beyond_it(neck, anatomy, tmp_path):
    image, mask = (Volume.load(path) for path in neck)
    index = np.linalg.inv(mask.affine)
    heights = {k: round((index @ [*point, 1])[2]) for k, point in anatomy.discs_mm.items()}
    for disc in (3, 4, 6):
        part = mask.data.copy()
        part[:, :, heights[disc] :] = 0
        found = automatic_discs(image, mask.like(part))
        assert found.points_mm == {}
        assert "levels unknown" in found.reason
        if disc == 3:
            assert "the mask ends below the top of vertebra C2" in found.reason
    part = mask.data.copy()
    part[:, :, heights[3] + 25 :] = 0
    assert max(off_mm(automatic_discs(image, mask.like(part)).points_mm, anatomy).values()) < 4
    named = automatic_discs(image, mask.like(part), given={6: anatomy.discs_mm[6]})
    assert {5, 6, 7} <= set(named.points_mm)


def test_discs_beyond_the_field_are_neither_written_nor_counted_from(
    neck, anatomy, capsys, tmp_path
):
    image, mask = (Volume.load(path) for path in neck)
    last = max(automatic_discs(image, mask).points_mm)
    index = np.linalg.inv(image.affine)
    low = round((index @ [*anatomy.discs_mm[last - 1], 1])[2])
    for first in (low - 3, low + 3, low + 6):
        cut = above(image, max(first, 0))
        for point in automatic_discs(cut, mask).points_mm.values():
            voxel = np.rint(nib.affines.apply_affine(np.linalg.inv(cut.affine), point))
            assert (voxel >= 0).all()
            assert (voxel < cut.data.shape).all()
    top = round((index @ [*anatomy.discs_mm[4], 1])[2])
    cut = above(image, 0, top).save(tmp_path / "cut.nii.gz")
    point = ",".join(f"{x:.2f}" for x in anatomy.discs_mm[3])
    given = ("levels", cut, "--mask", neck[1], "-o", tmp_path / "discs.nii.gz")
    assert run(main, *given, "--disc", f"3:{point}") == 2
    assert "mm beyond its end; name one inside" in capsys.readouterr().err
    assert not (tmp_path / "discs.nii.gz").exists()


def test_discs_that_all_lie_outside_the_image_are_unknown(neck, monkeypatch):
    image, mask = (Volume.load(path) for path in neck)
    seen = []
    monkeypatch.setattr(
        automatic, "disc_heat", lambda band: seen.append(disc_heat(band)) or seen[0]
    )
    points = automatic_discs(image, mask).points_mm
    monkeypatch.setattr(automatic, "disc_heat", lambda band: seen[0])
    index = nib.affines.apply_affine(np.linalg.inv(image.affine), list(points.values()))
    behind = image.data[:, : int(index[:, 1].min()) - 1]  # the discs lie in front of it
    found = automatic_discs(Volume(behind, image.affine), mask)
    assert found.reason == "levels unknown: the discs lie outside the image"
    assert found.points_mm == found.confidence == found.rows == {}


def test_volumes_of_a_series_are_averaged_and_that_is_said(anatomy, tmp_path, capsys):
    image, soft = slab(anatomy, 4, 2, (1.0, 1.0, 5.0))  # refused later, and soon
    series = nib.Nifti1Image(np.stack([image.data, 3 * image.data], axis=-1), image.affine)
    shown, cord, out = (tmp_path / name for name in ("series.nii.gz", "cord.nii.gz", "a.csv"))
    nib.save(series, shown)
    soft.save(cord)
    with pytest.warns(HeaderWarning, match="the mean of its 2 volumes"):
        read = read_image(shown)
    np.testing.assert_allclose(read.data, 2 * image.data, rtol=1e-5)
    said = f"softseg: {shown}: discs are looked for in the mean of its 2 volumes\n"
    assert run(main, "levels", shown, "--mask", cord, "-o", tmp_path / "d.nii.gz") == 1
    assert capsys.readouterr().err.count(said) == 1
    assert run(main, "csa", cord, "-o", out, "--levels", "auto", "--image", shown) == 1
    assert capsys.readouterr().err.count(said) == 1


def test_an_image_without_a_number_is_named_as_the_wrong_file(neck):
    image = Volume.load(neck[0])
    with pytest.raises(InputError, match="found none that is finite"):
        automatic_discs(image.like(np.full_like(image.data, np.nan)), neck[1])


def test_loins_and_thick_slices_have_no_levels(anatomy):
    assert automatic_discs(*slab(anatomy, 23, 17)).points_mm == {}


def test_thick_slices_are_refused_before_any_network_runs(anatomy, tmp_path, monkeypatch, capsys):
    def runs(*given: object, **options: object) -> None:
        raise AssertionError("a network runs")

    monkeypatch.setattr("softseg.segmentation.engine.segment", runs)
    monkeypatch.setattr("softseg.csa.automatic.disc_heat", runs)
    image, soft = slab(anatomy, 4, 2, (1.0, 1.0, 5.0))
    paths = image.save(tmp_path / "slab.nii.gz"), soft.save(tmp_path / "cord.nii.gz")
    out, table = tmp_path / "discs.nii.gz", tmp_path / "a.csv"
    assert run(main, "levels", paths[0], "-o", out) == 1
    assert "slices 5 mm apart along the body show no discs" in capsys.readouterr().err
    assert not out.exists()
    assert run(main, "csa", paths[1], "-o", table, "--levels", "auto", "--image", paths[0]) == 1
    assert "slices 5 mm apart" in capsys.readouterr().err
    assert "levels-unknown" in pd.read_csv(table)["flag"][0]


def test_an_image_turned_by_its_header_gives_the_same_points(neck):
    image, mask = (Volume.load(path) for path in neck)
    turned = automatic_discs(image.oriented("PSR"), mask)
    for disc, point in automatic_discs(image, mask).points_mm.items():
        np.testing.assert_allclose(turned.points_mm[disc], point, atol=0.1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "a.csv"], "must end in .nii"),
        (["-o", "a.nii.gz", "--disc", "3"], "--disc takes"),
        (["-o", "a.nii.gz", "--disc", "3:900,0,0"], "within 40 mm of the cord"),
    ],
)
def test_wrong_use_is_one_line(neck, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert run(main, "levels", neck[0], "--mask", neck[1], *words) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_automatic_levels_need_an_image_and_an_image_needs_them(neck, tmp_path, capsys):
    out, alone = tmp_path / "a.csv", tmp_path / "alone.nii.gz"
    alone.write_bytes(neck[1].read_bytes())
    assert run(main, "csa", alone, "-o", out, "--levels", "auto") == 2
    assert "needs its image" in capsys.readouterr().err
    assert run(main, "csa", alone, "-o", out, "--image", neck[0]) == 2
    assert "give --levels auto" in capsys.readouterr().err
    both = ("--levels", "auto", "--discs", alone)
    assert run(main, "csa", neck[1], "-o", out, *both) == 2
    assert "one source" in capsys.readouterr().err
    numbering = ("--levels", "auto", "--level-names", "sct")
    assert run(main, "csa", neck[1], "-o", out, *numbering) == 2
    assert "--level-names is how a label image counts" in capsys.readouterr().err
    assert run(main, "csa", neck[1], "-o", out, "--levels", "automatic") == 2
    assert "--levels takes auto or a label image (NIfTI), found 'automatic'" in (
        capsys.readouterr().err
    )
    assert not out.exists()


@pytest.fixture
def known_mask(neck, monkeypatch):
    """The true mask takes the place of a segmentation, which takes its time."""
    made = Segmentation(Volume.load(neck[1]), cord_found=True, presence=1.0)
    monkeypatch.setattr("softseg.segmentation.batch.segment", lambda image, **options: made)


@pytest.mark.usefixtures("known_mask")
def test_segmenting_finds_levels_too(neck, anatomy, tmp_path):
    table = tmp_path / "a.csv"
    given = ("-o", tmp_path / "m.nii.gz", "--csa", table, "--levels", "auto")
    assert run(main, "segment", neck[0], *given, "--qc", tmp_path / "look") == 0
    level = pd.read_csv(table)[["level", "level_confidence", "centre_z_mm"]].dropna()
    assert {2, 3, 4, 5} <= set(level["level"])
    heights = anatomy.discs_mm
    inside = level[level["level"] == 4]["centre_z_mm"]
    assert heights[5][2] - 5 < inside.min() < inside.max() < heights[4][2] + 5
    assert run(main, "segment", neck[0], "-o", tmp_path / "n.nii.gz", "--levels", "auto") == 2


@pytest.mark.usefixtures("known_mask")
def test_the_bids_app_finds_levels_where_no_discs_are_marked(neck, tmp_path):
    root, out = tmp_path / "set", tmp_path / "out"
    (root / "sub-1/anat").mkdir(parents=True)
    (root / "sub-1/anat" / neck[0].name).write_bytes(neck[0].read_bytes())
    about = {"Name": "phantoms", "BIDSVersion": "1.9.0"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    assert run(bids_app, root, out, "participant", "--levels", "auto") == 0
    table = pd.read_csv(out / "sub-1/sub-1_desc-slices_csa.tsv", sep="\t")
    assert {2, 3, 4, 5} <= set(table["level"].dropna())


REAL = ("sub-errsm11_T2w", "sub-errsm21_T2w", "sub-errsm23_T2w")


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_necks_have_c2_c3_where_an_eye_saw_it(real_data, name):
    root = real_data
    folder = name.partition("_")[0]
    marks = pd.read_csv(
        root / "derivatives/labels-semiauto/landmarks_by_eye.tsv", sep="\t", index_col="image"
    )
    image = Volume.load(root / folder / "anat" / f"{name}.nii.gz")
    mask = root / f"derivatives/labels/{folder}/anat/{name}_label-SC_seg.nii.gz"
    voxel = marks.loc[name, ["x_voxel", "y_voxel", "z_voxel"]].to_numpy(dtype=float)
    wanted = nib.affines.apply_affine(image.affine, voxel)
    found = automatic_discs(image, mask)
    assert abs(found.points_mm[3][2] - wanted[2]) < 4
    assert set(range(3, 9)) <= set(found.points_mm)
