"""What a run will cost in processor time, chapter by chapter, before it begins.

    python notebooks/cost.py notebooks/scales/book.yml notebooks/scales/grid.yml

A chapter is made of units (a step of a training, a mask that is measured), each of which was timed;
how many of them there are is the scale's doing. Without scales the table of the book is written
anew: counts follow the scales, the seconds that were measured stay.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from dependencies import defaults
from scale_file import NOTEBOOKS, model_jobs
from softseg.contrasts import CONTRASTS
from softseg.training.config import TrainingConfig
from softseg_study.evaluation.conditions import choose_conditions
from softseg_study.phantom.metamorphic import CHANGES

TABLE = NOTEBOOKS.parent / "book" / "tables" / "cost.csv"
BOOK = [NOTEBOOKS / "scales" / f"{name}.yml" for name in ("book", "grid")]


def read_scale(paths: Iterable[Path]) -> dict[str, Any]:
    """Scales put on top of each other, as Snakemake does."""
    scale: dict[str, Any] = {}
    for path in paths:
        scale |= yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return scale


def count_units(scale: Mapping[str, Any]) -> Counter:
    """How often each unit comes up in a run on phantoms: (part, unit) → count."""
    given = {
        path.stem[:2]: defaults(path) | (scale["notebooks"].get(path.stem) or {})
        for path in NOTEBOOKS.glob("[0-9]*.ipynb")
    }
    everyone, six = scale["dataset"]["subjects"], len(CONTRASTS)
    tested = round(everyone * given["01"]["fractions"][2]) * six  # images
    found = Counter({
        ("cohort", "image drawn"): everyone * six,
        ("01", "person rated"): given["01"]["rated"],
        ("02", "participant"): everyone,
    })  # fmt: skip
    models = model_jobs(scale)
    masks = Counter()  # method → images segmented by all of its trainings
    for name, model in models.items():
        settings = given["03"]["settings"] | model.get("settings", {})
        augmentation = model.get("augmentation", "light")
        kind = "volume" if model.get("network") == "volume" else f"{augmentation} augmentation"
        steps = settings.get("steps", model.get("steps", given["03"]["steps"]))
        found["03", f"step, {kind}"] += steps
        if augmentation == "synthseg":
            found["03", "patch of a pool"] += TrainingConfig("").synthetic_samples
        seen = model.get("segmented") or model.get("contrasts") or CONTRASTS
        people = min(tested // six, model.get("people") or tested)
        masks[name.rpartition("_seed-")[0]] += people * len(seen)
    found["03", "training"] = len(models)
    found["03", "mask"] = masks.total()
    found["04", "mask"] = masks.total() + 3 * tested  # drawn, soft, contour following
    two = masks["soft_all"] + masks["hard_all"]
    found["07", "mask"] = two + 2 * tested
    one = given["06"]
    images = one["people"] * sum(
        len(condition.contrasts or one["contrasts"])
        for condition in choose_conditions(one["conditions"])
    )
    found["06", "image drawn"] = images
    found["06", "contour"] = images
    networks = len(one["methods"]) + len(one["shipped"])
    found["06", "mask"] = images * networks
    found["06", "real image"] = one["real_people"] * networks
    found["06", "real image"] += one["changed"] * len(CHANGES) * (networks - 1)
    eight = given["08"]
    images = eight["people"] * len(eight["losses"]) * len(eight["contrasts"] or CONTRASTS)
    networks = two + sum(
        n for m, n in masks.items() if m.endswith(tuple(f"_{c}" for c in CONTRASTS))
    )
    found["08", "image drawn"] = images
    found["08", "mask"] = images * networks // tested + 3 * images  # true, drawn, soft
    return found + Counter({(f"0{n}", "chapter"): 1 for n in range(1, 10) if n != 3})


def cost_table(scale: Mapping[str, Any], timed: pd.DataFrame) -> pd.DataFrame:
    """The timed units with their counts and `core hours` in a run, and the sum as last row.

    Raises:
        KeyError: If a unit of the scale was never timed.
    """
    counts = count_units(scale)
    timed = timed[timed["chapter"] != "all"]
    keys = list(zip(timed["chapter"], timed["unit"], strict=True))
    if missing := set(counts) - set(keys):
        raise KeyError(f"{TABLE.name} has no time of {', '.join(map(' '.join, sorted(missing)))}")
    table = timed.assign(count=[counts[key] for key in keys])
    table["core hours"] = (table["count"] * table["seconds each"] / 3600).round(3)
    total = table.tail(1).assign(chapter="all", unit="", count="", command="")
    total["seconds each"], total["core hours"] = "", table["core hours"].sum().round(2)
    return pd.concat([table, total], ignore_index=True)


def read_times(path: Path) -> pd.DataFrame:
    """The table of timed units: `chapter`, `unit`, `seconds each` and what else it has."""
    table = pd.read_csv(path, dtype={"chapter": str}, keep_default_na=False)
    return table.assign(**{"seconds each": pd.to_numeric(table["seconds each"])})


def main() -> None:
    """Command line."""
    timed = read_times(TABLE)
    if len(sys.argv) == 1:
        cost_table(read_scale(BOOK), timed).to_csv(TABLE, index=False)
        return
    table = cost_table(read_scale(map(Path, sys.argv[1:])), timed)
    hours = table.groupby("chapter", sort=False)["core hours"].sum()
    print(hours.to_string())


if __name__ == "__main__":
    main()
