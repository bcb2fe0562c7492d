"""The weights that ship: `python notebooks/release.py runs/weights softseg/weights`.

Takes the model `axial` of a run of `scales/weights.yml` and writes four files: the weights with
their card, the same exported for ONNX Runtime, the card alone, and the scores of every real image
from the fold whose network has never seen that participant. Without ../shared/data/real nothing
can be scored, and nothing is written.

`python notebooks/release.py --presence-of softseg/weights` fits presence and quality again, for
weights that are there, and writes them into their card.
"""

import argparse
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from softseg.dataset.index import Dataset
from softseg.files import replacing, write_json
from softseg.network.onnx_export import export_network
from softseg.network.weights import load_weights, save_weights
from softseg.paths import SHARED
from softseg.segmentation.engine import Model, segment
from softseg.volume import Volume
from softseg_study.evaluation.areas import measure_areas, true_csa
from softseg_study.evaluation.calibration import evaluate_calibration
from softseg_study.evaluation.image_masks import find_masks, read_mask
from softseg_study.evaluation.manual import evaluate_manual, evaluate_pairs
from softseg_study.evaluation.presence_fit import (
    Case,
    calibration_cases,
    fit_presence,
    record,
    worsened,
)
from softseg_study.evaluation.temperature_fit import fit_temperature
from softseg_study.statistics.calibration import calibration_error, pool_calibration
from softseg_study.statistics.variability import area_tracking, contrast_variability, csa_error

NAME = "axial"
PROPSEG = "PropSeg"
PRESENCE_SEED, PRESENCE_CASES = 1907, 240
"""Of the phantoms and the pictures without a cord that presence and quality are fitted to: no
training and no test set has this seed."""
OTHER_RULE = ("sub-sgunf01",)
"""Whose masks were drawn 0.5 to 0.9 mm inside the visible edge, others' 0.1: in no training, in the
table of scores, out of its means."""
WATCHED = 12
"""Digital participants to whom the temperature is fitted."""
FAILURES = [
    "The edge follows the manual masks it was tuned on: those on T2star are drawn wider than those "
    "on T2w, and areas inherit some of it.",
    "Where people draw to a narrower rule than on the images that it has seen, its areas are "
    "larger than theirs: by 17 to 27 % in sub-sgunf01, the one such person here, whom it has not "
    "seen and who is out of the means.",
    "Below the cone of the cord a mask may go on into the dural sac, with any fluid as bright as a "
    "cord elsewhere; in sagittal slices of 4 mm on T1w it may stop centimetres above it. In the "
    "brainstem it may stop too early.",
    "Trained on adults of three hospitals and on phantoms; severe deformity, hardware and tumours "
    "are untested.",
    "A picture without any cord is recognised by what was learnt from phantoms below and above "
    "the cord, noise, textures and drawn limbs, bellies, heads and tubes; what was in none of them "
    "may pass for a cord. Look at presence, quality and the quality-control page.",
]


def left_out(run: Path) -> dict[str, Path]:
    """For every participant with a manual mask the model of the fold that has not seen them."""
    folds = {}
    for weights in sorted((run / "models").glob("fold_*/model.safetensors")):
        card = load_weights(weights)[2]
        folds |= dict.fromkeys(card["training"]["validation_subjects"], weights.parent)
    return folds


def load_at(weights: Path, temperature: float) -> Model:
    """Weights of the run, which know no temperature yet."""
    model = Model.load(weights)
    return replace(model, card=model.card | {"temperature": temperature})


def find_temperature(run: Path, people: list[str]) -> float:
    """The temperature of digital participants whom neither training nor scores have seen."""
    model = Model.load(run / "models" / f"{NAME}_seed-1")
    values: list[np.ndarray] = []
    truths: list[np.ndarray] = []
    dataset = Dataset.index(run / "data", subjects=people)
    for entry in find_masks(dataset, {}, extra={"truth": "truth"}):
        image = Volume.load(entry.image)
        soft = segment(image, weights=model).soft.oriented().data
        true = read_mask(entry.extra["truth"], entry.image).data
        near = (soft > 0) | (true > 0)
        values.append(soft[near])
        truths.append(true[near])
    return fit_temperature(np.concatenate(values), np.concatenate(truths))


def presence_entries(model: Model, folds: dict[str, Model]) -> dict:
    """The card's entries `presence`, `quality` and `area_error`.

    Args:
        model: What ships, at its temperature.
        folds: For participants with a manual mask, a model that has not seen them.
    """
    records = [record(case, model) for case in calibration_cases(PRESENCE_SEED, PRESENCE_CASES)]
    if folds:
        real = Dataset.index(SHARED / "real", contrasts="all", subjects=folds)
        for number, entry in enumerate(
            find_masks(real, {}, extra={"drawn": "labels:label-SC_seg"})
        ):
            subject = next(part for part in entry.image.parts if part.startswith("sub-"))
            if entry.extra["drawn"] is None:
                continue
            truth = read_mask(entry.extra["drawn"], entry.image)
            case = Case(entry.image.name, Volume.load(entry.image).oriented(), truth)
            rng = np.random.default_rng([PRESENCE_SEED, number])
            records += [record(each, folds[subject]) for each in (case, worsened(case, rng))]
    return fit_presence(records)


def write(out: Path, network, config, card: dict) -> None:
    """The weights with their card, the same exported, and the card alone."""
    card = save_weights(out / f"{NAME}.safetensors", network, config, card)
    export_network(out / f"{NAME}.onnx", network, config, card)
    write_json(out / f"{NAME}.json", card)


def crossvalidate(run: Path, temperature: float) -> pd.DataFrame:
    """Every labelled real image, segmented by weights that have not seen its participant."""
    folds = left_out(run) | dict.fromkeys(OTHER_RULE, run / "models" / f"{NAME}_seed-1")
    models = {weights: load_at(weights, temperature) for weights in set(folds.values())}

    @cache  # areas of repeats are read from the same masks
    def predict(path: Path) -> Volume:
        subject = next(part for part in path.parts if part.startswith("sub-"))
        return segment(Volume.load(path), weights=models[folds[subject]]).soft

    real = Dataset.index(SHARED / "real", contrasts="all", subjects=folds)
    methods = {NAME: predict, PROPSEG: "propseg-centreline:label-SC_seg"}
    table = evaluate_manual(real, methods)
    ours, classical = (table[table["method"] == name].set_index(["subject", "session", "image"])
                       for name in methods)  # fmt: skip
    people = real.participants["person"]
    scores = ours.assign(dice_propseg=classical["dice"]).reset_index()
    scores.insert(0, "person", scores["subject"].map(people))
    repeats = evaluate_pairs(real, {NAME: predict})
    repeats = repeats[repeats["kind"] == "repeat"].set_index(["subject", "session", "image"])
    keys = pd.MultiIndex.from_frame(scores[["subject", "session", "image"]])
    scores["repeat_difference_percent"] = repeats["difference_percent"].reindex(keys).to_numpy()
    return scores.drop(columns=["method", "session"])


def by_contrast(scores: pd.DataFrame) -> list[dict]:
    """Mean and spread of the Dice with the manual masks, and the bias of the area."""
    rows = []
    scores = scores[~scores["subject"].isin(OTHER_RULE)]
    for contrast, part in scores.groupby("contrast", sort=False):
        people = part.groupby("person")[["dice", "error_percent"]].mean()
        rows.append({
            "contrast": contrast, "images": len(part), "people": len(people),
            "dice": float(part["dice"].mean()), "dice_sd": float(part["dice"].std(ddof=0)),
            "dice_lowest": float(part["dice"].min()),
            "area_bias_percent": float(people["error_percent"].mean()),
        })  # fmt: skip
    return rows


def phantom_scores(run: Path, people: list[str], model: Model) -> dict[str, float]:
    """Areas and calibration on digital participants whom no training has seen."""
    data = Dataset.index(run / "data", subjects=people)

    @cache
    def predict(path: Path) -> Volume:
        return segment(Volume.load(path), weights=model).soft

    methods = {NAME: predict}
    csa = measure_areas(data, methods, subjects=people, masks=("soft",))
    errors = csa_error(csa, true_csa(data, subjects=people))
    spread = contrast_variability(csa)
    bins = pool_calibration(evaluate_calibration(data, methods, subjects=people))
    return {
        "people": len(people),
        "sd_of_contrast_means_mm2": float(csa.groupby("contrast")["area_mm2"].mean().std(ddof=1)),
        "sd_over_contrasts_mm2": float(spread["sd_mm2"].mean()),
        "bias_percent": float(errors["error_percent"].mean()),
        "absolute_error_percent": float(errors["error_percent"].abs().mean()),
        "slope_on_true_area": float(
            area_tracking(csa, true_csa(data, subjects=people))["slope"].iloc[0]
        ),
        "calibration_error": calibration_error(bins),
        "worst_calibration_bin": float((bins["truth"] - bins["predicted"]).abs().max()),
    }


def sources(training: dict) -> list[dict[str, str | int]]:
    """What the network has seen, under which licence."""
    participants = Dataset.index(SHARED / "real", contrasts="all").participants
    rows = []
    empty = sorted({name.split("_")[0] for name in training["empty_slices"]})
    for what, people in {
        "": training["training_subjects"], ", masks alone": training["anatomy_subjects"],
        ", slices below the cord": empty,
    }.items():  # fmt: skip
        seen = participants.loc[list(people)]
        rows += [
            {"name": source + what, "licence": licence, "people": int(part["person"].nunique())}
            for (source, licence), part in seen.groupby(["source", "licence"])
        ]
    return [{"name": "softseg phantom stream", "licence": "MIT", "people": "without end"}, *rows]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--presence-of", type=Path, help="folder of weights whose card is renewed")
    options = parser.parse_args()
    if options.presence_of:
        network, config, card = load_weights(options.presence_of / f"{NAME}.safetensors")
        model = Model(network, config, card, "float32")
        write(options.presence_of, network, config, card | presence_entries(model, {}))
        return
    if not options.out:
        parser.error("RUN and OUT, or --presence-of FOLDER")

    network, config, card = load_weights(options.run / "models" / f"{NAME}_seed-1")
    split = json.loads((options.run / "splits.json").read_text(encoding="utf-8"))
    unseen = [*split["train"], *split["validation"]][:WATCHED]
    temperature = find_temperature(options.run, unseen)
    scores = crossvalidate(options.run, temperature)
    model = load_at(options.run / "models" / f"{NAME}_seed-1", temperature)
    card |= {
        "name": NAME,
        "sources": sources(card["training"]),
        "contrasts": ["any"],
        "temperature": round(temperature, 4),
        "scores_real": by_contrast(scores),
        "scores_phantom": phantom_scores(options.run, split["test"], model),
        "known_failures": FAILURES,
    }
    folds = {who: load_at(place, temperature) for who, place in left_out(options.run).items()}
    card |= presence_entries(model, folds)
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out, network, config, card)
    with replacing(options.out / f"{NAME}_crossvalidation.csv") as temporary:
        scores.to_csv(temporary, index=False, float_format="%.5g")


if __name__ == "__main__":
    main()
