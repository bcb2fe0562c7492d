"""Areas beside the definition of the field's standard tool, on drawn masks of real cords.

`python tests/csa_agreement.py` writes `book/tables/csa_agreement.csv`: every stretch of slices in
which both differ by more than half a per cent, and why; and `csa_means.csv`, how far means over
whole masks differ. It needs the masks of ../shared/data.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.interpolate import splev, splrep

from softseg.csa.measure import measure
from softseg.files import replacing
from softseg.volume import Spacing, Volume

MASKS = Path(__file__).resolve().parents[2] / "shared/data/real/derivatives"
LIMIT_PERCENT = 0.5
"""Slices that differ by no more are alike."""
LOCAL_MM = 12.0
"""How far around a slice its course is looked at, to judge between the two."""


def tool_slices(mask: Volume) -> pd.DataFrame:
    """Area and angles of each slice as the standard tool defines them, in formulas of our own.

    Unweighted centres, a stiff smoothing spline, both cosines, values from 0 to the slice's
    highest. `weighted_mm2` is the same with centres of mass, `local_mm2` the area along a parabola
    through the centres of mass nearby.

    Returns:
        `slice`, `tool_mm2`, `tool_deg` (to the slice's normal), `weighted_mm2`, `local_mm2` and
        `local_deg`.
    """
    upright = mask.oriented()
    spacing = px, py, pz = upright.spacing_mm
    slices = np.flatnonzero((upright.data != 0).any(axis=(0, 1)))
    used = upright.data[..., slices].astype(float)
    low, high = used.min(axis=(0, 1)), used.max(axis=(0, 1))
    area = px * py * ((used - low) / (high - low)).sum(axis=(0, 1))
    plain, weighted = _centres_mm(used != 0, spacing), _centres_mm(used, spacing)
    slope, fair = _stiff_slope(slices, plain, spacing), _stiff_slope(slices, weighted, spacing)
    local = np.array([_local_slope(slices * pz, weighted, k * pz, pz) for k in slices])
    steep, bent = (np.sqrt(1 + (each**2).sum(axis=1)) for each in (slope, local))
    return pd.DataFrame(
        {
            "slice": slices,
            "tool_mm2": area * np.cos(np.arctan(slope)).prod(axis=1),
            "tool_deg": np.degrees(np.arccos(1 / steep)),
            "weighted_mm2": area * np.cos(np.arctan(fair)).prod(axis=1),
            "local_mm2": area / bent,
            "local_deg": np.degrees(np.arccos(1 / bent)),
        }
    )


def _centres_mm(weights: np.ndarray, spacing: Spacing) -> np.ndarray:
    total = weights.sum(axis=(0, 1))
    i, j = (np.arange(n) for n in weights.shape[:2])
    rows = np.stack([i @ weights.sum(axis=1), j @ weights.sum(axis=0)], axis=-1)
    return rows / total[:, None] * spacing[:2]


def _stiff_slope(slices: np.ndarray, centre: np.ndarray, spacing: Spacing) -> np.ndarray:
    stiffness = (slices.size / (slices[-1] - slices[0] + 1)) ** 2 * 30 * spacing[2] / 3
    columns = [
        splev(slices, splrep(slices, axis / size, s=stiffness, k=min(3, slices.size - 1)), 1) * size
        for axis, size in zip(centre.T, spacing, strict=False)
    ]
    return np.stack(columns, axis=-1) / spacing[2]


def _local_slope(height: np.ndarray, centre: np.ndarray, at: float, step_mm: float) -> np.ndarray:
    near = np.abs(height - at) <= max(LOCAL_MM, 3.1 * step_mm)
    degree = min(2, int(near.sum()) - 1)
    return np.polyfit(height[near] - at, centre[near], degree)[-2]


def softened(mask: Volume) -> Volume:
    """The covered share of voxels twice as wide in the slice."""
    upright = mask.oriented()
    nx, ny = (n // 2 * 2 for n in upright.data.shape[:2])
    pairs = upright.data[:nx, :ny].reshape(nx // 2, 2, ny // 2, 2, -1).mean(axis=(1, 3))
    affine = upright.affine @ np.diag([2.0, 2.0, 1.0, 1.0])
    affine[:3, 3] += upright.affine[:3, :2] @ [0.5, 0.5]
    return Volume(pairs, affine)


def compared(mask: Volume) -> pd.DataFrame:
    """Whole slices of a mask: `area_mm2`, `angle_deg` and what `tool_slices` gives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = measure(mask, shape=False)
    ours = ours[~ours["flag"].str.contains("partial|outlier|gap")]
    tangents = np.tan(np.radians(ours[["angle_ap_deg", "angle_rl_deg"]].to_numpy()))
    ours = ours.assign(angle_deg=np.degrees(np.arctan(np.linalg.norm(tangents, axis=1))))
    both = ours[["slice", "area_mm2", "angle_deg"]].merge(tool_slices(mask), on="slice")
    return both.assign(percent=100 * (both["area_mm2"] / both["tool_mm2"] - 1))


def exceptions(both: pd.DataFrame) -> pd.DataFrame:
    """A row for each stretch of slices that differ by more than `LIMIT_PERCENT`, and why."""
    apart = both[both["percent"].abs() > LIMIT_PERCENT]
    rows = []
    for _, stretch in apart.groupby((apart["slice"].diff() != 1).cumsum()):
        first, last = stretch["slice"].iloc[[0, -1]]
        at_end = first == both["slice"].min() or last == both["slice"].max()
        ours, theirs = (
            (stretch[area] / stretch["local_mm2"] - 1).abs().mean()
            for area in ("area_mm2", "tool_mm2")
        )
        mended = (stretch["area_mm2"] / stretch["weighted_mm2"] - 1).abs().max()
        reason = "tool: its one cubic " + ("leaves the end" if at_end else "misses the bend")
        if 100 * mended <= LIMIT_PERCENT:
            reason = "tool: its centres do not weigh the fractions"
        elif ours >= theirs:
            reason = "ours: " + ("leaves the end" if at_end else "bends more than nearby centres")
        rows.append(
            {
                "Slices": f"{first}" if first == last else f"{first}-{last}",
                "Ours (mm²)": stretch["area_mm2"].mean(),
                "Tool's definition (mm²)": stretch["tool_mm2"].mean(),
                "Largest difference (%)": max(stretch["percent"], key=abs),
                "Angle: ours": stretch["angle_deg"].mean(),
                "tool's": stretch["tool_deg"].mean(),
                "of nearby centres (°)": stretch["local_deg"].mean(),
                "Reason": reason,
            }
        )
    return pd.DataFrame(rows)


def agreement(masks: Path = MASKS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every different drawn mask, as drawn and softened: all masks in a row each, all exceptions.

    Returns:
        `mask, kind, slices, mean_percent, angle_deg` (difference of mean angles), `worst_percent,
        exceptions`; and `Mask`, `Kind` and what `exceptions` gives.
    """
    summary, named, seen = [], [], set()
    for folder in ("labels", "labels-semiauto"):
        for path in sorted((masks / folder).rglob("*_label-SC_seg.nii.gz")):
            drawn = Volume.load(path)
            content = drawn.data[drawn.data.any(axis=(1, 2))].tobytes()
            if content in seen:
                continue
            seen.add(content)
            name = path.name.removesuffix("_label-SC_seg.nii.gz")
            for kind, mask in (("binary", drawn), ("soft", softened(drawn))):
                both = compared(mask)
                found = exceptions(both)
                mean = 100 * (both["area_mm2"].mean() / both["tool_mm2"].mean() - 1)
                worst = both["percent"].abs().max()
                count = (both["percent"].abs() > LIMIT_PERCENT).sum()
                turn = both["angle_deg"].mean() - both["tool_deg"].mean()
                summary.append((name, kind, len(both), mean, turn, worst, count))
                if not found.empty:
                    named.append(found.assign(Mask=name, Kind=kind))
    table = pd.concat(named, ignore_index=True)
    columns = ["mask", "kind", "slices", "mean_percent", "angle_deg", "worst_percent", "exceptions"]
    first = ["Mask", "Kind"]
    return (
        pd.DataFrame(summary, columns=columns),
        table[[*first, *table.columns.difference(first, sort=False)]],
    )


def in_short(every: pd.DataFrame) -> pd.DataFrame:
    """A row for each kind of mask: how far means over whole masks differ, and how many slices."""
    rows = []
    for kind, masks in every.groupby("kind", sort=False):
        size = masks["mean_percent"].abs()
        farthest = masks.loc[size.idxmax()]
        rows.append(
            {
                "Masks": kind,
                "Number": len(masks),
                "Mean area, median difference (%)": size.median(),
                "Largest (%)": farthest["mean_percent"],
                "In": farthest["mask"],
                "Mean angle, median difference (°)": masks["angle_deg"].abs().median(),
                "Slices beyond 0.5 % (%)": 100 * masks["exceptions"].sum() / masks["slices"].sum(),
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    every, apart = agreement()
    print(every.round(2).to_string())
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "book/tables")
    for name, table in {"csa_agreement": apart, "csa_means": in_short(every)}.items():
        with replacing(place / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False, float_format="%.2f")
