"""What a header says about a participant stays in the file it came in."""

import gzip
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from fuzzing import attempt, untrained_weights
from PIL import Image
from scipy import ndimage
from tubes import grid_of, rater_mask

from softseg.contrasts import CONTRASTS
from softseg.dataset.names import sidecar_path
from softseg.quality_control.drawing import draw
from softseg.quality_control.page import Item, write_page
from softseg.volume import Volume

NAME = b"DOE^JANE"
FIELDS = ("descrip", "aux_file", "intent_name", "db_name", "data_type")
HALF = (11, 18, 12.5)


@pytest.fixture(scope="module")
def cord() -> Volume:
    return rater_mask(grid_of(CONTRASTS["T2w"], half_mm=HALF))


def named(path: Path, volume: Volume) -> Path:
    """The volume in a file that tells a name wherever a header can."""
    image = nib.Nifti1Image(volume.data.astype(np.uint8), volume.affine)
    for field in FIELDS:
        image.header[field] = NAME
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", NAME + b" born 1970"))
    dicom = b'{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "' + NAME + b'"}]}}'
    image.header.extensions.append(nib.nifti1.Nifti1Extension(44, dicom))
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)
    beside = sidecar_path(path)
    beside.write_text(json.dumps({"PatientName": NAME.decode(), "EchoTime": 0.1}))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, decompressed."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            packed = content.startswith(b"\x1f\x8b")
            found[path.name] = gzip.decompress(content) if packed else content
    return found


def test_the_name_is_found_where_it_was_planted(tmp_path, cord):
    path = named(tmp_path / "a.nii.gz", cord)
    assert gzip.decompress(path.read_bytes()).count(NAME) == len(FIELDS) + 2


@pytest.fixture
def made(tmp_path, cord) -> Path:
    """A folder with everything that the commands make of such files, and nothing else."""
    data, out = tmp_path / "data", tmp_path / "out"
    stem = "sub-1/anat/sub-1_T2w"
    image = named(data / f"{stem}.nii.gz", cord)
    mask = named(data / f"derivatives/labels/{stem}_label-SC_seg.nii.gz", cord)
    weights = untrained_weights(tmp_path)
    heights = np.arange(cord.data.shape[2])
    level = np.where(heights < len(heights) // 2, 3, 2)
    levels = named(tmp_path / "levels.nii.gz", cord.like((cord.data > 0) * level))
    for command, *words in (
        ("segment", image, "-o", out / "one.nii.gz", "--weights", weights, "--csa", out / "a.csv",
         "--qc", out / "page", "--uncertainty"),
        ("segment", data, "-o", out / "bids", "--weights", weights),
        ("csa", mask, "-o", out / "csa.csv", "--per-slice", "--levels", levels, "--plot",
         out / "csa.png", "--profile", out / "profile.csv"),
        ("ground-truth", data),
    ):  # fmt: skip
        case = attempt(command, list(words), tmp_path)
        assert (case.code, case.faults) == (0, ()), case.lines
    for name in ("labels_softseg", "labels_softseg_bin"):
        (data / "derivatives" / name).rename(out / name)
    return out


def test_no_derivative_table_or_page_repeats_a_name_of_the_header(made):
    found = contents(made)
    assert len(found) > 12
    assert {Path(name).suffix for name in found} >= {".gz", ".csv", ".json", ".html", ".png"}
    for name, content in found.items():
        assert NAME not in content, name
        assert b"DOE" not in content, name


def test_headers_of_derivatives_hold_geometry_only(made):
    fresh = nib.Nifti1Header()
    for path in made.rglob("*.nii.gz"):
        header = nib.load(path).header
        for field in FIELDS:
            ours = field == "descrip" and bytes(header[field].item()).startswith(b"softseg: ")
            assert ours or header[field] == fresh[field], (path.name, field)
        assert not header.extensions


def test_what_is_written_names_no_users_folders(made):
    for name, content in contents(made).items():
        if not name.endswith((".csv", ".png")):  # the tables' column `file` is as it was given
            at = content.find(str(made.parent).encode())
            assert at < 0, (name, content[max(at - 100, 0) : at + 200])


def test_pictures_hold_no_text_beside_their_pixels(made):
    for path in made.rglob("pictures/*.png"):
        with Image.open(path) as picture:
            assert picture.info == {}


def test_a_cropped_picture_shows_nothing_far_from_the_cord(cord):
    rng = np.random.default_rng(0)
    image = cord.like(rng.uniform(100, 200, cord.data.shape).astype(np.float32))
    whole = draw(image, {"mask": cord})
    cropped = draw(image, {"mask": cord}, crop_mm=3.0)
    assert cropped.shape == whole.shape
    assert 0.05 < (cropped > 0).mean() < 0.7 * (whole > 0).mean()
    # What lies outside cannot be seen: another image there gives the same picture.
    distance_mm = ndimage.distance_transform_edt(cord.data == 0, sampling=cord.spacing_mm)
    other = cord.like(np.where(distance_mm > 12, 150, image.data))
    np.testing.assert_array_equal(draw(other, {"mask": cord}, crop_mm=3.0), cropped)
    assert (draw(other, {"mask": cord}) != whole).any()


@pytest.mark.parametrize("crop", ["-1", "nan", "inf"])
def test_a_crop_that_cannot_be_is_refused_before_any_work(tmp_path, cord, crop):
    image = named(tmp_path / "in/a.nii.gz", cord)
    words = [image, "-o", tmp_path / "m.nii.gz", "--qc", tmp_path / "page", "--qc-crop", crop]
    case = attempt("segment", words, tmp_path)
    assert (case.code, case.faults) == (2, ())
    assert "--qc-crop" in case.lines[0]


def test_a_page_names_no_folder_when_a_picture_cannot_be_drawn(tmp_path, cord):
    broken = tmp_path / "home-of-jane" / "a.nii.gz"
    broken.parent.mkdir()
    broken.write_bytes(b"no image")
    text = write_page(tmp_path / "page", [Item("a", broken, {"m": cord})]).read_text()
    assert re.search(r"a\.nii\.gz: not a readable NIfTI", text)
    assert "home-of-jane" not in text
