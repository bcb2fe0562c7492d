"""What a method shows of a true loss of cord, and how well it repeats itself from day to day."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

_SUMS = ("visit_squares", "visit_df", "visit_weight", "scan_squares", "scan_df")


class Repeats(NamedTuple):
    """SD of repeated measurements of one person, as shares of the area."""

    visit: float
    """What all contrasts of one visit share: position, rater's day, tide of water; `nan` where one
    contrast a visit, or too few visits, cannot tell it from the rest."""
    scan: float
    """What is each scan's own; without a visit component known, all of it."""

    @property
    def rescan(self) -> float:
        """Of two visits in one contrast: both together."""
        return float(np.hypot(0.0 if np.isnan(self.visit) else self.visit, self.scan))


def visit_fits(table: pd.DataFrame, *, by: Sequence[str] = ()) -> pd.DataFrame:
    """For each person, the share of their true losses that a method shows, and what is left over.

    An area `A (1 - k / 100)^b`, with an A for every contrast and one b, is fitted by least squares
    to the logarithms: b is the measured loss per true loss (1 is all of it). What is left over is
    split into what all contrasts of a visit share and what each scan has for itself, by the sums of
    squares that a term for every visit explains and leaves.

    Args:
        table: `subject`, `contrast`, `method`, `area_mm2`, `atrophy_percent` (true) and, where a
            loss was imaged more than once, `session`; rows without a positive area are left out.
        by: Columns that tell repeated rows of an image apart, for example `("seed",)`: each gets a
            fit of its own.

    Returns:
        `subject`, `method`, the columns of `by`, `n_scans`, `response` (`nan` without two true
        values in one contrast), `visit_squares` with `visit_df` and the `visit_weight` of the
        visits' variance in its expectation, `scan_squares` and `scan_df`.
    """
    keys = ["subject", "method", *by]
    groups = table[table["area_mm2"] > 0].groupby(keys, sort=False, observed=True)
    rows = [dict(zip(keys, key, strict=True)) | _fit(person) for key, person in groups]
    return pd.DataFrame(rows, columns=[*keys, "n_scans", "response", *_SUMS])


def _fit(person: pd.DataFrame) -> dict[str, float]:
    visit = person["session" if "session" in person else "atrophy_percent"]
    contrasts, visits = (
        pd.get_dummies(names).to_numpy(float) for names in (person["contrast"], visit)
    )
    loss = np.log1p(-person["atrophy_percent"].to_numpy(float) / 100)
    area = np.log(person["area_mm2"].to_numpy(float))
    loss_left = loss - _projected(contrasts, loss)
    true = float(loss_left @ loss_left)
    known = true > 1e-12
    small = np.column_stack([contrasts, loss]) if known else contrasts
    large = np.column_stack([contrasts, visits])
    ranks = [np.linalg.matrix_rank(x) for x in (small, large)]
    squares = [float(((area - _projected(x, area)) ** 2).sum()) for x in (small, large)]
    hidden = visits - _projected(small, visits)  # what the loss does not explain of the visits
    return {
        "n_scans": len(person),
        "response": float(loss_left @ area / true) if known else np.nan,
        "visit_squares": max(0.0, squares[0] - squares[1]),
        "visit_df": int(ranks[1] - ranks[0]),
        "visit_weight": float((hidden**2).sum()),
        "scan_squares": squares[1],
        "scan_df": int(len(person) - ranks[1]),
    }


def _projected(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x @ np.linalg.lstsq(x, y, rcond=None)[0]


def repeats(fits: pd.DataFrame) -> Repeats:
    """SD between visits and between scans of one visit, pooled over people.

    Moments: the scans' variance is `Σ scan_squares / Σ scan_df`; that between visits is what
    `visit_squares` exceeds its share of it by, over `visit_weight`, and 0 where it does not.

    Args:
        fits: From `visit_fits`, one method.
    """
    squares, df, weight, own, own_df = (float(fits[name].sum()) for name in _SUMS)
    if not own_df or not df:
        # One contrast a visit, or no visit without its own loss: only a total can be known.
        total = float(np.sqrt(squares / df)) if df else np.nan
        return Repeats(np.nan, total)
    scan = own / own_df
    visit = (squares - df * scan) / weight
    if visit <= 0:
        return Repeats(0.0, float(np.sqrt((squares + own) / (df + own_df))))
    return Repeats(float(np.sqrt(visit)), float(np.sqrt(scan)))


def atrophy_response(fits: pd.DataFrame) -> pd.DataFrame:
    """How much of a true loss each method shows, over people, and how well it repeats itself.

    Args:
        fits: From `visit_fits`; several of one person (seeds) are averaged first.

    Returns:
        `method`, `n` (people), `response` (1 is all of a loss) with its 95 % Student interval
        `ci_low`, `ci_high` (`nan` for one person), `visit_percent` and `scan_percent` (see
        `Repeats`), `rescan_percent` (SD of one person at two visits in one contrast),
        `detectable_percent` (true loss of one person, scanned twice in one contrast, that exceeds
        the change which 95 % of people without any show; infinite where the method shows no loss).

    Example:
        >>> rows = [("a", "T2w", "m", k, 70 * (1 - k / 200)) for k in (0, 2, 5)]
        >>> columns = ["subject", "contrast", "method", "atrophy_percent", "area_mm2"]
        >>> atrophy_response(visit_fits(pd.DataFrame(rows, columns=columns)))["response"].round(1)
        0    0.5
        Name: response, dtype: float64
    """
    rows = []
    for method, part in fits.groupby("method", sort=False, observed=True):
        people = part.groupby("subject", sort=False)["response"].mean().dropna()
        mean, found = people.mean(), repeats(part)
        half = stats.t.ppf(0.975, max(len(people) - 1, 1)) * people.sem()
        change = 100 * 1.96 * np.sqrt(2) * found.rescan
        rows.append(
            {"method": method, "n": len(people), "response": mean, "ci_low": mean - half}
            | {"ci_high": mean + half, "visit_percent": 100 * found.visit}
            | {"scan_percent": 100 * found.scan, "rescan_percent": 100 * found.rescan}
            | {"detectable_percent": change / mean if mean > 0 else np.inf}
        )
    return pd.DataFrame(rows)
