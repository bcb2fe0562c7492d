"""How well every method's masks agree with a reference's, and which are no segmentation at all."""

from collections.abc import Iterable, Mapping

import pandas as pd

from softseg.dataset.index import Dataset
from softseg.volume import Volume
from softseg_study.evaluation.image_masks import Method, compare_masks
from softseg_study.statistics.surfaces import overlap

DICE_FLOOR = 0.5
"""Below this overlap a mask is somewhere else."""


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
    rows = compare_masks(
        dataset, methods, reference, _overlap, failed=_no_overlap, subjects=subjects, jobs=jobs
    )
    columns = ["subject", "session", "contrast", "method", *OVERLAP_COLUMNS, "status"]
    return pd.DataFrame(rows, columns=columns)


def _overlap(mask: Volume, reference: Volume) -> list[dict]:
    status = "ok" if (mask.data > 0.5).any() else "empty mask"
    return [overlap(mask.data, reference.data, reference.spacing_mm) | {"status": status}]


def _no_overlap(why: str) -> list[dict]:
    return [{"status": why}]


OVERLAP_COLUMNS = (
    "dice",
    "soft_dice",
    "relative_volume_error_percent",
    "soft_volume_error_percent",
    "mean_surface_distance_mm",
    "hausdorff95_mm",
)
"""What `evaluate_overlap` measures."""
