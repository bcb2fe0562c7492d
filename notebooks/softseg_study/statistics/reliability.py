"""Can one contrast's area stand for another's? All contrasts of a method at once, and in words."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from softseg_study.statistics.agreement import icc
from softseg_study.statistics.wording import say_count, say_number, say_range

COLUMNS = (
    "method", "n", "n_contrasts", "icc", "ci_low", "ci_high", "consistency", "widest_gap_mm2",
    "smallest_in", "largest_in",
)  # fmt: skip


def contrast_reliability(csa_table: pd.DataFrame, *, value: str = "area_mm2") -> pd.DataFrame:
    """Intraclass correlations over contrasts, and the two contrasts that lie furthest apart.

    `icc` is ICC(2,1) of Shrout and Fleiss 1979 (doi:10.1037/0033-2909.86.2.420), where a bias
    between contrasts counts; `consistency` is ICC(3,1), where it does not. A large gap between
    the two says that contrasts rank people alike and differ by a shift.

    Args:
        csa_table: `subject`, `contrast`, `method` and `value`, one row an image and method.
        value: Column measured.

    Returns:
        One row a method: `method`, `n` (people with every contrast), `n_contrasts`, `icc` with
        `ci_low` and `ci_high`, `consistency`, `widest_gap_mm2` (between the means of two contrasts
        over those people), `smallest_in`, `largest_in` (which two); `nan` where fewer than two
        people have two contrasts.

    Example:
        >>> table = pd.DataFrame({"method": "hard", "subject": ["a", "a", "b", "b", "c", "c"],
        ...     "contrast": ["T1w", "T2w"] * 3, "area_mm2": [60, 66, 70, 76, 80, 86]})
        >>> contrast_reliability(table).loc[0, ["consistency", "widest_gap_mm2"]].tolist()
        [1.0, 6.0]
    """
    rows = []
    for method, part in csa_table.groupby("method", sort=False, observed=True):
        wide = part.pivot_table(index="subject", columns="contrast", values=value, sort=False)
        wide = wide.dropna()
        n, k = wide.shape
        row = dict.fromkeys(COLUMNS, np.nan) | {"method": method, "n": n, "n_contrasts": k}
        if n >= 2 and k >= 2:
            means = wide.mean()
            tidy = wide.melt(ignore_index=False, value_name=value).reset_index()
            # Areas may agree to the last digit, and then there is nothing to divide by.
            with np.errstate(divide="ignore", invalid="ignore"):
                found = icc(tidy, value).set_index("kind")
            row |= {name: found.loc["ICC(2,1)", name] for name in ("icc", "ci_low", "ci_high")}
            row |= {
                "consistency": found.loc["ICC(3,1)", "icc"],
                "widest_gap_mm2": float(np.ptp(means)),
                "smallest_in": means.idxmin(),
                "largest_in": means.idxmax(),
            }
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def say_reliability(
    table: pd.DataFrame, first: str, second: str, *, names: Mapping[str, str] | None = None
) -> str:
    """One sentence on whether contrasts can stand for one another under two methods.

    Args:
        table: From `contrast_reliability`.
        first: A method.
        second: Another.
        names: Method → how the sentence names it; the method's own name by default.

    Example:
        >>> table = pd.DataFrame({"method": ["a", "b"], "n": [9, 9], "icc": [0.5, 0.99],
        ...     "ci_low": [0.3, 0.98], "ci_high": [0.7, 1.0]})
        >>> say_reliability(table, "a", "b")
        'The intraclass correlation of one contrast with another is 0.50 (95 % interval 0.30 to \
0.70) for a and 0.99 (0.98 to 1.00) for b, over 9 people.'
    """
    rows = table.set_index("method").reindex([first, second])
    if rows["icc"].isna().any():
        return "Too few people have every contrast to tell whether one can stand for another."
    values = [say_number(row.icc, 2) for row in rows.itertuples()]
    ranges = [say_range(row.ci_low, row.ci_high, 2) for row in rows.itertuples()]
    one, other = ((names or {}).get(method, method) for method in (first, second))
    return (
        f"The intraclass correlation of one contrast with another is {values[0]} (95 % interval "
        f"{ranges[0]}) for {one} and {values[1]} ({ranges[1]}) for {other}, over "
        f"{say_count(rows['n'].min())}."
    )


def say_distance(errors: pd.DataFrame | None, methods: Mapping[str, str]) -> str:
    """One sentence on how far methods are from the true area, or that it is not known.

    Args:
        errors: From `csa_error`; None or empty without a truth.
        methods: Method → how the sentence names it, in the plural or not, as it stands.

    Example:
        >>> errors = pd.DataFrame({"method": ["a", "a", "b", "b"], "subject": [1, 2] * 2,
        ...     "error_mm2": [-3.0, 1.0, 1.0, 1.0], "absolute_error_mm2": [3.0, 1.0, 1.0, 1.0]})
        >>> say_distance(errors, {"a": "hard masks", "b": "the soft truth"})
        'From the true area, hard masks are off by 2.0 mm² (mean absolute error; mean error −1.0), \
the soft truth by 1.0 mm² (+1.0).'
    """
    if errors is None or errors.empty:
        return "How far either is from the true area is not known: these data have no true areas."
    measures = ["absolute_error_mm2", "error_mm2"]
    means = errors.groupby(["method", "subject"])[measures].mean().groupby("method").mean()
    said = []
    for method, words in methods.items():
        size, error = means.loc[method]
        signed = say_number(error, signed=True)
        if said:
            said.append(f"{words} by {size:.1f} mm² ({signed})")
        else:
            said.append(
                f"{words} are off by {size:.1f} mm² (mean absolute error; mean error {signed})"
            )
    return f"From the true area, {', '.join(said)}."
