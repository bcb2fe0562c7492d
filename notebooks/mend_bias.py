"""Is the bias of a network's areas mended by a training that is longer and ends unaugmented?

    python notebooks/mend_bias.py --run book [--seeds 1 2 3] [--steps 600]

Decided before any test person was looked at: the run's `soft_all` is trained for three times its
steps, the last third without augmentation, from a third of the rate; and, beside each network, soft
values are raised to one exponent, with which its areas of validation people are in the mean those
of learnt masks. The same steps with augmentation throughout were added afterwards, to tell length
from end. Figures are those of chapter 04. Trainings are kept below `runs/training_bias/`, masks in
the data's `derivatives/`; a run that was stopped goes on.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.files import replacing
from softseg.paths import ROOT
from softseg.training.config import TrainingConfig
from softseg.volume import Volume
from softseg_study.evaluation.areas import measure_areas, true_csa
from softseg_study.evaluation.comparison import area_errors
from softseg_study.evaluation.network_masks import segment_dataset
from softseg_study.phantom.floor import ALL, floor
from softseg_study.run import Run
from softseg_study.statistics.harmonising import without_bias
from softseg_study.statistics.summary import bootstrap_interval
from training_bias import trained

TABLE = ROOT / "book" / "tables" / "training_bias_mended.csv"
BOOK, LONGER, THROUGHOUT = "as in the book", "longer", "longer, augmented throughout"
WITH, FLOOR = ", with an exponent", "ideal observer"
POWERS = (0.5, 0.7, 1.0, 1.4, 2.0)
ERROR, AFTER = "mean absolute error (per cent)", "the same after one constant (per cent)"


def train_longer(train: Callable[..., Path], seed: int, steps: int) -> Path:
    """Folder of the weights of two trainings, the second from where the first has ended."""
    first = train(f"mended_seed-{seed}_first", seed=seed, steps=2 * steps)
    return train(
        f"mended_seed-{seed}", seed=seed, steps=steps, augmentation="none",
        learning_rate=TrainingConfig.learning_rate / 3,
        init_weights=str(first / "model.safetensors"),
    )  # fmt: skip


def raised(mask: Volume, exponent: float) -> Volume:
    """Soft values to a power; 0 and 1 stay, and above 1 it makes areas smaller."""
    return mask.like(mask.data**exponent)


def areas_of(data: Dataset, masks: str, people: list[str], exponent: float = 1.0) -> pd.Series:
    """Area of every image, in mm², after its soft values were raised to a power."""
    power = partial(raised, exponent=exponent)
    found = measure_areas(data, {"": masks}, masks=("soft",), subjects=people, prepare=power)
    return found.set_index(["subject", "contrast"])["area_mm2"]


def fitted_exponent(data: Dataset, masks: str, people: list[str]) -> float:
    """The power with which areas of these people are in the mean those of learnt masks."""
    learnt = areas_of(data, "labels_softseg", people)
    lack = [(learnt - areas_of(data, masks, people, power)).mean() for power in POWERS]
    return float(np.exp(np.interp(0, lack, np.log(POWERS))))


def figures(areas: pd.DataFrame, truth: pd.DataFrame) -> dict[str, float]:
    """What chapter 04 says of a method, by the table's headings.

    Args:
        areas: `subject`, `contrast`, `seed`, `area_mm2`, and more that is averaged over people.
        truth: From `true_csa`.
    """
    errors, _ = area_errors(areas.assign(method=""), truth)
    errors[ERROR] = errors["error_percent"].abs()
    errors[AFTER] = 100 * without_bias(errors).abs() / errors["truth_mm2"]
    person = errors.groupby("subject")[["area_mm2", "truth_mm2", "error_mm2", ERROR, AFTER]].mean()
    sd = areas.groupby(["seed", "subject"])["area_mm2"].std().groupby("subject").mean()
    line = stats.linregress(person["truth_mm2"], person["area_mm2"])
    reach, bias = line.stderr * stats.t.ppf(0.975, len(person) - 2), person["error_mm2"]
    found = {}
    for name, value, ends in (
        ("bias (mm²)", bias.mean(), bootstrap_interval(bias)),
        ("slope", line.slope, (line.slope - reach, line.slope + reach)),
        ("SD over contrasts (mm²)", sd.mean(), bootstrap_interval(sd)),
    ):
        found |= {name: value, f"{name}, from": ends[0], f"{name}, to": ends[1]}
    found["bias (per cent)"] = 100 * bias.mean() / person["truth_mm2"].mean()
    found |= person[[ERROR, AFTER]].mean().to_dict()
    contrasts = errors.groupby("contrast", sort=False)["error_mm2"].mean()
    return found | {f"bias in {name} (mm²)": error for name, error in contrasts.items()}


def tabulate(data: Dataset, parts: dict[str, list[str]], masks: list[tuple]) -> pd.DataFrame:
    """Figures of test people, a method a column, and the floor's.

    Args:
        data: The run's.
        parts: Its splits.
        masks: Heading, seed, and the folders of masks of validation and of test people.
    """
    truth, found, exponents = true_csa(data, subjects=parts["test"]), {}, {}
    for name, seed, validated, tested in masks:
        exponent = fitted_exponent(data, validated, parts["validation"])
        for heading, power in ((name, 1.0), (name + WITH, exponent)):
            areas = areas_of(data, tested, parts["test"], power).reset_index()
            found.setdefault(heading, []).append(areas.assign(seed=seed))
            exponents.setdefault(heading, []).append(power)
    table = pd.DataFrame({name: figures(pd.concat(areas), truth) for name, areas in found.items()})
    table.loc["exponent, mean over trainings"] = pd.DataFrame(exponents).mean()
    ideal = floor().drop(index=ALL).mean()
    best = {ERROR: ideal["error_percent"], AFTER: ideal["error_percent"], "slope": ideal["slope"]}
    return table.assign(**{FLOOR: pd.Series(best)}).rename_axis("figure")


def main(words: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="book", help="a folder under runs/ with its models")
    parser.add_argument("--steps", type=int, default=600, help="of the run's own trainings")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="of soft_all")
    parser.add_argument("--output", type=Path, default=TABLE)
    given = parser.parse_args(words)
    run, masks = Run(given.run), []
    try:
        data = Dataset.index(run.data)
        parts = json.loads(run.needs(run.root / "splits.json", made_by="01_dataset").read_text())
        train, steps = partial(trained, run, data, parts["train"]), given.steps
        for seed in given.seeds:
            own = run.needs(run.model(f"soft_all_seed-{seed}"), made_by="03_training")
            length = train(f"length_seed-{seed}", seed=seed, steps=3 * steps)
            longer = train_longer(train, seed, steps)
            for name, model in ((BOOK, own), (LONGER, longer), (THROUGHOUT, length)):
                folder = model.name.replace("_seed-", "_")  # no method of chapter 04
                people = parts["validation"] + (parts["test"] if name != BOOK else [])
                segment_dataset(data, model, folder, subjects=people, overwrite=False)
                masks.append((name, seed, folder, own.name if name == BOOK else folder))
        table = tabulate(data, parts, masks).round(3)
    except InputError as error:
        print(f"softseg: {error}", file=sys.stderr)
        return 2
    with replacing(given.output) as temporary:
        table.to_csv(temporary, lineterminator="\n")
    print(table.to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
