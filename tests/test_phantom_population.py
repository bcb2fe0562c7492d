"""Participants drawn by the phantom against the group figures they are drawn from."""

import json

import numpy as np
import pytest

from softseg.paths import SHARED
from softseg.phantom.anatomy import population, random_participant

PARTICIPANTS = 1200


@pytest.fixture(scope="module")
def participants():
    return [random_participant(np.random.default_rng([6, n])) for n in range(PARTICIPANTS)]


def diameters(participants, name, level):
    return np.array([p.diameters_mm[name][level] for p in participants])


def areas(participants, level):
    return np.pi / 4 * diameters(participants, "AP", level) * diameters(participants, "RL", level)


def test_the_population_mean_of_the_truth_is_72_mm2_at_c2_c3(participants):
    area = (areas(participants, 2) + areas(participants, 3)) / 2
    assert area.mean() == pytest.approx(72.0, abs=0.8)
    assert area.std() == pytest.approx(6.8, abs=1.0)


def test_means_and_spreads_per_level_and_sex_are_the_measured_ones(participants):
    figures = population()
    for sex in "FM":
        group = [p for p in participants if p.sex == sex]
        for name in figures["variables"]:
            for column, level in enumerate(figures["levels"]):
                drawn = np.log(diameters(group, name, level))
                mean = np.log(figures["geometric_mean_mm"][sex][name][column])
                spread = figures["log_sd"][name][column]
                assert drawn.mean() == pytest.approx(mean, abs=4 * spread / np.sqrt(len(group)))
                assert drawn.std() == pytest.approx(spread, rel=0.12)


def test_correlations_between_levels_directions_and_canal_are_the_measured_ones(participants):
    figures = population()
    drawn = []
    for sex in "FM":
        group = [p for p in participants if p.sex == sex]
        rows = [
            np.log(diameters(group, name, level))
            for name in figures["variables"]
            for level in figures["levels"]
        ]
        drawn.append(np.corrcoef(rows))
    apart = np.abs(np.mean(drawn, axis=0) - np.array(figures["correlation"]))
    assert apart.max() < 0.12


def test_men_have_larger_cords_and_tall_participants_slightly_larger_ones(participants):
    area = areas(participants, 3)
    men = np.array([p.sex == "M" for p in participants])
    height_cm = np.array([p.height_cm for p in participants])
    assert 2 < area[men].mean() - area[~men].mean() < 6
    assert np.corrcoef(area, height_cm)[0, 1] == pytest.approx(0.41, abs=0.1)
    assert height_cm[men].mean() - height_cm[~men].mean() == pytest.approx(13, abs=1.5)


def test_every_level_has_a_height_and_cord_diameters(participants):
    participant = participants[0]
    assert set(participant.vertebra_mm) == set(range(1, 27))
    for name in ("AP", "RL"):
        assert set(participant.diameters_mm[name]) == set(range(1, 20))  # C1 to T12
        assert min(participant.diameters_mm[name].values()) > 4


def test_the_sex_that_is_asked_for_is_drawn():
    assert {random_participant(np.random.default_rng(n), sex="F").sex for n in range(20)} == {"F"}


def test_only_group_figures_are_stored():
    figures = {k: v for k, v in population().items() if k != "root"}
    size = len(figures["variables"]) * len(figures["levels"])
    assert np.array(figures["correlation"]).shape == (size, size)
    assert "sub-" not in json.dumps(figures)


@pytest.mark.real
@pytest.mark.skipif(not SHARED.exists(), reason=f"the measured tables are not at {SHARED}")
def test_stored_figures_are_those_of_the_measured_table():
    import pandas as pd

    table = pd.read_csv(SHARED / "tables" / "spinegeneric_T2w_perlevel.csv")
    figures = population()
    for name in figures["variables"]:
        for column, level in enumerate(figures["levels"]):
            values = table.loc[table["lev"] == level, ["sex", name]].dropna()
            for sex, group in values.groupby("sex"):
                mean = np.exp(np.log(group[name]).mean())
                assert figures["geometric_mean_mm"][sex][name][column] == pytest.approx(
                    mean, rel=0.015
                )
