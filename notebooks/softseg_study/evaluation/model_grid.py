"""Which models of the grid vary which factor, and what each cost."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from softseg.dataset.names import method_folder, parse_method
from softseg.errors import InputError
from softseg_study.evaluation.comparison import PROPOSAL

Factors = Mapping[str, Mapping[str, str]]
"""Factor → variant → the method that it differs from in this factor alone."""


def model_methods(grid: Path | str) -> dict[str, str]:
    """Model → method under which its masks appear, in the grid's order.

    Contrast-specific models share one method, which the grid names.

    Args:
        grid: YAML whose `models` map names to parameters of notebook 03.
    """
    return {model: entry.get("method") or model for model, entry in _entries(grid).items()}


def read_factors(grid: Path | str) -> dict[str, dict[str, str]]:
    """Which factor each method varies, and against which method, as the grid says.

    Args:
        grid: YAML whose `models` have the keys `factor` and `against`.

    Returns:
        As `Factors`; a model that names neither is compared with the proposal under `other`.

    Raises:
        InputError: If a model is to be compared with one that the grid does not have.
    """
    methods, found = model_methods(grid), {}
    for model, entry in _entries(grid).items():
        if methods[model] == PROPOSAL:
            continue
        base = entry.get("against", PROPOSAL)
        if base not in methods.values():
            raise InputError(f"{grid}: {model} is compared with {base!r}, which is not among them")
        found.setdefault(entry.get("factor", "other"), {})[methods[model]] = base
    return found


def _entries(grid: Path | str) -> dict[str, dict]:
    return yaml.safe_load(Path(grid).read_text(encoding="utf-8"))["models"]


def training_budget(models: Path | str, methods: Mapping[str, str]) -> pd.DataFrame:
    """What the trainings of every method took: steps and seconds, of one model and of all.

    Six contrast-specific models that get the steps of the one model each have six times its budget
    together; whether that is fair depends on what is scarce, so both are shown.

    Args:
        models: Folder of the models, `NAME_seed-N` each with its card and times.
        methods: Model → method, from `model_methods`; they come first, in this order, and a model
            that is not among them is a method of its own.

    Returns:
        One row a method: `method`, `models`, `trainings` (seeds), `steps` (of one model),
        `steps_together`, `patches_together`, `seconds` (of one model) and `seconds_together`,
        means over the seeds.
    """
    rows = []
    for model, seed, card in _cards(models):
        timing = _json(Path(models) / method_folder(model, seed) / "timing.json")
        steps = int(card.get("steps", 0))
        batch = card.get("training", {}).get("batch_size", float("nan"))
        row = {"method": methods.get(model, model), "model": model, "seed": seed, "steps": steps}
        rows.append(row | {"patches": steps * batch, "seconds": timing.get("seconds")})
    if not rows:
        raise InputError(f"{models}: no models; run 03_training first")
    table = pd.DataFrame(rows).astype({"seconds": float})
    by_training = table.groupby(["method", "seed"], sort=False)
    sums = by_training[["steps", "patches", "seconds"]].sum().add_suffix("_together")
    means = by_training[["steps", "seconds"]].mean()
    joined = means.join(sums).groupby("method", sort=False).mean()
    counts = table.groupby("method", sort=False)[["model", "seed"]].nunique()
    joined = counts.set_axis(["models", "trainings"], axis=1).join(joined).reset_index()
    place = {method: i for i, method in enumerate(dict.fromkeys(methods.values()))}
    joined = joined.sort_values(
        "method", key=lambda names: names.map(place).fillna(len(place)), kind="stable"
    ).reset_index(drop=True)
    whole = ["steps", "steps_together"]
    columns = ["method", "models", "trainings", *whole, "patches_together", "seconds"]
    return joined[[*columns, "seconds_together"]].astype(dict.fromkeys(whole, int))


def learnt_contrasts(models: Path | str, names: Iterable[str]) -> dict[str, Sequence[str]]:
    """Contrasts that each model learnt from, as its card says.

    Args:
        models: Folder of the models.
        names: Which, without seeds; those without a card are left out.
    """
    cards = {model: card for model, _, card in _cards(models)}
    return {n: tuple(cards[n]["contrasts"]) for n in names if cards.get(n, {}).get("contrasts")}


def seed_variability(trainings: pd.Series, method: str, base: str) -> float:
    """Difference between two methods that trainings of one setting exceed in one case of twenty.

    The variance between trainings is pooled over all methods that were trained more than once; a
    Student interval of the difference of two means over as many trainings as both methods have.

    Args:
        trainings: A value a training, indexed by `method` and `seed`.
        method: One method.
        base: The other.

    Returns:
        `nan` where nothing was trained twice.
    """
    groups = trainings.dropna().groupby(level="method")
    count = groups.size()
    df = int((count - 1).sum())
    if df < 1 or not {method, base} <= set(count.index):
        return float("nan")
    variance = ((count - 1) * groups.var(ddof=1).fillna(0)).sum() / df
    share = 1 / count[method] + 1 / count[base]
    return float(stats.t.ppf(0.975, df) * np.sqrt(variance * share))


def _cards(models: Path | str) -> list[tuple[str, str, dict]]:
    """Name, seed and card of every trained model, sorted."""
    folders = sorted(Path(models).glob("*_seed-*"))
    named = [(*parse_method(folder.name), folder / "model.json") for folder in folders]
    return [(model, seed, _json(card)) for model, seed, card in named if card.exists()]


def _json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
