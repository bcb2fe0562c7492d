"""`softseg train`."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from softseg.cli.options import Contrasts, QcCrop, Subjects, recorded_options
from softseg.errors import InputError, counted

if TYPE_CHECKING:
    from softseg.training.config import TrainingConfig
    from softseg.training.data import Pair

LEAST = 6
"""Participants: four to train on, one to watch, one to test."""
FEW = 5
"""Fewer in the test say little about a score."""


def train(
    context: typer.Context,
    root: Annotated[Path, typer.Argument(metavar="BIDS_ROOT", help="The data set's folder.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder of the model.")],
    truth: Annotated[
        str,
        typer.Option(
            help="What is learnt: soft, soft_bin, hard (derivatives/labels), or FOLDER:ENDING."
        ),
    ] = "soft",
    contrasts: Contrasts = None,
    subjects: Subjects = None,
    network: Annotated[str, typer.Option(help="small, axial, volume, or paper.")] = "small",
    init_weights: Annotated[
        str | None,
        typer.Option(help="Go on from these weights: a file, a folder, or axial, which ships."),
    ] = None,
    loss: Annotated[str, typer.Option(help="A name in softseg.losses.registry.")] = "adaptive_wing",
    augmentation: Annotated[
        str, typer.Option(help="A name in softseg.augmentation.registry.")
    ] = "light",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 600,
    seed: Annotated[int, typer.Option(help="Of weights, patches and of who is tested on.")] = 1,
    qc_crop: QcCrop = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model that is there.")
    ] = False,
) -> None:
    """Train a network on a BIDS data set, and test it on participants that it has not seen.

    A fifth of the participants is kept for the test and a fifth watches the training; all images
    of one stay together. The folder then holds the weights (model.onnx for `softseg segment`,
    model.safetensors to train on), the card, learning curves, the masks of the test, their table
    (test.csv) and a page to look at. An interrupted training goes on where it was. It wants the
    optional `softseg[train]`.

    Example: `softseg train my-dataset -o models/mine --truth hard`
    """
    try:
        from softseg.training.fitting import fit
    except ModuleNotFoundError as error:
        raise InputError(f'train: {error.name} is needed; pip install "softseg[train]"') from error
    from softseg.dataset.names import parse_contrasts
    from softseg.events import form, result, tell
    from softseg.training.config import TrainingConfig

    if (out / "model.safetensors").exists() and not overwrite:
        raise InputError(f"-o {out}: holds a trained model; --overwrite replaces it")
    plan = {
        "output": str(out), "dataset": str(root), "truth": truth, "network": network,
        "init_weights": init_weights, "loss": loss, "augmentation": augmentation, "steps": steps,
        "seed": seed, "cache": str(out / "prepared"),
        "progress": "none" if form() in ("quiet", "json") else "auto",
    }  # fmt: skip
    if contrasts:
        plan["contrasts"] = list(parse_contrasts("all")) if contrasts == ["all"] else contrasts
    config, test = _shared_out(TrainingConfig.from_dict(plan), subjects)
    people = {pair[0] for pair in test}
    learners = len(config.training_subjects)
    tell(f"softseg: {learners} participants to train on, {len(people)} to test on")
    if len(people) < FEW:
        tested = counted(len(people), "participant")
        tell(
            f"softseg: enough to try, too few to trust: scores rest on {tested}; {5 * FEW} or more "
            f"leave {FEW} to the test"
        )
    fit(config)
    shutil.rmtree(out / "prepared", ignore_errors=True)
    used = recorded_options(context) | {"init_weights": init_weights and Path(init_weights).name}
    page, dice = _test(out, test, used, qc_crop)
    result(f"{out / 'model.onnx'}: soft Dice {dice:.3f} in {len(test)} images of the test")
    result(f"to look at: {page}")


def _shared_out(
    config: "TrainingConfig", subjects: list[str] | None
) -> tuple["TrainingConfig", list["Pair"]]:
    """The settings with who is trained on and who watches, and the images of those who test.

    Raises:
        InputError: If too few have an image with the truth.
    """
    from softseg.dataset.index import Dataset
    from softseg.dataset.splits import split
    from softseg.training.data import find_pairs

    dataset = Dataset.index(config.dataset, contrasts=config.contrasts, subjects=subjects)
    pairs = find_pairs(dataset, config, dataset.subjects)
    people = sorted({pair[0] for pair in pairs})
    if len(people) < LEAST:
        folder, ending = config.truth_files
        raise InputError(
            f"{config.dataset}: {len(people)} participants have an image with {folder}/…_{ending}, "
            f"and {LEAST} are the fewest that can be trained on, watched and tested"
        )
    parts = split(people, seed=config.seed)
    shared = config.replaced(
        training_subjects=parts["train"], validation_subjects=parts["validation"]
    )
    return shared, [pair for pair in pairs if pair[0] in parts["test"]]


def _test(
    out: Path, test: Sequence["Pair"], used: dict[str, Any], qc_crop: float | None
) -> tuple[Path, float]:
    """Segment the test as `softseg segment` would; the page and the mean soft Dice."""
    import pandas as pd

    from softseg.dataset.names import strip_extension
    from softseg.metrics.volumes import soft_dice
    from softseg.provenance.records import signed
    from softseg.quality_control.page import Item, write_page
    from softseg.segmentation.engine import Model, segment
    from softseg.training.module import csa_error_mm2
    from softseg.volume import Volume

    model, rows, items = Model.load(str(out / "model.onnx")), [], []
    for subject, contrast, image, truth in test:
        found = segment(Volume.load(image, average="mean"), weights=model).soft
        name = strip_extension(image.name)
        mask = found.save(out / "test" / f"{name}_label-SC_softseg.nii.gz", fractions=True)
        right = Volume.load(truth)
        scores = {
            "soft_dice": soft_dice(found.data, right.data),
            "absolute_error_mm2": csa_error_mm2(found, right),
        }
        rows.append({"subject": subject, "contrast": contrast} | scores)
        said = f"soft Dice {scores['soft_dice']:.3f}"
        items.append(Item(name, image, {"truth": truth, "network": mask}, (), said))
    table = pd.DataFrame(rows)
    about = {"step": "train", "parameters": used, "sources": [pair[2] for pair in test]}
    with signed(out / "test.csv", **about) as temporary:
        table.to_csv(temporary[out / "test.csv"], index=False, float_format="%.6g")
    page = write_page(out / "report", items, title="Participants not seen", crop_mm=qc_crop)
    return page, float(table["soft_dice"].mean())
