"""Masks of any other tool: checked and written as one more method."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from softseg.dataset.description import describe_pipeline
from softseg.dataset.index import Dataset
from softseg.dataset.names import sidecar_path
from softseg.files import write_json
from softseg.masks import as_fractions, check_grid
from softseg.volume import Volume

SOFT, HARD = "label-SC_softseg", "label-SC_seg"


def write_masks(
    dataset: Dataset,
    method: str,
    segment: Callable[[Volume, str], Volume],
    *,
    subjects: Iterable[str] | None = None,
    binarise: bool = False,
) -> pd.DataFrame:
    """Run any function from image and contrast to mask on a data set, as one more method.

    Args:
        dataset: Whose images to segment.
        method: Name of the derivative folder and in every table.
        segment: From an image and its contrast's name to a mask on the image's grid.
        subjects: Participants; all by default.
        binarise: Write `mask > 0.5`.

    Returns:
        One row an image: `subject`, `contrast`, `status` (`soft` or `hard`), `path`.

    Raises:
        InputError: If `segment` returns a mask that leaves [0, 1] or the image's grid.
    """
    wanted = dataset.images
    if subjects is not None:
        wanted = wanted[wanted["subject"].isin(list(subjects))]
    rows = []
    for row in wanted.itertuples():
        image = Volume.load(row.path, average="mean")
        mask = segment(image, row.contrast)
        mask = mask.like((mask.data > 0.5).astype(np.float32)) if binarise else mask
        check_grid(mask, image)
        mask = mask.like(as_fractions(mask.data, mask.name))
        path, status = write_mask(dataset, method, row, mask, source=None)
        rows.append((row.subject, row.contrast, status, path))
    describe_pipeline(
        dataset.root / "derivatives" / method, f"Masks of {method}", "competitor", method=method
    )
    return pd.DataFrame(rows, columns=["subject", "contrast", "status", "path"])


def write_mask(
    dataset: Dataset, method: str, row, mask: Volume, *, source: Path | None
) -> tuple[Path, str]:
    """Write one mask where every evaluation looks for it; the kind follows from its values.

    Args:
        dataset: The image's data set.
        method: Name of the derivative folder.
        row: Row of `dataset.images`.
        mask: Values in [0, 1].
        source: Where it came from, for the sidecar.

    Returns:
        Where it is, and `soft` or `hard`.
    """
    hard = bool(np.isin(mask.data, (0.0, 1.0)).all())
    where = [
        dataset.derivative(
            method, row.subject, row.contrast, ending, _given(row.session), _given(row.run)
        )
        for ending in ((HARD, SOFT) if hard else (SOFT, HARD))
    ]
    # Masks of an earlier run must not be taken for this one's.
    where[1].unlink(missing_ok=True)
    mask.save(where[0], dtype=np.uint8 if hard else np.float32)
    sidecar = {"Method": method} | ({"Source": source.name} if source else {})
    write_json(sidecar_path(where[0]), sidecar)
    return where[0], "hard" if hard else "soft"


def _given(value: object) -> str | None:
    return value if isinstance(value, str) else None
