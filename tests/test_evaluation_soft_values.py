"""What soft values mean: known errors, closed forms, and data that lack something."""

import numpy as np
import pandas as pd
import pytest
from test_evaluation import AREA, cohort, shrink  # noqa: F401 (a fixture)

from softseg.volume import Volume
from softseg_study.evaluation.areas import measure_areas, true_csa
from softseg_study.evaluation.calibration import (
    SCATTER_COLUMNS,
    calibration_by_participant,
    calibration_summary,
    evaluate_calibration,
    evaluate_scatter,
)
from softseg_study.evaluation.loss_effects import (
    best_predictions,
    evaluate_losses,
    evaluate_uncertain_voxels,
    expected_bias_percent,
    expected_biases,
    measured_predictions,
    prediction_curves,
)
from softseg_study.evaluation.method_folders import first_weights, save_table, seed_folders
from softseg_study.evaluation.resolutions import PAPER_RESOLUTIONS, ThroughGrid, respaced
from softseg_study.evaluation.soft_measures import (
    resolution_spread,
    treatment_summary,
    unbiased_thresholds,
)
from softseg_study.evaluation.uncertainty import (
    evaluate_uncertainty,
    uncertainty_against_error,
    uncertainty_summary,
)
from softseg_study.figures.calibration import (
    area_against_resolution,
    area_against_threshold,
    prediction_by_probability,
    reliability_curve,
)
from softseg_study.sentences.soft_values import (
    NO_TRUTH,
    say_losses,
    say_resolutions,
    say_threshold,
    say_uncertainty,
    say_value,
)
from softseg_study.statistics.calibration import calibration_table, pool_calibration
from softseg_study.statistics.loss_bias import best_prediction


def shifted_tables(shift, people=3):
    """Uniform truths and predictions that are `shift` too large, one table a person."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.2, 0.7, size=20_000)
    table = calibration_table(truth + shift, truth, n_bins=20)
    return pd.concat(
        [table.assign(subject=f"sub-{i}", method="m", seed="1") for i in range(people)]
    )


def test_a_constant_error_of_the_values_is_the_calibration_error_and_the_bias_of_the_edge():
    people = calibration_by_participant(shifted_tables(0.06), by=("method", "seed"))
    assert people["subject"].tolist() == ["sub-0", "sub-1", "sub-2"]
    assert people["calibration_error"].to_numpy() == pytest.approx(0.06, abs=1e-6)
    assert people["edge_bias"].to_numpy() == pytest.approx(0.06, abs=1e-6)
    assert people["volume_error_percent"].to_numpy() == pytest.approx(100 * 0.06 / 0.45, rel=0.01)
    summary = calibration_summary(people).iloc[0]
    assert summary["n"] == 3
    assert summary["ci_low"] <= summary["calibration_error"] + 1e-9


def test_errors_inside_the_cord_do_not_count_for_its_edge():
    truth = np.r_[np.ones(90), np.full(10, 0.5)]
    table = calibration_table(np.r_[np.full(90, 0.97), np.full(10, 0.5)], truth, n_bins=20)
    row = calibration_by_participant(table.assign(subject="a", method="m")).iloc[0]
    assert row["edge_error"] == pytest.approx(0)
    assert row["calibration_error"] == pytest.approx(0.9 * 0.03)


def test_calibration_names_what_was_wrong_and_counts_no_voxel_of_it(cohort):  # noqa: F811
    def damaged(path):
        return Volume.load(path).like(np.full(Volume.load(path).data.shape, 1.5))

    methods = {"faint": "faint", "damaged": damaged, "truth": "truth"}
    table = evaluate_calibration(cohort, methods, n_bins=5)
    status = table.groupby(["method", "subject"])["status"].unique().map(list)
    assert status["faint", "sub-001"] == ["ok"]
    assert status["faint", "sub-002"] == ["no mask"]
    assert "must lie in [0, 1]" in status["damaged", "sub-001"][0]
    assert status["truth", "sub-002"] == ["ok"]
    assert table.loc[table["status"] != "ok", "n_voxels"].sum() == 0
    assert len(table) == 5 * 3 * len(cohort.images)
    nothing = evaluate_calibration(cohort, {"truth": "truth"}, "no-such-folder")
    assert set(nothing["status"]) == {"no reference"}
    assert calibration_by_participant(nothing).empty
    assert say_value(pool_calibration(nothing, by=("method",)), "truth") == NO_TRUTH


def test_the_threshold_of_the_true_area_lies_where_the_error_changes_sign():
    truth = pd.DataFrame({"subject": ["a", "b"], "contrast": "T2w", "area_mm2": [72.0, 90.0]})
    rows = [
        (person, "T2w", "m", "binary", t, 80 - 20 * t)
        for person in ("a", "b")
        for t in (0.1, 0.3, 0.5, 0.7)
    ]
    columns = ["subject", "contrast", "method", "mask", "threshold", "area_mm2"]
    found = unbiased_thresholds(pd.DataFrame(rows, columns=columns), truth.assign(method="truth"))
    assert found["threshold"].iloc[0] == pytest.approx(0.4)
    assert np.isnan(found["threshold"].iloc[1])
    assert "for 1 of 2 people" in say_threshold(found, "m")
    assert say_threshold(found.iloc[:0], "m") == NO_TRUTH


def test_ways_to_measure_are_set_apart_by_error_and_spread(cohort):  # noqa: F811
    kinds = ("soft", "binary", "slice-normalised")
    csa = measure_areas(cohort, {"faint": "faint", "truth": "truth"}, masks=kinds)
    table = treatment_summary(csa, true_csa(cohort)).set_index(["method", "mask"])
    assert table.loc[("faint", "soft"), "error_percent"] == pytest.approx(-20, abs=0.3)
    assert table.loc[("faint", "slice-normalised"), "error_percent"] == pytest.approx(0, abs=0.3)
    assert table.loc[("truth", "soft"), "area_mm2"] == pytest.approx(AREA, rel=3e-3)
    assert (table["n"].loc["faint"] == 1).all()
    without = treatment_summary(csa, true_csa(cohort).iloc[:0])
    assert "error_percent" not in without
    assert without["sd_mm2"].notna().all()


def test_scatter_of_a_mask_with_itself_lies_on_the_diagonal_and_counts_every_voxel(cohort):  # noqa: F811
    table = evaluate_scatter(cohort, {"truth": "truth", "faint": "faint"}, "truth", n_bins=10)
    same = table[table["method"] == "truth"]
    assert ((same["reference"] > same["low"] - 0.051) & (same["reference"] < same["high"])).sum()
    assert (same["reference"] - same["low"]).between(-1e-9, 0.1 + 1e-9).all()
    counted = evaluate_calibration(cohort, {"truth": "truth"})["n_voxels"].sum()
    assert same["n_voxels"].sum() == counted
    assert set(table.loc[table["method"] == "faint", "subject"]) == {"sub-001"}
    assert table["high"].max() == 1


def coin_scatter(probabilities, voxels=1000):
    rows = [
        ("T2w", p - 0.025, value, round(voxels * share))
        for p in probabilities
        for value, share in ((0.0, 1 - p), (1.0, p))
    ]
    return pd.DataFrame(rows, columns=["contrast", "low", "reference", "n_voxels"])


@pytest.mark.parametrize("loss", ["adaptive_wing", "mean_squared_error", "soft_cross_entropy"])
def test_answers_to_a_tossed_coin_are_those_of_the_closed_form(loss):
    p = [0.1, 0.3, 0.6, 0.9]
    found = best_predictions(coin_scatter(p), loss)
    np.testing.assert_allclose(found["probability"], p, atol=1e-12)
    np.testing.assert_allclose(found["prediction"], best_prediction(p, loss), atol=1e-4)


def test_proper_losses_are_expected_to_be_unbiased_and_adaptive_wing_is_not():
    scatter = coin_scatter([0.3, 0.6, 0.8])
    biases = expected_biases(scatter)
    assert biases["mean_squared_error"] == pytest.approx(0, abs=1e-3)
    assert biases["soft_cross_entropy"] == pytest.approx(0, abs=1e-3)
    answers = best_predictions(scatter)
    by_hand = 100 * (best_prediction([0.3, 0.6, 0.8]).sum() / 1.7 - 1)
    assert biases["adaptive_wing"] == pytest.approx(by_hand, rel=1e-3)
    assert expected_bias_percent(answers) == biases["adaptive_wing"]
    assert np.isnan(expected_bias_percent(answers.iloc[:0]))


def test_models_that_were_not_trained_are_left_out_of_the_losses(cohort):  # noqa: F811
    for seed in (1, 2):
        for row in cohort.images.itertuples():
            soft = Volume.load(
                cohort.existing("truth", row.subject, row.contrast, "label-SC_softseg")
            )
            name = f"soft_all_seed-{seed}"
            path = cohort.derivative(name, row.subject, row.contrast, "label-SC_softseg")
            shrink(soft, 1 - 0.1 * seed).save(path)
    assert list(seed_folders(cohort, ["soft_all", "absent"])) == [
        "soft_all_seed-1", "soft_all_seed-2",
    ]  # fmt: skip
    learnt = evaluate_losses(cohort, "truth")
    assert set(learnt["method"]) == {"adaptive_wing"}
    assert set(learnt["seed"]) == {"1", "2"}
    people = calibration_by_participant(learnt, by=("method", "seed"))
    errors = people.groupby("seed")["volume_error_percent"].mean()
    assert errors.to_dict() == pytest.approx({"1": -10, "2": -20}, abs=0.01)
    assert "mean_squared_error" in say_losses(people)
    doubt = evaluate_uncertain_voxels(cohort, "truth")
    assert set(doubt["method"]) == {"adaptive_wing"}
    points = measured_predictions(learnt, least_voxels=1)
    assert (points["prediction"] < points["probability"] + 1e-9).all()
    none = evaluate_losses(cohort, "truth", models={"adaptive_wing": "absent"})
    assert none.empty
    assert calibration_summary(calibration_by_participant(none)).empty
    assert evaluate_uncertain_voxels(cohort, models=dict.fromkeys(
        ["mean_squared_error", "soft_cross_entropy", "adaptive_wing"], "absent")).empty  # fmt: skip


def test_a_larger_volume_is_said_to_be_larger():
    rows = [(f"sub-{i}", loss, i + 5 * (loss == "adaptive_wing"))
            for i in range(8) for loss in ("adaptive_wing", "mean_squared_error")]  # fmt: skip
    table = pd.DataFrame(rows, columns=["subject", "method", "volume_error_percent"])
    said = say_losses(table)
    assert "mean_squared_error is smaller than that of adaptive_wing by 5.0 %" in said


@pytest.mark.parametrize("mode", ["constant", "nearest"])
@pytest.mark.parametrize("spacing_mm", [*PAPER_RESOLUTIONS.values(), (0.33, 0.9, 7.0)])
def test_changing_voxels_axis_by_axis_is_what_resampling_onto_the_grid_gives(spacing_mm, mode):
    data = np.random.default_rng(0).uniform(size=(13, 17, 11)).astype(np.float32)
    affine = np.diag([-0.8, 0.7, 1.1, 1.0]) @ np.eye(4)
    affine[:3, 3] = 5, -3, 2
    volume = Volume(data, affine).oriented("RPI")
    fast = respaced(volume, spacing_mm, mode)
    slow = volume.oriented().resampled(volume.oriented().respaced_grid(spacing_mm), mode=mode)
    np.testing.assert_allclose(fast.data, slow.data, atol=2e-6)
    np.testing.assert_allclose(fast.affine, slow.affine)
    assert fast.data.dtype == np.float32


def test_a_detour_over_a_coarse_grid_softens_the_edge_and_keeps_the_volume(cohort):  # noqa: F811
    detours = {f"{mm} mm": ThroughGrid(cohort, "truth", mm) for mm in (0.8, 1.6)}
    table = evaluate_calibration(cohort, detours, subjects=["sub-001"])
    t2w = table[table["contrast"] == "T2w"]  # voxels of 0.8 mm: no detour at all
    people = calibration_by_participant(t2w).set_index("method")
    assert people.loc["0.8 mm", "calibration_error"] == pytest.approx(0, abs=1e-6)
    assert people.loc["1.6 mm", "calibration_error"] > 0.01
    assert people.loc["1.6 mm", "volume_error_percent"] == pytest.approx(0, abs=1)
    absent = evaluate_calibration(cohort, {"m": ThroughGrid(cohort, "absent", 1.0)})
    assert absent["status"].str.contains("absent").all()


def test_voxel_sizes_of_one_person_are_summed_up_by_their_coefficient_of_variation():
    rows = [
        ("a", "T2w", "m", mask, size, 70 + step * (mask == "binary"))
        for mask in ("soft", "binary")
        for size, step in (("1 mm", -7), ("2 mm", 7))
    ]
    columns = ["subject", "contrast", "method", "mask", "resolution", "area_mm2"]
    table = pd.DataFrame(rows, columns=columns)
    spread = resolution_spread(table).set_index("mask")["cov_percent"]
    assert spread["soft"] == 0
    assert spread["binary"] == pytest.approx(10 * np.sqrt(2))
    assert "0.0 % soft and 14.1 % binary" in say_resolutions(table, "m")
    unknown = table.assign(area_mm2=table["area_mm2"].where(table["mask"] == "soft"))
    assert "unknown binary" in say_resolutions(unknown, "m")


class Answer:
    """A mask and its uncertainty, as `segment` gives them."""

    def __init__(self, soft, uncertainty):
        self.soft, self.uncertainty = soft, uncertainty


def test_uncertainty_that_equals_the_error_ranks_it_perfectly_and_a_constant_one_not_at_all():
    rng = np.random.default_rng(0)
    truth, soft = rng.uniform(size=(2, 8, 8, 6))
    error = np.abs(soft - truth)
    perfect = uncertainty_against_error(soft, error**2, truth)
    assert perfect["rank_correlation"] == pytest.approx(1)
    assert perfect["edge_rank_correlation"] == pytest.approx(1)
    assert np.isnan(uncertainty_against_error(soft, np.ones_like(soft), truth)["rank_correlation"])
    turned = uncertainty_against_error(soft, -error, truth)
    assert turned["rank_correlation"] == pytest.approx(-1)


def test_background_that_nobody_marks_does_not_count_for_the_uncertainty():
    truth, soft = np.zeros((2, 9, 9, 3))
    truth[3:6, 3:6], soft[4:7, 3:6] = 0.9, np.linspace(0.1, 0.8, 9).reshape(3, 3)[:, :, None]
    found = uncertainty_against_error(soft, soft, truth)
    assert found["n_voxels"] == 4 * 3 * 3


def test_uncertainty_is_compared_image_by_image_and_failures_are_named(cohort):  # noqa: F811
    def unsure(image):
        data = image.data.copy()
        soft = image.like(
            np.clip(data + 0.1 * np.sin(np.arange(data.size)).reshape(data.shape), 0, 1)
        )
        return Answer(soft, image.like(np.abs(soft.data - data)))

    table = evaluate_uncertainty(cohort, {"m": unsure}, subjects=["sub-001"])
    assert table["status"].tolist() == ["ok", "ok"]
    assert table["rank_correlation"].to_numpy() == pytest.approx(1, abs=1e-6)
    said = say_uncertainty(table, "m")
    assert "1.00 for the spread" in said
    assert "nan" not in said
    summary = uncertainty_summary(table)
    assert summary["n"].eq(1).all()
    assert len(summary) == 5
    none = evaluate_uncertainty(cohort, {"m": unsure}, "absent", subjects=["sub-001"])
    assert set(none["status"]) == {"no reference"}
    assert say_uncertainty(none, "m") == NO_TRUTH
    assert uncertainty_summary(none).empty


def test_figures_of_data_without_truth_or_masks_say_so():
    empty = shifted_tables(0.1).assign(n_voxels=0)
    figure = reliability_curve(pool_calibration(empty, by=("method",)))
    assert "known" in figure.axes[0].texts[0].get_text()
    row = {"subject": "a", "contrast": "T2w", "mask": "soft", "method": "m", "threshold": 0.1}
    table = pd.DataFrame([row | {"resolution": "1 mm", "area_mm2": np.nan}])
    for draw in (area_against_threshold, area_against_resolution):
        assert "measured" in draw(table).axes[0].texts[0].get_text()


def test_points_of_a_loss_without_a_curve_and_curves_without_points_are_drawn():
    p = np.linspace(0, 1, 11)
    points = pd.DataFrame({"loss": "soft_dice", "probability": [0.2, 0.8], "prediction": [0, 1]})
    curves = prediction_curves(p, pd.DataFrame(columns=SCATTER_COLUMNS))
    figure = prediction_by_probability(curves, p, measured=points)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "soft Dice, measured" in names
    assert "Adaptive Wing, theory" in names
    doubtful = prediction_curves(p, coin_scatter([0.2, 0.5, 0.8]).assign(method="m"))
    assert np.isnan(doubtful["adaptive_wing, measured uncertainty"][[0, -1]]).all()
    assert doubtful["adaptive_wing, measured uncertainty"][8] == pytest.approx(1, abs=0.01)


def test_soft_and_binary_areas_of_a_method_share_its_colour():
    rows = [
        (f"sub-{i}", "m", mask, size, 70.0 + i)
        for i in range(3)
        for mask in ("soft", "binary")
        for size in ("1 mm", "2 mm")
    ]
    table = pd.DataFrame(rows, columns=["subject", "method", "mask", "resolution", "area_mm2"])
    lines = [c.lines[0] for c in area_against_resolution(table).axes[0].containers]
    assert lines[0].get_color() == lines[1].get_color()
    assert lines[0].get_markerfacecolor() != lines[1].get_markerfacecolor()


def test_tables_are_written_and_read_back_and_first_seeds_found(tmp_path):
    table = pd.DataFrame({"method": ["m"], "area_mm2": [1.5]})
    save_table(tmp_path / "tables" / "one.csv", table)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "tables" / "one.csv"), table)
    for name in ("net_seed-2", "net_seed-1", "other_seed-1"):
        (tmp_path / name).mkdir()
    assert first_weights(tmp_path, ["net", "absent"]) == {"net": tmp_path / "net_seed-1"}
