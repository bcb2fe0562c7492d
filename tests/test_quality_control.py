"""The page of pictures: what is drawn where, and the list of exclusions it makes."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from tubes import grid_of, rater_mask

from softseg.contrasts import CONTRASTS
from softseg.csa.automatic import AutomaticDiscs
from softseg.dataset.exclusions import read_exclusions
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.ground_truth.batch import make_ground_truth
from softseg.quality_control.drawing import COLORS, HALF_MM, PIXELS_PER_MM, draw
from softseg.quality_control.lettering import png
from softseg.quality_control.page import MARKS, Item, write_ground_truth_page, write_page
from softseg.volume import Volume

HALF = (11, 18, 12.5)
RED = [int(COLORS[0][i : i + 2], 16) for i in (1, 3, 5)]
BLUE = [int(COLORS[1][i : i + 2], 16) for i in (1, 3, 5)]


@pytest.fixture(scope="module")
def mask() -> Volume:
    return rater_mask(grid_of(CONTRASTS["T1w"], half_mm=HALF))


def has(picture: np.ndarray, color: list[int]) -> np.ndarray:
    return (picture == color).all(axis=-1)


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3), (122, 366, 3)])
def test_another_library_reads_the_picture_that_was_written(shape):
    picture = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(picture)))), picture)


def test_outlines_are_drawn_on_the_second_row_only(mask):
    picture = draw(mask.like(50 * mask.data), {"hard": mask}, slices=3)
    tile = int(2 * HALF_MM * PIXELS_PER_MM) + 2
    mosaic = picture[:, -4 - 3 * tile : -4]
    assert not has(mosaic[:tile], RED).any()
    assert has(mosaic[tile : 2 * tile], RED).any()


def test_a_binary_mask_makes_two_rows_and_a_soft_one_three(mask):
    tile = int(2 * HALF_MM * PIXELS_PER_MM) + 2
    soft = mask.like(mask.data * 0.7)
    assert draw(mask, {"hard": mask}).shape[0] == 2 * tile
    picture = draw(mask, {"hard": mask, "soft": soft})
    assert picture.shape[0] == 3 * tile
    assert has(picture, BLUE).any()


def test_the_outline_lies_where_the_mask_ends(mask):
    # The tube is 13 mm wide and 8 mm deep: so must be the outline in the tile.
    tile = int(2 * HALF_MM * PIXELS_PER_MM) + 2
    picture = draw(mask, {"hard": mask}, slices=1)
    rows, columns = np.nonzero(has(picture[tile : 2 * tile, -4 - tile : -4], RED))
    assert np.ptp(columns) / PIXELS_PER_MM == pytest.approx(13, abs=1.2)
    assert np.ptp(rows) / PIXELS_PER_MM == pytest.approx(8, abs=1.2)


def test_front_is_up_and_the_right_side_left():
    data = np.zeros((41, 41, 5), dtype=np.float32)
    data[20, 20] = 1
    cord = Volume(data, np.diag([-1.0, 1.0, 1.0, 1.0]))  # LAS: X to the left, Y to the front
    image = data * 0
    image[20:26, 20:26] = 1  # to the subject's left and to the front
    tile = int(2 * HALF_MM * PIXELS_PER_MM) + 2
    for codes in ("LAS", "RPI", "SAR"):
        picture = draw(cord.like(image).oriented(codes), {"m": cord.oriented(codes)}, slices=1)
        rows, columns = np.nonzero(picture[:tile, -4 - tile : -4].sum(axis=-1) > 300)
        assert rows.mean() < tile / 2, codes
        assert columns.mean() > tile / 2, codes


def test_a_mask_without_image_and_an_empty_mask_do_not_fail(mask):
    assert has(draw(None, {"hard": mask}), RED).any()
    empty = {"hard": mask.like(0 * mask.data)}
    assert np.ptp(draw(mask, empty)) > 100, "the image is shown, in which no cord was found"
    for image, crop_mm in ((mask, 5.0), (None, None)):
        assert not draw(image, empty, crop_mm=crop_mm).any()
    with pytest.raises(InputError, match="at least one mask"):
        draw(mask, {})


def test_a_mask_on_another_grid_is_laid_over_the_image(mask):
    other = rater_mask(grid_of(CONTRASTS["T2w"], half_mm=HALF))
    assert has(draw(mask, {"hard": other}), RED).any()


def test_flagged_items_come_first_and_names_are_escaped(tmp_path, mask):
    items = [
        Item("sub-1/T1w", mask, {"hard": mask}),
        Item("sub-2/<b>", mask, {"hard": mask}, ("shift", "dice"), "largest 9 mm"),
        Item("sub-3/T1w", mask, {"hard": mask}),
    ]
    page = write_page(tmp_path / "page", items, title="A & B")
    text = page.read_text()
    assert "A &amp; B" in text
    assert text.index("sub-2/&lt;b&gt;") < text.index("sub-1/T1w")
    assert "<b>shift</b>" in text
    assert "3 pictures, 1 flagged" in text
    for source in re.findall(r'src="([^"]+)"', text):
        assert (page.parent / source).is_file()
    # Nothing from elsewhere: the page works offline.
    assert "http" not in text


def test_discs_that_were_found_have_their_probability_and_their_marks_a_sentence(tmp_path, mask):
    points = {10: np.zeros(3), 3: np.ones(3)}
    found = AutomaticDiscs(points, {10: 0.912, 3: 0.987})
    item = Item("sub-1/T1w", mask, {"cord": mask}, details="presence 1.00", found=found)
    text = write_page(tmp_path / "page", [item]).read_text()
    assert "presence 1.00; probability of discs: C2-C3 0.99, T2-T3 0.91<" in text
    assert MARKS in text
    assert MARKS not in write_page(tmp_path / "page", [item], crop_mm=5).read_text()
    none = Item("sub-1/T1w", mask, {"cord": mask}, found=AutomaticDiscs(reason="levels unknown"))
    text = write_page(tmp_path / "page", [none]).read_text()
    assert MARKS not in text
    assert "probability" not in text


def test_a_picture_that_cannot_be_drawn_says_why_and_stops_no_other(tmp_path, mask):
    items = [
        Item("sub-1/T1w", tmp_path / "absent.nii.gz", {"hard": mask}),
        Item("sub-2/T1w", mask, {"hard": mask}),
    ]
    text = write_page(tmp_path / "page", items).read_text()
    assert "no such file" in text
    assert text.count("<img") == 1


def test_pictures_are_the_same_bytes_whatever_the_threads(tmp_path, mask):
    items = [Item(f"sub-{k}/T1w", mask, {"hard": mask}) for k in range(4)]
    for name, jobs in (("one", 1), ("four", 4)):
        write_page(tmp_path / name, items, jobs=jobs)
    for path in (tmp_path / "one/pictures").iterdir():
        assert path.read_bytes() == (tmp_path / "four/pictures" / path.name).read_bytes()


def test_the_ground_truth_page_shows_every_contrast_and_feeds_the_next_run(tmp_path, mask):
    grids = {name: grid_of(CONTRASTS[name], half_mm=HALF) for name in ("T2w", "T1w")}
    for name, grid in grids.items():
        stem = CONTRASTS[name].stem("sub-1")
        drawn = rater_mask(grid)
        drawn.save(tmp_path / f"{stem}.nii.gz")
        drawn.save(tmp_path / f"derivatives/labels/{stem}_label-SC_seg.nii.gz", np.uint8)
    dataset = Dataset.index(tmp_path)
    with pytest.raises(InputError, match=r"no report\.csv"):
        write_ground_truth_page(dataset)
    make_ground_truth(dataset)
    page = write_ground_truth_page(dataset)
    assert page == tmp_path / "derivatives/labels_softseg/quality_control/index.html"
    names = re.findall(r'value="(sub-[^"]+)"', page.read_text())
    assert sorted(names) == ["sub-1/T1w", "sub-1/T2w"]
    # What the page's script writes for a ticked picture is what the index reads.
    listed = tmp_path / "exclude.yml"
    listed.write_text('"judged bad by eye":\n- sub-1/T1w\n')
    assert read_exclusions(listed) == {"sub-1/T1w": "judged bad by eye"}
    assert list(Dataset.index(tmp_path, exclude=listed).images["contrast"]) == ["T2w"]
