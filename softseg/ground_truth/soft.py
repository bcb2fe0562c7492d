"""From the hard masks of several contrasts to one soft mask on every contrast's grid."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from softseg.contrasts import CONTRASTS, REFERENCE, UNSEEN_CONTRASTS
from softseg.errors import InputError, counted
from softseg.ground_truth.alignment import Placed, place, register
from softseg.ground_truth.averaging import AVERAGES, average_masks
from softseg.ground_truth.hard_masks import check_mask
from softseg.ground_truth.report import tabulate
from softseg.ground_truth.transfer import (
    REACH_MM,
    AveragingGrid,
    beyond_reach,
    onto_native,
    onto_reference,
)
from softseg.volume import Volume

COVERAGES = ("segmented", "published")
REGISTRATIONS = ("none", "translation", "translation+rotation")
TRIM_MM = 8.0
"""Cut off at either end of a mask in axial slices: the outermost are partly covered."""
MAX_LENGTH_MM = 1000.0
"""Over which the masks of one participant may spread along the cord, which is half as long."""


@dataclass(frozen=True)
class GroundTruthOptions:
    """How soft truths are made: the options of `soft_ground_truth`, and the binary's threshold."""

    reference: str = REFERENCE
    trim_mm: float | Mapping[str, float] | None = None
    registration: str = "translation"
    smoothing_mm: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)
    average: str = "mean"
    coverage: str = "segmented"
    threshold: float = 0.5

    def check(self, contrasts: Iterable[str]) -> None:
        """Refuse what cannot hold for any participant, before anything is written.

        Args:
            contrasts: Those looked for in the data set.

        Raises:
            InputError: If an option is unknown or out of range, or names a contrast not looked for.
        """
        check_options(registration=self.registration, average=self.average, coverage=self.coverage)
        trims = self.trim_mm if isinstance(self.trim_mm, Mapping) else {}
        # Weights and trims may name contrasts that this data set happens not to have.
        known = {*contrasts, *CONTRASTS, *UNSEEN_CONTRASTS}
        for option, names, allowed in (
            ("reference", [self.reference], set(contrasts)),
            ("weights", self.weights, known),
            ("trim", trims, known),
        ):
            unknown = sorted(set(names) - allowed)
            if unknown:
                raise InputError(
                    f"{option}: no contrast {', '.join(unknown)} among those looked for "
                    f"({', '.join(contrasts)})"
                )
        given = [*trims.values(), *self.weights.values(), self.smoothing_mm]
        given += [self.trim_mm] if isinstance(self.trim_mm, int | float) else []
        if not np.isfinite(sum(given)) or min(given) < 0 or not 0 < self.threshold < 1:
            raise InputError(
                "ground truth: trim, weights and smoothing must be finite and must not be "
                f"negative, the threshold lies between 0 and 1; found {given} and "
                f"{self.threshold:g}"
            )


@dataclass(frozen=True, eq=False)
class SoftTruth:
    """One participant's soft truth.

    Attributes:
        soft: Soft mask on each contrast's own grid, values in [0, 1].
        report: One row a contrast and slice of the reference, see `report.tabulate`.
        warnings: What the reader of the report should know, one line each.
    """

    soft: dict[str, Volume]
    report: pd.DataFrame
    warnings: tuple[str, ...] = field(default=())

    def binary(self, threshold: float = 0.5) -> dict[str, Volume]:
        """The averaged-then-binarised truth: 1 where the soft value exceeds `threshold`."""
        return {
            name: volume.like((volume.data > threshold).astype(np.float32))
            for name, volume in self.soft.items()
        }


def soft_ground_truth(
    masks: Mapping[str, Volume],
    *,
    reference: str = REFERENCE,
    trim_mm: float | Mapping[str, float] | None = None,
    registration: str = "translation",
    smoothing_mm: float = 0.0,
    weights: Mapping[str, float] | None = None,
    average: str = "mean",
    coverage: str = "segmented",
) -> SoftTruth:
    """Average the hard masks of several contrasts into one soft mask of the cord.

    Each mask is placed on the reference by the headers, its slices are shifted in the plane until
    centres of mass agree, and every voxel becomes the mean over the contrasts that cover it:
    `soft(v) = sum_c w_c cov_c(v) mask_c(v) / sum_c w_c cov_c(v)`. Only translations: differences in
    shape between contrasts are the signal to average. The result goes back to each contrast's grid
    with one interpolation through the composed transform, averaged over thick slabs.

    Args:
        masks: Binary masks by contrast, each on its own grid and in any orientation.
        reference: The contrast on whose grid the average is made.
        trim_mm: Millimetres to leave out at either end of a mask; for all contrasts but the
            reference, or by contrast. By default 8 mm where slices are axial and thick, else 0.
        registration: `none` (headers only), `translation`, or `translation+rotation`.
        smoothing_mm: Gaussian smoothing of the shifts along the cord; 0 as published.
        weights: By contrast, 1 by default; a contrast of weight 0 receives the soft truth of the
            others (leave one out).
        average: `mean`, `median` or `staple`.
        coverage: `segmented`: slices in which a rater drew nothing say nothing. `published`: in
            contrasts that are not trimmed (T1w, T2w) they say "no cord", as the paper has it, which
            pulls the average down beyond the end of the shorter mask.

    Raises:
        InputError: If the reference is missing, a mask is not a binary mask of a cord, the masks
            lie too far apart or are too fine for memory, none is left to average, or an option is
            unknown.

    Example:
        >>> mask = Volume(np.zeros((9, 9, 5)), np.diag([-1.0, 1.0, 1.0, 1.0]))
        >>> mask.data[3:6, 3:6] = 1
        >>> truth = soft_ground_truth({"T2w": mask, "T1w": mask})
        >>> float(truth.soft["T1w"].data.sum())
        45.0
    """
    check_options(registration=registration, average=average, coverage=coverage)
    weight = _check(masks, reference, weights)
    trims = trims_mm(masks, reference, trim_mm)
    # A fixed order makes the sums, hence the last bits, independent of the order given.
    names = sorted(masks)
    oriented = {name: masks[name].oriented() for name in names}
    frame = oriented[reference]
    first = {name: place(oriented[name], frame) for name in names}
    heights = _heights(first, reference, frame.spacing_mm[2])
    placed = {
        name: register(
            first[name], first[reference], heights, kind=registration, smoothing_mm=smoothing_mm
        )
        for name in names
    }
    grid = AveragingGrid.around(placed, reference, heights)
    values = np.zeros((len(names), len(grid.points)))
    covered = np.zeros(values.shape, dtype=bool)
    for row, name in enumerate(names):
        values[row], covered[row] = onto_reference(
            placed[name],
            grid,
            trims[name],
            whole_field=coverage == "published" and trims[name] == 0,
        )
    averaged = [n for n, row in zip(names, covered, strict=True) if weight[n] > 0 and row.any()]
    if not averaged:
        raise InputError(
            f"{', '.join(names)}: no mask enters the average; lower --trim or leave out --weight"
        )
    combined = average_masks(
        values, covered, np.array([weight[n] for n in names]), average, grid.points[:, 2]
    )
    counted = covered[[weight[n] > 0 for n in names]].any(axis=0)
    dense, line = grid.fill(combined, counted)
    soft = {
        name: onto_native(
            placed[name], grid, dense, line, masks[name], oriented[name], name == reference
        )
        for name in names
    }
    report = tabulate(names, placed, grid, values, covered, combined, weight, frame)
    return SoftTruth(soft, report, _warnings(names, placed, trims, averaged, reference, frame))


def trims_mm(
    masks: Mapping[str, Volume], reference: str, trim_mm: float | Mapping[str, float] | None
) -> dict[str, float]:
    """Millimetres to leave out at either end of each mask.

    Raises:
        InputError: If a trim is negative or of an unknown contrast.
    """
    known = CONTRASTS | UNSEEN_CONTRASTS
    trims = {}
    for name, mask in masks.items():
        spacing = mask.oriented().spacing_mm
        axial = known[name].plane == "axial" if name in known else spacing[2] > 2 * spacing[0]
        trims[name] = TRIM_MM if axial and name != reference else 0.0
    if isinstance(trim_mm, Mapping):
        unknown = set(trim_mm) - set(masks)
        if unknown:
            raise InputError(f"trim: no contrast {', '.join(sorted(unknown))} among the masks")
        trims |= {name: float(value) for name, value in trim_mm.items()}
    elif trim_mm is not None:
        trims = {name: 0.0 if name == reference else float(trim_mm) for name in masks}
    if not np.isfinite(sum(trims.values())) or min(trims.values()) < 0:
        found = list(trims.values())
        raise InputError(
            f"trim: millimetres must be finite and must not be negative, found {found}"
        )
    return trims


def check_options(**chosen: str) -> None:
    """Refuse a registration, average or coverage that there is not.

    Raises:
        InputError: With the ones there are.
    """
    allowed = {"registration": REGISTRATIONS, "average": AVERAGES, "coverage": COVERAGES}
    for option, value in chosen.items():
        if value not in allowed[option]:
            raise InputError(f"{option}: one of {', '.join(allowed[option])}, found {value!r}")


def _check(
    masks: Mapping[str, Volume], reference: str, weights: Mapping[str, float] | None
) -> dict[str, float]:
    """Weights of all masks, once masks and weights are known to be sound."""
    if reference not in masks:
        raise InputError(
            f"reference {reference}: has no mask among {', '.join(masks) or 'none'}; "
            "draw one or choose another with --reference"
        )
    for name, mask in masks.items():
        check_mask(mask, str(mask.path or name))
    unknown = set(weights or {}) - set(masks)
    if unknown:
        raise InputError(f"weights: no contrast {', '.join(sorted(unknown))} among the masks")
    weight = dict.fromkeys(masks, 1.0) | {n: float(w) for n, w in (weights or {}).items()}
    total = sum(weight.values())
    if not np.isfinite(total) or min(weight.values()) < 0 or total == 0:
        raise InputError(f"weights: all finite, none negative and not all zero, found {weight}")
    return weight


def _heights(placed: Mapping[str, Placed], reference: str, step_mm: float) -> np.ndarray:
    low = min(p.extent[0] for p in placed.values())
    high = max(p.extent[1] for p in placed.values())
    if (high - low) * step_mm > MAX_LENGTH_MM:
        fixed = placed[reference].extent
        far = {n: max(p.extent[1] - fixed[1], fixed[0] - p.extent[0]) for n, p in placed.items()}
        name = max(far, key=far.get)
        raise InputError(
            f"{name}: its mask and that of {reference} must lie together, found one end "
            f"{far[name] * step_mm:.0f} mm beyond the other's; see where the headers put them"
        )
    return np.arange(int(np.ceil(low - 1e-6)), int(np.floor(high + 1e-6)) + 1)


def _warnings(
    names: list[str],
    placed: Mapping[str, Placed],
    trims: Mapping[str, float],
    averaged: list[str],
    reference: str,
    frame: Volume,
) -> tuple[str, ...]:
    lines = []
    for name in names:
        beyond = beyond_reach(placed[name])
        if beyond:
            lines.append(
                f"{name}: {counted(beyond, 'voxel')} of its mask more than {REACH_MM:g} mm from "
                "the cord's centre left out"
            )
        length = (placed[name].extent[1] - placed[name].extent[0]) * frame.spacing_mm[2]
        left = length - 2 * trims[name]
        if left <= 1e-6:
            lines.append(
                f"{name}: trimming {trims[name]:g} mm at either end leaves nothing of its "
                f"{length:.1f} mm; it does not enter the average (lower --trim)"
            )
        if name != reference and not placed[name].aligned.any():
            lines.append(
                f"{name}: its mask and that of {reference} share no height; it is placed by its "
                "header alone"
            )
    if len(averaged) == 1 < len(names):
        lines.append(
            f"{averaged[0]} alone remains of {len(names)} contrasts: the soft truth is its mask, "
            "not an average"
        )
    return tuple(lines)
