"""What a method shows of a true loss of cord, and how well it repeats itself."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

VISIT = "session"


def measured_atrophy(
    table: pd.DataFrame,
    *,
    other_contrast: bool = False,
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """Loss of area of each person and method against the same person without atrophy.

    Args:
        table: `subject`, `contrast`, `method`, `atrophy_percent` (true; 0 is the baseline) and
            `value`. With a column `session` the first of them is the baseline, and later ones
            without atrophy are repeats, whose loss should be 0.
        other_contrast: Compare with the baseline in every other contrast instead of the same one.
        by: Columns that tell repeated rows of an image apart, for example `("seed",)`.

    Returns:
        `subject`, `method`, the columns of `by`, `contrast`, `baseline_contrast`,
        `atrophy_percent`, `measured_percent`.
    """
    keys = ["subject", "method", *by]
    first = table["atrophy_percent"] == 0
    if VISIT in table:
        first &= table[VISIT] == table[VISIT].min()
    baseline = table.loc[first, [*keys, "contrast", "area_mm2"]]
    baseline = baseline.rename(columns={"contrast": "baseline_contrast", "area_mm2": "baseline"})
    columns = [*keys, "contrast", "atrophy_percent", "area_mm2"]
    both = table.loc[~first, columns].merge(baseline, on=keys)
    same = both["contrast"] == both["baseline_contrast"]
    both = both[~same if other_contrast else same].reset_index(drop=True)
    both["measured_percent"] = 100 * (1 - both["area_mm2"] / both["baseline"])
    both = both.drop(columns=["area_mm2", "baseline"])
    return both[[*keys, "contrast", "baseline_contrast", "atrophy_percent", "measured_percent"]]


def visit_fits(table: pd.DataFrame, *, by: Sequence[str] = ()) -> pd.DataFrame:
    """For each person, the share of their true losses that a method shows, and what is left over.

    An area `A (1 - k / 100)^b`, with an A for every contrast and one b, is fitted by least squares
    to the logarithms: b is the measured loss per true loss (1 is all of it), and what is left over
    is how scans of one person in one contrast differ.

    Args:
        table: `subject`, `contrast`, `method`, `atrophy_percent` (true, at least two values a
            person) and `value`; rows without a positive value are left out.
        by: Columns that tell repeated rows of an image apart, for example `("seed",)`: each gets a
            fit of its own.

    Returns:
        `subject`, `method`, the columns of `by`, `n_scans`, `response` (`nan` without two true
        values in one contrast), `squares` (sum, of relative deviations) and `df`.
    """
    keys = ["subject", "method", *by]
    rows = []
    for key, person in table[table["area_mm2"] > 0].groupby(keys, sort=False, observed=True):
        contrasts = person["contrast"]
        x = np.log1p(-person["atrophy_percent"] / 100)
        y = np.log(person["area_mm2"])
        x, y = (v - v.groupby(contrasts).transform("mean") for v in (x, y))
        true = float((x**2).sum())
        response = float((x * y).sum() / true) if true > 1e-12 else np.nan
        left = y - (0 if np.isnan(response) else response) * x
        df = len(person) - contrasts.nunique() - (not np.isnan(response))
        found = {"n_scans": len(person), "response": response}
        found |= {"squares": float((left**2).sum()), "df": int(max(df, 0))}
        rows.append(dict(zip(keys, key, strict=True)) | found)
    return pd.DataFrame(rows, columns=[*keys, "n_scans", "response", "squares", "df"])


def atrophy_response(fits: pd.DataFrame) -> pd.DataFrame:
    """How much of a true loss each method shows, over people, and how well it repeats itself.

    Args:
        fits: From `visit_fits`; several of one person (seeds) are averaged first.

    Returns:
        `method`, `n` (people), `response` (1 is all of a loss) with its 95 % Student interval
        `ci_low`, `ci_high` (`nan` for one person), `rescan_percent` (SD of scans of one person in
        one contrast), `detectable_percent` (true loss of one person, scanned twice in one
        contrast, that exceeds the change which 95 % of people without any show; infinite where
        the method shows no loss).

    Example:
        >>> rows = [("a", "T2w", "m", k, 70 * (1 - k / 200)) for k in (0, 2, 5)]
        >>> columns = ["subject", "contrast", "method", "atrophy_percent", "area_mm2"]
        >>> atrophy_response(visit_fits(pd.DataFrame(rows, columns=columns)))["response"].round(1)
        0    0.5
        Name: response, dtype: float64
    """
    rows = []
    for method, part in fits.groupby("method", sort=False, observed=True):
        people = part.groupby("subject", sort=False)["response"].mean().dropna().to_numpy(float)
        n = people.size
        mean = float(people.mean()) if n else np.nan
        half = np.nan
        if n > 1:
            half = stats.t.ppf(0.975, n - 1) * people.std(ddof=1) / np.sqrt(n)
        rescan = rescan_share(part)
        row = {"method": method, "n": n, "response": mean}
        row |= {"ci_low": mean - half, "ci_high": mean + half, "rescan_percent": 100 * rescan}
        row["detectable_percent"] = _shown(100 * 1.96 * np.sqrt(2) * rescan, mean)
        rows.append(row)
    return pd.DataFrame(rows)


def rescan_share(fits: pd.DataFrame) -> float:
    """SD of one scan about the person's fit, as a share of the area; `nan` without repeats."""
    df = fits["df"].sum()
    return float(np.sqrt(fits["squares"].sum() / df)) if df else np.nan


def _shown(change_percent: float, response: float) -> float:
    return change_percent / response if response > 0 else np.inf
