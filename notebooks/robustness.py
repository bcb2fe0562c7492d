"""Do the book's conclusions hold on other phantoms? One training of each kind on each cohort.

    python notebooks/robustness.py [COHORT …] [--train 12] [--test 12] [--steps 400]

The participants are those of the book's seed, and cohorts differ in one option. To save time they
are imaged at C2 and C3 alone, where areas are taken; bad ends and gross failures of raters are left
out. The ideal observer is fitted on the training people. What is done is kept below
`runs/robustness/`, so that a run that was stopped goes on, and the table is written after every
cohort.
"""

import argparse
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from softseg.contrasts import CONTRASTS
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.files import replacing, write_json
from softseg.ground_truth.batch import make_ground_truth
from softseg.ground_truth.soft import GroundTruthOptions
from softseg.paths import ROOT, RUNS
from softseg.phantom.acquisition import Acquired
from softseg.phantom.protocols import imaged
from softseg.phantom.raters import RATER
from softseg.phantom.subjects import (
    CohortOptions,
    Subject,
    draw_subject,
    rate_scan,
    subject_label,
)
from softseg.phantom.visible_edge import visible_outlines
from softseg.training.config import TrainingConfig
from softseg.training.fitting import fit
from softseg_study.evaluation.areas import measure_areas, true_csa
from softseg_study.evaluation.comparison import area_errors
from softseg_study.evaluation.method_folders import separate_seeds
from softseg_study.evaluation.network_masks import segment_dataset
from softseg_study.names import CONSTANTS
from softseg_study.phantom.cervical_areas import mean_area_mm2, scan_c2_c3
from softseg_study.phantom.floor import ALL, observe
from softseg_study.statistics import harmonising

TABLE = ROOT / "book" / "tables" / "robustness.csv"
SEED, SHIFT_MM = 4, 0.1
COHORTS = {
    "standard": {},
    "small cords": {"mean_area_mm2": 66.0},
    "large cords": {"mean_area_mm2": 78.0},
    "edges the same in every contrast": {"edges": "same"},
    "raters further out": {"rule_mm": round(RATER.rule_mm + SHIFT_MM, 2)},
    "raters further in": {"rule_mm": round(RATER.rule_mm - SHIFT_MM, 2)},
}
"""Cohort → the options in which it differs from the standard one."""
NETWORKS = {"soft_all": "soft", "hard_all": "hard"}


@cache
def scan(options: CohortOptions, index: int, contrast: str) -> tuple[Subject, Acquired, float]:
    """A participant, a scan, and the area that it shows; raters' rules are in no image."""
    subject = draw_subject(options, index)
    seen = scan_c2_c3(subject, options, contrast)
    slices = seen.areas[seen.areas["level"].isin([2, 3])]
    return subject, seen, mean_area_mm2(visible_outlines(seen.clean, seen.outlines), slices)


def write_cohort(out: Path, options: CohortOptions, people: int) -> Dataset:
    """Images, masks and true areas at C2-C3 of so many participants, and their soft masks."""
    write_json(out / "dataset_description.json", {"Name": "C2-C3", "BIDSVersion": "1.9.0"})
    unruled = replace(options, rule_mm=RATER.rule_mm)
    for index in range(people):
        label, rows = subject_label(index), []
        table = out / "derivatives" / "truth" / label / f"{label}_csa.csv"
        if table.exists():
            continue
        for name in options.contrasts:
            subject, seen, visible_mm2 = scan(unruled, index, name)
            mask = rate_scan(seen, subject, options, failures=False)
            stem = CONTRASTS[name].stem(label)
            inside = (seen.truth.data >= 0.5) | (mask.data > 0)
            labels = {"SC_seg": mask, "vertebrae_dseg": mask.like(inside * np.uint8(seen.levels))}
            seen.image.save(out / f"{stem}.nii.gz", np.int16)
            for ending, volume in labels.items():
                path = out / "derivatives" / "labels" / f"{stem}_label-{ending}.nii.gz"
                volume.save(path, np.uint8)
            who = {"subject": label, "vendor": subject.vendor, "contrast": name}
            rows.append(seen.areas.assign(visible_mm2=visible_mm2, **who))
        with replacing(table) as temporary:
            pd.concat(rows).to_csv(temporary, index=False)
    dataset = Dataset.index(out, contrasts=options.contrasts)
    make_ground_truth(dataset, options=GroundTruthOptions(trim_mm=0.0))
    return dataset


def measure_cohort(dataset: Dataset, root: Path, train: int, steps: int) -> pd.DataFrame:
    """Areas of drawn and soft masks and of both networks, and the true ones, of the test people."""
    people = list(dataset.subjects)
    for name, truth in NETWORKS.items():
        model = root / "models" / f"{name}_seed-1"
        if not (model / "model.safetensors").exists():
            fit(TrainingConfig(
                output=str(model), dataset=str(dataset.root), truth=truth, steps=steps, seed=1,
                contrasts=dataset.contrasts, training_subjects=people[:train], threads=1,
                progress="none",
            ))  # fmt: skip
        segment_dataset(dataset, model, model.name, subjects=people[train:], overwrite=False)
    folders = ["labels", "labels_softseg", *(f"{name}_seed-1" for name in NETWORKS)]
    options = {"subjects": people[train:]}
    areas = measure_areas(dataset, {f: f for f in folders}, masks=("soft",), **options)
    truth = true_csa(dataset, **options).assign(seed="0")
    return pd.concat([separate_seeds(areas), truth], ignore_index=True)


def summarise(areas: pd.DataFrame) -> dict[str, float]:
    """The figures of chapter 04 for one cohort; bias, error and slope are those of soft masks.

    Args:
        areas: As `measure_cohort` gives them.

    Returns:
        By the table's headings. SDs are over the contrasts of a person, mean over people; `closer`
        counts the people whose SD is smaller with the network of soft masks than as drawn.
    """
    truth, found = (areas[(areas["method"] == "truth") == is_true] for is_true in (True, False))
    found = harmonising.with_constants(found, ["labels", *NETWORKS])
    errors, _ = area_errors(found, truth.drop(columns="seed"))
    errors["after"] = harmonising.without_bias(errors).abs()
    own = errors[errors["method"] == "soft_all"].groupby("subject")
    own = own[["area_mm2", "truth_mm2", "error_mm2", "after"]].mean()
    line = stats.linregress(own["truth_mm2"], own["area_mm2"])
    spread = found.groupby(["method", "subject"])["area_mm2"].std().reset_index()
    spread = spread.pivot_table("area_mm2", "subject", "method")
    sd = spread.mean()
    return {
        "test people": len(own),
        "true area (mm²)": own["truth_mm2"].mean(),
        "bias (mm²)": own["error_mm2"].mean(),
        "bias (%)": 100 * own["error_mm2"].mean() / own["truth_mm2"].mean(),
        "error after a constant (mm²)": own["after"].mean(),
        "slope": line.slope,
        "SE of the slope": line.stderr,
        "SD, network of soft masks (mm²)": sd["soft_all"],
        "SD, network of drawn masks (mm²)": sd["hard_all"],
        "the same with constants (mm²)": sd["hard_all" + CONSTANTS],
        "SD, drawn masks (mm²)": sd["labels"],
        "drawn masks with constants (mm²)": sd["labels" + CONSTANTS],
        "closer": int((spread["soft_all"] < spread["labels"]).sum()),
    }


def floor_of(data: Path, train: int) -> dict[str, float]:
    """The ideal observer's error and slope, mean over contrasts, fitted on the training people."""
    tables = sorted((data / "derivatives" / "truth").glob("sub-*/*_csa.csv"))
    areas = (
        pd.concat(map(pd.read_csv, tables))
        .query("2 <= level <= 3")
        .rename(columns={"area_mm2": "true_mm2"})
    )
    keys = ["subject", "vendor", "contrast"]
    areas = areas.groupby(keys, sort=False)[["true_mm2", "visible_mm2"]].mean().reset_index()
    seen = observe(areas.assign(scan=0, lost_percent=0), fitted=train).drop(index=ALL)
    return {"floor: error (%)": seen["error_percent"].mean(), "floor: slope": seen["slope"].mean()}


def main(words: list[str] | None = None, *, root: Path = RUNS / "robustness") -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohorts", nargs="*", metavar="COHORT", help=", ".join(COHORTS))
    for name, count in (("train", 12), ("test", 12), ("steps", 400)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--contrasts", default=",".join(imaged(CONTRASTS)))
    parser.add_argument("--output", type=Path, default=TABLE)
    given = parser.parse_args(words)
    contrasts, rows = tuple(given.contrasts.split(",")), []
    try:
        for name in given.cohorts or COHORTS:
            kept = root / name / "areas.csv"
            if not kept.exists():
                options = CohortOptions(SEED, contrasts, **COHORTS[name])
                dataset = write_cohort(root / name / "data", options, given.train + given.test)
                areas = measure_cohort(dataset, root / name, given.train, given.steps)
                with replacing(kept) as temporary:
                    areas.to_csv(temporary, index=False)
            option = ", ".join(f"{key} {value}" for key, value in COHORTS[name].items())
            row = {"cohort": name, "option": option or "none"}
            row |= summarise(pd.read_csv(kept, dtype={"seed": str}))
            rows.append(row | floor_of(root / name / "data", given.train))
            with replacing(given.output) as temporary:
                pd.DataFrame(rows).round(3).to_csv(temporary, index=False, lineterminator="\n")
    except (InputError, KeyError) as error:
        print(f"softseg: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
