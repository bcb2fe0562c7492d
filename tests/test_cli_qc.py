"""`softseg qc`: a page of any masks, and the verdicts that later runs read."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from softseg import cli
from softseg.dataset.derivatives import discs_of, image_of, masks_in
from softseg.dataset.exclusions import read_exclusions, verdicts_on, why_excluded
from softseg.errors import InputError
from softseg.provenance.records import record_of, write_record
from softseg.quality_control.drawing import draw
from softseg.volume import Volume


@pytest.fixture
def dataset(tmp_path):
    """Two participants with an image and a drawn mask each, and discs of the first."""
    data = np.zeros((40, 40, 40), np.float32)
    data[14:26, 15:24] = 1
    for name in ("sub-1", "sub-2"):
        stem = f"{name}/anat/{name}_T2w"
        mask = Volume(data, np.diag([-1.0, 1.0, 1.0, 1.0]))
        mask.like(100 + 50 * data).save(tmp_path / f"{stem}.nii.gz")
        mask.save(tmp_path / f"derivatives/labels/{stem}_label-SC_seg.nii.gz")
    points = np.zeros(data.shape)
    for disc, z in ((3, 30), (4, 15), (5, 2)):
        points[20, 20, z] = disc
    labels = tmp_path / "derivatives/labels"
    mask.like(points).save(labels / "sub-1/anat/sub-1_T2w_label-discs_dlabel.nii.gz")
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(list(map(str, arguments)))
    return int(left.value.code or 0)


def test_drawn_masks_of_a_folder_get_a_page_with_their_images_and_levels(dataset, capsys):
    assert run("qc", dataset / "derivatives/labels", "-o", dataset / "look") == 0
    said = capsys.readouterr()
    assert "to look at" in said.out
    assert "drawn on black" not in said.err
    pictures = sorted((dataset / "look/pictures").iterdir())
    assert [p.name for p in pictures] == [f"sub-{k}_T2w_label-SC_seg.png" for k in (1, 2)]
    white = [(np.asarray(Image.open(path)) == 255).all(axis=-1).sum() for path in pictures]
    assert white[0] > white[1] + 200  # the names of levels
    assert (np.asarray(Image.open(pictures[0])) > 30).mean() > 0.1


def test_levels_stand_on_the_slices_that_have_them():
    data = np.zeros((30, 30, 6), np.float32)
    data[10:20, 10:20] = 1
    mask = Volume(data, np.diag([-1.0, 1.0, 1.0, 1.0]))
    centre = mask.affine[:3, :3] @ [[15] * 6, [15] * 6, range(6)] + mask.affine[:3, 3:]
    table = pd.DataFrame(centre.T, columns=[f"centre_{a}_mm" for a in "xyz"])
    table["level"] = pd.array([3, 3, 3, 2, 2, 2], dtype="Int64")
    plain, named = draw(mask, {"m": mask}), draw(mask, {"m": mask}, levels=table)
    changed = np.flatnonzero((plain != named).any(axis=(0, 2)))
    assert changed.size > 0
    one = draw(mask, {"m": mask}, levels=table.assign(level=pd.array([2] * 6, dtype="Int64")))
    assert (one != named).any()


def test_an_image_is_found_by_bids_by_a_record_or_beside_the_mask(dataset):
    (mask, _) = masks_in(dataset / "derivatives/labels")
    assert image_of(mask) == dataset / "sub-1/anat/sub-1_T2w.nii.gz"
    assert discs_of(mask).name == "sub-1_T2w_label-discs_dlabel.nii.gz"
    image_of(mask).unlink()
    assert image_of(mask) is None
    with pytest.raises(InputError, match="no masks"):
        masks_in(dataset / "sub-1")


def test_one_image_a_mask_is_asked_for(dataset, capsys):
    image = dataset / "sub-1/anat/sub-1_T2w.nii.gz"
    words = ["qc", dataset / "derivatives/labels", "-o", dataset / "look", "--image", image]
    assert run(*words) == 2
    assert "found 1 for 2 masks" in capsys.readouterr().err
    assert not (dataset / "look").exists()


def test_a_mask_that_cannot_be_read_is_said_and_the_others_are_shown(dataset, capsys):
    broken = dataset / "sub-9_T2w_seg.nii.gz"
    broken.write_bytes(b"no image")
    assert run("qc", broken, "-o", dataset / "look") == 2
    assert not (dataset / "look").exists()
    labels = dataset / "derivatives/labels"
    assert run("-q", "qc", broken, labels, "-o", dataset / "look") == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("sub-9_T2w_seg.nii.gz: not a readable NIfTI")) == ("", 2)
    assert len([*(dataset / "look/pictures").iterdir()]) == 2


def test_a_mask_whose_voxels_are_cut_off_is_a_failure_too(dataset, capsys):
    labels = dataset / "derivatives/labels"
    whole = masks_in(labels)[0].read_bytes()
    broken = dataset / "sub-9_T2w_seg.nii.gz"
    broken.write_bytes(whole[: len(whole) // 2])
    assert run("-q", "qc", broken, labels, "-o", dataset / "look") == 1
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert "sub-9_T2w_seg.nii.gz" in said[0]
    assert run("qc", broken, "-o", dataset / "alone") == 2
    assert not (dataset / "alone").exists()


def test_masks_of_one_name_have_a_picture_and_a_verdict_each(tmp_path, capsys):
    data = np.zeros((30, 30, 6), np.float32)
    data[10:20, 10:20] = 1
    names = ("jp/s1/m", "jp/s2/m", "jp/a b", "jp/a_b", "jp/A_B", "jp/脊髄", "jp/頸髄")
    masks = [Volume(data, np.eye(4)).save(tmp_path / f"{name}.nii.gz") for name in names]
    assert run("qc", *masks, "-o", tmp_path / "look") == 0
    page = (tmp_path / "look/index.html").read_text()
    sources = re.findall(r'src="([^"]+)"', page)
    assert len({source.lower() for source in sources}) == len(masks)
    ticked = re.findall(r'<input type="checkbox" value="([^"]+)">', page)
    assert set(ticked) == {"s1/m", "s2/m", "a b", "a_b", "A_B", "脊髄", "頸髄"}
    for number, name in enumerate(names):
        (entry,) = (each for each in ticked if f"/{name}".endswith(f"/{each}"))
        bad = read_exclusions([entry])
        left_out = [why_excluded(mask, bad) is not None for mask in masks]
        assert left_out == [k == number for k in range(len(masks))]
    assert run("qc", *masks, "-o", tmp_path / "look") == 0
    assert (tmp_path / "look/index.html").read_text() == page


def test_what_the_record_beside_a_mask_doubts_is_a_flag_until_the_mask_is_corrected(dataset):
    mask = masks_in(dataset / "derivatives/labels")[0]
    note = "blurred edges (SD 1.0 mm), areas are too small"
    write_record(record_of(mask), [mask], notes={"Note": note}, step="segment")
    assert run("qc", mask, "-o", dataset / "look") == 0
    assert f"<b>{note}</b>" in (dataset / "look/index.html").read_text()
    volume = Volume.load(mask)
    volume.like(volume.data * 0.9).save(mask)
    assert run("qc", mask, "-o", dataset / "look") == 0
    assert note not in (dataset / "look/index.html").read_text()


@pytest.mark.parametrize("option", ["--image", "--discs", "--levels"])
def test_what_is_given_beside_the_masks_must_be_there(dataset, capsys, option):
    (mask, _) = masks_in(dataset / "derivatives/labels")
    assert run("qc", mask, "-o", dataset / "look", option, dataset / "none.nii.gz") == 2
    assert "none.nii.gz: no such file" in capsys.readouterr().err
    assert not (dataset / "look").exists()


@pytest.mark.parametrize("name", ["softseg", "seg21", "cord"])
def test_a_mask_with_a_name_of_its_own_is_left_out_by_that_name(tmp_path, name, capsys):
    data = np.zeros((30, 30, 6), np.float32)
    data[10:20, 10:20] = 1
    Volume(100 + 50 * data, np.eye(4)).save(tmp_path / "t2.nii.gz")
    mask = Volume(data, np.eye(4)).save(tmp_path / f"{name}.nii.gz")
    (tmp_path / "exclude.yml").write_text(f'"bad by eye":\n- {name}\n')
    assert run("csa", mask, "-o", tmp_path / "a.csv") == 2
    assert run("segment", tmp_path / "t2.nii.gz", "-o", mask) == 2
    assert capsys.readouterr().err.count("excluded: bad by eye") == 2


def test_what_is_ticked_on_the_page_is_left_out_by_csa_and_by_segment(dataset, capsys):
    labels = dataset / "derivatives/labels"
    masks = masks_in(labels)
    (labels / "exclude.yml").write_text('"bad by eye":\n- sub-2_T2w_label-SC_seg\n')
    assert run("csa", *masks, "-o", dataset / "a.csv") == 0
    assert "left out" in (said := capsys.readouterr().err)
    assert "excluded: bad by eye" in said
    assert pd.read_csv(dataset / "a.csv")["participant_id"].tolist() == ["sub-1"]
    assert run("csa", masks[1], "-o", dataset / "b.csv") == 2
    assert "excluded: bad by eye" in capsys.readouterr().err
    assert why_excluded(dataset / "sub-2/anat/sub-2_T2w.nii.gz", verdicts_on(masks))


@pytest.mark.parametrize("entry", ["sub-2", "sub-2/T2w", "sub-2_T2w", "sub-2_T2w_label-SC_softseg"])
def test_a_participant_a_contrast_an_image_or_a_mask_may_be_named(entry, tmp_path):
    bad = read_exclusions([entry])
    for kept, name in ((True, "sub-1_T2w.nii.gz"), (False, "sub-2_T2w_label-SC_seg.nii.gz")):
        assert (why_excluded(tmp_path / name, bad) is None) == kept
