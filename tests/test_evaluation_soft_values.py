"""What soft values mean: known errors, closed forms, and data that lack something."""

import numpy as np
import pandas as pd
import pytest
from test_evaluation import AREA, cohort, shrink  # noqa: F401 (a fixture)

from softseg.volume import Volume
from softseg_study.evaluation.calibration import (
    calibration_by_participant,
    evaluate_calibration,
)
from softseg_study.evaluation.resolutions import PAPER_RESOLUTIONS, ThroughGrid, respaced
from softseg_study.evaluation.uncertainty import (
    evaluate_uncertainty,
    uncertainty_against_error,
)
from softseg_study.statistics.calibration import calibration_table


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


def test_errors_inside_the_cord_do_not_count_for_its_edge():
    truth = np.r_[np.ones(90), np.full(10, 0.5)]
    table = calibration_table(np.r_[np.full(90, 0.97), np.full(10, 0.5)], truth, n_bins=20)
    row = calibration_by_participant(table.assign(subject="a", method="m")).iloc[0]
    assert row["edge_error"] == pytest.approx(0)
    assert row["calibration_error"] == pytest.approx(0.9 * 0.03)


@pytest.mark.parametrize("spacing_mm", [*PAPER_RESOLUTIONS.values(), (0.33, 0.9, 7.0)])
def test_changing_voxels_axis_by_axis_is_what_resampling_onto_the_grid_gives(spacing_mm):
    data = np.random.default_rng(0).uniform(size=(13, 17, 11)).astype(np.float32)
    affine = np.diag([-0.8, 0.7, 1.1, 1.0]) @ np.eye(4)
    affine[:3, 3] = 5, -3, 2
    volume = Volume(data, affine).oriented("RPI")
    fast = respaced(volume, spacing_mm)
    slow = volume.oriented().resampled(volume.oriented().respaced_grid(spacing_mm), mode="nearest")
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
    none = evaluate_uncertainty(cohort, {"m": unsure}, "absent", subjects=["sub-001"])
    assert set(none["status"]) == {"no reference"}
