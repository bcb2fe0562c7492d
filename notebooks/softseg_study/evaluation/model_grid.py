"""Which models of the grid belong to which factor, read off their names, and what each cost."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

from softseg.contrasts import CONTRASTS
from softseg.dataset.names import method_folder, parse_method
from softseg.errors import InputError
from softseg_study.evaluation.comparison import PROPOSAL

Factors = Mapping[str, Mapping[str, str]]
"""Factor → variant → the method that it differs from in this factor alone."""
_LOSSES = (
    "soft_dice|dice_cross_entropy|dice|mean_squared_error|mean_absolute_error|smooth_l1|"
    "focal|tversky|adaptive_wing_weighted"
)
_RULES = (
    ("truth", r"(?:hard|soft_bin)_all", PROPOSAL),
    ("budget", r"(?P<truth>.+)_per_contrast_shared(?:_.+)?", "{truth}_all"),
    ("models", r"(?P<truth>.+)_per_contrast(?:_.+)?", "{truth}_all"),
    ("loss", rf"(?P<base>.+_all)_(?:{_LOSSES})", "{base}"),
    # Cross-entropy wants a sigmoid: compared with the same activation, one thing differs.
    ("loss", r"(?P<base>.+_all)_(?:soft_)?cross_entropy", "{base}_sigmoid"),
    ("activation", r"(?P<base>.+_all)_(?:normalised_relu|sigmoid|clamp|none)", "{base}"),
    ("augmentation", r"(?P<base>.+_all)_(?:bigaug|paper_ran|paper_meant|light)", "{base}"),
    ("augmentation", r"synthseg.*", PROPOSAL),
    ("contrasts", r"(?P<truth>.+)_\d_contrasts?(?:_.+)?", "{truth}_all"),
)
_SPECIFIC = re.compile(rf"(?P<truth>.+?)_(?:{'|'.join(map(re.escape, CONTRASTS))})(?P<rest>_.+)?")


def model_method(model: str) -> str:
    """The method under which a model's masks appear: contrast-specific ones share one.

    Example:
        >>> model_method("hard_MT-on"), model_method("soft_T2w_shared"), model_method("soft_all")
        ('hard_per_contrast', 'soft_per_contrast_shared', 'soft_all')
    """
    found = _SPECIFIC.fullmatch(model)
    # `soft_4_contrasts_GRE-T1w` names a contrast too, but what comes before is no truth.
    if not found or "contrast" in found["truth"]:
        return model
    return f"{found['truth']}_per_contrast{found['rest'] or ''}"


def planned_methods(grid: Path | str) -> list[str]:
    """Methods of a grid of models, in its order.

    Args:
        grid: YAML whose `models` map names to parameters of notebook 03.
    """
    models = yaml.safe_load(Path(grid).read_text(encoding="utf-8"))["models"]
    return list(dict.fromkeys(e.get("method") or model_method(m) for m, e in models.items()))


def read_factors(methods: Iterable[str]) -> dict[str, dict[str, str]]:
    """Which factor each variant belongs to, read off its name.

    Args:
        methods: Names as in `notebooks/scales/grid.yml`.

    Returns:
        As `Factors`; a name that says nothing is compared with the proposal under `other`.

    Example:
        >>> read_factors(["soft_all", "hard_all", "hard_all_bigaug", "soft_2_contrasts", "mine"])
        {'truth': {'hard_all': 'soft_all'}, 'augmentation': {'hard_all_bigaug': 'hard_all'}, \
'contrasts': {'soft_2_contrasts': 'soft_all'}, 'other': {'mine': 'soft_all'}}
    """
    found: dict[str, dict[str, str]] = {}
    for method in methods:
        if method == PROPOSAL:
            continue
        factor, base = "other", PROPOSAL
        for name, pattern, template in _RULES:
            match = re.fullmatch(pattern, method)
            if match:
                factor, base = name, template.format(**match.groupdict())
                break
        found.setdefault(factor, {})[method] = base
    order = list(dict.fromkeys([*(rule[0] for rule in _RULES), "other"]))
    return {factor: found[factor] for factor in order if factor in found}


def missing_methods(factors: Factors, present: Iterable[str]) -> list[str]:
    """Variants that are planned and have no areas, in the order of the factors."""
    known = set(present)
    planned = dict.fromkeys(m for variants in factors.values() for m in variants)
    return [method for method in planned if method not in known]


def training_budget(models: Path | str, *, order: Sequence[str] = ()) -> pd.DataFrame:
    """What the trainings of every method took: steps and seconds, of one model and of all.

    Six contrast-specific models that get the steps of the one model each have six times its budget
    together; whether that is fair depends on what is scarce, so both are shown.

    Args:
        models: Folder of the models, `NAME_seed-N` each with its card and times.
        order: Methods that come first, in this order.

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
        row = {"method": model_method(model), "model": model, "seed": seed, "steps": steps}
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
    place = {method: i for i, method in enumerate(order)}
    joined = joined.sort_values(
        "method", key=lambda names: names.map(place).fillna(len(place)), kind="stable"
    ).reset_index(drop=True)
    whole = ["steps", "steps_together"]
    columns = ["method", "models", "trainings", *whole, "patches_together", "seconds"]
    return joined[[*columns, "seconds_together"]].astype(dict.fromkeys(whole, int))


def shared_budget(budget: pd.DataFrame) -> pd.DataFrame:
    """Rows of the question one network or six: one for all, six, and six that share one's budget.

    Args:
        budget: From `training_budget`.

    Example:
        >>> names = ["soft_all", "soft_all_dice", "soft_per_contrast", "soft_per_contrast_shared"]
        >>> shared_budget(pd.DataFrame({"method": names}))["method"].tolist()
        ['soft_all', 'soft_per_contrast', 'soft_per_contrast_shared']
    """
    factors = read_factors(budget["method"])
    variants = factors.get("models", {}) | factors.get("budget", {})
    kept = budget["method"].isin({*variants, *variants.values(), PROPOSAL})
    return budget[kept].reset_index(drop=True)


def learnt_contrasts(models: Path | str, methods: Iterable[str]) -> dict[str, Sequence[str]]:
    """Contrasts that the models of each method learnt from, as their cards say.

    Args:
        models: Folder of the models.
        methods: Which; those without a card are left out.
    """
    wanted = set(methods)
    found: dict[str, Sequence[str]] = {}
    for model, _, card in _cards(models):
        method = model_method(model)
        if method in wanted and card.get("contrasts"):
            seen = dict.fromkeys([*found.get(method, ()), *card["contrasts"]])
            found[method] = tuple(seen)
    return found


def _cards(models: Path | str) -> list[tuple[str, str, dict]]:
    """Name, seed and card of every trained model, sorted."""
    folders = sorted(Path(models).glob("*_seed-*"))
    named = [(*parse_method(folder.name), folder / "model.json") for folder in folders]
    return [(model, seed, _json(card)) for model, seed, card in named if card.exists()]


def _json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
