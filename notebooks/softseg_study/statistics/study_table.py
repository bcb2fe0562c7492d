"""What every method costs a study: people and scanner hours, for several designs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from softseg_study.statistics.atrophy import rescan_share
from softseg_study.statistics.studies import (
    DESIGNS,
    MOST_SIMULATED,
    Components,
    components_of,
    simulated_power,
    size_of_effect,
)

PAIRS = {
    "cross-sectional": tuple(list(DESIGNS)[:3]),
    "longitudinal": tuple(list(DESIGNS)[3:]),
}
"""Kind of study → designs with one contrast, mixed ones, and mixed ones that are adjusted for."""


COLUMNS = (
    "method", "design", "atrophy_percent", "n_per_arm", "ci_low", "ci_high", "sd_mm2", "response",
    "detectable_percent", "scanner_hours", "n", "note",
)  # fmt: skip
SIMULATED = ("simulated_power", "power_ci_low", "power_ci_high")


def sample_size_table(
    csa_table: pd.DataFrame,
    *,
    atrophies_percent: Sequence[float] = (1, 2, 3),
    designs: Sequence[str] = tuple(DESIGNS),
    value: str = "area_mm2",
    by: Sequence[str] = (),
    fits: pd.DataFrame | None = None,
    rescan_sd: dict[str, float] | None = None,
    minutes_per_scan: float = 5.0,
    target_power: float = 0.8,
    n_resamples: int = 300,
    n_studies: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """People and scanner hours that each method asks for, with bootstrap intervals.

    Intervals come from drawing the participants, on whom spread and response were estimated,
    again. A study uses one network: what `by` tells apart is analysed on its own, and the variances
    are averaged, not the areas, whose average would be steadier than any one network.

    Args:
        csa_table: `subject`, `contrast`, `method`, `value` and the columns of `by`.
        atrophies_percent: Effects to be seen.
        designs: Which of `DESIGNS`.
        value: Column measured.
        by: Columns that tell repeated rows of an image apart, for example `("seed",)`.
        fits: From `visit_fits`: how much of an atrophy each method shows, and its rescan SD.
            Methods that are not in it are taken to show all of it.
        rescan_sd: Method → SD of repeated scans in the unit of `value`, where no fits are known.
        minutes_per_scan: For the hours.
        target_power: Power asked for.
        n_resamples: Bootstrap resamples; 0 for no intervals.
        n_studies: Simulated studies that check the power at the number found; 0 for none.
        seed: For resamples and studies.

    Returns:
        One row per method, design and atrophy: `method`, `design`, `atrophy_percent`,
        `n_per_arm`, `ci_low`, `ci_high` (infinite where no loss shows), `sd_mm2` (of what is
        compared), `response` (`nan` where not measured), `detectable_percent` (true loss of one
        person between two visits that exceeds what 95 % of people without any show),
        `scanner_hours` (both arms, all visits),
        `n` (participants behind the estimate), `note` (where they are too few), and with
        `n_studies` `simulated_power`, `power_ci_low`, `power_ci_high` (`nan` where so many people
        are needed that no study was simulated).
    """
    rows = []
    for method, part in csa_table.groupby("method", sort=False, observed=True):
        x = _complete(part, value, by)
        if x is None:
            n = len(_wide(part, value, by))
            note = f"n too small: {n} participants with all contrasts"
            rows.append({"method": method, "n": n, "note": note})
            continue
        own_fits = None if fits is None else fits[fits["method"] == method]
        rescan = (rescan_sd or {}).get(str(method))
        own, draws = _estimates(x, own_fits, rescan, n_resamples, seed)
        for design in designs:
            for atrophy in atrophies_percent:
                row = {"method": method, "design": design, "atrophy_percent": atrophy}
                row |= own.sizes(design, atrophy, draws, target_power)
                visits = 2 if DESIGNS[design][0] else 1
                row["scanner_hours"] = 2 * row["n_per_arm"] * visits * minutes_per_scan / 60
                row |= {"n": x.shape[1], "note": ""}
                if n_studies:
                    row |= own.simulated(design, atrophy, row["n_per_arm"], n_studies, seed)
                rows.append(row)
    columns = [*COLUMNS, *(SIMULATED if n_studies else ())]
    return pd.DataFrame(rows, columns=columns)


def contrast_cost(sizes: pd.DataFrame) -> pd.DataFrame:
    """What it costs a study not to hold the contrast fixed.

    Args:
        sizes: From `sample_size_table`, with the designs of a kind of study.

    Returns:
        One row per method, kind of study and atrophy: `method`, `study`, `atrophy_percent`,
        `n_one`, `n_mixed`, `n_adjusted` (people per arm), `times` (mixed over one),
        `extra_people` and `extra_hours` (both arms, mixed minus one).
    """
    rows = []
    known = sizes[sizes["design"].notna()] if "design" in sizes else sizes.iloc[:0]
    for (method, atrophy), part in known.groupby(["method", "atrophy_percent"], sort=False):
        part = part.set_index("design")
        for study, (one, mixed, adjusted) in PAIRS.items():
            if not {one, mixed} <= set(part.index):
                continue
            # Python's numbers: infinity minus infinity is no event that needs a warning.
            n, hours = (part[c].map(float).to_dict() for c in ("n_per_arm", "scanner_hours"))
            rows.append(
                {
                    "method": method,
                    "study": study,
                    "atrophy_percent": atrophy,
                    "n_one": n[one],
                    "n_mixed": n[mixed],
                    "n_adjusted": n.get(adjusted, np.nan),
                    "times": n[mixed] / n[one],
                    "extra_people": 2 * (n[mixed] - n[one]),
                    "extra_hours": hours[mixed] - hours[one],
                }
            )
    columns = ["method", "study", "atrophy_percent", "n_one", "n_mixed", "n_adjusted", "times",
               "extra_people", "extra_hours"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


@dataclass(frozen=True)
class _Estimate:
    """Spread of one method, of each of its networks, and its response (`nan` if not known)."""

    networks: tuple[Components, ...]
    response: float

    @property
    def shown(self) -> float:
        """Share of a loss that counts: all of it where the response is not known."""
        return 1.0 if math.isnan(self.response) else self.response

    def relative_sd(self, design: str) -> float:
        """SD of what a design compares, as a share of the mean area."""
        shares = [c.measurement_sd(design) / c.mean_mm2 for c in self.networks]
        return float(np.sqrt(np.mean(np.square(shares))))

    def sizes(self, design: str, atrophy: float, draws: list["_Estimate"], power: float) -> dict:
        options = {
            "target_power": power,
            "covariates": self.networks[0].covariates(design),
        }
        effect = self.shown * atrophy / 100
        found = {"n_per_arm": size_of_effect(effect, self.relative_sd(design), **options)}
        found |= {"ci_low": np.nan, "ci_high": np.nan}
        if draws:
            ratios = [d.shown / max(d.relative_sd(design), 1e-9) for d in draws]
            for name, percent in (("ci_low", 97.5), ("ci_high", 2.5)):
                ratio = float(np.percentile(ratios, percent))
                found[name] = size_of_effect(ratio * atrophy / 100, 1.0, **options)
        sds = [c.measurement_sd(design) for c in self.networks]
        found["sd_mm2"] = float(np.sqrt(np.mean(np.square(sds))))
        return found | {"response": self.response, "detectable_percent": self.detectable(design)}

    def detectable(self, design: str) -> float:
        """True loss of one person that exceeds what 95 % of people without any show."""
        if not DESIGNS[design][0]:
            return np.nan
        chance = 100 * stats.norm.ppf(0.975) * self.relative_sd(design)
        return float(chance / self.shown) if self.shown > 0 else np.inf

    def simulated(self, design: str, atrophy: float, n: float, n_studies: int, seed: int) -> dict:
        if not n <= MOST_SIMULATED:
            return dict.fromkeys(SIMULATED, np.nan)
        each = max(1, n_studies // len(self.networks))
        powers = [
            simulated_power(
                c, atrophy, design, int(n), response=self.shown, n_studies=each, seed=seed + i
            )[0]
            for i, c in enumerate(self.networks)
        ]
        total = each * len(powers)
        found = round(sum(powers) * each)
        interval = stats.binomtest(found, total).proportion_ci(method="wilson")
        return dict(zip(SIMULATED, (found / total, interval.low, interval.high), strict=True))


def _wide(part: pd.DataFrame, value: str, by: Sequence[str]) -> pd.DataFrame:
    """One row a participant who lacks nothing, one column a network and contrast."""
    columns = [*by, "contrast"]
    wide = part.pivot_table(index="subject", columns=columns, values=value, sort=False)
    return wide.dropna().sort_index(axis=1)


def _complete(part: pd.DataFrame, value: str, by: Sequence[str]) -> np.ndarray | None:
    """`(networks, people, contrasts)` of the people who lack nothing, or None if too few."""
    wide = _wide(part, value, by)
    networks = len(part[list(by)].drop_duplicates()) if by else 1
    k = part["contrast"].nunique()
    if len(wide) < 2 or k < 2 or wide.shape[1] != k * networks:
        return None
    return wide.to_numpy(float).reshape(len(wide), networks, k).transpose(1, 0, 2)


def _estimates(
    x: np.ndarray,
    fits: pd.DataFrame | None,
    rescan_sd: float | None,
    n_resamples: int,
    seed: int,
) -> tuple[_Estimate, list[_Estimate]]:
    """The estimate on all people, and on resamples of them."""
    rng = np.random.default_rng([seed, x.shape[1]])
    people = {} if fits is None else dict(list(fits.groupby("subject", sort=True)))
    names = list(people)

    def estimate(rows: np.ndarray, visited: Sequence[int]) -> _Estimate:
        response, share = math.nan, math.nan
        if names:
            drawn = pd.concat([people[names[i]] for i in visited])
            response, share = float(drawn["response"].mean()), rescan_share(drawn)
        networks = []
        for areas in x[:, rows]:
            known = rescan_sd if math.isnan(share) else share * areas.mean()
            networks.append(components_of(areas, known))
        return _Estimate(tuple(networks), response)

    own = estimate(np.arange(x.shape[1]), range(len(names)))
    draws = [
        estimate(rng.integers(x.shape[1], size=x.shape[1]),
                 rng.integers(max(1, len(names)), size=len(names)))
        for _ in range(n_resamples)
    ]  # fmt: skip
    return own, draws
