"""`softseg segment`, in this process but for start-up, with a network that finds bright tubes."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from segmentation_network import CONFIG, trained, tube

from softseg import cli
from softseg.network.onnx_export import export_network
from softseg.network.weights import save_weights
from softseg.segmentation.engine import segment
from softseg.volume import Volume


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tubes.safetensors"
    save_weights(path, trained(), CONFIG, {"data": "tubes"})
    return path


@pytest.fixture
def model_of_presence(tmp_path, monkeypatch):
    """Weights of the same network whose card finds one presence in every image.

    What looks along masks learnt from real ones, not from stand-ins: it sees a cord everywhere, but
    not clearly.
    """
    monkeypatch.setattr(
        "softseg.segmentation.presence.below_the_cord",
        lambda soft, *_: (np.zeros(soft.shape[2], bool), 4.5),
    )

    def save(presence: float) -> Path:
        path = tmp_path / f"weights_{presence}.safetensors"
        slices = {"features": ["contrast"], "weights": [0.0], "bias": 3.0}
        whole = slices | {"bias": np.log(presence / (1 - presence))}
        card = {"presence": {"slice": slices, "image": whole, "threshold": 0.5}, "quality": whole}
        save_weights(path, trained(), CONFIG, card)
        return path

    return save


@pytest.fixture
def image(tmp_path) -> Path:
    return tube(shape=(40, 36, 8))[0].save(tmp_path / "in" / "sub-01_T2w.nii.gz")


@pytest.fixture
def softseg(weights, capsys):
    """Run the command, return exit code and what it said."""

    def run(*arguments) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(["segment", "--weights", str(weights), *map(str, arguments)])
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out + captured.err

    return run


def contents(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_one_image_becomes_one_soft_mask_on_its_own_grid(softseg, image, tmp_path, weights):
    code, said = softseg(image, "-o", tmp_path / "out" / "cord.nii.gz")
    assert (code, said) == (0, "")
    assert contents(tmp_path / "out") == {"cord.nii.gz", "cord.json"}
    mask, source = nib.load(tmp_path / "out" / "cord.nii.gz"), nib.load(image)
    np.testing.assert_array_equal(mask.affine, source.affine)
    for key in ("qform_code", "sform_code", "xyzt_units"):
        assert mask.header[key] == source.header[key]
    assert mask.get_data_dtype() == np.float32
    expected = segment(Volume.load(image), weights=weights).soft
    np.testing.assert_array_equal(mask.get_fdata(), expected.data)
    assert ((mask.get_fdata() > 0.01) & (mask.get_fdata() < 0.99)).any()


def test_masks_and_maps_keep_both_places_of_their_image_in_millimetres(softseg, tmp_path):
    volume = tube(shape=(40, 36, 8))[0]
    sform, qform = volume.affine.copy(), volume.affine.copy()
    qform[1, 3] += 3.0
    image = nib.Nifti1Image(volume.data, None)
    for form, affine, code in ((image.set_sform, sform, 2), (image.set_qform, qform, 1)):
        metres = affine.copy()
        metres[:3] *= 1e-3
        form(metres, code)
    image.header.set_xyzt_units("meter")
    nib.save(image, tmp_path / "image.nii.gz")
    out = tmp_path / "out" / "cord.nii.gz"
    code, said = softseg(tmp_path / "image.nii.gz", "-o", out, "--uncertainty", "--csa")
    assert code == 0
    assert "image.nii.gz: its header is in metres" in said
    assert "image.nii.gz: its qform and sform place voxels up to 3.0 mm apart" in said
    for path in (out, out.with_name("cord_uncertainty.nii.gz")):
        written = nib.load(path)
        np.testing.assert_allclose(written.get_sform(), sform, atol=1e-4)
        np.testing.assert_allclose(written.get_qform(), qform, atol=1e-4)
        assert written.header.get_xyzt_units()[0] == "mm"
        assert (int(written.header["qform_code"]), int(written.header["sform_code"])) == (1, 2)
    softseg(volume.save(tmp_path / "plain.nii.gz"), "-o", tmp_path / "plain_cord.nii.gz")
    expected = nib.load(tmp_path / "plain_cord.nii.gz").get_fdata()
    assert nib.load(out).get_fdata().sum() == pytest.approx(expected.sum(), rel=1e-3)


def test_a_binary_mask_holds_what_reaches_the_threshold(softseg, image, tmp_path, weights):
    soft = segment(Volume.load(image), weights=weights).soft.data
    for arguments, threshold in ((), 0.5), (("--threshold", "0.2"), 0.2):
        out = tmp_path / f"{threshold}.nii"
        assert softseg(image, "-o", out, "--binary", *arguments)[0] == 0
        mask = nib.load(out)
        assert mask.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(mask.get_fdata(), soft >= threshold)
        assert b"1 where" in mask.header["descrip"].item()


def test_several_images_go_into_a_folder_with_a_record_each(softseg, image, tmp_path):
    other = tube(shape=(40, 36, 8), seed=1)[0].save(tmp_path / "in" / "sub-02_T2w.nii")
    code, said = softseg(image, other, "-o", tmp_path / "out")
    assert code == 0
    assert "2 made" in said
    assert contents(tmp_path / "out") == {
        f"sub-0{n}_T2w_label-SC_softseg.{kind}" for n in (1, 2) for kind in ("nii.gz", "json")
    }
    record = json.loads((tmp_path / "out" / "sub-01_T2w_label-SC_softseg.json").read_text())
    assert record["CordFound"]
    assert record["Sources"] == ["../in/sub-01_T2w.nii.gz"]
    assert record["GeneratedBy"][0]["Parameters"]["weights_checksum"]


def test_a_batch_resumes_and_makes_again_what_changed(softseg, image, tmp_path):
    other = tube(shape=(40, 36, 8), seed=1)[0].save(tmp_path / "in" / "b.nii.gz")
    out = tmp_path / "out"
    first = out / "sub-01_T2w_label-SC_softseg.nii.gz"
    softseg(image, "-o", out)
    stamp = first.stat().st_mtime_ns
    assert "1 made, 1 already done" in softseg(image, other, "-o", out)[1]
    assert first.stat().st_mtime_ns == stamp
    assert "2 already done" in softseg(image, other, "-o", out)[1]
    assert "2 made" in softseg(image, other, "-o", out, "--no-largest-component")[1]
    assert "2 made" in softseg(image, other, "-o", out, "--overwrite")[1]
    assert first.stat().st_mtime_ns != stamp
    tube(shape=(40, 36, 9), seed=5)[0].save(image)
    assert "1 made, 1 already done" in softseg(image, other, "-o", out)[1]
    first.unlink()
    assert "1 made, 1 already done" in softseg(image, other, "-o", out)[1]
    record = first.with_name(first.name.replace(".nii.gz", ".json"))
    record.write_text("{")
    assert "1 made, 1 already done" in softseg(image, other, "-o", out)[1]
    # As an earlier version wrote it.
    record.write_text(record.read_text().replace("UncertainReasons", "Doubts"))
    assert "1 made, 1 already done" in softseg(image, other, "-o", out)[1]
    assert json.loads(record.read_text())["UncertainSlices"] == []


def test_a_mask_that_softseg_did_not_make_is_not_replaced(softseg, image, tmp_path):
    other = tube(shape=(40, 36, 8), seed=1)[0].save(tmp_path / "in" / "b.nii.gz")
    out = tmp_path / "out"
    mask = out / "b_label-SC_softseg.nii.gz"
    drawn = Volume.load(other).save(mask).read_bytes()
    code, said = softseg(image, other, "-o", out)
    assert (code, "1 made, 1 failed" in said) == (1, True)
    assert f"failed: {mask}: exists and softseg did not make it; --overwrite replaces it" in said
    assert (mask.read_bytes(), mask.with_name("b_label-SC_softseg.json").exists()) == (drawn, False)
    assert softseg(image, other, "-o", out, "--overwrite")[0] == 0
    # One that is corrected where it lies is kept as well, and so is somebody else's JSON file.
    mask.write_bytes(drawn)
    assert "2 already done" in softseg(image, other, "-o", out)[1]
    code, said = softseg(image, other, "-o", out, "--no-largest-component")
    assert (code, f"{mask}: was changed after softseg made it" in said) == (1, True)
    assert mask.read_bytes() == drawn
    mask.unlink()
    mask.with_name("b_label-SC_softseg.json").write_text('{"Rater": "A"}')
    assert softseg(image, other, "-o", out)[0] == 1
    assert "Rater" in mask.with_name("b_label-SC_softseg.json").read_text()


def test_a_file_that_softseg_did_not_make_is_not_replaced(softseg, image, tmp_path):
    mask = tmp_path / "cord.nii.gz"
    for _ in range(2):
        assert softseg(image, "-o", mask)[0] == 0
    drawn = Volume.load(image).save(mask).read_bytes()
    for _ in range(2):
        assert softseg(image, "-o", mask)[0] == 2
        assert mask.read_bytes() == drawn
        (tmp_path / "cord.json").unlink(missing_ok=True)
    assert softseg(image, "-o", mask, "--overwrite")[0] == 0


def test_a_mask_without_its_record_of_a_killed_process_is_made_again(softseg, image, tmp_path):
    mask = tmp_path / "out" / "sub-01_T2w_label-SC_softseg.nii.gz"
    softseg(image, "-o", tmp_path / "out")
    left = tmp_path / "out" / ".partial-killed"
    left.mkdir()
    record = mask.with_name("sub-01_T2w_label-SC_softseg.json")
    record.rename(left / record.name)
    assert softseg(image, "-o", tmp_path / "out")[0] == 0
    assert (record.exists(), left.exists()) == (True, False)


def test_a_map_of_uncertainty_that_is_gone_is_made_again(softseg, image, tmp_path):
    words = (image, "-o", tmp_path / "out", "--uncertainty")
    softseg(*words)
    (spread,) = (tmp_path / "out").glob("*_uncertainty.nii.gz")
    spread.unlink()
    softseg(*words)
    assert spread.is_file()


def test_one_bad_image_does_not_stop_the_rest(softseg, image, tmp_path):
    bad = tmp_path / "in" / "bad.nii.gz"
    bad.write_text("this is text")
    code, said = softseg(bad, image, "-o", tmp_path / "out")
    assert code == 1
    assert "failed:" in said
    assert "bad.nii.gz" in said
    assert "1 of 2 images failed" in said
    assert "Traceback" not in said
    assert "sub-01_T2w_label-SC_softseg.nii.gz" in contents(tmp_path / "out")


def broken_header(path: Path, image: Path) -> None:
    path.write_bytes(gzip.compress(b"\0" * 400))


def truncated(path: Path, image: Path) -> None:
    path.write_bytes(image.read_bytes()[:-2000])


def text(path: Path, image: Path) -> None:
    path.write_text("Dear scanner, please send an image.\n" * 20)


def empty(path: Path, image: Path) -> None:
    path.touch()


def series(path: Path, image: Path) -> None:
    data = np.stack([nib.load(image).get_fdata(dtype=np.float32)] * 3, axis=3)
    nib.save(nib.Nifti1Image(data, np.diag([-1, 1, 3, 1])), path)


def complex_numbers(path: Path, image: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.complex64), np.eye(4)), path)


def flat(path: Path, image: Path) -> None:
    nib.save(nib.Nifti1Image(np.ones((9, 9), np.float32), np.eye(4)), path)


@pytest.mark.parametrize(
    "spoil", [broken_header, truncated, text, empty, series, complex_numbers, flat]
)
def test_an_unusable_image_is_one_line_and_leaves_nothing(softseg, image, tmp_path, spoil):
    path = tmp_path / "in" / "bad.nii.gz"
    spoil(path, image)
    code, said = softseg(path, "-o", tmp_path / "out" / "cord.nii.gz")
    assert code == 2
    assert len(said.strip().splitlines()) == 1
    assert "bad.nii.gz" in said
    assert not (tmp_path / "out").exists()


def test_a_series_is_averaged_when_asked(softseg, image, tmp_path):
    path = tmp_path / "in" / "series.nii.gz"
    series(path, image)
    assert "--average mean" in softseg(path, "-o", tmp_path / "no.nii.gz")[1]
    for how in ("mean", "rms"):
        assert softseg(path, "-o", tmp_path / f"{how}.nii.gz", "--average", how)[0] == 0
    assert softseg(image, "-o", tmp_path / "one.nii.gz")[0] == 0
    one = nib.load(tmp_path / "one.nii.gz").get_fdata()
    np.testing.assert_allclose(nib.load(tmp_path / "mean.nii.gz").get_fdata(), one, atol=1e-4)


@pytest.mark.parametrize("kind", [">i2", "<i2", "<u1", ">f4", "<f8"])
def test_byte_order_number_type_and_scaling_do_not_matter(softseg, tmp_path, kind):
    image, _ = tube(shape=(40, 36, 8))
    values = np.round(image.data.clip(0, 254))
    scaled = nib.Nifti1Image(values.astype(kind), image.affine)
    scaled.header.set_data_dtype(np.dtype(kind))
    if np.dtype(kind).kind in "iu":
        scaled.header.set_slope_inter(0.5, 3)
    if kind[0] == ">":
        scaled = nib.Nifti1Image(values.astype(kind), image.affine, scaled.header.as_byteswapped())
    nib.save(scaled, tmp_path / "scaled.nii.gz")
    Volume(values, image.affine).save(tmp_path / "plain.nii")
    masks = []
    for name in ("scaled.nii.gz", "plain.nii"):
        assert softseg(tmp_path / name, "-o", tmp_path / f"cord_{name}")[0] == 0
        masks.append(nib.load(tmp_path / f"cord_{name}").get_fdata())
    np.testing.assert_allclose(*masks, atol=5e-3)
    assert masks[0].max() > 0.9


def test_an_image_without_a_cord_says_so_and_the_mask_is_empty(softseg, tmp_path):
    limb = np.random.default_rng(0).random((40, 40, 8)).astype(np.float32)
    Volume(limb, np.diag([-1.0, 1.0, 3.0, 1.0])).save(tmp_path / "limb.nii.gz")
    code, said = softseg(
        tmp_path / "limb.nii.gz", "-o", tmp_path / "cord.nii.gz", "--csa", tmp_path / "a.csv"
    )
    assert code == 0
    assert "limb.nii.gz: no spinal cord found" in said
    assert not nib.load(tmp_path / "cord.nii.gz").get_fdata().any()
    (row,) = pd.read_csv(tmp_path / "a.csv").to_dict("records")
    assert row["file"].endswith("cord.nii.gz")
    assert np.isnan(row["area_mm2"])
    assert row["flag"] == "no mask"
    assert row["presence"] == 0


def test_an_empty_mask_counts_as_empty_and_has_its_row_among_others(softseg, image, tmp_path):
    flat = Volume(np.ones((40, 40, 8), np.float32), np.diag([-1.0, 1.0, 3.0, 1.0]))
    flat.save(tmp_path / "in" / "flat.nii.gz")
    words = (image, tmp_path / "in" / "flat.nii.gz", "-o", tmp_path / "out", "--csa")
    tables = []
    for expected in ("1 made, 1 empty", "1 already done, 1 empty"):
        code, said = softseg(*words)
        assert code == 0
        assert expected in said
        tables.append(pd.read_csv(tmp_path / "out" / "csa.csv"))
    empty = tables[0]["file"].str.contains("flat")
    assert empty.sum() == 1
    assert tables[0].loc[empty, ["area_mm2", "slice", "uncertain"]].isna().all(axis=None)
    assert tables[0].loc[~empty, ["area_mm2", "slice", "presence"]].notna().all(axis=None)
    pd.testing.assert_frame_equal(*tables)


def test_what_no_cord_is_likely_in_is_written_if_it_is_asked_for(
    softseg, image, tmp_path, model_of_presence
):
    out = tmp_path / "cord.nii.gz"
    weights = ("--weights", model_of_presence(0.2))
    code, said = softseg(image, "-o", out, *weights)
    assert code == 0
    assert "(presence 0.20), the mask is empty; --keep writes what was seen" in said
    note = json.loads((tmp_path / "cord.json").read_text())["Note"]
    assert note == "no spinal cord found (presence 0.20), the mask is empty"
    assert not nib.load(out).get_fdata().any()
    code, said = softseg(image, "-o", out, *weights, "--keep", "--overwrite")
    assert code == 0
    assert "perhaps no spinal cord (presence 0.20)" in said
    assert nib.load(out).get_fdata().sum() > 0
    softseg(image, "-o", out, "--weights", model_of_presence(0.8), "--overwrite")
    assert nib.load(out).get_fdata().sum() > 0


def measured(*arguments) -> tuple[int, pd.DataFrame]:
    with pytest.raises(SystemExit) as left:
        cli.main(["csa", *map(str, arguments)])
    table = pd.read_csv(arguments[arguments.index("-o") + 1])
    return int(left.value.code or 0), table.fillna({"flag": ""})


def test_a_mask_kept_where_no_cord_is_likely_says_so_wherever_it_goes(
    softseg, image, tmp_path, model_of_presence
):
    out, weights = tmp_path / "cord.nii.gz", ("--weights", model_of_presence(0.2), "--keep")
    softseg(image, "-o", out, *weights, "--csa", tmp_path / "slices.csv")
    record = json.loads((tmp_path / "cord.json").read_text())
    assert (record["CordFound"], record["Flags"]) == (False, ["unlikely"])
    slices = pd.read_csv(tmp_path / "slices.csv")["flag"]
    assert slices.str.contains("unlikely").all()
    for words in ((), ("--per-slice",)):
        code, rows = measured(out, "-o", tmp_path / "a.csv", *words)
        assert code == 0
        assert rows["flag"].str.contains("unlikely").all()
        assert rows["area_mm2"].gt(0).all()
    softseg(image, "-o", out, "--weights", model_of_presence(0.8), "--overwrite")
    assert not measured(out, "-o", tmp_path / "a.csv")[1]["flag"].str.contains("unlikely").any()


def test_a_mask_left_empty_has_a_row_without_an_area(
    softseg, image, tmp_path, model_of_presence, capsys
):
    empty, full, table = (tmp_path / name for name in ("empty.nii.gz", "full.nii.gz", "a.csv"))
    softseg(image, "-o", empty, "--weights", model_of_presence(0.2))
    softseg(image, "-o", full, "--weights", model_of_presence(0.8))
    capsys.readouterr()
    for words in ((), ("--per-slice",), ("--vertebrae", "2:3"), ("--sex", "F")):
        code, rows = measured(empty, "-o", table, *words)
        assert code == 0
        (row,) = rows.to_dict("records")
        assert (row["file"], row["flag"]) == (str(empty), "no mask")
        assert np.isnan(row["area_mm2"])
        said = capsys.readouterr().err.strip()
        assert said.endswith(
            "empty.nii.gz: no spinal cord found (presence 0.20), the mask is empty"
        )
        assert len(said.splitlines()) == 1
        assert set(rows) <= set(json.loads((tmp_path / "a.csv.json").read_text()))
    code, rows = measured(empty, full, "-o", table)
    assert code == 0
    assert rows.set_index("file")["area_mm2"].isna().to_dict() == {
        str(empty): True,
        str(full): False,
    }
    assert "no levels: the mean is over the whole cord" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["qc", str(empty), "-o", str(tmp_path / "look"), "--image", str(image)])
    page = (tmp_path / "look" / "index.html").read_text()
    assert page.count("<b>") == 1
    assert "no spinal cord found (presence 0.20), the mask is empty</b>" in page
    data = np.asarray(nib.load(empty).dataobj)
    nib.save(nib.Nifti1Image(data, np.diag([1.0, 1, 9, 1])), empty)  # somebody else's now
    with pytest.raises(SystemExit) as left:
        cli.main(["csa", str(empty), "-o", str(tmp_path / "b.csv")])
    assert left.value.code == 2
    assert not (tmp_path / "b.csv").exists()


@pytest.mark.parametrize("flags", [5, True, [1, None], "unlikely", {"a": 1}, ["x", 1]])
def test_a_record_with_nonsense_for_flags_says_nothing(
    softseg, image, tmp_path, model_of_presence, flags, capsys
):
    out, words = tmp_path / "cord.nii.gz", ("--weights", model_of_presence(0.8))
    softseg(image, "-o", out, *words)
    record = json.loads((tmp_path / "cord.json").read_text())
    (tmp_path / "cord.json").write_text(json.dumps(record | {"Flags": flags}))
    code, rows = measured(out, "-o", tmp_path / "a.csv")
    assert (code, rows["flag"].tolist()) == (0, [""])
    softseg(image, "-o", out, "--weights", model_of_presence(0.2), "--overwrite")
    record = json.loads((tmp_path / "cord.json").read_text()) | {"Flags": flags}
    del record["Note"]
    (tmp_path / "cord.json").write_text(json.dumps(record))
    capsys.readouterr()
    assert measured(out, "-o", tmp_path / "a.csv")[1]["flag"].tolist() == ["no mask"]
    assert "cord.nii.gz: the mask is empty" in capsys.readouterr().err


def test_nothing_is_said_any_more_of_a_mask_that_was_corrected(
    softseg, image, tmp_path, model_of_presence
):
    words = ("-o", tmp_path / "out", "--weights", model_of_presence(0.2), "--keep")
    softseg(image, *words)
    mask = tmp_path / "out" / "sub-01_T2w_label-SC_softseg.nii.gz"
    held = nib.load(mask)
    data = np.asarray(held.dataobj).copy()
    data[:, :, 0] = 0
    nib.save(nib.Nifti1Image(data, held.affine, held.header), mask)
    code, _ = softseg(image, *words, "--csa", tmp_path / "a.csv", "--qc", tmp_path / "look")
    assert code == 0
    rows = pd.read_csv(tmp_path / "a.csv").fillna({"flag": ""})
    assert len(rows) == 7
    assert not rows["flag"].str.contains("unlikely").any()
    assert rows["presence"].isna().all()
    page = (tmp_path / "look" / "index.html").read_text()
    assert "changed since it was made" in page
    assert "perhaps no spinal cord" not in page


def test_beside_an_empty_mask_what_is_missing_is_named(
    softseg, image, tmp_path, model_of_presence, capsys
):
    empty, table = tmp_path / "empty.nii.gz", tmp_path / "a.csv"
    softseg(image, "-o", empty, "--weights", model_of_presence(0.2))
    for option in ("--levels", "--centreline", "--discs"):
        with pytest.raises(SystemExit) as left:
            cli.main(["csa", str(empty), "-o", str(table), option, str(tmp_path / "none.nii.gz")])
        assert left.value.code == 2
        assert "none.nii.gz: no such file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        cli.main(["csa", str(empty), "-o", str(table), "--profile", str(tmp_path / "p.csv")])
    assert left.value.code == 2
    assert "empty.nii.gz: a length profile needs levels" in capsys.readouterr().err
    assert not table.exists()


def test_what_is_left_out_below_the_cords_end_is_said(
    softseg, image, tmp_path, model_of_presence, monkeypatch
):
    below = np.arange(8) < 3
    monkeypatch.setattr("softseg.segmentation.presence.below_the_cord", lambda *_: (below, 9.0))
    out, words = tmp_path / "cord.nii.gz", ("--weights", model_of_presence(0.9), "--overwrite")
    said = softseg(image, "-o", out, *words)[1]
    note = "slices 0-2 left out, below the cord's lower end"
    assert note in said
    assert json.loads((tmp_path / "cord.json").read_text())["Note"] == note
    assert not np.asarray(nib.load(out).dataobj)[:, :, :3].any()
    said = softseg(image, "-o", out, *words, "--keep")[1]
    assert "left out" not in said
    assert "uncertain slices 0-2 (perhaps no cord)" in said


def test_areas_are_measured_in_the_same_run(softseg, image, tmp_path):
    from softseg.csa.measure import measure

    table = tmp_path / "areas.csv"
    assert softseg(image, "-o", tmp_path / "out", "--csa", table)[0] == 0
    mask = tmp_path / "out" / "sub-01_T2w_label-SC_softseg.nii.gz"
    areas = pd.read_csv(table)
    assert set(areas["file"]) == {str(mask)}
    np.testing.assert_allclose(areas["area_mm2"], measure(mask)["area_mm2"], rtol=1e-5)
    table.unlink()
    softseg(image, "-o", tmp_path / "out", "--csa", table)
    pd.testing.assert_frame_equal(pd.read_csv(table), areas)


def test_the_table_is_that_of_csa_with_its_dictionary(softseg, image, tmp_path):
    softseg(image, "-o", tmp_path / "out", "--csa", tmp_path / "areas.csv")
    mask = tmp_path / "out" / "sub-01_T2w_label-SC_softseg.nii.gz"
    with pytest.raises(SystemExit):
        cli.main(["csa", str(mask), "-o", str(tmp_path / "again.csv"), "--per-slice"])
    ours, other = (pd.read_csv(tmp_path / name) for name in ("areas.csv", "again.csv"))
    more = ["uncertain", "presence", "quality", "area_error", "edge_mm"]
    assert list(ours.drop(columns=more)) == list(other)
    assert ours["participant_id"].eq("sub-01").all()
    pd.testing.assert_frame_equal(ours[other.columns], other, rtol=1e-4)  # this mask is float32
    assert set(ours) <= set(json.loads((tmp_path / "areas.csv.json").read_text()))


def test_a_table_of_somebody_else_is_not_replaced_unless_asked_for(softseg, image, tmp_path):
    table, words = tmp_path / "a.csv", (image, "-o", tmp_path / "out", "--csa")
    table.write_text("mine\n1\n")
    code, said = softseg(*words, table)
    assert code == 2
    assert "a.csv: exists and softseg did not make it; --overwrite replaces it" in said
    assert len(said.strip().splitlines()) == 1
    assert table.read_text() == "mine\n1\n"
    assert not (tmp_path / "out").exists()
    assert softseg(*words, table, "--overwrite")[0] == softseg(*words, table)[0] == 0
    table.write_text(table.read_text() + "a note\n")
    code, said = softseg(*words, table)
    assert (code, "a.csv: was changed after softseg made it" in said) == (2, True)


@pytest.mark.parametrize("order", ["last", "before an option", "before the image"])
def test_the_table_of_areas_needs_no_name(softseg, image, tmp_path, order):
    out = ("-o", tmp_path / "cord.nii.gz")
    words = {
        "last": (image, *out, "--csa"),
        "before an option": (image, "--csa", *out),
        "before the image": (*out, "--csa", image),
    }[order]
    assert softseg(*words)[0] == 0
    assert len(pd.read_csv(tmp_path / "cord_csa.csv")) > 0


def test_the_table_of_several_images_lies_among_their_masks(softseg, image, tmp_path):
    other = image.with_name("sub-02_T2w.nii.gz")
    other.write_bytes(image.read_bytes())
    assert softseg(image, other, "-o", tmp_path / "out", "--csa")[0] == 0
    assert pd.read_csv(tmp_path / "out" / "csa.csv")["file"].nunique() == 2


def test_uncertainty_is_a_second_map(softseg, image, tmp_path):
    assert softseg(image, "-o", tmp_path / "cord.nii.gz", "--uncertainty")[0] == 0
    spread = nib.load(tmp_path / "cord_uncertainty.nii.gz")
    assert spread.shape == nib.load(image).shape
    assert 0 < spread.get_fdata().max() < 0.5


def test_a_page_shows_every_mask_the_uncertain_ones_first(softseg, image, tmp_path):
    noise = np.random.default_rng(0).random((40, 40, 8)).astype(np.float32)
    limb = Volume(noise, np.diag([-1.0, 1.0, 3.0, 1.0])).save(tmp_path / "in" / "zz_limb.nii.gz")
    code, said = softseg(image, limb, "-o", tmp_path / "out", "--qc", tmp_path / "qc")
    assert code == 0
    assert str(tmp_path / "qc" / "index.html") in said
    page = (tmp_path / "qc" / "index.html").read_text()
    assert 0 < page.index("zz_limb") < page.index("sub-01_T2w")
    assert "no spinal cord found" in page
    assert len(list((tmp_path / "qc").rglob("*.png"))) == 2
    softseg(image, limb, "-o", tmp_path / "out", "--qc", tmp_path / "again")
    assert "no spinal cord found" in (tmp_path / "again" / "index.html").read_text()


def bids(root: Path) -> Path:
    (root / "sub-01" / "anat").mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    tube(shape=(40, 36, 6))[0].save(root / "sub-01" / "anat" / "sub-01_T2w.nii.gz")
    tube(shape=(40, 36, 6))[0].save(root / "sub-01" / "dwi" / "sub-01_rec-average_dwi.nii.gz")
    return root


def test_a_bids_data_set_becomes_a_bids_derivative(softseg, tmp_path):
    root = bids(tmp_path / "data")
    out = root / "derivatives" / "ours"
    code, said = softseg(root, "-o", out)
    assert code == 0, said
    assert {name for name in contents(out) if name.endswith("nii.gz")} == {
        "sub-01/anat/sub-01_T2w_label-SC_softseg.nii.gz",
        "sub-01/dwi/sub-01_rec-average_dwi_label-SC_softseg.nii.gz",
    }
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "softseg segment"
    assert "2 already done" in softseg(root, "-o", out)[1]


@pytest.mark.parametrize("place", ["", "sub-01/masks", "derivatives/theirs", "derivatives/truth"])
def test_no_raw_data_set_and_no_folder_of_others_becomes_a_derivative(softseg, tmp_path, place):
    root = bids(tmp_path / "data")
    for name, made in ("theirs", "fMRIPrep"), ("truth", "softseg phantom"):
        file = root / "derivatives" / name / "dataset_description.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"Name": name, "GeneratedBy": [{"Name": made}]}))
    before = {path: path.is_file() and path.read_bytes() for path in root.rglob("*")}
    code, said = softseg(root, "-o", root / place)
    assert (code, len(said.strip().splitlines())) == (2, 1)
    assert f"{root}/derivatives/NAME" in said
    assert {path: path.is_file() and path.read_bytes() for path in root.rglob("*")} == before


def test_every_image_of_a_data_set_is_made_or_named(softseg, tmp_path):
    root = bids(tmp_path / "data")
    anat = root / "sub-01" / "anat"
    image = tube(shape=(40, 36, 6))[0]
    for name in ("acq-a.b-c_T2w", "PDw", "T1map", "part-phase_T2star", "T2star"):
        image.save(anat / f"sub-01_{name}.nii.gz")
    image.save(anat / "sub-01_T2star.nii")
    (anat / "sub-01_T1w.nii.gz").symlink_to("../../.git/annex/objects/x")
    (root / ".bidsignore").write_text("*_PDw*\n")
    (root / "participants.tsv").write_bytes(
        "participant_id\tnom\nsub-01\tJos\xe9\n".encode("latin-1")
    )
    code, said = softseg(root, "-o", tmp_path / "out")
    assert code == 1
    made = {name for name in contents(tmp_path / "out") if name.endswith("nii.gz")}
    assert made == {
        f"sub-01/{name}_label-SC_softseg.nii.gz"
        for name in (
            "anat/sub-01_T2w", "anat/sub-01_acq-a.b-c_T2w", "anat/sub-01_T2star",
            "dwi/sub-01_rec-average_dwi",
        )
    }  # fmt: skip
    for line in (
        "left out: {}/sub-01_PDw.nii.gz: listed in .bidsignore",
        "left out: {}/sub-01_T1map.nii.gz: a parametric map (T1map)",
        "left out: {}/sub-01_part-phase_T2star.nii.gz: a phase image (part-phase)",
        "failed: {}/sub-01_T1w.nii.gz: not fetched (datalad get, or git lfs pull)",
        "failed: {}/sub-01_T2star.nii: sub-01_T2star.nii.gz lies beside it",
    ):
        assert line.format(anat) in said
    summary = next(line for line in said.splitlines() if line.startswith("4 made"))
    assert set(summary.split(", ")) == {"4 made", "3 left out", "2 failed"}
    (anat / "sub-01_T1w.nii.gz").unlink()
    (anat / "sub-01_T2star.nii").unlink()
    code, said = softseg(root, "-o", tmp_path / "out")
    assert (code, "4 already done, 3 left out" in said) == (0, True)


def test_no_single_file_of_a_data_set_stops_the_others(softseg, tmp_path):
    root = bids(tmp_path / "data")
    anat = root / "sub-01" / "anat"
    image = (anat / "sub-01_T2w.nii.gz").read_bytes()
    (anat / "sub-01_T1w.NII.GZ").write_bytes(image)
    (tmp_path / "elsewhere.nii.gz").write_bytes(image)
    (anat / "sub-01_T2star.nii.gz").symlink_to(tmp_path / "elsewhere.nii.gz")
    code, said = softseg(root, "-o", tmp_path / "out")
    assert (code, "2 made, 2 failed" in said) == (1, True)
    assert f"failed: {anat}/sub-01_T1w.NII.GZ: an image's name must end in .nii" in said
    assert f"failed: {anat}/sub-01_T2star.nii.gz: a link that leaves the data set" in said
    code, said = softseg(root, "-o", tmp_path / "out", "--follow-links")
    assert (code, "1 made, 2 already done, 1 failed" in said) == (1, True)
    for path in root.rglob("*sub-01_*[wi].nii.gz"):
        path.unlink()
    code, said = softseg(root, "-o", tmp_path / "new")
    assert (code, (tmp_path / "new").exists()) == (2, False)
    assert "--follow-links" in said or "lower case" in said


def test_no_single_file_of_a_list_stops_the_others(softseg, image, tmp_path):
    dead = image.with_name("sub-02_T2w.nii.gz")
    dead.symlink_to("../.git/annex/objects/x")
    pointer = image.with_name("sub-03_T2w.nii.gz")
    pointer.write_text("version https://git-lfs.github.com/spec/v1")
    upper = image.with_name("sub-04_T2w.NII.GZ")
    upper.write_bytes(image.read_bytes())
    code, said = softseg(image, dead, pointer, upper, "-o", tmp_path / "out")
    assert (code, "1 made, 3 failed" in said) == (1, True)
    for path in (dead, pointer):
        assert f"failed: {path}: not fetched (datalad get" in said
    assert f"failed: {upper}: an image's name must end in .nii or .nii.gz" in said
    code, said = softseg(dead, "-o", tmp_path / "one.nii.gz")
    assert (code, "not fetched (datalad get" in said) == (2, True)


def test_an_image_that_is_given_twice_is_made_once(softseg, tmp_path, monkeypatch):
    root = bids(tmp_path / "data")
    t2w = root / "sub-01" / "anat" / "sub-01_T2w.nii.gz"
    monkeypatch.chdir(root)
    code, said = softseg(t2w, root, "sub-01/anat/sub-01_T2w.nii.gz", ".", "-o", tmp_path / "out")
    assert (code, "2 made" in said) == (0, True)
    assert {name for name in contents(tmp_path / "out") if name.endswith("gz")} == {
        "sub-01/anat/sub-01_T2w_label-SC_softseg.nii.gz",
        "sub-01/dwi/sub-01_rec-average_dwi_label-SC_softseg.nii.gz",
    }
    code, said = softseg(t2w, t2w, "-o", tmp_path / "flat")
    assert (code, len(contents(tmp_path / "flat"))) == (0, 2)
    # What a link of another name leads to is another image, as git-annex has it.
    (t2w.parent / "sub-01_T1w.nii.gz").symlink_to(t2w.name)
    assert "1 made, 2 already done" in softseg(root, "-o", tmp_path / "out")[1]


def test_a_phase_image_that_is_named_is_refused_and_does_not_stop_the_others(
    softseg, image, tmp_path
):
    phase = image.with_name("sub-01_part-phase_T2star.nii.gz")
    phase.write_bytes(image.read_bytes())
    code, said = softseg(phase, "-o", tmp_path / "no.nii.gz")
    assert code == 2
    assert "a phase image (part-phase); segment its magnitudes" in said
    code, said = softseg(phase, image, "-o", tmp_path / "out")
    assert (code, "1 of 2 images failed" in said) == (1, True)
    assert [name for name in contents(tmp_path / "out") if name.endswith("gz")] == [
        "sub-01_T2w_label-SC_softseg.nii.gz"
    ]


@pytest.mark.parametrize(
    ("arguments", "finding"),
    [
        (("absent.nii.gz", "-o", "out.nii.gz"), "absent.nii.gz: no such file"),
        (("in.nii.gz", "-o", "out.txt"), "must end in .nii"),
        (("in.nii.gz", "-o", "in.nii.gz"), "would overwrite"),
        (("in.nii.gz", "other/in.nii.gz", "-o", "out"), "different folders"),
        (("in.nii.gz", "other/in.nii.gz", "-o", "out.nii.gz"), "need a folder"),
        (("bare", "-o", "out"), "bare"),
        (("note.txt", "-o", "out"), "must end in .nii"),
        (("in.nii.gz", "-o", "out", "--threshold", "0.3"), "--binary"),
        (("in.nii.gz", "-o", "out", "--binary", "--threshold", "1.5"), "(0, 1]"),
        (("in.nii.gz", "-o", "out", "--average", "median"), "mean, rms"),
        (("in.nii.gz", "-o", "out", "--activation", "softmax"), "clamp"),
        (("in.nii.gz", "-o", "out", "--device", "tpu"), "--device"),
        (("in.nii.gz", "-o", "note.txt/out"), "note.txt"),
        (("in.nii.gz", "-o", "out", "--csa", "note.txt/a.csv"), "note.txt"),
        (
            ("in.nii.gz", "-o", "out.nii.gz", "--csa", "note.txt"),
            "--csa: note.txt must end in .csv",
        ),
        (("in.nii.gz", "-o", "out.nii.gz", "--csa=x.tsv"), "--csa: x.tsv must end in .csv"),
        (("in.nii.gz", "-o", "out.nii.gz", "--csa=in.nii.gz"), "--csa: in.nii.gz must end in"),
        (("in.nii.gz", "-o", "out.nii.gz", "--csa", "m.nii.gz"), "--csa: m.nii.gz must end in"),
        (("in.nii.gz", "-o", "out.nii.gz", "--csa", "other/in.nii.gz"), "--csa: other/in.nii.gz"),
        (("in.nii.gz", "-o", "out", "--csa", "m.nii.gz"), "--csa: m.nii.gz must end in .csv"),
        (("in.nii.gz", "-o", "out", "--csa", "other"), "--csa: other must end in .csv"),
    ],
)
def test_wrong_use_is_one_line_before_anything_is_written(
    softseg, image, tmp_path, monkeypatch, arguments, finding
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "bare").mkdir()
    image.rename(tmp_path / "in.nii.gz")
    (tmp_path / "other" / "in.nii.gz").write_bytes((tmp_path / "in.nii.gz").read_bytes())
    (tmp_path / "note.txt").write_text("a note")
    before = contents(tmp_path)
    code, said = softseg(*arguments)
    assert code == 2
    assert finding in said
    assert len(said.strip().splitlines()) == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "said"),
    [("best", "no such weights"), ("run", "a folder without model.onnx or model.s")],
)
def test_weights_that_are_none_are_named(image, tmp_path, capsys, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "models").mkdir(parents=True)
    with pytest.raises(SystemExit) as left:
        cli.main(["segment", str(image), "-o", "o.nii.gz", "--weights", name])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{name}: {said}" in line


@pytest.mark.skipif(sys.platform != "linux", reason="/proc refuses even root")
def test_a_folder_that_may_not_be_written_to_is_wrong_input(softseg, image):
    code, said = softseg(image, "-o", "/proc/locked/cord.nii.gz")
    assert code == 2
    assert "/proc/locked" in said
    assert "cannot write" in said


def test_a_full_disk_leaves_nothing_half_written(softseg, image, tmp_path, monkeypatch):
    def full(volume, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("softseg.volume.nib.save", full)
    code, said = softseg(image, "-o", tmp_path / "out" / "cord.nii.gz")
    assert code == 2
    assert "No space left" in said
    assert contents(tmp_path / "out") == set()


def test_it_starts_without_training_libraries(image, tmp_path):
    weights = tmp_path / "tubes.onnx"
    card = save_weights(tmp_path / "other" / "tubes.safetensors", trained(), CONFIG)
    export_network(weights, trained(), CONFIG, card)
    code = (
        "import sys\n"
        "from softseg import cli\n"
        "try:\n"
        f"    cli.main(['segment', {str(image)!r}, '-o', {str(tmp_path / 'o.nii.gz')!r}, "
        f"'--weights', {str(weights)!r}])\n"
        "except SystemExit as left:\n"
        "    assert not left.code\n"
        "print(*({'monai', 'lightning', 'matplotlib', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
    assert (tmp_path / "o.nii.gz").exists()


def test_csa_gives_the_interval_of_an_area_while_the_mask_is_as_it_was_made(
    softseg, image, tmp_path
):
    softseg(image, "-o", tmp_path / "out")
    mask = tmp_path / "out" / "sub-01_T2w_label-SC_softseg.nii.gz"
    record = mask.with_name(mask.name.replace(".nii.gz", ".json"))
    said = json.loads(record.read_text())
    assert "AreaError" in said  # null: nobody fitted it for this test's network
    record.write_text(json.dumps(said | {"AreaError": 0.05}))

    def measured(*words):
        with pytest.raises(SystemExit):
            cli.main(["csa", str(mask), "-o", str(tmp_path / "a.csv"), *words])
        return pd.read_csv(tmp_path / "a.csv")

    row = measured().iloc[0]
    assert row["area_mm2_low"] == pytest.approx(row["area_mm2"] * np.exp(-0.05), rel=1e-4)
    assert row["area_mm2_high"] == pytest.approx(row["area_mm2"] * np.exp(0.05), rel=1e-4)
    for words in (("--per-slice",), ("--threshold", "0.5")):
        assert "area_mm2_low" not in measured(*words)
    drawn = nib.load(mask)
    nib.save(nib.Nifti1Image(np.clip(drawn.get_fdata() * 1.0, 0, 1), drawn.affine), mask)
    assert "area_mm2_low" not in measured()
