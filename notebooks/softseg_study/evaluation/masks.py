"""How well every method's masks agree with a reference's, and what their soft values mean."""

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
import pandas as pd

from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.metrics.calibration import calibration_table
from softseg.metrics.surfaces import overlap
from softseg.volume import Volume
from softseg_study.evaluation.tasks import Method, Source, Task, find_tasks, read_mask, run_tasks

REFERENCE = "reference"


def evaluate_overlap(
    dataset: Dataset,
    methods: Mapping[str, Method],
    reference: str = "labels_softseg",
    *,
    subjects: Iterable[str] | None = None,
    jobs: int = 1,
) -> pd.DataFrame:
    """Overlap, volume error and surface distance of every method's mask of every image.

    Hard metrics compare values above 0.5 on both sides, as the paper does; soft ones compare
    fractions. An image that a method has no mask of keeps a row without numbers, so that failures
    can be counted.

    Args:
        dataset: Its images are evaluated.
        methods: Name in the table → folder below `derivatives`, `FOLDER:ENDING`, or a function
            from an image's path to its mask.
        reference: `FOLDER` or `FOLDER:ENDING` of the masks compared with.
        subjects: Only these.
        jobs: Processes; the table does not depend on it.

    Returns:
        One row per image and method, in the order of the index: `subject`, `session`, `contrast`,
        `method`, `dice`, `soft_dice`, `relative_volume_error_percent`,
        `soft_volume_error_percent`, `mean_surface_distance_mm`, `hausdorff95_mm`, `status` (`ok`,
        `empty mask`, `no mask`, `no reference`, or what was wrong).
    """
    tasks = find_tasks(dataset, methods, subjects=subjects, extra={REFERENCE: reference})
    rows = run_tasks(_overlap_rows, tasks, jobs=jobs)
    columns = ["subject", "session", "contrast", "method", *OVERLAP_COLUMNS, "status"]
    return pd.DataFrame(rows, columns=columns)


def evaluate_calibration(
    dataset: Dataset,
    methods: Mapping[str, Method],
    truth: str = "truth",
    *,
    n_bins: int = 10,
    subjects: Iterable[str] | None = None,
    jobs: int = 1,
) -> pd.DataFrame:
    """Calibration table of every mask against true fractions, ready for `pool_calibration`.

    Args:
        dataset: Its images are evaluated.
        methods: As in `evaluate_overlap`.
        truth: `FOLDER` or `FOLDER:ENDING` of the true fractions.
        n_bins: Bins of equal width.
        subjects: Only these.
        jobs: Processes; the table does not depend on it.

    Returns:
        `subject`, `session`, `contrast`, `method`, the columns of `calibration_table` and `status`
        (`ok`, `no mask`, `no reference`, or what was wrong); an image that is not `ok` keeps its
        bins, without a voxel.
    """
    tasks = find_tasks(dataset, methods, subjects=subjects, extra={REFERENCE: truth})
    rows = run_tasks(partial(_calibration_rows, n_bins=n_bins), tasks, jobs=jobs)
    columns = ["subject", "session", "contrast", "method", *_no_voxels(n_bins).columns, "status"]
    return pd.DataFrame(rows, columns=columns)


def _overlap_rows(task: Task) -> list[dict]:
    path = task.extra[REFERENCE]
    reference = None if path is None else read_mask(path, task.image)
    rows = []
    for method, source in task.sources.items():
        row = task.keys | {"method": method}
        if source is None or reference is None:
            rows.append(row | {"status": "no mask" if source is None else "no reference"})
            continue
        try:
            mask = read_on_grid(source, task, reference)
        except InputError as error:
            rows.append(row | {"status": str(error)})
            continue
        status = "ok" if (mask.data > 0.5).any() else "empty mask"
        found = overlap(mask.data, reference.data, reference.spacing_mm)
        rows.append(row | found | {"status": status})
    return rows


def _calibration_rows(task: Task, *, n_bins: int) -> list[dict]:
    rows = []
    for method, source in task.sources.items():
        try:
            table, status = _calibrate(source, task, n_bins)
        except InputError as error:
            table, status = _no_voxels(n_bins), str(error)
        named = task.keys | {"method": method}
        rows += [named | row | {"status": status} for row in table.to_dict("records")]
    return rows


def _calibrate(source: Source | None, task: Task, n_bins: int) -> tuple[pd.DataFrame, str]:
    path = task.extra[REFERENCE]
    if source is None or path is None:
        return _no_voxels(n_bins), "no mask" if source is None else "no reference"
    truth = read_mask(path, task.image)
    mask = read_on_grid(source, task, truth)
    return calibration_table(mask.data, truth.data, n_bins=n_bins), "ok"


def _no_voxels(n_bins: int) -> pd.DataFrame:
    return calibration_table(np.zeros(0), np.zeros(0), n_bins=n_bins)


def read_on_grid(source: Source, task: Task, reference: Volume) -> Volume:
    mask = read_mask(source, task.image)
    if not mask.grid.matches(reference.grid, tolerance_mm=1e-2):
        raise InputError(
            f"{mask.name}: must lie on the grid of {reference.name} ({reference.data.shape}), "
            f"found {mask.data.shape}; resample it"
        )
    return mask


OVERLAP_COLUMNS = (
    "dice",
    "soft_dice",
    "relative_volume_error_percent",
    "soft_volume_error_percent",
    "mean_surface_distance_mm",
    "hausdorff95_mm",
)
"""What `evaluate_overlap` measures."""
