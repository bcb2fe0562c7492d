"""Masks of a network for every image of a data set: a method takes part by its folder alone."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from softseg.batch import Outcome
from softseg.dataset.description import describe_pipeline
from softseg.dataset.index import Dataset
from softseg.segmentation.batch import SegmentationOptions, segment_images
from softseg.segmentation.engine import Model
from softseg.segmentation.jobs import SOFT, Job


def segment_dataset(
    dataset: Dataset,
    weights: Path | str,
    pipeline: str,
    *,
    subjects: Iterable[str] | None = None,
    device: str = "auto",
    activation: str | None = None,
    overwrite: bool = True,
) -> pd.DataFrame:
    """Segment the images of a data set into `derivatives/<pipeline>`.

    A method takes part in a comparison by its derivative folder alone; this is how ours get one.

    Args:
        dataset: Its images are segmented; several volumes in a file are averaged.
        weights: A weights file, a model folder or the name of weights that ship.
        pipeline: Folder below `derivatives`.
        subjects: Only these.
        device: As PyTorch names it; `auto` takes a GPU where there is one.
        activation: Instead of the network's own.
        overwrite: Whether to segment again what the same weights have segmented before.

    Returns:
        One row an image: `subject`, `contrast`, `status` (`ok`, `no cord`, `failed`), `message`.

    Raises:
        InputError: If the weights are not ours or the masks cannot be written.
    """
    model = Model.load(weights, device=device)
    wanted = set(dataset.subjects if subjects is None else subjects)
    rows = [row for row in dataset.images.itertuples() if row.subject in wanted]
    jobs = [Job(dataset.root / row.path, _mask_path(dataset, pipeline, row)) for row in rows]
    describe_pipeline(
        dataset.root / "derivatives" / pipeline, "Soft segmentation", "segment",
        weights=model.card.get("checksum"),
    )  # fmt: skip
    options = SegmentationOptions(average="mean", activation=activation)
    outcomes = segment_images(jobs, model, options, overwrite=overwrite)
    return pd.DataFrame(
        [
            {
                "subject": row.subject,
                "contrast": row.contrast,
                "status": _status(outcome),
                "message": outcome.message or outcome.result.note,
            }
            for row, outcome in zip(rows, outcomes, strict=True)
        ],
        columns=["subject", "contrast", "status", "message"],
    )


def _mask_path(dataset: Dataset, pipeline: str, row: object) -> Path:
    session, run = (v if isinstance(v, str) else None for v in (row.session, row.run))
    return dataset.derivative(pipeline, row.subject, row.contrast, SOFT, session, run)


def _status(outcome: Outcome) -> str:
    if outcome.status == "failed":
        return "failed"
    mask = outcome.result.mask
    return "ok" if mask.data.any() else "no cord"
