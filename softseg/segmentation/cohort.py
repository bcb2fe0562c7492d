"""Masks of a data set's people as one more method among its derivatives."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from softseg.dataset.index import Dataset
from softseg.dataset.writing import describe_pipeline
from softseg.segmentation.batch import Job, Options, run
from softseg.segmentation.engine import Model

ENDING = "label-SC_softseg"


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
    options = Options(average="mean", activation=activation)
    outcomes = run(jobs, model, options, overwrite=overwrite)
    return pd.DataFrame(
        [
            {
                "subject": row.subject,
                "contrast": row.contrast,
                "status": _status(outcome),
                "message": outcome.note,
            }
            for row, outcome in zip(rows, outcomes, strict=True)
        ],
        columns=["subject", "contrast", "status", "message"],
    )


def _mask_path(dataset: Dataset, pipeline: str, row: object) -> Path:
    session, run = (v if isinstance(v, str) else None for v in (row.session, row.run))
    return dataset.derivative(pipeline, row.subject, row.contrast, ENDING, session, run)


def _status(outcome: object) -> str:
    if outcome.failed:
        return "failed"
    return "ok" if outcome.mask is not None and outcome.mask.data.any() else "no cord"
