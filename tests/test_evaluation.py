"""Tables of all methods from a cohort of straight tubes whose area is known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tubes import Tube, sample

from softseg.contrasts import CONTRASTS
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.paths import SHARED
from softseg.volume import Volume
from softseg_study.evaluation.areas import (
    measure_areas,
    measure_slices,
    true_csa,
)
from softseg_study.evaluation.calibration import evaluate_calibration
from softseg_study.evaluation.overlap import evaluate_overlap
from softseg_study.evaluation.resolutions import evaluate_resolutions
from softseg_study.statistics.variability import csa_error

AREA = 70.0
SUBJECTS = ("sub-001", "sub-002")


def shrink(mask, share):
    return mask.like((mask.data * share).astype(np.float32))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Two people, T1w and T2w, true fractions, levels 2 to 4; `half` halves every fraction."""
    root = tmp_path_factory.mktemp("cohort")
    (root / "dataset_description.json").write_text('{"Name": "tubes", "BIDSVersion": "1.10.0"}')
    rows = []
    spacings = {"T1w": (1.0, 1.0, 2.0), "T2w": (0.8, 0.8, 3.0)}
    tubes = {c: sample(Tube(), s, length_mm=36).soft for c, s in spacings.items()}
    for subject in SUBJECTS:
        for contrast, soft in tubes.items():
            write_image(root, subject, contrast, soft)
            rows += [(subject, contrast, z, 2 + z % 3, AREA) for z in range(soft.data.shape[2])]
        table = pd.DataFrame(rows, columns=["subject", "contrast", "slice", "level", "area_mm2"])
        truth = root / "derivatives" / "truth" / subject / f"{subject}_csa.csv"
        table[table["subject"] == subject].to_csv(truth, index=False)
    return Dataset.index(root)


def write_image(root, subject, contrast, soft):
    stem = CONTRASTS[contrast].stem(subject)
    derivatives = root / "derivatives"
    soft.save(root / f"{stem}.nii.gz")
    soft.save(derivatives / "truth" / f"{stem}_label-SC_softseg.nii.gz")
    hard = soft.like((soft.data > 0.5).astype(np.float32))
    hard.save(derivatives / "labels" / f"{stem}_label-SC_seg.nii.gz", np.uint8)
    z = np.arange(soft.data.shape[2])
    level = 4 - (3 * z) // z.size  # superior is C2
    marked = np.where(soft.data > 0, level, 0).astype(np.float32)
    soft.like(marked).save(derivatives / "labels" / f"{stem}_label-vertebrae_dseg.nii.gz", np.uint8)
    if subject == "sub-001":  # the method failed on the other person
        shrink(soft, 0.8).save(derivatives / "faint" / f"{stem}_label-SC_softseg.nii.gz")
    shrink(soft, 0).save(derivatives / "nothing" / f"{stem}_label-SC_softseg.nii.gz")


def test_soft_truth_has_the_tubes_area_and_a_faint_mask_the_same_share_of_it(cohort):
    table = measure_areas(cohort, {"truth": "truth", "faint": "faint"})
    soft = table[(table["mask"] == "soft") & (table["status"] == "ok")]
    areas = soft.groupby("method")["area_mm2"].mean()
    assert areas["truth"] == pytest.approx(AREA, rel=0.003)
    assert areas["faint"] == pytest.approx(0.8 * AREA, rel=0.003)


def test_rows_come_in_the_order_of_the_index_and_every_image_has_one_for_every_method(cohort):
    table = measure_areas(cohort, {"hard": "labels", "faint": "faint"})
    assert list(table["subject"].unique()) == list(SUBJECTS)
    assert table["method"].tolist() == ["hard", "hard", "faint", "faint"] * 4
    assert table["mask"].tolist() == ["soft", "binary"] * 8


def test_a_missing_mask_and_an_empty_one_are_counted_and_not_measured(cohort):
    table = measure_areas(cohort, {"faint": "faint", "nothing": "nothing"}, masks=("soft",))
    status = table.groupby(["subject", "method"])["status"].unique().map(list)
    assert status["sub-001", "faint"] == ["ok"]
    assert status["sub-002", "faint"] == ["no mask"]
    assert status["sub-002", "nothing"] == ["empty mask"]
    assert table.loc[table["status"] != "ok", "area_mm2"].isna().all()


def test_slices_of_the_chosen_levels_are_averaged_and_counted(cohort):
    two = measure_areas(cohort, {"truth": "truth"}, vertebrae=(2, 2), masks=("soft",))
    three = measure_areas(cohort, {"truth": "truth"}, vertebrae=(2, 4), masks=("soft",))
    t1w = two["contrast"] == "T1w"
    assert set(two.loc[t1w, "n_slices"]) == {6}
    assert set(three.loc[t1w, "n_slices"]) == {18}
    assert (two["n_slices"] == two["n_level_slices"]).all()


def test_without_levels_all_slices_are_averaged_and_levels_are_not_needed(cohort):
    table = measure_areas(cohort, {"truth": "truth"}, vertebrae=None, levels="none:none")
    assert (table["status"] == "ok").all()
    missing = measure_areas(cohort, {"truth": "truth"}, levels="none:none")
    assert set(missing["status"]) == {"no levels"}


def test_a_method_may_be_a_function_of_the_images_path(cohort):
    called = measure_areas(cohort, {"m": lambda path: Volume.load(path)})
    stored = measure_areas(cohort, {"m": "truth"})
    pd.testing.assert_frame_equal(called, stored)


def test_the_table_does_not_depend_on_the_number_of_processes(cohort):
    methods = {"hard": "labels", "faint": "faint"}
    one = measure_areas(cohort, methods)
    pd.testing.assert_frame_equal(one, measure_areas(cohort, methods, jobs=2))


def test_a_damaged_mask_is_named_in_its_row_and_the_others_go_on(cohort):
    path = cohort.derivative("broken", "sub-001", "T1w", "label-SC_seg")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no image")
    table = measure_areas(cohort, {"broken": "broken", "truth": "truth"}, subjects=["sub-001"])
    said = table[(table["method"] == "broken") & (table["contrast"] == "T1w")]["status"].iloc[0]
    assert "sub-001_T1w_label-SC_seg.nii.gz" in said
    assert "/" not in said  # a published table names no folder of a machine
    assert (table[table["method"] == "truth"]["status"] == "ok").all()


def test_exact_areas_are_read_per_image_and_errors_against_them_are_small(cohort):
    truth = true_csa(cohort)
    assert truth["area_mm2"].tolist() == [AREA] * 4
    errors = csa_error(measure_areas(cohort, {"truth": "truth"}, masks=("soft",)), truth)
    assert len(errors) == 4
    assert errors["absolute_error_mm2"].max() < 0.3
    assert len(true_csa(cohort, per_slice=True)) > 4


def test_a_data_set_without_truth_gives_an_empty_table_of_truth(cohort, tmp_path):
    image = CONTRASTS["T2w"].stem("sub-009")
    Volume(np.zeros((3, 3, 3), np.float32), np.eye(4)).save(tmp_path / f"{image}.nii.gz")
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    other = Dataset.index(tmp_path)
    assert true_csa(other).empty


def test_overlap_of_the_truth_with_itself_is_perfect_and_missing_masks_have_rows(cohort):
    methods = {"truth": "truth", "hard": "labels", "faint": "faint", "nothing": "nothing"}
    table = evaluate_overlap(cohort, methods, "truth").set_index("method")
    perfect = table.loc["truth"]
    assert (perfect["dice"] == 1).all()
    assert (perfect["soft_dice"] > 0.9999).all()
    assert (perfect["hausdorff95_mm"] == 0).all()
    assert (table.loc["hard", "dice"] == 1).all()
    assert table.loc["hard", "soft_dice"].max() < 1
    ok = table[table["status"] == "ok"]
    assert ok.loc["faint", "soft_volume_error_percent"].to_numpy() == pytest.approx(-20, abs=0.01)
    assert table.loc["faint", "status"].tolist() == ["ok", "ok", "no mask", "no mask"]
    assert set(table.loc["nothing", "status"]) == {"empty mask"}
    assert (table.loc["nothing", "dice"] == 0).all()


def test_a_mask_on_another_grid_is_refused_in_its_row(cohort):
    def moved(path):
        volume = Volume.load(path)
        affine = volume.affine.copy()
        affine[0, 3] += 3
        return Volume(volume.data, affine)

    table = evaluate_overlap(cohort, {"moved": moved}, "truth")
    assert table["status"].str.contains("must lie on the grid").all()


def test_calibration_of_truth_lies_on_the_diagonal_and_a_faint_mask_below_the_truth(cohort):
    table = evaluate_calibration(cohort, {"truth": "truth", "faint": "faint"})
    filled = table[table["n_voxels"] > 0]
    truth, faint = (filled[filled["method"] == m] for m in ("truth", "faint"))
    np.testing.assert_allclose(truth["predicted"], truth["truth"], atol=1e-6)
    np.testing.assert_allclose(faint["predicted"], 0.8 * faint["truth"], atol=1e-3)


def test_area_falls_with_the_threshold_and_zero_changes_nothing(cohort):
    table = measure_areas(cohort, {"truth": "truth"}, thresholds=[0.0, 0.2, 0.5, 0.8])
    areas = table.groupby(["mask", "threshold"])["area_mm2"].mean()
    assert areas["soft"].is_monotonic_decreasing
    assert areas["binary"].is_monotonic_decreasing
    plain = measure_areas(cohort, {"truth": "truth"}, masks=("soft",))["area_mm2"].mean()
    assert areas["soft", 0.0] == pytest.approx(plain)


def test_a_profile_has_every_slice_with_a_level(cohort):
    table = measure_slices(cohort, {"truth": "truth"})
    one = table[(table["subject"] == "sub-001") & (table["contrast"] == "T1w")]
    assert len(one) == 18
    assert set(one["level"]) == {2, 3, 4}


def test_normalising_every_slice_hides_that_a_mask_is_faint(cohort):
    masks = ("soft", "slice-normalised")
    table = measure_areas(cohort, {"faint": "faint"}, masks=masks, subjects=["sub-001"])
    areas = table.groupby("mask")["area_mm2"].mean()
    assert areas["soft"] == pytest.approx(0.8 * AREA, rel=0.003)
    assert areas["slice-normalised"] == pytest.approx(AREA, rel=0.003)


def test_the_soft_area_of_the_truth_is_the_same_at_every_resolution(cohort):
    table = evaluate_resolutions(cohort, {"truth": "truth"}, subjects=["sub-001"])
    soft = table[table["mask"] == "soft"].groupby("resolution")["area_mm2"].mean()
    assert len(soft) == 5
    assert soft.to_numpy() == pytest.approx(AREA, rel=0.01)


def test_a_segmenter_sees_the_image_at_each_resolution(cohort):
    seen = []

    def segment(volume):
        seen.append(volume.spacing_mm)
        return SimpleNamespace(soft=volume)

    resolutions = {"fine": (1.0, 1.0, 2.0), "coarse": (2.0, 2.0, 4.0)}
    table = evaluate_resolutions(
        cohort, {"m": segment}, resolutions=resolutions, subjects=["sub-001"], masks=("soft",)
    )
    assert table["resolution"].unique().tolist() == ["fine", "coarse"]
    assert set(seen) == set(resolutions.values())
    assert table["area_mm2"].to_numpy() == pytest.approx(AREA, rel=0.02)


REAL = pytest.mark.skipif(not (SHARED / "real").exists(), reason=f"no real images at {SHARED}")


@REAL
@pytest.mark.real
def test_real_images_without_truth_and_levels_are_evaluated_by_the_same_calls():
    data = Dataset.index(SHARED / "real", contrasts=["T2w", "T2star", "MT-on"])
    methods = {"manual": "labels", "propseg": "propseg-auto"}
    areas = measure_areas(data, methods, vertebrae=None, masks=("binary",))
    assert len(areas) == 2 * len(data.images)
    assert (areas.groupby("method")["status"].agg(lambda s: (s == "ok").sum()) > 5).all()
    assert true_csa(data).empty
    overlap = evaluate_overlap(data, methods, "labels")
    manual = overlap[(overlap["method"] == "manual") & (overlap["status"] == "ok")]
    assert (manual["dice"] == 1).all()
    assert set(overlap.loc[overlap["method"] == "manual", "status"]) == {"ok", "no mask"}
    propseg = overlap[overlap["method"] == "propseg"]
    assert propseg["dice"].median() > 0.7


def test_an_unknown_subject_is_named(cohort):
    with pytest.raises(InputError, match="sub-777"):
        measure_areas(cohort, {"truth": "truth"}, subjects=["sub-777"])


@pytest.mark.parametrize("ending", ["label-discs_dlabel", "label-discs_desc-warp_dlabel"])
def test_disc_points_tell_the_levels_where_no_level_file_does(tmp_path, ending):
    """The real database has disc points alone; a tube of constant area measures the same."""
    soft = sample(Tube(), (1.0, 1.0, 2.0), length_mm=60).soft
    write_image(tmp_path, "sub-001", "T2w", soft)
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    stem = tmp_path / "derivatives/labels" / CONTRASTS["T2w"].stem("sub-001")
    discs = np.zeros(soft.data.shape, np.float32)
    x, y = (n // 2 for n in discs.shape[:2])
    for value, z in ((2, 26), (3, 20), (4, 12), (5, 4)):
        discs[x, y, z] = value
    soft.like(discs).save(stem.with_name(f"{stem.name}_{ending}.nii.gz"), np.uint8)
    stem.with_name(f"{stem.name}_label-vertebrae_dseg.nii.gz").unlink()
    table = measure_areas(Dataset.index(tmp_path), {"truth": "truth"}, masks=("soft",))
    assert table["status"].tolist() == ["ok"]
    assert table["n_slices"].item() == pytest.approx(14, abs=1)  # from disc 2 down to disc 4
    assert table["area_mm2"].item() == pytest.approx(AREA, rel=1e-3)
