"""How well could anybody measure? The best that the edge in the image allows, before any network.

An ideal observer reads the edge of the noise-free image at its half level and knows the population:
the linear predictor of the true area at C2-C3, fitted on some participants and tried on others. No
method that learns from images of one contrast should be expected below that error, and one that
reaches it has nothing left to learn: an experiment at its floor is saturated. The committed table
is made by `softseg_study.phantom.calibration`.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from softseg.paths import ROOT

TABLE = ROOT / "book" / "tables" / "floor.csv"
ALL = "all contrasts"


def floor(table: Path | str = TABLE) -> pd.DataFrame:
    """The ideal observer's figures, to print beside a method's.

    Returns:
        Indexed by contrast, and `ALL` for the observer who sees the six together:
        `visible_minus_true_mm2` and its `sd_mm2`, `error_percent` (mean absolute error),
        `error_by_vendor_percent` (of an observer who knows the scanner's vendor, too), `slope` (of
        the prediction on the truth between participants), `response` (predicted over true change
        when a participant loses cord), `participants` tried.
    """
    return pd.read_csv(table).set_index("contrast")


def observe(areas: pd.DataFrame, *, fitted: int) -> pd.DataFrame:
    """The ideal observer fitted on the first participants and tried on the others.

    Args:
        areas: As `cervical_areas` returns.
        fitted: How many participants are fitted on.

    Returns:
        As `floor`.

    Example:
        >>> sizes = np.linspace(60, 80, 8)
        >>> who = {"subject": range(8), "vendor": "GE", "contrast": "T2w"}
        >>> when = {"scan": 0, "lost_percent": 0}
        >>> seen = {"true_mm2": sizes, "visible_mm2": 1.1 * sizes + 2}
        >>> areas = pd.DataFrame(who | when | seen)
        >>> observe(areas, fitted=4)[["error_percent", "slope"]].round(6).values.tolist()
        [[0.0, 1.0]]
    """
    areas = areas[areas["scan"] == 0]
    index = ["subject", "lost_percent"]
    true, visible = (
        areas.pivot_table(index=index, columns="contrast", values=column)
        for column in ("true_mm2", "visible_mm2")
    )
    names = list(areas["contrast"].unique())
    vendors = pd.get_dummies(areas.groupby(index)["vendor"].first(), dtype=float)
    people = true.index.get_level_values("subject")
    healthy = true.index.get_level_values("lost_percent") == 0
    learnt = healthy & people.isin(np.unique(people)[:fitted])
    tried = healthy & ~learnt
    rows = []
    for name, columns in (
        {n: [n] for n in names} | ({ALL: names} if len(names) > 1 else {})
    ).items():
        area = true[columns].mean(axis=1)
        predicted = _predict(visible[columns], area, learnt)
        error = (predicted - area)[tried]
        by_vendor = _predict(pd.concat([visible[columns], vendors], axis=1), area, learnt)
        offset = (visible[columns].mean(axis=1) - area)[tried]
        rows.append(
            {
                "contrast": name,
                "visible_minus_true_mm2": offset.mean(),
                "sd_mm2": offset.std(),
                "error_percent": 100 * (error / area[tried]).abs().mean(),
                "error_by_vendor_percent": 100 * ((by_vendor - area) / area)[tried].abs().mean(),
                "slope": np.polyfit(area[tried], predicted[tried], 1)[0],
                "response": _response(predicted, area),
                "participants": int(tried.sum()),
            }
        )
    return pd.DataFrame(rows).set_index("contrast")


def _predict(shown: pd.DataFrame, area: pd.Series, learnt: np.ndarray) -> pd.Series:
    """The linear predictor of the area from what is shown, fitted on those who are learnt from."""
    given = np.column_stack([np.ones(len(shown)), shown])
    weights = np.linalg.lstsq(given[learnt], area[learnt], rcond=None)[0]
    return pd.Series(given @ weights, shown.index)


def _response(predicted: pd.Series, area: pd.Series) -> float:
    """Predicted over true change of the participants who lost cord; not a number without any."""
    both = pd.DataFrame({"predicted": predicted, "area": area})
    healthy = both.xs(0, level="lost_percent")
    lost = both[both.index.get_level_values("lost_percent") > 0].droplevel("lost_percent")
    change = (healthy.loc[lost.index] - lost).sum()
    return float(change["predicted"] / change["area"]) if len(lost) else float("nan")
