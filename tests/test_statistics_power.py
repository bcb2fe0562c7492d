"""Sample sizes against statsmodels and simulation, and a loss's bias against brute force."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from simulated_studies import simulated_power
from statsmodels.stats.power import TTestIndPower
from test_statistics_atrophy import visits

from softseg_study.statistics import loss_bias, studies
from softseg_study.statistics.atrophy import Repeats, visit_fits
from softseg_study.statistics.loss_bias import area_bias_percent
from softseg_study.statistics.studies import (
    DESIGNS,
    Components,
    components_of,
    sample_size,
)
from softseg_study.statistics.study_table import sample_size_table


def simulated_areas(n=400, person=6.0, residual=1.0, bias=(-4.0, 0.0, 1.0, 3.0), seed=0):
    rng = np.random.default_rng(seed)
    return (
        72
        + rng.normal(0, person, (n, 1))
        + np.array(bias)
        + rng.normal(0, residual, (n, len(bias)))
    )


def simulated_csa(**options):
    x = simulated_areas(**options)
    subject, contrast = np.indices(x.shape).reshape(2, -1)
    return pd.DataFrame(
        {"subject": subject, "contrast": contrast, "method": "m", "area_mm2": x.ravel()}
    )


def components(**options):
    defaults = {
        "mean_mm2": 72.0, "subject_sd": 6.0, "contrast_means_mm2": (-4.0, 0.0, 1.0, 3.0),
        "residual_sd": 1.5, "visit_sd": 0.5, "scan_sd": 0.5,
    }  # fmt: skip
    return Components(**(defaults | options))


@pytest.mark.parametrize("effect", [0.1, 0.35, 0.8, 1.5, 3.0])
@pytest.mark.parametrize("power", [0.8, 0.9])
def test_sample_size_is_that_of_statsmodels(effect, power):
    expected = TTestIndPower().solve_power(effect, power=power, alpha=0.05)
    assert sample_size(effect, target_power=power) == np.ceil(expected)


def test_power_is_known_over_the_whole_range_and_grows_with_n_and_effect():
    effects, sizes = np.geomspace(1e-3, 60, 30), np.geomspace(2, 1e6, 30)
    found = np.array([[studies.power(n, e) for n in sizes] for e in effects])
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=0) > -1e-9).all()
    assert (np.diff(found, axis=1) > -1e-9).all()


def test_power_of_no_effect_is_the_level_of_the_test():
    assert studies.power(20, 0.0) == pytest.approx(0.05)


def test_sample_size_grows_with_the_square_of_one_over_the_atrophy():
    one, two = (sample_size(0.72 * a / 6.2) for a in (1, 2))
    assert one == pytest.approx(4 * two, rel=0.01)


def test_variance_components_are_those_that_made_the_data():
    found = components_of(simulated_areas())
    assert found.mean_mm2 == pytest.approx(72, abs=1)
    assert found.subject_sd == pytest.approx(6, rel=0.1)
    assert found.residual_sd == pytest.approx(1, rel=0.1)
    assert found.contrast_means_mm2 == pytest.approx((-4, 0, 1, 3), abs=0.2)
    assert np.isnan(found.measurement_sd("longitudinal, same contrast")), "nobody came twice"


def test_different_contrasts_cost_nothing_where_the_area_does_not_depend_on_them():
    same = components(contrast_means_mm2=(0.0, 0.0, 0.0), scan_sd=1.5)
    for kind in ("cross-sectional", "longitudinal"):
        sds = [same.measurement_sd(d) for d in DESIGNS if d.startswith(kind)]
        assert sds == pytest.approx([sds[0]] * 3)


def test_adjusting_for_contrasts_removes_what_all_people_share_and_no_more():
    adjusted = components().measurement_sd("longitudinal, different, adjusted")
    assert adjusted == pytest.approx(np.sqrt(2 * (0.5**2 + 1.5**2)))
    one = components().measurement_sd("cross-sectional, one contrast")
    assert components().measurement_sd("cross-sectional, mixed, adjusted") == one


def test_measured_sd_of_different_contrasts_is_the_sd_over_all_ordered_pairs():
    bias = np.array([-4.0, 0.0, 1.0, 3.0])
    pairs = np.array([b - a for i, a in enumerate(bias) for j, b in enumerate(bias) if i != j])
    found = components().measurement_sd("longitudinal, different contrasts")
    assert found == pytest.approx(np.sqrt((pairs**2).mean() + 2 * (0.5**2 + 1.5**2)))


@pytest.mark.parametrize("visit", [0.02, 0.005])
def test_a_measured_deviation_between_visits_is_used_whole_whatever_contrasts_agree_on(visit):
    x = simulated_areas(residual=0.1)
    found = components_of(x, Repeats(visit, 0.001))
    for design in DESIGNS:
        if design.startswith("longitudinal"):
            assert found.measurement_sd(design) >= np.sqrt(2) * visit * x.mean() * 0.999, design


def test_a_total_that_cannot_be_split_stays_the_total():
    x = simulated_areas(residual=0.5)
    found = components_of(x, Repeats(np.nan, 0.02))
    total = np.sqrt(2) * 0.02 * x.mean()
    assert found.measurement_sd("longitudinal, same contrast") == pytest.approx(total)
    assert found.measurement_sd("longitudinal, different, adjusted") == pytest.approx(total)


@pytest.mark.parametrize("design", list(DESIGNS))
def test_simulated_studies_have_the_power_that_the_formula_promises(design):
    made = components()
    sd = made.measurement_sd(design)
    n = sample_size(72 * 0.03 / sd, covariates=made.covariates(design))
    _, low, high = simulated_power(components(), 3, design, int(n), n_studies=1500)
    # Wilson's interval at the 95 % level, widened to a level at which four designs all pass.
    middle, half = (low + high) / 2, (high - low) / 2
    exact = studies.power(n, 72 * 0.03 / sd, covariates=made.covariates(design))
    assert abs(middle - exact) < 1.7 * half


@pytest.mark.filterwarnings("error")
def test_a_method_without_any_spread_shows_every_atrophy():
    exact = components(subject_sd=0.0, residual_sd=0.0, visit_sd=0.0, scan_sd=0.0)
    found = simulated_power(exact, 1, "longitudinal, same contrast", 2, n_studies=50)
    assert found[0] == 1


def test_simulated_studies_of_no_atrophy_find_one_in_twenty():
    share, _, _ = simulated_power(
        components(), 0, "longitudinal, different contrasts", 30, n_studies=3000
    )
    assert share == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 3000))


def test_the_table_shows_what_dependence_on_the_contrast_costs():
    steady = simulated_csa(n=30, bias=(0.0, 0.0, 0.0, 0.0))
    table = pd.concat([simulated_csa(n=30).assign(method="hard"), steady.assign(method="soft")])
    fits = visit_fits(visits(noise=0.01))
    fits = pd.concat([fits.assign(method=name) for name in ("hard", "soft")])
    found = sample_size_table(table, atrophies_percent=[2], n_resamples=50, fits=fits)
    n = found.set_index(["method", "design"])["n_per_arm"]
    assert (
        n["hard", "longitudinal, different contrasts"]
        > 3 * n["soft", "longitudinal, different contrasts"]
    )
    assert (found["ci_low"] <= found["n_per_arm"]).all()
    assert (found["n_per_arm"] <= found["ci_high"]).all()
    assert (
        n["hard", "longitudinal, different, adjusted"]
        < 1.3 * n["soft", "longitudinal, different contrasts"]
    )
    longitudinal = found["design"].str.startswith("longitudinal")
    scans = np.where(longitudinal, 2, 1)
    np.testing.assert_allclose(found["scanner_hours"], 2 * found["n_per_arm"] * scans * 5 / 60)
    assert set(found["n"]) == {30}


def test_three_people_give_a_wide_interval_and_one_gives_a_note():
    table = simulated_csa(n=3)
    one = simulated_csa(n=1).assign(method="one")
    designs = [design for design in DESIGNS if design.startswith("cross")]
    found = sample_size_table(pd.concat([table, one]), n_resamples=50, designs=designs)
    assert (found.loc[found["method"] == "m", "ci_low"] >= 2).all()
    assert found.loc[found["method"] == "one", "note"].tolist() == [
        "n too small: 1 participants with all contrasts"
    ]


def test_an_unknown_design_is_named():
    with pytest.raises(ValueError, match="cross-over"):
        components().measurement_sd("cross-over")


def least_risk(targets, weights=None, loss="adaptive_wing"):
    """Prediction of least expected loss for any distribution of targets, by search."""
    grid = np.linspace(0, 1, 200_001)
    values = [loss_bias.LOSS_VALUES[loss](grid, t) for t in targets]
    return grid[np.nanargmin(np.average(values, axis=0, weights=weights))]


@pytest.mark.parametrize("loss", list(loss_bias.LOSS_VALUES))
def test_the_closed_form_is_the_minimum_found_by_brute_force(loss):
    p = np.array([0.02, 0.2, 0.45, 0.5, 0.52, 0.6, 0.9])
    expected = [least_risk([1.0, 0.0], [q, 1 - q], loss) for q in p]
    np.testing.assert_allclose(loss_bias.best_prediction(p, loss), expected, atol=3e-5)


def test_the_numpy_loss_is_the_one_that_trains():
    torch = pytest.importorskip("torch")
    from softseg.losses.regression import adaptive_wing

    rng = np.random.default_rng(0)
    prediction, target = rng.uniform(-0.5, 1.5, 500), rng.uniform(0, 1, 500)
    expected = adaptive_wing(
        torch.from_numpy(prediction), torch.from_numpy(target), reduction="none"
    )
    found = loss_bias.adaptive_wing_value(prediction, target)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_a_target_of_one_in_six_out_of_ten_cases_is_best_predicted_as_one():
    assert loss_bias.best_prediction(0.6) == pytest.approx(1, abs=1e-3)
    assert loss_bias.best_prediction(0.6, "mean_squared_error") == 0.6


def test_the_best_prediction_jumps_from_the_low_to_the_high_side_once():
    p = np.linspace(0, 1, 2001)
    best = loss_bias.best_prediction(p)
    jump = np.diff(best).argmax()
    assert p[jump] == pytest.approx(0.509, abs=1e-3)  # where both sides cost the same
    assert best[jump] < 0.5
    assert best[jump + 1] > 0.9
    assert (np.diff(best) > -1e-4).all()


def test_proper_losses_keep_the_area_and_adaptive_wing_adds_to_it():
    for loss in ("mean_squared_error", "soft_cross_entropy"):
        assert abs(area_bias_percent(loss)) < 1e-6
    assert 2 < area_bias_percent("adaptive_wing", edge_sd_mm=0.3) < 4
    assert area_bias_percent(edge_sd_mm=0.01) == pytest.approx(0, abs=0.2)


def test_the_area_of_an_uncertain_disk_is_the_integral_over_rings():
    radius, sd = 4.0, 0.5
    r = np.linspace(0, 8, 8001)
    p = stats.norm.sf((r - radius) / sd)
    best = loss_bias.best_prediction(p)
    area = integrate.trapezoid(2 * np.pi * r * best, r)
    true = np.pi * (radius**2 + sd**2)
    found = area_bias_percent(radius_mm=radius, edge_sd_mm=sd)
    assert found == pytest.approx(100 * (area / true - 1), abs=0.02)


def test_soft_targets_of_several_raters_are_averaged_by_a_proper_loss():
    targets = np.array([0.0, 0.25, 0.5, 1.0])
    for loss in ("mean_squared_error", "soft_cross_entropy"):
        found = least_risk(targets, loss=loss)
        assert found == pytest.approx(targets.mean(), abs=1e-5)
