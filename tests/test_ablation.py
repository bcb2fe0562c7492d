"""Ablations: who belongs to which factor, what a change did, and how that is said."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from softseg.contrasts import CONTRASTS
from softseg.errors import InputError
from softseg_study.evaluation import ablation
from softseg_study.evaluation.ablation import seed_variability
from softseg_study.evaluation.model_grid import (
    learnt_contrasts,
    missing_methods,
    model_methods,
    read_factors,
    training_budget,
)
from softseg_study.sentences.ablation import (
    FACTORS,
    say_expectation,
    say_missing,
    say_what_mattered,
)
from softseg_study.statistics.comparison import compare_methods
from softseg_study.statistics.variability import contrast_variability

GRID = Path(__file__).resolve().parents[1] / "notebooks" / "scales" / "grid.yml"
PEOPLE = [f"sub-{i:02d}" for i in range(16)]


def areas(methods: dict[str, dict], *, seeds=("1",), people=PEOPLE) -> pd.DataFrame:
    """Areas of made-up methods: true area × slope + bias, with a given SD over contrasts.

    Keys of a method: `sd`, `bias`, `slope`, `contrasts`, `luck` (SD of `sd` between seeds).
    """
    rows = []
    pattern = np.array([1, -1, 1, -1, 1, -1]) / np.sqrt(6 / 5)  # sample SD 1
    for i, (name, about) in enumerate(methods.items()):
        for j, seed in enumerate(seeds):
            rng = np.random.default_rng([i, j])
            sd = about.get("sd", 1.0) + about.get("luck", 0.0) * rng.normal()
            for k, subject in enumerate(people):
                true = 60.0 + 2 * k
                own = sd * (1 + 0.05 * rng.normal())
                for value, contrast in zip(pattern, CONTRASTS, strict=True):
                    if contrast in about.get("contrasts", CONTRASTS):
                        area = 70 + about.get("slope", 1.0) * (true - 70) + about.get("bias", 0.0)
                        area += own * value
                        rows.append((subject, contrast, name, seed, area))
    return pd.DataFrame(rows, columns=["subject", "contrast", "method", "seed", "area_mm2"])


def truth(people=PEOPLE) -> pd.DataFrame:
    return areas({"truth": {"sd": 0.0}}, people=people).drop(columns="seed")


def row(table: pd.DataFrame, method: str, measure: str) -> pd.Series:
    found = table[(table["method_a"] == method) & (table["measure"] == measure)]
    assert len(found) == 1
    return found.iloc[0]


def test_every_method_of_the_grid_varies_one_factor_against_another_method():
    planned = set(model_methods(GRID).values())
    found = read_factors(GRID)
    variants = [method for family in found.values() for method in family]
    assert sorted(variants) == sorted(planned - {"soft_all"})
    assert set(found) == set(FACTORS) - {"other"}


def test_one_thing_differs_between_a_variant_and_its_base():
    grid = yaml.safe_load(GRID.read_text(encoding="utf-8"))["models"]
    first = {method: model for model, method in reversed(model_methods(GRID).items())}
    # Three contrasts in the grid are learnt with their own truth, and segment all six.
    together = {
        "contrasts": {"contrasts", "own_truth", "segmented"},
        "budget": {"contrasts", "settings"},
        "models": {"contrasts"},
        "activation": {"network"},
    }
    for factor, variants in read_factors(GRID).items():
        for method, base in variants.items():
            one, other = grid[first[method]], grid[first[base]]
            keys = (one.keys() | other.keys()) - {"seeds", "method", "factor", "against"}
            differing = {key for key in keys if one.get(key) != other.get(key)}
            assert differing == together.get(factor, {factor}), method


def test_contrast_specific_models_share_one_method():
    methods = model_methods(GRID)
    for contrast in CONTRASTS:
        assert methods[f"hard_{contrast}"] == "hard_per_contrast"
        assert methods[f"soft_{contrast}_shared"] == "soft_per_contrast_shared"
    assert methods["soft_4_contrasts_GRE-T1w"] == "soft_4_contrasts_GRE-T1w"


def test_a_base_that_the_grid_does_not_have_is_refused(tmp_path):
    grid = tmp_path / "grid.yml"
    grid.write_text("models: {mine: {factor: loss}, soft_all: {}}")
    assert read_factors(grid) == {"loss": {"mine": "soft_all"}}
    grid.write_text("models: {mine: {factor: loss, against: soft_al}, soft_all: {}}")
    with pytest.raises(InputError, match="mine is compared with 'soft_al'"):
        read_factors(grid)


def test_differences_are_those_that_were_made():
    made = {"soft_all": {"sd": 1.0}, "hard_all": {"sd": 5.0, "bias": 2.0, "slope": 0.6}}
    table = ablation.compare_factors(areas(made), truth(), {"truth": {"hard_all": "soft_all"}})
    assert row(table, "hard_all", "sd_mm2")["difference"] == pytest.approx(4.0, abs=0.2)
    assert row(table, "hard_all", "sd_mm2")["verdict"] == "larger"
    assert row(table, "hard_all", "slope")["difference"] == pytest.approx(-0.4, abs=1e-6)
    assert row(table, "hard_all", "slope")["value_a"] == pytest.approx(0.6, abs=1e-6)
    assert row(table, "hard_all", "slope")["verdict"] == "smaller"
    # Mean true area 75: the slope takes 0.4 × 5 away, the bias adds 2.
    assert row(table, "hard_all", "error_mm2")["difference"] == pytest.approx(0.0, abs=0.5)


def test_the_difference_of_slopes_is_tested_as_an_interaction_would_be():
    rng = np.random.default_rng(3)
    made = areas({"soft_all": {}, "hard_all": {"slope": 0.7}})
    made["area_mm2"] += rng.normal(0, 2, len(made))
    table = ablation.compare_factors(made, truth(), {"truth": {"hard_all": "soft_all"}})
    found = row(table, "hard_all", "slope")
    wide = made.pivot_table("area_mm2", index="subject", columns="method")
    line = stats.linregress(60.0 + 2 * np.arange(16), wide["hard_all"] - wide["soft_all"])
    assert found["p"] == pytest.approx(line.pvalue)
    reach = stats.t.ppf(0.975, 14) * line.stderr
    assert found["ci_high"] - found["difference"] == pytest.approx(reach)


def test_holm_is_taken_over_a_factor_and_measure_as_compare_methods_does():
    made = {"soft_all": {"sd": 1.0}} | {
        f"soft_all_{k}": {"sd": 1.0 + 0.02 * i}
        for i, k in enumerate(("dice", "focal", "smooth_l1"))
    }
    table = areas(made)
    family = {"loss": dict.fromkeys([name for name in made if name != "soft_all"], "soft_all")}
    found = ablation.compare_factors(table, truth(), family)
    spread = contrast_variability(table, by=("seed",))
    pairs = [(method, "soft_all") for method in family["loss"]]
    expected = compare_methods(spread, "sd_mm2", pairs=pairs)
    rows = found[found["measure"] == "sd_mm2"]
    assert np.allclose(rows["p_adjusted"], expected["p_adjusted"])
    assert np.allclose(rows["difference"], expected["median_difference"])
    assert (rows["p_adjusted"].to_numpy() >= rows["p"].to_numpy()).all()


def test_methods_are_compared_in_the_contrasts_that_both_have():
    few = ("T1w", "T2w")
    made = {"soft_all": {"sd": 1.0}, "soft_2_contrasts": {"sd": 1.0, "contrasts": few}}
    table = areas(made)
    found = ablation.compare_factors(
        table, truth(), {"contrasts": {"soft_2_contrasts": "soft_all"}}
    )
    assert set(found["n_contrasts"]) == {2}
    # SD of two of the six values; over all six it would be another.
    spread = contrast_variability(table, contrasts=few, by=("seed",)).groupby("method")["sd_mm2"]
    assert row(found, "soft_2_contrasts", "sd_mm2")["value_b"] == pytest.approx(
        spread.mean()["soft_all"]
    )


def test_a_difference_smaller_than_that_of_two_trainings_is_within_seed_variability():
    made = {"soft_all": {"sd": 2.0, "luck": 0.5}, "hard_all": {"sd": 2.3, "luck": 0.5}}
    table = areas(made, seeds=("1", "2", "3"))
    found = row(
        ablation.compare_factors(table, truth(), {"truth": {"hard_all": "soft_all"}}),
        "hard_all", "sd_mm2",
    )  # fmt: skip
    means = contrast_variability(table, by=("seed",)).groupby(["method", "seed"])["sd_mm2"].mean()
    pooled = means.groupby("method").var(ddof=1).mean()
    expected = stats.t.ppf(0.975, 4) * np.sqrt(pooled * 2 / 3)
    assert found["seed_variability"] == pytest.approx(expected)
    assert found["p_adjusted"] < 0.05
    assert found["verdict"].endswith("within seed variability")
    once = ablation.compare_factors(areas(made), truth(), {"truth": {"hard_all": "soft_all"}})
    assert once["seed_variability"].isna().all()


def test_seed_variability_covers_the_difference_of_equal_settings():
    rng = np.random.default_rng(0)
    outside = 0
    index = pd.MultiIndex.from_product([list("abc"), list("123")], names=["method", "seed"])
    for _ in range(400):
        values = pd.Series(rng.normal(0, 1, 9), index=index)
        means = values.groupby(level="method").mean()
        outside += abs(means["a"] - means["b"]) > seed_variability(values, "a", "b")
    # 20 expected; 400 × .05 ± 4 standard deviations
    assert outside == pytest.approx(20, abs=18)


def test_three_people_are_too_few_and_said_so():
    people = PEOPLE[:3]
    made = areas({"soft_all": {"sd": 1.0}, "hard_all": {"sd": 9.0}}, people=people)
    found = ablation.compare_factors(made, truth(people), {"truth": {"hard_all": "soft_all"}})
    assert row(found, "hard_all", "sd_mm2")["verdict"] == "n too small"
    said = say_what_mattered(found)
    assert "n = 3 people is too small" in said
    assert "raised" not in said


def test_without_truth_only_the_spread_is_compared():
    made = areas({"soft_all": {}, "hard_all": {"sd": 3.0}})
    found = ablation.compare_factors(made, pd.DataFrame(), {"truth": {"hard_all": "soft_all"}})
    assert set(found["measure"]) == {"sd_mm2"}


def test_variants_that_were_not_trained_are_named_and_left_out():
    made = areas({"soft_all": {}, "hard_all": {"sd": 3.0}})
    family = read_factors(GRID)
    found = ablation.compare_factors(made, truth(), family)
    assert set(found["method_a"]) == {"hard_all"}
    missing = missing_methods(family, made["method"])
    assert "hard_all" not in missing
    assert "soft_per_contrast" in missing
    said = say_missing(missing, len(missing) + 1)
    assert missing[0] in said
    assert missing[-1] not in said, "a sentence names three and counts the others"
    assert f"{len(missing) - 3} more" in said
    nothing = ablation.compare_factors(made[made["method"] == "hard_all"], truth(), family)
    assert nothing.empty
    assert "no two models" in say_what_mattered(nothing)


def test_sentences_turn_with_the_result():
    tables = {
        sd: areas({"labels": {"sd": 3.0}, "soft_all": {"sd": sd}, "hard_all": {"sd": 2.0},
                   "hard_per_contrast": {"sd": 4.0}})
        for sd in (1.0, 5.0)
    }  # fmt: skip
    said = {sd: say_expectation(ablation.expectation_tests(t)) for sd, t in tables.items()}
    assert "soft_all < hard_all came out" in said[1.0]
    assert "the opposite of soft_all < hard_all came out" in said[5.0]
    assert "the opposite of soft_all < labels came out" in said[5.0]
    assert "hard_all < hard_per_contrast came out" in said[5.0]
    family = {"truth": {"hard_all": "soft_all"}}
    moved = {
        sd: say_what_mattered(ablation.compare_factors(t, truth(), family))
        for sd, t in tables.items()
    }
    assert "1 raised the SD over contrasts: hard_all by 1." in moved[1.0]
    assert "1 lowered the SD over contrasts: hard_all by 3." in moved[5.0]


def test_an_inequality_that_cannot_be_tested_is_said_to_be_missing():
    made = areas({"labels": {}, "soft_all": {"sd": 0.5}})
    said = say_expectation(ablation.expectation_tests(made))
    assert "soft_all < hard_all was not tested" in said
    assert "soft_all < labels came out" in said


def test_contrasts_that_were_never_seen_are_told_apart():
    made = areas({"soft_2_contrasts": {"sd": 1.0}})
    bad = (made["contrast"] == "DWI") & (made["method"] == "soft_2_contrasts")
    made.loc[bad, "area_mm2"] += 30.0
    found = ablation.contrasts_learnt(made, truth(), {"soft_2_contrasts": ("T1w", "T2w")})
    means = found.groupby("part")["absolute_error_mm2"].mean()
    assert means["not learnt"] - means["learnt"] == pytest.approx(30 / 4, abs=0.5)
    assert set(found["n_learnt"]) == {2}


@pytest.fixture
def models(tmp_path) -> Path:
    for name, seconds in (("soft_all", 60), ("hard_DWI", 50), ("hard_T2w", 40)):
        for seed in (1, 2):
            folder = tmp_path / f"{name}_seed-{seed}"
            folder.mkdir()
            card = {"steps": 100, "contrasts": ["T2w"], "training": {"batch_size": 8}}
            (folder / "model.json").write_text(json.dumps(card))
            (folder / "timing.json").write_text(json.dumps({"seconds": seconds + seed}))
    return tmp_path


def test_both_budgets_are_counted_that_of_one_model_and_that_of_all(models):
    table = training_budget(models, model_methods(GRID)).set_index("method")
    specific = table.loc["hard_per_contrast"]
    assert (specific["models"], specific["trainings"]) == (2, 2)
    assert (specific["steps"], specific["steps_together"]) == (100, 200)
    assert specific["patches_together"] == 1600
    assert specific["seconds_together"] == pytest.approx(51.5 + 41.5)
    assert table.loc["soft_all", "steps_together"] == 100


def test_a_run_without_models_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="run 03_training"):
        training_budget(tmp_path, {})


def test_a_model_without_times_has_a_budget_without_seconds(models):
    for path in models.glob("*/timing.json"):
        path.unlink()
    assert training_budget(models, {})["seconds"].isna().all()
    assert learnt_contrasts(models, ["soft_all"]) == {"soft_all": ("T2w",)}
