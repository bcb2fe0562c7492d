"""Where does the bias of a network's areas arise? A run's `soft_all`, part by part.

    python notebooks/training_bias.py --run book [--people 12] [--steps 600] [--variants KEY …]

Parts sum to the mean error on test people. They are taken on people that the networks have learnt
from, at C2-C3: what measuring and the learnt masks err by, what the working grid does to a mask,
what the network's raw output adds, what cutting it to 0 and 1 adds, what the way back to the
image's voxels and the choice of the cord adds, and what people not learnt from add. The network's
own part is traced further: each switch is a training, of the same seed, that differs in one thing.
Trainings that the run lacks are made below `runs/training_bias/`; a run that was stopped goes on.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage, stats

from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.files import replacing
from softseg.paths import ROOT, RUNS
from softseg.segmentation.engine import Model
from softseg.segmentation.locate import window_starts
from softseg.segmentation.predict import predict_slices
from softseg.segmentation.prepare import prepare
from softseg.training.config import TrainingConfig
from softseg.training.fitting import fit
from softseg.training.patches import cord_table, window_index
from softseg.volume import Volume
from softseg_study.evaluation.areas import measure_areas, true_csa
from softseg_study.evaluation.network_masks import segment_dataset
from softseg_study.run import Run
from softseg_study.statistics.summary import bootstrap_interval

TABLE = ROOT / "book" / "tables" / "training_bias.csv"
VARIANTS = {
    "loss": ("squared error instead of Adaptive Wing", {"loss": "mean_squared_error"}),
    "target": ("exact masks instead of raters'", {"truth": "truth"}),
    "augmentation": ("no augmentation", {"augmentation": "none"}),
    "length": ("three times the steps", {"steps": 3}),
    "contrasts": ("six networks, one a contrast", {}),
}
"""Key → what is different, and its settings; `steps` is a factor."""
PARTS = (
    "measuring, shown on exact masks", "masks learnt from", "working grid and back",
    "raw output of the network", "cutting it to 0 and 1", "way back and choice of the cord",
    "people not learnt from",
)  # fmt: skip

HEADINGS = {
    "mm2": "mm²", "percent": "per cent", "ci_low": "interval from", "ci_high": "to",
    "t2star_mm2": "T2*w alone (mm²)",
}  # fmt: skip


def there_and_back(image: Path, *, dataset: Dataset, config: object) -> Volume:
    """An image's learnt mask, brought to the working grid and back as a prediction is."""
    prepared = prepare(Volume.load(image), config)
    return prepared.pasted(prepared.restore(prepared.to_working(learnt_mask(dataset, image))))


def learnt_mask(dataset: Dataset, image: Path, pipeline: str = "labels_softseg") -> Volume:
    """The mask beside an image."""
    place = image.relative_to(dataset.root)
    name = place.name.replace(".nii.gz", "_label-SC_softseg.nii.gz")
    return Volume.load(dataset.root / "derivatives" / pipeline / place.parent / name)


def window_sums(
    image: Volume, masks: dict[str, Volume], models: dict[str, Model], slices: np.ndarray
) -> dict[str, float]:
    """Sums on the working grid, of windows as a training sees them, near the cord.

    Near is where an area is taken: up to 2 mm from values of 0.1.

    Args:
        image: One image.
        masks: Name → mask on its grid; windows lie about the first.
        models: Name → two-dimensional network of one working grid.
        slices: Which.

    Returns:
        In working voxels, by name of a mask, and `raw` and `cut` by name of a model.
    """
    config = next(iter(models.values())).config
    prepared = prepare(image, config)
    working = {name: prepared.to_working(mask)[:, :, slices] for name, mask in masks.items()}
    found = {(name, "mask"): float(mask.sum()) for name, mask in working.items()}
    centres = cord_table(np.moveaxis(next(iter(working.values())), 2, 0))[:, 1:]
    size = np.array(config.patch_size)
    starts = window_starts(centres, np.array(prepared.grid.shape[:2]), size)
    windows = prepared.windows(slices, starts, size)
    near = np.stack([
        mask[window_index(mask.shape, start, size)] > 0
        for mask, start in zip(np.moveaxis(_near(working), 2, 0), starts, strict=True)
    ])  # fmt: skip
    for name, model in models.items():
        with model.running() as network:
            raw = predict_slices(network, windows)
        found[name, "raw"] = float(raw[near].sum(dtype=float))
        found[name, "cut"] = float(np.clip(raw, 0, 1)[near].sum(dtype=float))
    return found


def _near(working: dict[str, np.ndarray]) -> np.ndarray:
    some = np.max([*working.values()], axis=0) >= 0.1
    return ndimage.binary_dilation(some, np.ones((3, 3, 1)), iterations=3)


def errors_of(sums: pd.DataFrame, areas: pd.DataFrame, base: list[str]) -> pd.DataFrame:
    """Every part of every image's error in mm².

    Args:
        sums: From `window_sums`, an image a row.
        areas: Of the same images: `true`, `exact`, `learnt`, `grid` and one a training of `base`.
        base: The trainings of the network in question.

    Returns:
        The first six of `PARTS`, and under the key of a variant by how much less its raw output
        exceeds what it has learnt.
    """
    per_voxel = areas["grid"] / sums["learnt", "mask"]
    raw, cut = (sums[[(name, kind) for name in base]].mean(axis=1) for kind in ("raw", "cut"))
    steps = [areas[name] for name in ("true", "exact", "learnt", "grid")]
    steps += [per_voxel * raw, per_voxel * cut, areas[base].mean(axis=1)]
    parts = {name: b - a for name, a, b in zip(PARTS[:6], steps[:-1], steps[1:], strict=True)}
    first = sums[base[0], "raw"] - sums["learnt", "mask"]
    for key in VARIANTS:
        if (key, "raw") in sums:
            target = sums["exact" if key == "target" else "learnt", "mask"]
            parts[key] = per_voxel * (first - (sums[key, "raw"] - target))
    return pd.DataFrame(parts)


def tabulate(parts: pd.DataFrame, test: pd.Series, true_mm2: float) -> pd.DataFrame:
    """Parts that sum to the bias on test people, and switches that sum to the network's own part.

    Args:
        parts: From `errors_of`, indexed by `subject` and `contrast`.
        test: Error of every image of test people in mm², indexed alike.
        true_mm2: Of 100 %.
    """

    def row(kind: str, part: str, values: pd.Series) -> dict:
        person = values.groupby("subject").mean()
        low, high = bootstrap_interval(person)
        star = values[values.index.get_level_values("contrast") == "T2star"].mean()
        found = {"kind": kind, "part": part, "mm2": person.mean(), "ci_low": low, "ci_high": high}
        return found | {"people": len(person), "t2star_mm2": star}

    trained = parts[list(PARTS[:6])].sum(axis=1)
    rows = [row("part", name, parts[name]) for name in PARTS[:6]]
    tested, learnt_from = row("sum", "bias on test people", test), row("", "", trained)
    more = {key: tested[key] - learnt_from[key] for key in ("mm2", "t2star_mm2")}
    two = [values.groupby("subject").mean() for values in (test, trained)]
    ends = stats.bootstrap(
        two, lambda a, b, axis: a.mean(axis) - b.mean(axis), rng=np.random.default_rng(0),
        n_resamples=4999, method="percentile",
    ).confidence_interval  # fmt: skip
    rows.append(tested | more | {"kind": "part", "part": PARTS[6], "ci_low": ends[0],
                                 "ci_high": ends[1]})  # fmt: skip
    switches = [key for key in VARIANTS if key in parts]
    rows += [tested, *(row("switch", VARIANTS[key][0], parts[key]) for key in switches)]
    rows.append(row("switch", "rest", parts[PARTS[3]] - parts[switches].sum(axis=1)))
    table = pd.DataFrame(rows)
    table.insert(3, "percent", 100 * table["mm2"] / true_mm2)
    return table


def trained(run: Run, data: Dataset, people: list[str], key: str, **changes: object) -> Path:
    """Folder of a training like those of the run but for `changes`, made unless it is there."""
    folder = RUNS / "training_bias" / run.name / key
    if not (folder / "model.safetensors").exists():
        fit(TrainingConfig.from_dict({
            "output": str(folder), "dataset": str(data.root), "contrasts": data.contrasts,
            "training_subjects": people, "seed": 1, "threads": 1, "progress": "none",
        } | changes))  # fmt: skip
    return folder


def train_variants(run: Run, data: Dataset, people: list[str], steps: int, keys: list[str]) -> dict:
    """Key of a variant → folder of its weights, by contrast where there are six."""
    found: dict[str, Path | dict[str, Path]] = {}
    for key in keys:
        changes = dict(VARIANTS[key][1])
        if key == "contrasts":
            found[key] = {c: run.model(f"soft_{c}_seed-1") for c in data.contrasts}
            continue
        known = run.model("soft_all_mean_squared_error_seed-1")
        changes["steps"] = steps * changes.get("steps", 1)
        found[key] = known if key == "loss" and known.exists() else (
            trained(run, data, people, key, **changes)
        )  # fmt: skip
    return found


def measure_parts(
    data: Dataset, people: list[str], base: dict[str, Path], variants: dict
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`sums` and `areas` of `errors_of`, of people that the networks have learnt from."""
    loaded = {name: Model.load(path) for name, path in base.items()}
    loaded |= {k: Model.load(p) for k, p in variants.items() if isinstance(p, Path)}
    masks = {"exact": "truth", "learnt": "labels_softseg"}
    methods = masks | {"grid": partial(
        there_and_back, dataset=data, config=next(iter(loaded.values())).config
    )}  # fmt: skip
    for name, path in base.items():
        methods[name] = f"learnt_from_{name.replace('_seed-', '_')}"  # no method of chapter 04
        segment_dataset(data, path, methods[name], subjects=people, overwrite=False)
    keys = ["subject", "contrast"]
    areas = measure_areas(data, methods, masks=("soft",), subjects=people)
    areas = areas.pivot_table("area_mm2", keys, "method")
    areas["true"] = true_csa(data, subjects=people).set_index(keys)["area_mm2"]
    levels = true_csa(data, subjects=people, per_slice=True).set_index(keys)
    sums = {}
    for image in data.images[data.images["subject"].isin(people)].itertuples():
        key, path = (image.subject, image.contrast), data.root / image.path
        here = levels.loc[[key]]
        slices = here.loc[here["level"].between(2, 3), "slice"].to_numpy()
        six = {k: Model.load(p[key[1]]) for k, p in variants.items() if isinstance(p, dict)}
        beside = {name: learnt_mask(data, path, folder) for name, folder in masks.items()}
        sums[key] = window_sums(Volume.load(path), beside, loaded | six, slices)
    return pd.DataFrame(sums).T.rename_axis(keys).loc[areas.index], areas


def main(words: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="book", help="a folder under runs/ with its models")
    parser.add_argument("--people", type=int, default=12, help="learnt from, that are looked at")
    parser.add_argument("--steps", type=int, default=600, help="of the run's own trainings")
    parser.add_argument("--seeds", nargs="+", default=["1", "2", "3"], help="of soft_all")
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=[*VARIANTS])
    parser.add_argument("--output", type=Path, default=TABLE)
    given = parser.parse_args(words)
    run = Run(given.run)
    try:
        data = Dataset.index(run.data)
        parts = json.loads(run.needs(run.root / "splits.json", made_by="01_dataset").read_text())
        base = {f"soft_all_seed-{seed}": run.model(f"soft_all_seed-{seed}") for seed in given.seeds}
        csa = pd.read_csv(run.needs(run.table("csa"), made_by="04_csa_variability"))
        csa = csa[(csa["method"] == "soft_all") & csa["seed"].astype(str).isin(given.seeds)]
        variants = train_variants(run, data, parts["train"], given.steps, given.variants)
        sums, areas = measure_parts(data, parts["train"][: given.people], base, variants)
    except InputError as error:
        print(f"softseg: {error}", file=sys.stderr)
        return 2
    keys = ["subject", "contrast"]
    true = true_csa(data, subjects=parts["test"]).set_index(keys)["area_mm2"]
    test = (csa.groupby(keys)["area_mm2"].mean() - true).dropna()
    table = tabulate(errors_of(sums, areas, [*base]), test, true.mean())
    with replacing(given.output) as temporary:
        named = table.round(3).rename(columns=HEADINGS)
        named.to_csv(temporary, index=False, lineterminator="\n")
    print(table.round(2).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
