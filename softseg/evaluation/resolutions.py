"""Does the area depend on the voxel size? The same images, or masks, at other resolutions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from softseg.dataset import Dataset
from softseg.evaluation.areas import LEVELS, evaluate_csa, evaluate_variants
from softseg.evaluation.treatments import MASKS, VARIANTS
from softseg.volume import WORKING, Spacing, Volume

PAPER_RESOLUTIONS: dict[str, Spacing] = {
    "1×1×1 mm": (1.0, 1.0, 1.0),
    "0.5×0.5×4 mm": (0.5, 0.5, 4.0),
    "1.5×1.5×1.5 mm": (1.5, 1.5, 1.5),
    "3×0.5×0.5 mm": (3.0, 0.5, 0.5),
    "2×2×2 mm": (2.0, 2.0, 2.0),
}
"""The paper's five: right-left, back-front, foot-head."""


@dataclass(frozen=True)
class Respaced:
    """A method that sees the image at another resolution, as `evaluate_csa` takes it.

    Attributes:
        segment: From an image to its mask, on the same grid.
        spacing_mm: Voxel size in working orientation.
    """

    segment: Callable[[Volume], Volume]
    spacing_mm: Spacing

    def __call__(self, image: Path) -> Volume:
        """The mask of the image resampled to `spacing_mm`."""
        return self.segment(respaced(Volume.load(image), self.spacing_mm, mode="nearest"))


def respaced(volume: Volume, spacing_mm: Spacing, mode: str = "constant") -> Volume:
    """The volume in working orientation with other voxels over the same field of view."""
    volume = volume.oriented(WORKING)
    return volume.resampled(volume.respaced_grid(spacing_mm), mode=mode)


def evaluate_resolutions(
    dataset: Dataset,
    methods: Mapping[str, str | Callable[[Volume], Volume]],
    *,
    resolutions: Mapping[str, Spacing] = PAPER_RESOLUTIONS,
    vertebrae: tuple[int, int] | None = (2, 3),
    subjects: Iterable[str] | None = None,
    levels: str = LEVELS,
    masks: Sequence[str] = MASKS,
    jobs: int = 1,
) -> pd.DataFrame:
    """Areas of every image at several resolutions, measured on the resampled grid.

    The paper resamples the prediction back to the image's grid before measuring; here it is
    measured where it was made, so that the only thing that changes is the voxel.

    Args:
        dataset: Its images are resampled; index one contrast (the paper takes T2w).
        methods: Name → a function from a volume to its soft mask, or a folder below `derivatives`
            whose masks are resampled instead (`truth` shows what the voxel alone does).
        resolutions: Name → voxel size in working orientation.
        vertebrae: As in `evaluate_csa`.
        subjects: Only these.
        levels: As in `evaluate_csa`.
        masks: As in `evaluate_csa`.
        jobs: Processes.

    Returns:
        `evaluate_csa`'s columns and `resolution`, ordered by method and resolution.
    """
    options = {"vertebrae": vertebrae, "subjects": subjects, "levels": levels, "jobs": jobs}
    tables = []
    for method, source in methods.items():
        for name, spacing in resolutions.items():
            if isinstance(source, str):
                table = _of_masks(dataset, method, source, spacing, masks, options)
            else:
                seen = {method: Respaced(source, spacing)}
                table = evaluate_csa(dataset, seen, masks=masks, **options)
            tables.append(table.assign(resolution=name))
    return pd.concat(tables, ignore_index=True)


def _of_masks(dataset, method, source, spacing, masks, options) -> pd.DataFrame:
    variants = [
        (named, partial(_respaced_then, spacing_mm=spacing, treat=treat))
        for named, treat in (VARIANTS[m] for m in masks)
    ]
    return evaluate_variants(dataset, {method: source}, variants, **options)


def _respaced_then(
    mask: Volume, *, spacing_mm: Spacing, treat: Callable[[Volume], Volume]
) -> Volume:
    return treat(respaced(mask, spacing_mm))
