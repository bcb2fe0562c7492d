"""Other methods on the same images: each leaves masks in `derivatives/<method>`, no more."""

import pandas as pd

from softseg.competitors.contour import POLARITY, ContourSettings, follow_contour
from softseg.competitors.masks import adopt_masks, segment_dataset
from softseg.competitors.nnunet import export_nnunet, import_nnunet, nnunet_commands
from softseg.competitors.sct import available_programs, run_sct
from softseg.dataset import Dataset

__all__ = [
    "POLARITY",
    "ContourSettings",
    "adopt_masks",
    "available_programs",
    "export_nnunet",
    "follow_contour",
    "follow_contours",
    "import_nnunet",
    "nnunet_commands",
    "run_sct",
    "segment_dataset",
]


def follow_contours(
    dataset: Dataset, *, subjects: list[str] | None = None, method: str = "contour"
) -> pd.DataFrame:
    """Run `follow_contour` on every image, with the polarity of its contrast, as hard masks.

    Args:
        dataset: Whose images to segment.
        subjects: Participants; all by default.
        method: Name of the derivative folder and in every table.

    Returns:
        As `segment_dataset`.

    Raises:
        KeyError: If the cord's polarity in a contrast is not known.
    """
    return segment_dataset(
        dataset,
        method,
        lambda image, contrast: follow_contour(image, polarity=POLARITY[contrast]),
        subjects=subjects,
        binarise=True,
    )
