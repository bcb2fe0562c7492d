"""The slice viewer: what is in the page is what is in the volumes, and nothing comes from afar."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from softseg.errors import InputError
from softseg.volume import Volume
from softseg_study.figures.viewer import slice_viewer, view_participant

SPACING_MM = {"T1w": (1.0, 1.0, 1.0), "T2star": (0.5, 0.5, 5.0)}
RADIUS_MM = 5.0


def cord(spacing_mm, *, radius_mm=RADIUS_MM, length_mm=60.0):
    """A round cord that leans to the side, on a grid whose axes do not point as the screen's."""
    shape = [round(size / d) for size, d in zip((40, 40, length_mm), spacing_mm, strict=True)]
    x, y, z = (index * d for index, d in zip(np.indices(shape), spacing_mm, strict=True))
    distance = np.hypot(x - 20 - 0.05 * z, y - 18)
    affine = np.diag([-spacing_mm[0], spacing_mm[1], spacing_mm[2], 1.0])
    return Volume(np.clip(radius_mm - distance + 0.5, 0, 1), affine)


def person():
    soft = {name: cord(spacing) for name, spacing in SPACING_MM.items()}
    hard = {name: mask.like((mask.data > 0.5).astype(float)) for name, mask in soft.items()}
    images = {name: mask.like(mask.data + 0.3) for name, mask in soft.items()}
    return images, hard, soft


@pytest.fixture(scope="module")
def viewer():
    images, hard, soft = person()
    levels = soft["T1w"].like(np.where(soft["T1w"].data > 0, 3, 0))
    return slice_viewer(images, hard, soft, levels=levels)


@pytest.fixture(scope="module")
def data(viewer):
    return json.loads(re.search(r"const data = (\{.*\});", viewer.html)[1])


def opacity(contrast, kind):
    picture = Image.open(io.BytesIO(base64.b64decode(contrast[kind].split(",")[1])))
    return np.asarray(picture.convert("RGBA"))[..., 3] / 255 / 0.7


def cell(contrast, kind, height):
    columns, rows = contrast["cell"]
    row, column = divmod(contrast["cells"][height], contrast["columns"])
    sprite = opacity(contrast, kind)
    return sprite[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]


def test_the_same_volumes_give_the_same_bytes(viewer):
    images, hard, soft = person()
    levels = soft["T1w"].like(np.where(soft["T1w"].data > 0, 3, 0))
    assert slice_viewer(images, hard, soft, levels=levels) == viewer


def test_the_page_asks_nobody_for_anything(viewer):
    assert not re.search(r"https?:|src=|@import|url\(", viewer.html)
    assert len(viewer.html) < 100_000


def test_a_template_is_filled_in_completely(viewer):
    assert not re.search(r"@[A-Z]+@", viewer.html)
    assert viewer._repr_html_() == viewer.html
    assert "SliceViewer" in repr(viewer)


def test_the_opacity_of_a_mask_is_its_fraction_of_cord(data):
    _, _, soft = person()
    for contrast, name in zip(data["contrasts"], SPACING_MM, strict=True):
        middle = len(data["heights_mm"]) // 2
        drawn = cell(contrast, "soft", middle)
        values = soft[name].data
        slices = [np.sort(values[:, :, z][values[:, :, z] > 0.05]) for z in range(values.shape[2])]
        found = np.sort(drawn[drawn > 0.05])
        same = [s for s in slices if s.size == found.size and np.allclose(s, found, atol=0.02)]
        assert same, name
        assert set(np.unique(cell(contrast, "hard", middle)).round(2)) == {0, 1}


def test_every_contrast_shows_the_cord_in_the_middle_of_the_picture(data):
    for contrast in data["contrasts"]:
        for height in (0, len(data["heights_mm"]) - 1):
            weight = cell(contrast, "soft", height)
            y, x = np.indices(weight.shape) + 0.5
            dx, dy = contrast["spacing_mm"]
            left, top = contrast["offsets_mm"][height]
            centre = (
                (x * weight).sum() / weight.sum() * dx + left,
                (y * weight).sum() / weight.sum() * dy + top,
            )
            assert centre == pytest.approx((data["size_mm"] / 2,) * 2, abs=0.05)


def test_the_front_is_up_and_the_persons_right_is_left():
    images, hard, soft = person()
    # A bright square in front and a dimmer one on the right: Y runs back to front, X right to left.
    image = np.full_like(soft["T1w"].data, 0.1)
    image[10:13, 17:20, :], image[19:22, 25:28, :] = 0.5, 1.0
    images["T1w"] = images["T1w"].like(image)
    found = slice_viewer({"T1w": images["T1w"]}, hard, soft)
    data = json.loads(re.search(r"const data = (\{.*\});", found.html)[1])
    sprite = data["contrasts"][0]["image"].split(",")[1]
    grey = np.asarray(Image.open(io.BytesIO(base64.b64decode(sprite))).convert("L"), dtype=int)
    columns, rows = data["contrasts"][0]["cell"]
    first = grey[:rows, :columns]
    (front_y, front_x), (right_y, right_x) = (
        np.argwhere(first == v).mean(axis=0) for v in (255, first[first > 0].min())
    )
    assert front_y < right_y
    assert right_x < front_x


def test_areas_are_those_of_the_masks(data):
    for contrast in data["contrasts"]:
        middle = len(data["heights_mm"]) // 2
        # In the plane the section is a circle; across the leaning cord it is cos(tilt) of it.
        true_mm2 = np.pi * RADIUS_MM**2 / np.hypot(1, 0.05)
        assert contrast["areas_mm2"]["soft"][middle] == pytest.approx(true_mm2, rel=0.02)
        assert contrast["areas_mm2"]["hard"][middle] == pytest.approx(true_mm2, rel=0.05)


def test_a_thick_slice_stays_while_thin_ones_change(data):
    t1w, t2star = (data["contrasts"][i]["cells"] for i in (0, 1))
    assert len(set(t1w)) == len(t1w)
    assert len(set(t2star)) < len(t2star) / 2


def test_levels_are_named_where_they_are_known(data):
    assert set(data["levels"]) == {"C3"}
    plain = slice_viewer(*person())
    assert '"levels":["","",' in plain.html


def test_masks_without_a_shared_height_are_an_error_that_says_so():
    images, hard, soft = person()
    soft["T1w"] = soft["T1w"].like(np.zeros_like(soft["T1w"].data))
    with pytest.raises(InputError, match="some height must be covered in all contrasts"):
        slice_viewer(images, hard, soft)


def test_an_empty_stretch_of_a_mask_has_no_area():
    images, hard, soft = person()
    gap = hard["T1w"].data.copy()
    gap[:, :, 20:35] = 0
    found = slice_viewer(images, {**hard, "T1w": hard["T1w"].like(gap)}, soft)
    data = json.loads(re.search(r"const data = (\{.*\});", found.html)[1])
    assert None in data["contrasts"][0]["areas_mm2"]["hard"]
    assert None not in data["contrasts"][1]["areas_mm2"]["hard"]


def test_the_description_is_escaped():
    images, hard, soft = person()
    found = slice_viewer(images, hard, soft, description='<b> & "quoted"')
    assert "<b>" not in found.html
    assert "&lt;b&gt; &amp; &quot;quoted&quot;" in found.html


def test_a_person_of_a_data_set_is_shown_with_the_names_of_the_levels(tmp_path):
    from softseg.dataset.index import Dataset

    images, hard, soft = person()
    files = {"T1w": "T1w", "T2star": "T2star"}
    for contrast, stem in files.items():
        for volume, pipeline, ending in (
            (images[contrast], "", ""),
            (hard[contrast], "derivatives/labels/", "_label-SC_seg"),
            (soft[contrast], "derivatives/labels_softseg/", "_label-SC_softseg"),
        ):
            path = tmp_path / f"{pipeline}sub-01/anat/sub-01_{stem}{ending}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            volume.save(path)
    level = soft["T1w"].like(np.where(soft["T1w"].data > 0, 8, 0))
    level.save(tmp_path / "derivatives/labels/sub-01/anat/sub-01_T1w_label-vertebrae_dseg.nii.gz")
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.9.0"}')
    dataset = Dataset.index(tmp_path)
    found = view_participant(dataset, "sub-01")
    assert found.html.count('"title":"') == 2
    assert '"levels":["T1",' in found.html
    assert '"levels":["","",' in view_participant(dataset, "sub-01", levels=("no", "x")).html
