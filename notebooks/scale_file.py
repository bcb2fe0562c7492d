"""What a scale file may say: a name that nothing knows is an error before anything runs."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import dependencies
from softseg.cli.phantom import phantom
from softseg.fetch import ARCHIVES
from softseg.training.config import TrainingConfig

NOTEBOOKS = Path(__file__).resolve().parent
TOP = (
    "run", "dataset", "seeds", "notebooks", "models", "chapters", "shards", "gpus_per_model",
    "benchmarks", "scale", "factors",
)  # fmt: skip
OF_THE_GRID = ("seeds", "factor", "against")
"""What a model of a scale says of its place in the grid, beside the parameters of chapter 03."""


def model_jobs(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every training of a scale: a model once per seed, of the scale or of its own.

    `--config factors=truth,models` leaves out rows of other factors; chapter 05 names them.

    Returns:
        Folder of the model → parameters of chapter 03, in the scale's order.
    """
    factors, jobs = str(config.get("factors") or "").split(","), {}
    for name, entry in config["models"].items():
        if factors != [""] and entry.get("factor", factors[0]) not in factors:
            continue
        settings = {key: value for key, value in entry.items() if key not in OF_THE_GRID}
        for seed in entry.get("seeds", config["seeds"]):
            jobs[f"{name}_seed-{seed}"] = {**settings, "model": name, "seed": seed}
    return jobs


def check_scale(config: Mapping[str, Any], name: str = "the scale") -> None:
    """Refuse keys, notebooks and parameters that nothing reads, with the nearest that is read.

    Args:
        config: The scale file's content, or several files' together.
        name: What messages call it.

    Raises:
        ValueError: One line a name that is unknown.
    """
    known = {path.stem: dependencies.defaults(path) for path in NOTEBOOKS.glob("[0-9]*.ipynb")}
    training = next(values for stem, values in known.items() if stem.startswith("03"))
    wrong = [*_unknown("", config, TOP), *_unknown("notebooks: ", config["notebooks"], known)]
    for stem, values in config["notebooks"].items():
        wrong += _unknown(f"{stem}: ", values or {}, {*known.get(stem, values or {}), "jobs"})
    settings = [field.name for field in fields(TrainingConfig)]
    for model, values in config["models"].items():
        wrong += _unknown(f"model {model}: ", values, {*training, *OF_THE_GRID})
        wrong += _unknown(f"model {model}, settings: ", values.get("settings", {}), settings)
    kind = config["dataset"].get("kind")
    wrong += _unknown("dataset, kind: ", [kind], ("phantom", "bids", "spine-generic", *ARCHIVES))
    options = inspect.signature(phantom).parameters if kind == "phantom" else ("path", "release")
    wrong += _unknown("dataset: ", config["dataset"], [*options, "kind"])
    if wrong:
        raise ValueError("\n".join(f"{name}: {line}" for line in wrong))


def _unknown(where: str, given: Iterable[str], known: Iterable[str]) -> list[str]:
    known = sorted(known)
    found = []
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
            found.append(f"{where}unknown {name!r}" + (f", is {near[0]!r} meant?" if near else ""))
    return found
