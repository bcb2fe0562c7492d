"""Ablations: who belongs to which factor, what a change did, and how that is said."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from softseg.contrasts import CONTRASTS
from softseg.errors import InputError
from softseg_study.evaluation.model_grid import (
    learnt_contrasts,
    model_methods,
    read_factors,
    seed_variability,
    training_budget,
)

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
    assert {"truth", "models", "loss", "augmentation", "contrasts"} <= set(found)


def test_one_thing_differs_between_a_variant_and_its_base():
    grid = yaml.safe_load(GRID.read_text(encoding="utf-8"))["models"]
    first = {method: model for model, method in reversed(model_methods(GRID).items())}
    # Three contrasts in the grid are learnt with their own truth, and segment all six.
    together = {
        "contrasts": {"contrasts", "own_truth", "segmented"},
        "budget": {"contrasts", "settings"},
        "models": {"contrasts"},
        "activation": {"network"},
        "dimension": {"network", "settings"},
        "recipe": {"truth", "loss", "augmentation", "network"},
    }
    for factor, variants in read_factors(GRID).items():
        for method, base in variants.items():
            one, other = grid[first[method]], grid[first[base]]
            keys = (one.keys() | other.keys()) - {"seeds", "people", "method", "factor", "against"}
            differing = {key for key in keys if one.get(key) != other.get(key)}
            assert differing == together.get(factor, {factor}), method


def test_no_network_of_the_grid_is_born_dead():
    """A sigmoid that starts at one half everywhere drowned the cord: every mask stayed empty."""
    grid = yaml.safe_load(GRID.read_text(encoding="utf-8"))["models"]
    networks = {model: json.loads(entry["network"]) for model, entry in grid.items()
                if str(entry.get("network", "")).startswith("{")}  # fmt: skip
    sigmoids = {model: n for model, n in networks.items() if n.get("activation") == "sigmoid"}
    assert len(sigmoids) >= 3
    assert all(n["output_bias"] < -1 for n in sigmoids.values()), sigmoids


def test_the_number_of_contrasts_is_trained_as_often_as_the_main_comparison():
    grid = yaml.safe_load(GRID.read_text(encoding="utf-8"))["models"]
    fewer = {name: one for name, one in grid.items() if one.get("factor") == "contrasts"}
    assert len(fewer) >= 5
    # Another choice of four contrasts shows how much the choice matters, beside the curve.
    del fewer["soft_4_contrasts_GRE-T1w"]
    given = {name: one["seeds"] for name, one in fewer.items() if "seeds" in one}
    assert not any(given.values()), "they have the scale's, or are not trained"


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
