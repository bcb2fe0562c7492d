"""Do the raters err as published masks do, by what their images show and by which constants?

Images of participants at C2 and C3 are drawn by one rule, and with the constants of their contrast.
The constants are what remains between the first and the published areas, and are kept in
`softseg/data/rater_constants.csv`. They are fitted on 100 participants; 200 others give
`book/tables/rater_calibration.csv` and, with the first, `book/tables/floor.csv`. All three are made
by

    python -m softseg_study.phantom.calibration
"""

import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from softseg.files import replacing
from softseg.paths import ROOT, RUNS
from softseg.phantom import raters
from softseg.phantom.protocols import VENDORS
from softseg.phantom.raters import RATER
from softseg.phantom.subjects import POPULATION_MEAN_MM2
from softseg_study.phantom import floor
from softseg_study.phantom.cervical_areas import cervical_areas

PACKAGE = Path(raters.__file__).parents[1]
CONSTANTS = PACKAGE / "data" / "rater_constants.csv"
TABLE = ROOT / "book" / "tables" / "rater_calibration.csv"
_SEED, _FITTED, _OTHERS = 11, 5000, 2000
"""One cohort's seed, and the positions of its participants that are fitted on and that are tried.
Those who are fitted on are also those by whom the estimator of the edge was chosen."""
PAIRED = ROOT / "book" / "tables" / "raters_t1w_t2w.csv"

PUBLISHED_MM2: dict[str, tuple[float, float]] = {
    "DWI": (63.65, 6.84),
    "MT-on": (74.34, 7.23),
    "GRE-T1w": (69.90, 6.16),
    "T1w": (68.27, 6.4),
    "T2star": (79.22, 8.07),
    "T2w": (74.30, 7.4),
}
"""Mean and SD of the area at C2-C3 that masks of each contrast should show: DWI, MT-on, GRE-T1w and
T2star as the contrast-specific tool gives them on Spine Generic (documentation of the Spinal Cord
Toolbox); T1w and T2w of the same participants in both (n = 253, November 2020)."""
PUBLISHED_RESCAN_MM2 = 1.9
"""SD of the area between scans of one participant: 1.8 to 2.0 mm² in three cohorts."""
PUBLISHED_BY_VENDOR_MM2 = {
    "T1w": {"Siemens": 69.2, "Philips": 68.1, "GE": 64.1},
    "T2w": {"Siemens": 75.1, "Philips": 72.7, "GE": 72.8},
}
"""Means by vendor of those with T1w and T2w."""


def fit_constants(areas: pd.DataFrame) -> pd.DataFrame:
    """The displacement in mm that brings masks by one rule to the published mean areas.

    Participants differ by chance between vendors: what counts is how far masks are from the truth,
    on top of the population's mean.

    Args:
        areas: As `cervical_areas` returns.

    Returns:
        `contrast`, `vendor`, `one_rule_mm2` and `published_mm2` (means), `constant_mm`,
        `scan_factor` (not a number without participants who were scanned twice), `participants`.
    """
    first = _healthy(areas)
    scans = areas[areas["lost_percent"] == 0].groupby(["contrast", "subject"])["one_rule_mm2"]
    rescan = scans.var().groupby("contrast").mean()
    rows = []
    for contrast in first["contrast"].unique():
        by_vendor = PUBLISHED_BY_VENDOR_MM2.get(contrast, {})
        for vendor in VENDORS:
            here = first[first["contrast"] == contrast]
            here = here[here["vendor"] == vendor] if by_vendor else here
            error = (here["one_rule_mm2"] - here["true_mm2"]).mean()
            drawn = POPULATION_MEAN_MM2 + error
            wanted = by_vendor.get(vendor, PUBLISHED_MM2[contrast][0])
            perimeter = PERIMETER_PER_ROOT * np.sqrt(drawn)  # ΔA = P δ + π δ²
            own = (RATER.scan_sd_mm * perimeter) ** 2
            left = PUBLISHED_RESCAN_MM2**2 - rescan[contrast]
            push = np.sqrt(perimeter**2 + 4 * np.pi * (wanted - drawn)) - perimeter
            rows.append(
                {
                    "contrast": contrast,
                    "vendor": vendor,
                    "one_rule_mm2": round(drawn, 2),
                    "published_mm2": wanted,
                    "constant_mm": round(push / (2 * np.pi), 4),
                    "scan_factor": round(np.sqrt(max(left, 0) / own), 2),
                    "participants": len(here),
                }
            )
    return pd.DataFrame(rows)


PERIMETER_PER_ROOT = 3.72
"""Perimeter of an ellipse with the population's diameters at C2-C3 (7.7 x 11.9 mm) by the root of
its area."""


def of_population(areas: pd.DataFrame) -> pd.DataFrame:
    """The same areas, all moved by what these participants' true mean lacks to the population's.

    Participants differ by chance, the mean of 200 of them by 0.5 mm². What is compared with
    published means is how far masks are from the truth, on top of `POPULATION_MEAN_MM2`.

    Args:
        areas: As `cervical_areas` returns.
    """
    missing = POPULATION_MEAN_MM2 - _healthy(areas).groupby("subject")["true_mm2"].mean().mean()
    return areas.assign(**{c: areas[c] + missing for c in areas if c.endswith("_mm2")})


def compare_with_published(areas: pd.DataFrame) -> pd.DataFrame:
    """Mean and SD by contrast of masks by one rule and with constants, beside the published ones.

    Args:
        areas: As `cervical_areas` returns.

    Returns:
        Indexed by contrast: `published_mean_mm2`, `published_sd_mm2`, `one_rule_mean_mm2`,
        `one_rule_sd_mm2`, `constant_mm2` (what the constants add), `mean_mm2`, `sd_mm2`,
        `rescan_sd_mm2` (not a number with one scan a participant).
    """
    rows = []
    for contrast in areas["contrast"].unique():
        first = _healthy(areas[areas["contrast"] == contrast])
        scans = areas[(areas["contrast"] == contrast) & (areas["lost_percent"] == 0)]
        mean, deviation = PUBLISHED_MM2[contrast]
        rows.append(
            {
                "contrast": contrast,
                "published_mean_mm2": mean,
                "published_sd_mm2": deviation,
                "one_rule_mean_mm2": first["one_rule_mm2"].mean(),
                "one_rule_sd_mm2": first["one_rule_mm2"].std(),
                "constant_mm2": (first["area_mm2"] - first["one_rule_mm2"]).mean(),
                "mean_mm2": first["area_mm2"].mean(),
                "sd_mm2": first["area_mm2"].std(),
                "rescan_sd_mm2": np.sqrt(scans.groupby("subject")["area_mm2"].var().mean()),
            }
        )
    return pd.DataFrame(rows).set_index("contrast").astype(float)


def _healthy(areas: pd.DataFrame) -> pd.DataFrame:
    """The first scan of each participant."""
    return areas[(areas["scan"] == 0) & (areas["lost_percent"] == 0)]


def paired_difference(
    areas: pd.DataFrame, contrast: str = "T1w", other: str = "T2w", *, column: str = "area_mm2"
) -> dict[str, float]:
    """The difference between two contrasts of the same participants.

    Returns:
        `mean_mm2`, `sd_mm2`, `slope` (of the contrast on the other) and `correlation`.
    """
    wide = _healthy(areas).pivot_table(index="subject", columns="contrast", values=column).dropna()
    difference = wide[contrast] - wide[other]
    return {
        "mean_mm2": float(difference.mean()),
        "sd_mm2": float(difference.std()),
        "slope": float(np.polyfit(wide[other], wide[contrast], 1)[0]),
        "correlation": float(np.corrcoef(wide[contrast], wide[other])[0, 1]),
    }


def main(fitted: int = 100, tried: int = 200, jobs: int | None = None, again: int = 40) -> None:
    """Make the committed tables.

    Participants that are done are kept below `runs/phantom`, by the sources that made them.

    Args:
        fitted: How many the constants and the ideal observer are fitted on.
        tried: On how many others they are tried.
        jobs: Processes.
        again: How many of either are scanned twice; half of the others after losing cord, too.
    """
    first = cervical_areas(
        fitted,
        seed=_SEED,
        first=_FITTED,
        rescanned=again,
        folder=_kept_at("fitted", CONSTANTS),
        jobs=jobs,
    )
    _write(fit_constants(first), CONSTANTS)
    raters.rater_constants.cache_clear()
    others = cervical_areas(
        tried, seed=_SEED, first=_OTHERS, rescanned=again, atrophied=again // 2,
        folder=_kept_at("tried"), jobs=jobs,
    )  # fmt: skip
    _write(compare_with_published(of_population(others)).round(2).reset_index(), TABLE)
    columns = {"one rule": "one_rule_mm2", "with constants": "area_mm2"}
    pairs = [{"masks": k} | paired_difference(others, column=v) for k, v in columns.items()]
    _write(pd.DataFrame(pairs).round(3), PAIRED)
    seen = floor.observe(pd.concat([first, others]), fitted=fitted)
    _write(seen.round(4).reset_index(), floor.TABLE)


def _kept_at(name: str, *but: Path) -> Path:
    """A folder for results of the phantom as it is."""
    sources = sorted([*PACKAGE.glob("phantom/*.py"), *PACKAGE.glob("data/*")])
    content = b"".join(path.read_bytes() for path in sources if path not in but)
    return RUNS / "phantom" / f"{name}-{zlib.crc32(content):08x}"


def _write(table: pd.DataFrame, path: Path) -> None:
    print(path.name, table.to_string(index=False), sep="\n")
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
