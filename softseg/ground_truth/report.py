"""How each contrast's mask lay and how far it was from the common truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from softseg.files import replacing
from softseg.ground_truth.alignment import Placed
from softseg.ground_truth.transfer import AveragingGrid
from softseg.volume import Volume

PIPELINE = "labels_softseg"
"""Folder below `derivatives` of the soft truths."""


@dataclass(frozen=True)
class Bounds:
    """What is out of the ordinary enough for a look.

    Attributes:
        shift_mm: Largest shift of a slice.
        jump_mm_per_mm: Largest change of the shift from one slice to the next, per millimetre.
        disagreement: Largest mean |mask - soft| in the cord over the contrast's slices.
        dice: Smallest mean soft Dice of mask and soft truth.
        used_mm: Shortest length of cord with which a contrast may enter the average.
    """

    shift_mm: float = 5.0
    jump_mm_per_mm: float = 1.0
    disagreement: float = 0.35
    dice: float = 0.80
    used_mm: float = 20.0


def tabulate(
    names: list[str],
    placed: Mapping[str, Placed],
    grid: AveragingGrid,
    values: np.ndarray,
    covered: np.ndarray,
    combined: np.ndarray,
    weight: Mapping[str, float],
    frame: Volume,
) -> pd.DataFrame:
    """One row a contrast and slice of the reference on which the contrast has its mask.

    Returns:
        `contrast`; `slice` of the reference in working orientation (below 0 and beyond the last
        where the reference ends); `z_mm` along its axis; `shift_x_mm` (to the left) and
        `shift_y_mm` (to the front) that lay the contrast on the reference; `rotation_deg`;
        `registered` whether the shift was measured here; `used` whether the slice entered the
        average; `contrasts` how many did; `area_mm2` of the mask, `soft_area_mm2` of the truth;
        `dice` (soft) and `disagreement` (mean |mask - soft| where either is cord), NaN unless used.
    """
    index = grid.points[:, 2] - grid.heights[0]
    size = len(grid.heights)
    spacing = np.array(frame.spacing_mm)
    pixel_mm2 = spacing[0] * spacing[1]

    def per_slice(numbers: np.ndarray) -> np.ndarray:
        return np.bincount(index, numbers, minlength=size)

    soft_sum = per_slice(combined)
    used = {n: per_slice(c.astype(float)) > 0 for n, c in zip(names, covered, strict=True)}
    count = np.sum([used[n] for n in names if weight[n] > 0], axis=0)
    tables = []
    for name, mask in zip(names, values, strict=True):
        one = placed[name]
        there = (grid.heights >= one.extent[0]) & (grid.heights <= one.extent[1])
        mask_sum = per_slice(mask)
        either = per_slice(((mask > 0) | (combined > 0)).astype(float))
        apart = per_slice(np.abs(mask - combined))
        with np.errstate(invalid="ignore", divide="ignore"):
            dice = 2 * per_slice(np.minimum(mask, combined)) / (mask_sum + soft_sum)
            disagreement = apart / either
        table = pd.DataFrame(
            {
                "contrast": name,
                "slice": grid.heights,
                "z_mm": grid.heights * spacing[2],
                "shift_x_mm": one.shift[:, 0] * spacing[0],
                "shift_y_mm": one.shift[:, 1] * spacing[1],
                "rotation_deg": one.rotation_deg,
                "registered": one.aligned,
                "used": used[name] & (weight[name] > 0),
                "contrasts": count,
                "area_mm2": np.where(used[name], mask_sum * pixel_mm2, np.nan),
                "soft_area_mm2": soft_sum * pixel_mm2,
                "dice": np.where(used[name], dice, np.nan),
                "disagreement": np.where(used[name], disagreement, np.nan),
            }
        )
        tables.append(table[there])
    return pd.concat(tables, ignore_index=True)


def summarise(report: pd.DataFrame, bounds: Bounds | None = None) -> pd.DataFrame:
    """One row a contrast: its largest shift, coverage and disagreement, and what is out of bounds.

    Returns:
        `contrast`, `slices`, `used_mm`, `median_shift_mm`, `max_shift_mm`, `max_jump`, `dice`,
        `disagreement`, `area_mm2` and `soft_area_mm2` (means over the slices used), `flags` (empty
        where all is in bounds).
    """
    bounds = bounds or Bounds()
    rows = []
    for name, table in report.groupby("contrast", sort=True):
        rows.append({"contrast": name} | _summary(table.sort_values("slice"), bounds))
    return pd.DataFrame(rows)


def read_slices(root: Path | str, pipeline: str = PIPELINE) -> pd.DataFrame:
    """The slice-wise reports of every participant on disk, one table."""
    folder = Path(root) / "derivatives" / pipeline
    # One below the participant or the session: what a killed process left lies in hidden folders.
    name = "*_desc-softseg_report.csv"
    files = sorted([*folder.glob(f"sub-*/{name}"), *folder.glob(f"sub-*/ses-*/{name}")])
    tables = [pd.read_csv(file, dtype={"session": object}) for file in files]
    if not tables:
        return pd.DataFrame()
    return pd.concat([t.astype({"session": object}) for t in tables], ignore_index=True)


def write_report(root: Path, pipeline: str, bounds: Bounds | None = None) -> pd.DataFrame:
    """Summarise what is on disk into `report.csv`, whoever made it."""
    slices = read_slices(root, pipeline)
    rows = [
        summarise(table, bounds).assign(subject=subject, session=session)
        for (subject, session), table in slices.groupby(["subject", "session"], dropna=False)
    ] if len(slices) else []  # fmt: skip
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    if rows:
        first = ["subject", "session", "contrast"]
        table = table[[*first, *table.columns.difference(first, sort=False)]]
        with replacing(root / "derivatives" / pipeline / "report.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
    return table


def _summary(table: pd.DataFrame, bounds: Bounds) -> dict:
    used = table[table["used"]]
    step = float(np.median(np.diff(table["z_mm"]))) if len(table) > 1 else 1.0
    shift = table.loc[table["registered"], ["shift_x_mm", "shift_y_mm"]].to_numpy()
    size = np.linalg.norm(shift, axis=1)
    jump = np.linalg.norm(np.diff(shift, axis=0), axis=1) / step
    summary = {
        "slices": len(table),
        "used_mm": len(used) * step,
        "median_shift_mm": float(np.median(size)) if len(size) else np.nan,
        "max_shift_mm": float(size.max(initial=0.0)),
        "max_jump": float(jump.max(initial=0.0)),
        "dice": float(used["dice"].mean()),
        "disagreement": float(used["disagreement"].mean()),
        "area_mm2": float(used["area_mm2"].mean()),
        "soft_area_mm2": float(used["soft_area_mm2"].mean()),
    }
    flags = [
        ("shift", summary["max_shift_mm"] > bounds.shift_mm),
        ("jump", summary["max_jump"] > bounds.jump_mm_per_mm),
        ("coverage", summary["used_mm"] < bounds.used_mm),
        ("dice", summary["dice"] < bounds.dice),
        ("disagreement", summary["disagreement"] > bounds.disagreement),
        ("unregistered", not len(size)),
    ]
    return summary | {"flags": " ".join(name for name, raised in flags if raised)}
