"""What every method costs a study: people and scanner hours, for several designs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from softseg_study.statistics.atrophy import repeats
from softseg_study.statistics.studies import (
    DESIGNS,
    Components,
    components_of,
    sample_size,
)

COLUMNS = (
    "method", "design", "atrophy_percent", "n_per_arm", "ci_low", "ci_high", "sd_mm2", "response",
    "detectable_percent", "scanner_hours", "n", "note",
)  # fmt: skip


def sample_size_table(
    csa_table: pd.DataFrame,
    *,
    atrophies_percent: Sequence[float] = (1, 2, 3),
    designs: Sequence[str] = tuple(DESIGNS),
    by: Sequence[str] = (),
    fits: pd.DataFrame | None = None,
    minutes_per_scan: float = 5.0,
    target_power: float = 0.8,
    n_resamples: int = 300,
    seed: int = 0,
) -> pd.DataFrame:
    """People and scanner hours that each method asks for, with bootstrap intervals.

    Intervals come from drawing the participants, on whom spread and response were estimated,
    again. A study uses one network: what `by` tells apart is analysed on its own, and the variances
    are averaged, not the areas, whose average would be steadier than any one network.

    Args:
        csa_table: `subject`, `contrast`, `method`, `area_mm2` and the columns of `by`.
        atrophies_percent: Effects to be seen.
        designs: Which of `DESIGNS`.
        by: Columns that tell repeated rows of an image apart, for example `("seed",)`.
        fits: From `visit_fits`: how much of an atrophy each method shows, and how visits and scans
            of one person differ. Methods that are not in it are taken to show all of it, and have
            no number for a longitudinal design.
        minutes_per_scan: For the hours.
        target_power: Power asked for.
        n_resamples: Bootstrap resamples; 0 for no intervals.
        seed: For resamples.

    Returns:
        One row per method, design and atrophy: `method`, `design`, `atrophy_percent`,
        `n_per_arm`, `ci_low`, `ci_high` (infinite where no loss shows, `nan` where repeats are not
        known), `sd_mm2` (of what is compared), `response` (`nan` where not measured),
        `detectable_percent` (true loss of one person between two visits that exceeds what 95 % of
        people without any show), `scanner_hours` (both arms, all visits), `n` (participants behind
        the estimate), `note` (where they are too few).
    """
    rows = []
    for method, part in csa_table.groupby("method", sort=False, observed=True):
        x, complete = _networks(part, by)
        if x is None:
            note = f"n too small: {complete} participants with all contrasts"
            rows.append({"method": method, "n": complete, "note": note})
            continue
        own_fits = None if fits is None else fits[fits["method"] == method]
        own, draws = _estimates(x, own_fits, n_resamples, seed)
        for design in designs:
            for atrophy in atrophies_percent:
                row = {"method": method, "design": design, "atrophy_percent": atrophy}
                row |= own.sizes(design, atrophy, draws, target_power)
                visits = 2 if DESIGNS[design][0] else 1
                row["scanner_hours"] = 2 * row["n_per_arm"] * visits * minutes_per_scan / 60
                row |= {"n": x.shape[1], "note": ""}
                rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


@dataclass(frozen=True)
class _Estimate:
    """Spread of each network of a method, and its response (`nan` if not known)."""

    networks: tuple[Components, ...]
    response: float

    @property
    def shown(self) -> float:
        """Share of a loss that counts: all of it where the response is not known."""
        return 1.0 if np.isnan(self.response) else self.response

    def sd(self, design: str, *, relative: bool = False) -> float:
        """SD of what a design compares, in mm² or as a share of the mean area."""
        sds = [c.measurement_sd(design) / (c.mean_mm2 if relative else 1) for c in self.networks]
        return float(np.sqrt(np.mean(np.square(sds))))

    def per_loss(self, design: str) -> float:
        """Standardised effect of a loss of all the area."""
        return self.shown / np.maximum(self.sd(design, relative=True), 1e-9)

    def sizes(self, design: str, atrophy: float, draws: list["_Estimate"], power: float) -> dict:
        """What one row says of people."""
        options = {"target_power": power, "covariates": self.networks[0].covariates(design)}
        effects = [self.per_loss(design), np.nan, np.nan]
        if draws:
            effects[1:] = np.percentile([d.per_loss(design) for d in draws], [97.5, 2.5])
        names = ("n_per_arm", "ci_low", "ci_high")
        found = {
            name: sample_size(effect * atrophy / 100, **options)
            for name, effect in zip(names, effects, strict=True)
        }
        chance = 100 * 1.96 * self.sd(design, relative=True) if DESIGNS[design][0] else np.nan
        detectable = chance / self.shown if self.shown > 0 else np.inf
        return found | {
            "sd_mm2": self.sd(design), "response": self.response, "detectable_percent": detectable,
        }  # fmt: skip


def _networks(part: pd.DataFrame, by: Sequence[str]) -> tuple[np.ndarray | None, int]:
    """`(networks, people, contrasts)` of the people who lack nothing, None if too few; how many."""
    wide = part.pivot_table(
        index="subject", columns=[*by, "contrast"], values="area_mm2", sort=False
    ).dropna()
    wide = wide.sort_index(axis=1)
    networks = len(part[list(by)].drop_duplicates()) if by else 1
    k = part["contrast"].nunique()
    if len(wide) < 2 or k < 2 or wide.shape[1] != k * networks:
        return None, len(wide)
    return wide.to_numpy(float).reshape(len(wide), networks, k).transpose(1, 0, 2), len(wide)


def _estimates(
    x: np.ndarray, fits: pd.DataFrame | None, n_resamples: int, seed: int
) -> tuple[_Estimate, list[_Estimate]]:
    """The estimate on all people, and on resamples of them."""
    rng = np.random.default_rng([seed, x.shape[1]])
    # Sums over a person's networks: a resample of people is a sum of theirs.
    people = None
    if fits is not None and len(fits):
        groups = fits.drop(columns="method").groupby("subject", sort=True)
        people = groups.sum(numeric_only=True).assign(response=groups["response"].mean())

    def estimate(rows: np.ndarray, visited: np.ndarray) -> _Estimate:
        drawn = None if people is None else people.iloc[visited]
        known = None if drawn is None else repeats(drawn)
        response = np.nan if drawn is None else float(drawn["response"].mean())
        return _Estimate(tuple(components_of(areas, known) for areas in x[:, rows]), response)

    n, visited = x.shape[1], 0 if people is None else len(people)
    own = estimate(np.arange(n), np.arange(visited))
    draws = [
        estimate(rng.integers(n, size=n), rng.integers(max(1, visited), size=visited))
        for _ in range(n_resamples)
    ]
    return own, draws
