"""What a method shows of a loss, and what it costs a study, against losses that are known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from simulated_studies import simulated_power

from softseg_study.statistics.atrophy import atrophy_response, repeats, visit_fits
from softseg_study.statistics.studies import components_of, power, sample_size
from softseg_study.statistics.study_table import sample_size_table

LOSSES = (0, 0, 1, 3, 5)
BIAS = {"T1w": -4.0, "T2w": 3.0, "DWI": 1.0}


def visits(response=1.0, noise=0.0, day=0.0, people=6, seed=0, losses=LOSSES, method="m"):
    """Areas of people scanned again and again, of a method that shows part of their losses."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(people):
        own, days = rng.normal(72, 6), rng.normal(0, day, len(losses))
        for contrast, bias in BIAS.items():
            for number, loss in enumerate(losses):
                area = (own + bias) * (1 - loss / 100) ** response
                area *= np.exp(rng.normal(0, noise) + days[number])
                rows.append((f"s{person}", contrast, f"ses-{number + 1}", method, loss, area))
    columns = ["subject", "contrast", "session", "method", "atrophy_percent", "area_mm2"]
    return pd.DataFrame(rows, columns=columns)


def crossed(method="m", people=30, noise=1.0, seed=1, bias=(-4.0, 3.0, 1.0)):
    rng = np.random.default_rng(seed)
    own = rng.normal(72, 6, (people, 1))
    x = own + np.array(bias) + rng.normal(0, noise, (people, len(bias)))
    subject, contrast = np.indices(x.shape).reshape(2, -1)
    return pd.DataFrame(
        {"subject": subject, "contrast": contrast, "method": method, "area_mm2": x.ravel()}
    )


@pytest.mark.parametrize("response", [1.0, 0.4, 0.0, -0.3])
def test_the_share_of_a_loss_that_a_method_shows_is_found_whatever_the_contrasts_add(response):
    found = atrophy_response(visit_fits(visits(response))).iloc[0]
    assert found["response"] == pytest.approx(response, abs=1e-9)
    assert found["rescan_percent"] == pytest.approx(0, abs=1e-5)
    assert found["n"] == 6


def test_the_rescan_deviation_is_the_one_that_made_the_scans():
    fits = visit_fits(visits(noise=0.015, people=150))
    found = atrophy_response(fits).iloc[0]
    assert found["rescan_percent"] == pytest.approx(1.5, rel=0.04)
    # 95 % of people without a loss change less than 1.96 √2 SD between two scans.
    rng = np.random.default_rng(0)
    change = 100 * (rng.normal(0, 0.015, 20_000) - rng.normal(0, 0.015, 20_000))
    assert np.mean(np.abs(change) < found["detectable_percent"] * found["response"]) == (
        pytest.approx(0.95, abs=0.01)
    )


@pytest.mark.parametrize(("day", "noise"), [(0.015, 0.004), (0.004, 0.015), (0.0, 0.01)])
def test_the_error_of_a_day_is_told_from_that_of_a_scan(day, noise):
    found = repeats(visit_fits(visits(0.9, noise=noise, day=day, people=300)))
    assert found.visit == pytest.approx(day, rel=0.1, abs=0.001)
    assert found.scan == pytest.approx(noise, rel=0.05)
    assert found.rescan == pytest.approx(np.hypot(day, noise), rel=0.05)


def test_scans_that_are_missing_do_not_mix_the_two_errors_up():
    table = visits(noise=0.01, day=0.01, people=300)
    table.loc[np.random.default_rng(2).random(len(table)) < 0.2, "area_mm2"] = np.nan
    found = repeats(visit_fits(table))
    assert found.visit == pytest.approx(0.01, rel=0.1)
    assert found.scan == pytest.approx(0.01, rel=0.1)


def test_one_contrast_a_visit_gives_the_total_and_no_split():
    table = visits(noise=0.01, day=0.01, people=300)
    found = repeats(visit_fits(table[table["contrast"] == "T2w"]))
    assert np.isnan(found.visit)
    assert found.scan == pytest.approx(np.hypot(0.01, 0.01), rel=0.05)


def test_two_visits_that_differ_in_their_loss_tell_nothing_of_days():
    found = repeats(visit_fits(visits(noise=0.01, losses=(0, 5))))
    assert np.isnan(found.rescan)
    sizes = sample_size_table(crossed(), fits=visit_fits(visits(noise=0.01, losses=(0, 5))))
    longitudinal = sizes["design"].str.startswith("longitudinal")
    assert sizes.loc[longitudinal, "n_per_arm"].isna().all()
    assert sizes.loc[~longitudinal, "n_per_arm"].notna().all()


@pytest.mark.parametrize(("day", "between"), [(0.0155, 0.2), (0.003, 3.0)])
def test_the_table_of_responses_and_that_of_people_hold_each_other(day, between):
    """A day's error that all contrasts share must count where contrasts agree almost exactly."""
    fits = visit_fits(visits(0.95, noise=0.001, day=day, people=40))
    response = atrophy_response(fits).iloc[0]
    sizes = sample_size_table(crossed(noise=between), fits=fits, n_resamples=0)
    one = sizes[sizes["atrophy_percent"] == 1].set_index("design")
    same = one.loc["longitudinal, same contrast"]
    assert same["detectable_percent"] == pytest.approx(response["detectable_percent"])
    sd = np.sqrt(2) * response["rescan_percent"] / response["response"]
    assert same["n_per_arm"] == sample_size(1 / sd)
    for design in ("longitudinal, different contrasts", "longitudinal, different, adjusted"):
        assert one.loc[design, "n_per_arm"] >= same["n_per_arm"]
        assert one.loc[design, "detectable_percent"] >= response["detectable_percent"]


def test_the_interval_of_the_response_covers_as_often_as_it_says():
    covered = 0
    for seed in range(100):
        table = visits(0.8, noise=0.02, people=4, seed=seed)
        found = atrophy_response(visit_fits(table)).iloc[0]
        covered += found["ci_low"] < 0.8 < found["ci_high"]
    assert 88 <= covered <= 100  # 95 % of 100, three standard errors


def test_missing_scans_and_empty_masks_leave_the_response_and_are_counted():
    table = visits(0.7)
    table.loc[table.index[::7], "area_mm2"] = np.nan
    table.loc[table.index[3], "area_mm2"] = 0.0
    fits = visit_fits(table)
    assert fits["n_scans"].sum() == (table["area_mm2"] > 0).sum()
    assert atrophy_response(fits).loc[0, "response"] == pytest.approx(0.7)


def test_one_true_value_gives_no_response_and_still_a_rescan_deviation():
    fits = visit_fits(visits(noise=0.01, losses=(0, 0), people=200))
    found = atrophy_response(fits).iloc[0]
    assert np.isnan(found["response"])
    assert found["rescan_percent"] == pytest.approx(1.0, rel=0.1)


def test_networks_of_several_seeds_are_fitted_apart_and_averaged_within_a_person():
    both = pd.concat([visits(r).assign(seed=r) for r in (0.5, 1.0)])
    fits = visit_fits(both, by=("seed",))
    assert len(fits) == 12
    assert atrophy_response(fits).loc[0, "response"] == pytest.approx(0.75)


def test_a_method_that_shows_half_of_a_loss_needs_four_times_the_people():
    table = crossed()
    fits = [visit_fits(visits(r, noise=0.01)) for r in (1.0, 0.5)]
    options = {"atrophies_percent": [1], "n_resamples": 0}
    full, half = (
        sample_size_table(
            table, fits=f.assign(response=r), designs=["cross-sectional, one contrast"], **options
        ).loc[0, "n_per_arm"]
        for f, r in zip(fits, (1.0, 0.5), strict=True)
    )
    assert half == pytest.approx(4 * full, rel=0.01)


def test_a_method_that_shows_no_loss_needs_infinitely_many():
    fits = visit_fits(visits(noise=0.01)).assign(response=-0.1)
    found = sample_size_table(crossed(), fits=fits, atrophies_percent=[1], n_resamples=20)
    assert np.isinf(found["n_per_arm"]).all()
    assert np.isinf(found["ci_high"]).all()


def test_the_rescan_deviation_of_the_visits_rules_the_design_with_one_contrast():
    fits = visit_fits(visits(noise=0.005, people=40))
    found = sample_size_table(
        crossed(), fits=fits, designs=["longitudinal, same contrast"], n_resamples=0
    )
    mean = crossed()["area_mm2"].mean()
    assert found.loc[0, "sd_mm2"] == pytest.approx(np.sqrt(2) * 0.005 * mean, rel=0.1)


def test_an_uncertain_response_widens_the_interval():
    fits = visit_fits(visits(noise=0.001, people=8))
    spread = fits.assign(response=np.linspace(0.2, 1.8, 8))
    narrow, wide = (
        sample_size_table(
            crossed(people=200), fits=f.assign(response=f["response"] / f["response"].mean()),
            atrophies_percent=[2], n_resamples=100, designs=["cross-sectional, one contrast"],
        ).loc[0]
        for f in (fits, spread)
    )  # fmt: skip
    assert narrow["n_per_arm"] == wide["n_per_arm"]
    assert wide["ci_high"] / wide["ci_low"] > 1.5 * narrow["ci_high"] / narrow["ci_low"]


def test_variances_of_networks_are_averaged_and_not_their_areas():
    first, second = crossed(noise=3.0, seed=1), crossed(noise=3.0, seed=1)
    second["area_mm2"] = first["area_mm2"] + np.random.default_rng(9).normal(0, 3.0, len(first))
    both = pd.concat([first.assign(seed=1), second.assign(seed=2)])
    options = {"designs": ["cross-sectional, mixed, adjusted"], "n_resamples": 0}
    apart = sample_size_table(both, by=("seed",), **options).loc[0, "sd_mm2"]
    each = [sample_size_table(t, **options).loc[0, "sd_mm2"] for t in (first, second)]
    assert apart == pytest.approx(np.sqrt(np.mean(np.square(each))))


@pytest.mark.parametrize("n", [6, 15])
def test_power_with_covariates_is_that_of_simulated_regressions(n):
    rng = np.random.default_rng(n)
    c, effect, studies = 4, 1.2, 4000
    found = 0
    for _ in range(studies):
        arm = np.repeat([0.0, 1.0], n)
        x = np.column_stack([arm, np.ones(2 * n), rng.normal(size=(2 * n, c))])
        y = effect * arm + rng.normal(size=2 * n)
        inverse = np.linalg.inv(x.T @ x)
        estimate = inverse @ x.T @ y
        df = 2 * n - 2 - c
        error = np.sqrt(((y - x @ estimate) ** 2).sum() / df * inverse[0, 0])
        found += abs(estimate[0]) > stats.t.ppf(0.975, df) * error
    expected = power(n, effect, covariates=c)
    # The average imbalance stands for its distribution, which costs a little accuracy.
    assert found / studies == pytest.approx(expected, abs=0.035)


def test_adjusted_studies_without_atrophy_find_one_in_twenty():
    wide = crossed().pivot_table(index="subject", columns="contrast", values="area_mm2")
    made = components_of(wide.to_numpy(), repeats(visit_fits(visits(noise=0.01))))
    for design in ("cross-sectional, mixed, adjusted", "longitudinal, different, adjusted"):
        share, _, _ = simulated_power(made, 0, design, 12, n_studies=3000)
        assert share == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 3000))
