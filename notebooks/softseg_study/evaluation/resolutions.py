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
from softseg.volume import WORKING, Spacing, Volume, samples_within
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


@dataclass(frozen=True)
class Respaced:
    """A method that sees the image at another resolution, as `measure_areas` takes it.

    Attributes:
        segment: From an image to its segmentation, on the same grid.
        spacing_mm: Voxel size in working orientation.
    """

    segment: "Callable[[Volume], Segmentation]"
    spacing_mm: Spacing

    def __call__(self, image: Path) -> Volume:
        """The mask of the image resampled to `spacing_mm`."""
        return self.segment(respaced(Volume.load(image), self.spacing_mm, mode="nearest")).soft


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
        source = (
            self.dataset.root
            / "derivatives"
            / self.pipeline
            / image.resolve().relative_to(self.dataset.root.resolve())
        )
        name = f"{strip_extension(source.name)}_{SOFT_ENDING}.nii.gz"
        mask = Volume.load(source.with_name(name)).oriented(WORKING)
        between = respaced(mask, (self.spacing_mm, self.spacing_mm, mask.spacing_mm[2]))
        return between.resampled(mask.grid)


def respaced(volume: Volume, spacing_mm: Spacing, mode: str = "constant") -> Volume:
    """The volume in working orientation with other voxels over the same field of view.

    What `Volume.resampled` gives on that grid, ten times faster: axes stay parallel, so that each
    is interpolated on its own by one matrix.

    Args:
        volume: An image or a soft mask.
        spacing_mm: Voxel size in working orientation.
        mode: What lies outside the field of view: `constant` (nothing) or `nearest`.
    """
    volume = volume.oriented(WORKING)
    grid = volume.respaced_grid(spacing_mm)
    data = volume.data.astype(np.float32, copy=False)
    for axis, size in enumerate(grid.shape):
        step = spacing_mm[axis] / volume.spacing_mm[axis]
        weights = _axis_weights(data.shape[axis], size, step, mode)
        data = np.moveaxis(np.tensordot(weights, data, axes=(1, axis)), 0, axis)
    return replace(volume, data=np.ascontiguousarray(data), affine=grid.affine)


def _axis_weights(n_old: int, n_new: int, step: float, mode: str) -> np.ndarray:
    """`(n_new, n_old)` weights of linear interpolation, averaged over each new voxel."""
    inside = samples_within(step)
    at = (n_old - 1) / 2 + step * (np.arange(n_new)[:, None] - (n_new - 1) / 2 + inside)
    if mode == "nearest":
        at = at.clip(0, n_old - 1)
    below = np.floor(at).astype(int)
    weights = np.zeros((n_new, n_old), np.float32)
    rows = np.broadcast_to(np.arange(n_new)[:, None], at.shape)
    for neighbour, share in ((below, 1 - (at - below)), (below + 1, at - below)):
        known = (neighbour >= 0) & (neighbour < n_old)
        np.add.at(weights, (rows[known], neighbour[known]), share[known] / len(inside))
    return weights


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
            if isinstance(source, str):
                prepare = partial(respaced, spacing_mm=spacing)
                table = measure_areas(dataset, {method: source}, prepare=prepare, **options)
            else:
                table = measure_areas(dataset, {method: Respaced(source, spacing)}, **options)
            tables.append(table.assign(resolution=name))
    return pd.concat(tables, ignore_index=True)
