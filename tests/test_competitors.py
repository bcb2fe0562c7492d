import json
from pathlib import Path

import numpy as np
import pytest
from tube_cohort import write_tubes

from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.metrics.volumes import soft_dice
from softseg.volume import Volume
from softseg_study.competitors.contour import POLARITY, follow_contour, follow_contours
from softseg_study.competitors.mask_files import write_masks
from softseg_study.competitors.nnunet import export_nnunet, import_nnunet, nnunet_commands

SUBJECTS = ("sub-01", "sub-02", "sub-03")


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    # With one contrast the tube is bright in all images.
    return Dataset.index(write_tubes(tmp_path / "data", SUBJECTS, contrasts=("T1w",)))


def truth(dataset: Dataset, subject: str) -> Volume:
    return Volume.load(dataset.existing("labels_softseg", subject, "T1w", "label-SC_softseg"))


def tube(radius_mm: float, *, tilt: float = 0.0, spacing=(0.8, 0.8, 3.0)) -> tuple[Volume, Volume]:
    """A bright tube on a grid of 50 × 55 × 45 mm that leans backwards by `tilt` mm per mm."""
    shape = tuple(round(mm / s) for mm, s in zip((50, 55, 45), spacing, strict=True))
    x, y, z = (np.arange(n) * s for n, s in zip(shape, spacing, strict=True))
    centre = 26.0 + tilt * (z - z.mean())
    away = np.hypot(x[:, None, None] - 24.0, y[None, :, None] - centre)
    soft = np.clip((radius_mm - away) / spacing[0] + 0.5, 0, 1).astype(np.float32)
    affine = np.diag([-spacing[0], *spacing[1:], 1.0])
    noise = np.random.default_rng(0).normal(0, 0.05, soft.shape)
    return Volume(soft + noise.astype(np.float32), affine), Volume(soft, affine)


@pytest.mark.parametrize("radius_mm", [3.5, 5.0, 6.5])
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_the_contour_finds_the_edge_of_a_tube(radius_mm, tilt):
    image, soft = tube(radius_mm, tilt=tilt)
    found = follow_contour(image, polarity="bright")
    areas = found.data.sum(axis=(0, 1)) * 0.64
    assert areas == pytest.approx(np.pi * radius_mm**2, rel=0.1)
    assert soft_dice(found.data, soft.data) > 0.92


def test_a_dark_cord_is_found_by_the_other_polarity():
    image, _ = tube(5.0)
    bright = follow_contour(image, polarity="bright")
    dark = follow_contour(image.like(1 - image.data), polarity="dark")
    assert soft_dice(dark.data, bright.data) > 0.999


def test_the_contour_does_not_depend_on_how_the_image_is_stored_or_scaled():
    image, _ = tube(5.0, tilt=0.2)
    found = follow_contour(image, polarity="bright")
    turned = follow_contour(image.oriented("PIR"), polarity="bright")
    assert turned.orientation == "PIR"
    assert np.allclose(turned.oriented().data, found.data, atol=1e-5)
    brighter = follow_contour(image.like(image.data * 700 + 30), polarity="bright")
    assert soft_dice(brighter.data, found.data) > 0.999


def test_an_image_of_nothing_gives_an_empty_mask():
    image, _ = tube(5.0)
    found = follow_contour(image.like(np.zeros_like(image.data)), polarity="bright")
    assert not found.data.any()


def test_contours_of_a_data_set_are_one_more_method(dataset):
    table = follow_contours(dataset, subjects=["sub-01", "sub-03"])
    assert list(table.subject) == ["sub-01", "sub-03"]
    assert set(table.status) == {"hard"}
    for subject in table.subject:
        mask = Volume.load(dataset.existing("contour_following", subject, "T1w", "label-SC_seg"))
        assert soft_dice(mask.data, truth(dataset, subject).data) > 0.85
    assert (
        dataset.root / "derivatives" / "contour_following" / "dataset_description.json"
    ).exists()


def test_a_contour_follows_the_tube_that_it_is_started_in():
    image, soft = tube(4.5)
    shifted = np.roll(soft.data, 15, axis=0)  # 12 mm to the left, within the image
    both = image.like(image.data + shifted)
    beside = soft.like((shifted > 0.9).astype(np.float32))
    searched = follow_contour(both, polarity="bright")
    started = follow_contour(both, polarity="bright", start=beside)
    assert soft_dice(searched.data, soft.data) > 0.92
    assert soft_dice(started.data, shifted) > 0.92


def test_where_a_contour_starts_says_nothing_about_its_size():
    image, soft = tube(5.0)
    small, large = (soft.like(tube(radius_mm)[1].data) for radius_mm in (3.0, 8.0))
    areas = [
        follow_contour(image, polarity="bright", start=start).data.sum() for start in (small, large)
    ]
    assert areas[0] == pytest.approx(areas[1], rel=0.01)


def test_a_start_on_another_grid_is_refused():
    image, soft = tube(5.0)
    with pytest.raises(InputError, match="grid"):
        follow_contour(image, polarity="bright", start=Volume(soft.data[:-1], soft.affine))


def test_contours_start_from_masks_where_there_are_some(dataset):
    everywhere = follow_contours(dataset, start="labels_softseg:label-SC_softseg")
    assert len(everywhere) == len(SUBJECTS)
    for subject in SUBJECTS:
        mask = Volume.load(dataset.existing("contour_following", subject, "T1w", "label-SC_seg"))
        assert soft_dice(mask.data, truth(dataset, subject).data) > 0.85
    # Without any they are searched, as without the option.
    follow_contours(dataset, subjects=["sub-01"], method="a", start="nowhere:label-SC_seg")
    follow_contours(dataset, subjects=["sub-01"], method="b")
    found = [
        Volume.load(dataset.existing(method, "sub-01", "T1w", "label-SC_seg")).data
        for method in ("a", "b")
    ]
    assert np.array_equal(*found)


def test_the_polarity_of_every_contrast_is_that_of_the_physics():
    from softseg.phantom.signal import tissue_signal

    for contrast, polarity in POLARITY.items():
        signal = tissue_signal(contrast, vendor="Siemens", field_t=3.0)
        brighter = signal["white_matter"] > signal["csf"]
        assert polarity == ("bright" if brighter else "dark"), contrast


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mask: mask.like(mask.data * 2), r"\[0, 1\]"),
        (lambda mask: Volume(mask.data[:-1], mask.affine), "grid"),
        (lambda mask: Volume(mask.data, mask.affine + np.eye(4)[:, [3, 0, 1, 2]]), "grid"),
    ],
    ids=["values", "shape", "place"],
)
def test_a_mask_that_does_not_fit_its_image_is_refused(dataset, change, message):
    with pytest.raises(InputError, match=message):
        write_masks(dataset, "tool", lambda image, _: change(image.like(image.data * 0 + 1)))
    assert not (dataset.root / "derivatives" / "tool").exists()


def test_a_second_run_replaces_masks_of_the_other_kind(dataset):
    write_masks(dataset, "mine", lambda image, _: image.like(image.data * 0 + 0.5))
    write_masks(dataset, "mine", lambda image, _: image.like(image.data * 0 + 1))
    assert dataset.existing("mine", "sub-01", "T1w", "label-SC_softseg") is None
    assert dataset.existing("mine", "sub-01", "T1w", "label-SC_seg") is not None


@pytest.fixture
def exported(dataset, tmp_path) -> Path:
    return export_nnunet(
        dataset, tmp_path / "raw", dataset_id=7, training_subjects=["sub-01"],
        validation_subjects=["sub-02"], test_subjects=["sub-03"], truth="hard",
    )  # fmt: skip


def test_the_data_set_is_exported_as_nnunet_wants_it(exported):
    assert exported.name == "Dataset007_SpinalCord"
    content = json.loads((exported / "dataset.json").read_text())
    assert content["numTraining"] == 2 == len(list((exported / "imagesTr").iterdir()))
    assert content["labels"] == {"background": 0, "cord": 1}
    assert content["file_ending"] == ".nii.gz"
    assert list(content["channel_names"]) == ["0"]
    for label in (exported / "labelsTr").iterdir():
        case = label.name.removesuffix(".nii.gz")
        mask = Volume.load(label)
        image = Volume.load(exported / "imagesTr" / f"{case}_0000.nii.gz")
        assert mask.grid.matches(image.grid)
        assert set(np.unique(mask.data)) == {0, 1}
    splits = json.loads((exported / "splits_final.json").read_text())
    assert splits == [{"train": ["sub-01_T1w"], "val": ["sub-02_T1w"]}]
    assert [p.name for p in (exported / "imagesTs").iterdir()] == ["sub-03_T1w_0000.nii.gz"]


def test_nnunets_masks_come_back_as_one_more_method(dataset, exported, tmp_path):
    soft = truth(dataset, "sub-03")
    soft.like(soft.data > 0.5).save(tmp_path / "out" / "sub-03_T1w.nii.gz", dtype=np.uint8)
    table = import_nnunet(dataset, exported, tmp_path / "out")
    assert table.to_dict("records")[0]["status"] == "hard"
    mask = Volume.load(dataset.existing("nnunet", "sub-03", "T1w", "label-SC_seg"))
    assert np.array_equal(mask.data, soft.data > 0.5)


def test_export_and_import_refuse_what_does_not_fit(dataset, exported, tmp_path):
    with pytest.raises(InputError, match="already there"):
        export_nnunet(dataset, tmp_path / "raw", dataset_id=7, training_subjects=["sub-01"])
    with pytest.raises(InputError, match="make that truth first"):
        export_nnunet(dataset, tmp_path / "raw", dataset_id=8, training_subjects=["sub-01"])
    assert not (tmp_path / "raw" / "Dataset008_SpinalCord").exists()
    with pytest.raises(InputError, match="found 'soft'"):
        export_nnunet(dataset, tmp_path, dataset_id=9, training_subjects=[], truth="soft")
    with pytest.raises(InputError, match="no predictions"):
        import_nnunet(dataset, exported, tmp_path / "empty")
    truth(dataset, "sub-01").save(tmp_path / "odd" / "other.nii.gz")
    with pytest.raises(InputError, match="no case of"):
        import_nnunet(dataset, exported, tmp_path / "odd")


def test_nnunets_commands_name_the_exported_data_set(exported):
    lines = nnunet_commands(exported, "out", configuration="2d", epochs=1, device="cpu")
    assert [line.split()[0] for line in lines] == [
        "nnUNetv2_plan_and_preprocess", "cp", "nnUNetv2_train", "nnUNetv2_predict",
    ]  # fmt: skip
    assert "nnUNetTrainer_1epoch " in lines[2] + " "
    assert str(exported / "imagesTs") in lines[3]
