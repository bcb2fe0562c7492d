"""Does the area depend on the voxel size? The same images, or masks, at other resolutions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from softseg.dataset.index import Dataset
from softseg.dataset.names import strip_extension
from softseg.volume import WORKING, Spacing, Volume, interpolation_matrix
from softseg_study.evaluation.areas import measure_areas
from softseg_study.evaluation.image_masks import SOFT_ENDING

if TYPE_CHECKING:
    from softseg.segmentation.engine import Segmentation

PAPER_RESOLUTIONS: dict[str, Spacing] = {
    "1×1×1 mm": (1.0, 1.0, 1.0),
    "0.5×0.5×4 mm": (0.5, 0.5, 4.0),
    "1.5×1.5×1.5 mm": (1.5, 1.5, 1.5),
    "3×0.5×0.5 mm": (3.0, 0.5, 0.5),
    "2×2×2 mm": (2.0, 2.0, 2.0),
}
"""The paper's five: right-left, back-front, foot-head."""


@dataclass(frozen=True, eq=False)
class ThroughGrid:
    """Masks of a folder, taken to another voxel size in the plane and back, as a method.

    A network works on a grid of its own and its prediction is interpolated back; this is what
    of the softness of its edges is due to that alone.

    Attributes:
        dataset: Whose images are asked for.
        pipeline: Folder below `derivatives`.
        spacing_mm: In-plane voxel size of the grid in between.
    """

    dataset: Dataset
    pipeline: str
    spacing_mm: float

    def __call__(self, image: Path) -> Volume:
        """The mask of an image after the detour.

        Raises:
            InputError: If the folder has no mask of the image.
        """
        root = self.dataset.root.resolve()
        source = root / "derivatives" / self.pipeline / image.resolve().relative_to(root)
        name = f"{strip_extension(source.name)}_{SOFT_ENDING}.nii.gz"
        mask = Volume.load(source.with_name(name)).oriented(WORKING)
        between = respaced(mask, (self.spacing_mm, self.spacing_mm, mask.spacing_mm[2]))
        return between.resampled(mask.grid)


def respaced(volume: Volume, spacing_mm: Spacing) -> Volume:
    """The volume in working orientation with other voxels over the same field of view.

    `Volume.resampled` on that grid, whose axes are the same, by a matrix an axis: ten times faster.
    """
    volume = volume.oriented(WORKING)
    grid = volume.respaced_grid(spacing_mm)
    data = volume.data.astype(np.float32, copy=False)
    for axis, (old, new) in enumerate(zip(volume.spacing_mm, spacing_mm, strict=True)):
        matrix = interpolation_matrix(data.shape[axis], old, grid.shape[axis], new)
        data = np.moveaxis(np.tensordot(matrix, data, axes=(1, axis)), 0, axis)
    return replace(volume, data=np.ascontiguousarray(data), affine=grid.affine)


def evaluate_resolutions(
    dataset: Dataset,
    methods: "Mapping[str, str | Callable[[Volume], Segmentation]]",
    *,
    resolutions: Mapping[str, Spacing] = PAPER_RESOLUTIONS,
    **options: object,
) -> pd.DataFrame:
    """Areas of every image at several resolutions, measured on the resampled grid.

    The paper resamples the prediction back to the image's grid before measuring; here it is
    measured where it was made, so that the only thing that changes is the voxel.

    Args:
        dataset: Its images are resampled; index one contrast (the paper takes T2w).
        methods: Name → a function as `segment` with its weights, or a folder below `derivatives`
            whose masks are resampled instead (`truth` shows what the voxel alone does).
        resolutions: Name → voxel size in working orientation.
        options: Of `measure_areas`.

    Returns:
        `measure_areas`'s columns and `resolution`, ordered by method and resolution.
    """
    tables = []
    for method, source in methods.items():
        for name, spacing in resolutions.items():
            at_this = partial(respaced, spacing_mm=spacing)
            if isinstance(source, str):
                table = measure_areas(dataset, {method: source}, prepare=at_this, **options)
            else:
                seen = partial(_segmented, segment=source, prepare=at_this)
                table = measure_areas(dataset, {method: seen}, **options)
            tables.append(table.assign(resolution=name))
    return pd.concat(tables, ignore_index=True)


def _segmented(image: Path, *, segment: Callable, prepare: Callable) -> Volume:
    return segment(prepare(Volume.load(image))).soft
