"""Other methods on the same images: each leaves masks in `derivatives/<method>`, no more."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from softseg.dataset.index import Dataset
from softseg.volume import Volume
from softseg_study.competitors.contour import POLARITY, ContourSettings, follow_contour
from softseg_study.competitors.masks import write_masks
from softseg_study.competitors.nnunet import export_nnunet, import_nnunet, nnunet_commands

__all__ = [
    "POLARITY",
    "ContourSettings",
    "export_nnunet",
    "follow_contour",
    "follow_contours",
    "import_nnunet",
    "nnunet_commands",
    "write_masks",
]

NEAR = ContourSettings(rounds=1)
"""A contour that starts in the middle of the cord has not far to go."""


def follow_contours(
    dataset: Dataset,
    *,
    subjects: list[str] | None = None,
    method: str = "contour_following",
    start: str | None = None,
) -> pd.DataFrame:
    """Run `follow_contour` on every image, with the polarity of its contrast, as hard masks.

    Images of a contrast whose polarity is not known are left out.

    Args:
        dataset: Whose images to segment.
        subjects: Participants; all by default.
        method: Name of the derivative folder and in every table.
        start: `FOLDER:ENDING` of masks whose middle the contour starts from (of their size it
            knows nothing); where there is none the cord is searched in the image.

    Returns:
        As `write_masks`.
    """
    known = dataset.images[dataset.images["contrast"].isin(list(POLARITY))]
    folder, _, ending = (start or "").partition(":")
    starts: dict[Path, Path | None] = {}
    for row in known.itertuples() if start else ():
        session, run = (v if isinstance(v, str) else None for v in (row.session, row.run))
        starts[Path(row.path)] = dataset.existing(
            folder, row.subject, row.contrast, ending, session=session, run=run
        )

    def segment(image: Volume, contrast: str) -> Volume:
        path = starts.get(image.path)
        if path is None:
            return follow_contour(image, polarity=POLARITY[contrast])
        middle = Volume.load(path)
        return follow_contour(image, polarity=POLARITY[contrast], start=middle, settings=NEAR)

    return write_masks(
        replace(dataset, images=known), method, segment, subjects=subjects, binarise=True
    )
