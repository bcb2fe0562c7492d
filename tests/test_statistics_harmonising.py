"""One constant per contrast, and what no constant undoes, against areas that are made."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from softseg_study.names import CONSTANTS
from softseg_study.statistics import harmonising

CONTRASTS = ("DWI", "MT-on", "GRE-T1w", "T1w", "T2star", "T2w")
SHIFTS = np.array([-6.0, 2.0, -1.0, -2.0, 4.0, 3.0])


def made(people=400, left=0.0, shifts=SHIFTS, seed=0, method="hard_all"):
    rng = np.random.default_rng(seed)
    areas = rng.normal(72, 6, (people, 1)) + shifts + rng.normal(0, left, (people, len(shifts)))
    wide = pd.DataFrame(areas, columns=pd.Index(CONTRASTS, name="contrast"))
    tidy = wide.rename_axis("subject").reset_index().melt("subject", value_name="area_mm2")
    return tidy.assign(method=method, seed="1")


def spread(table, method):
    rows = table[table["method"] == method]
    return rows.groupby("subject")["area_mm2"].std().mean()


def test_constants_undo_a_shift_that_all_people_share_and_keep_their_sizes():
    table = harmonising.with_constants(made(), ["hard_all"])
    assert spread(table, "hard_all") > 3
    assert spread(table, "hard_all" + CONSTANTS) == pytest.approx(0, abs=1e-9)
    sizes = table.pivot_table("area_mm2", "subject", "method")
    np.testing.assert_allclose(sizes["hard_all"], sizes["hard_all" + CONSTANTS])


def test_constants_leave_the_interaction_of_person_and_contrast():
    table = harmonising.with_constants(made(left=1.5), ["hard_all"])
    assert spread(table, "hard_all" + CONSTANTS) == pytest.approx(1.5 * 0.95, rel=0.05)


def test_nobodys_own_areas_teach_their_constants():
    table = made(people=8, left=1.0)
    mine = (table["subject"] == 3) & (table["contrast"] == "DWI")
    changed = table.assign(area_mm2=table["area_mm2"] + 60 * mine)
    before, after = (
        harmonising.with_constants(t, ["hard_all"]).iloc[len(t) :] for t in (table, changed)
    )
    taken = [t["area_mm2"].to_numpy() for t in (before, after)]
    assert taken[1][mine] - taken[0][mine] == pytest.approx(60)


def test_each_training_has_constants_of_its_own_and_unknown_methods_none():
    other = made(shifts=-SHIFTS).assign(seed="2")
    table = harmonising.with_constants(pd.concat([made(), other]), ["hard_all", "nobody"])
    left = table[table["method"] == "hard_all" + CONSTANTS]
    assert left.groupby(["seed", "subject"])["area_mm2"].std().max() < 1e-9


def test_a_contrast_of_one_person_alone_has_no_constant():
    table = made(people=3)
    table = table[(table["contrast"] != "DWI") | (table["subject"] == 0)]
    added = harmonising.with_constants(table, ["hard_all"]).iloc[len(table) :]
    assert added.groupby("contrast")["area_mm2"].count()["DWI"] == 0


def test_constants_against_the_truth_are_mean_errors_and_one_for_the_unknown_contrast():
    errors = pd.DataFrame({"method": "m", "contrast": ["T1w", "T1w", "T2w"], "subject": [1, 2, 1],
                           "error_mm2": [1.0, 3.0, -4.0]})  # fmt: skip
    found = harmonising.constants_against_truth(errors)
    assert found["m", "T1w"] == 2
    assert found["m", "any"] == -1


def test_the_interaction_is_found_with_the_strength_that_made_it():
    left = harmonising.interaction(made(left=1.5))
    assert harmonising.interaction_sd(left) == pytest.approx(1.5, rel=0.05)
    assert harmonising.interaction_sd(harmonising.interaction(made())) == pytest.approx(0, abs=1e-9)


def experiment(strengths, network_sd=1.2, carried=0.3, people=600):
    table = harmonising.interaction_experiment(
        strengths, network_sd_mm2=network_sd, carried=carried, people=people, learnt_on=people,
        shifts_mm2=SHIFTS, network_shifts_mm2=SHIFTS / 10,
    )  # fmt: skip
    return table.pivot_table("sd_mm2", "strength_mm2", "method")


def test_below_the_frontier_constants_win_and_above_it_the_network_does():
    edge = harmonising.frontier_mm2(1.2, 0.3)
    found = experiment([0.7 * edge, edge, 1.4 * edge])
    tool, network = found["tool" + CONSTANTS].to_numpy(), found["network" + CONSTANTS].to_numpy()
    assert tool[0] < 0.95 * network[0]
    assert tool[1] == pytest.approx(network[1], rel=0.03)
    assert tool[2] > 1.05 * network[2]


def test_the_frontier_has_a_value_per_error_whatever_is_carried():
    errors = np.linspace(0.5, 3, 5)
    for carried in (0.3, 1.0, np.nan):  # nan: nobody to learn it from, as among a few participants
        assert harmonising.frontier_mm2(errors, carried).shape == errors.shape


def test_without_interaction_six_numbers_leave_nothing_for_a_network_to_gain():
    found = experiment([0.0]).iloc[0]
    assert found["tool"] > 3
    assert found["tool" + CONSTANTS] == pytest.approx(0, abs=1e-9)
    assert found["network" + CONSTANTS] > 1


def test_three_seeds_are_three_cohorts_and_the_same_again_the_same():
    one = partial(
        harmonising.interaction_experiment, [1.0], shifts_mm2=SHIFTS, network_shifts_mm2=SHIFTS,
        network_sd_mm2=1, carried=0,
    )  # fmt: skip
    first, again = one(), one()
    pd.testing.assert_frame_equal(first, again)
    assert first.groupby("seed")["sd_mm2"].mean().nunique() == 3
