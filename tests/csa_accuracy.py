"""How exact the measurement is: tubes of known area, measured; the tables of the book.

`python tests/csa_accuracy.py FOLDER` writes them.
"""

import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tubes import DIFFICULT, STANDARD, Curve, Sampled, Tube, sample

from softseg.csa.measure import measure
from softseg.files import replacing
from softseg.volume import Spacing

RESOLUTIONS: dict[str, Spacing] = {
    "0.5 mm": (0.5, 0.5, 0.5),
    "0.5 × 0.5 × 5 mm": (0.5, 0.5, 5.0),
    "0.8 mm": (0.8, 0.8, 0.8),
    "1.0 mm": (1.0, 1.0, 1.0),
}
"""Those at which the field's standard tool was measured."""

STANDARD_TOOL = pd.DataFrame(
    {
        "resolution": list(RESOLUTIONS),
        "soft_rms": [0.22, 0.24, 0.33, 0.35],
        "soft_worst": [1.73, 0.91, 1.42, 1.47],
        "binary_rms": [0.94, 1.01, 1.59, 2.16],
        "binary_worst": [2.86, 2.73, 5.10, 7.19],
    }
).set_index("resolution")
"""Per-slice error in per cent of `sct_process_segmentation` (source of August 2026) on the eight
standard tubes, three offsets each, with its angle correction on."""

HEADINGS = {
    "resolution": "Voxels",
    "case": "Cord",
    "voxel_mm": "Voxels (mm)",
    "measure": "Measured",
    "ms_per_slice": "ms per slice",
    "soft_rms": "Soft: RMS",
    "tool_soft_rms": "SCT",
    "soft_worst": "Soft: worst slice",
    "tool_soft_worst": "SCT, worst slice",
    "soft_mean": "Soft: worst mean",
    "binary_rms": "Binary: RMS",
    "tool_binary_rms": "SCT, binary",
    "binary_worst": "Binary: worst slice",
    "tool_binary_worst": "SCT, binary, worst slice",
    "binary_mean": "Binary: worst mean",
}
"""How the book's tables name the columns, in the order shown."""

OFFSETS = ((0.0, 0.0, 0.0), (0.3, 0.4, 0.2), (0.55, 0.15, 0.7))
"""Where the tube lies in its voxels."""

VOXELS: tuple[Spacing, ...] = (
    (0.35, 0.35, 1.0),
    (0.5, 0.5, 10.0),
    (0.84375, 0.84375, 5.0),
    (0.9375, 0.9375, 3.0),
    (1.5, 1.5, 1.5),
    (2.0, 2.0, 2.0),
    (3.0, 0.7, 0.7),
)
"""Voxels that are no multiple of anything, thick slices, coarse pixels, thick sagittal planes."""


def errors_percent(sampled: Sampled, *, binary: bool = False) -> np.ndarray:
    """Relative error of each slice's area, in per cent.

    Example:
        >>> tube = sample(Tube(Curve(tilt_deg=(0, 30))), (1, 1, 5), length_mm=30)
        >>> bool(np.abs(errors_percent(tube)).max() < 0.1)
        True
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = measure(sampled.binary if binary else sampled.soft, shape=False)
    measured = np.full(len(sampled.area_mm2), np.nan)
    measured[table["slice"]] = table["area_mm2"]
    return 100 * (measured / sampled.area_mm2 - 1)


def _summary(errors: Iterable[np.ndarray], prefix: str) -> dict[str, float]:
    every = list(errors)
    joined = np.concatenate(every)
    return {
        f"{prefix}_rms": float(np.sqrt((joined**2).mean())),
        f"{prefix}_worst": float(np.abs(joined).max()),
        f"{prefix}_mean": float(max(abs(e.mean()) for e in every)),
    }


def _row(samples: Sequence[Sampled]) -> dict[str, float]:
    return {
        **_summary((errors_percent(s) for s in samples), "soft"),
        **_summary((errors_percent(s, binary=True) for s in samples), "binary"),
    }


def accuracy_table(*, length_mm: float = 60.0) -> pd.DataFrame:
    """Error on the eight standard tubes at each resolution, beside the standard tool's.

    Returns:
        `resolution`, and in per cent `soft_rms`, `soft_worst`, `soft_mean` (largest error of a
        volume's mean), the same for `binary`, and the tool's as `tool_…`.
    """
    rows = []
    for name, spacing in RESOLUTIONS.items():
        samples = [
            sample(make(), spacing, length_mm=length_mm, offset_voxels=offset)
            for make in STANDARD.values()
            for offset in OFFSETS
        ]
        rows.append({"resolution": name, **_row(samples)})
    return pd.DataFrame(rows).join(STANDARD_TOOL.add_prefix("tool_"), on="resolution")


def geometry_table() -> pd.DataFrame:
    """Error on other geometries, few slices and unusual voxels.

    Returns:
        `case`, `voxel_mm`, and `soft_…`, `binary_…` as in `accuracy_table`.
    """
    tilted = Tube(Curve(tilt_deg=(0.0, 20.0)))
    wave = STANDARD["wave of 6 mm"]()
    cases: list[tuple[str, Tube, Spacing, float]] = [
        (name, make(), spacing, 60.0)
        for name, make in DIFFICULT.items()
        for spacing in ((0.8, 0.8, 0.8), (0.5, 0.5, 5.0))
    ]
    cases += [(f"{n} slices, 20° forward", tilted, (0.5, 0.5, 5.0), 5.0 * n) for n in (3, 4, 6)]
    cases += [(f"{n} slices, 20° forward", tilted, (1.0, 1.0, 1.0), 1.0 * n) for n in (3, 4, 6)]
    cases += [("20° forward", tilted, voxel, 60.0) for voxel in VOXELS]
    cases += [("wave of 6 mm", wave, voxel, 60.0) for voxel in VOXELS]
    rows = []
    for name, tube, spacing, length_mm in cases:
        samples = [sample(tube, spacing, length_mm=length_mm, offset_voxels=o) for o in OFFSETS]
        voxel = " × ".join(f"{s:g}" for s in spacing)
        rows.append({"case": name, "voxel_mm": voxel, **_row(samples)})
    return pd.DataFrame(rows)


def speed_table(*, repeats: int = 20) -> pd.DataFrame:
    """Processor time per slice on a 55-slice mask of 0.8 mm, the fastest of some repeats.

    Returns:
        `measure`, `ms_per_slice`; the standard tool needs about 4 ms.
    """
    mask = sample(STANDARD["wave of 6 mm"](), (0.8, 0.8, 0.8), length_mm=44.0).soft
    rows = []
    for name, shape in (("area and angles", False), ("all measures", True)):
        seconds = []
        for _ in range(repeats):
            started = time.process_time()
            measure(mask, shape=shape)
            seconds.append(time.process_time() - started)
        rows.append({"measure": name, "ms_per_slice": 1e3 * min(seconds) / mask.data.shape[2]})
    return pd.DataFrame(rows)


def write_tables(folder: Path) -> list[Path]:
    """Write `csa_accuracy.csv`, `csa_geometries.csv` and `csa_speed.csv`."""
    tables = {
        "csa_accuracy": accuracy_table(),
        "csa_geometries": geometry_table(),
        "csa_speed": speed_table(),
    }
    written = []
    for name, table in tables.items():
        written.append(folder / f"{name}.csv")
        shown = table[[c for c in HEADINGS if c in table]].rename(columns=HEADINGS)
        with replacing(written[-1]) as temporary:
            shown.to_csv(temporary, index=False, float_format="%.3f")
    return written


if __name__ == "__main__":
    for path in write_tables(Path(sys.argv[1] if len(sys.argv) > 1 else "book/tables")):
        print(path)
