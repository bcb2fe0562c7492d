"""How many people a study needs to see an atrophy, by formula and by simulation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import optimize, stats

from softseg.statistics.components import (
    DESIGNS,
    Components,
    components_of,
    visits_and_contrasts,
)


def power(n_per_arm: float, effect: float, *, alpha: float = 0.05) -> float:
    """Power of the two-sided two-sample t-test at a standardised effect.

    Args:
        n_per_arm: People in each of two arms, 2 or more.
        effect: Difference of means in units of the SD.
        alpha: Level of the test.
    """
    df, shift = 2 * n_per_arm - 2, abs(effect) * np.sqrt(n_per_arm / 2)
    limit = stats.t.ppf(1 - alpha / 2, df)
    if shift > 30:  # the noncentral t loses its digits where power is 1 anyway
        return 1.0
    other_side = stats.nct.cdf(-limit, df, shift)
    if np.isnan(other_side):  # SciPy's answer where it is below 1e-20
        other_side = 0.0
    return float(stats.nct.sf(limit, df, shift) + other_side)


def sample_size(effect: float, *, target_power: float = 0.8, alpha: float = 0.05) -> int:
    """Smallest number of people per arm that reaches a power.

    `2 (z_{1-α/2} + z_{power})² / effect²` is where the search for the t-test's own number starts.

    Example:
        >>> sample_size(0.5)
        64
    """
    if not effect:
        raise ValueError("no number of people shows an effect of zero")
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(target_power)
    guess = 2 * (z / effect) ** 2
    low, high = 2.0, max(4.0, 2 * guess + 10)
    if power(low, effect, alpha=alpha) >= target_power:
        return 2

    def missing(n: float) -> float:
        return power(n, effect, alpha=alpha) - target_power

    return int(np.ceil(optimize.brentq(missing, low, high) - 1e-9))


def study_size(
    components: Components,
    atrophy_percent: float,
    design: str,
    *,
    target_power: float = 0.8,
    alpha: float = 0.05,
) -> int:
    """People per arm to see that one arm's cord is, or became, smaller by some per cent."""
    relative_sd = components.measurement_sd(design) / components.mean_mm2
    return _size(relative_sd, atrophy_percent, target_power, alpha)


def simulated_power(
    components: Components,
    atrophy_percent: float,
    design: str,
    n_per_arm: int,
    *,
    n_studies: int = 1000,
    alpha: float = 0.05,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Share of simulated studies that find the atrophy, with its 95 % interval.

    Every person gets an own size, every measurement an own contrast where contrasts are mixed, so
    that the mixture is not assumed normal; the arms are compared with Student's t-test.

    Args:
        components: Where the spread comes from.
        atrophy_percent: Of the patients' arm (of the change, in a longitudinal design).
        design: One of `DESIGNS`.
        n_per_arm: People in each arm.
        n_studies: Studies simulated.
        alpha: Level of the test.
        seed: The result is a function of arguments and seed.

    Returns:
        Power, lower and upper end of Wilson's interval.
    """
    longitudinal, mixed = visits_and_contrasts(design)
    rng = np.random.default_rng([seed, n_per_arm, int(1000 * atrophy_percent)])
    values = np.empty((2, n_studies, n_per_arm))
    for arm in range(2):
        loss = components.mean_mm2 * atrophy_percent / 100 * arm
        values[arm] = _arm(components, rng, (n_studies, n_per_arm), loss, longitudinal, mixed)
    # Student's test, written out: arms that do not vary (a method that is exact) are no error.
    limit = stats.t.ppf(1 - alpha / 2, 2 * n_per_arm - 2)
    error = np.sqrt(values.var(axis=2, ddof=1).sum(axis=0) / n_per_arm)
    apart = np.abs(values[0].mean(axis=1) - values[1].mean(axis=1))
    found = int((apart > limit * error).sum())
    interval = stats.binomtest(found, n_studies).proportion_ci(method="wilson")
    return found / n_studies, float(interval.low), float(interval.high)


def sample_size_table(
    csa_table: pd.DataFrame,
    *,
    atrophies_percent: Sequence[float] = (1, 2, 3),
    designs: Sequence[str] = tuple(DESIGNS),
    value: str = "area_mm2",
    rescan_sd: dict[str, float] | None = None,
    minutes_per_scan: float = 5.0,
    target_power: float = 0.8,
    n_resamples: int = 300,
    n_studies: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """People and scanner hours that each method asks for, with bootstrap intervals.

    Intervals come from drawing the participants, on whom the components were estimated, again.

    Args:
        csa_table: `subject`, `contrast`, `method` and `value`, one row each.
        atrophies_percent: Effects to be seen.
        designs: Which of `DESIGNS`.
        value: Column measured.
        rescan_sd: Method → SD of repeated scans, where known.
        minutes_per_scan: For the hours.
        target_power: Power asked for.
        n_resamples: Bootstrap resamples; 0 for no intervals.
        n_studies: Simulated studies that check the power at the number found; 0 for none.
        seed: For resamples and studies.

    Returns:
        One row per method, design and atrophy: `method`, `design`, `atrophy_percent`,
        `n_per_arm`, `ci_low`, `ci_high`, `sd_mm2` (of what is compared), `scanner_hours` (both
        arms, all visits), `n` (participants behind the estimate), `note` (where they are too
        few), and with `n_studies` `simulated_power`, `power_ci_low`, `power_ci_high`.
    """
    rows = []
    for method, part in csa_table.groupby("method", sort=False, observed=True):
        x = part.pivot_table(index="subject", columns="contrast", values=value, sort=False)
        x = x.dropna().to_numpy(float)
        if min(x.shape) < 2:
            note = f"n too small: {len(x)} participants with all contrasts"
            rows.append({"method": method, "n": len(x), "note": note})
            continue
        rescan = (rescan_sd or {}).get(str(method))
        rng = np.random.default_rng([seed, len(x)])
        drawn = [components_of(x[rng.integers(len(x), size=len(x))], rescan)
                 for _ in range(n_resamples)]  # fmt: skip
        own = components_of(x, rescan)
        for design in designs:
            sd = np.array([c.measurement_sd(design) / c.mean_mm2 for c in drawn])
            for atrophy in atrophies_percent:
                n = study_size(own, atrophy, design, target_power=target_power)
                row = {"method": method, "design": design, "atrophy_percent": atrophy}
                row |= {"n_per_arm": n} | _interval(sd, atrophy, target_power)
                row["sd_mm2"] = own.measurement_sd(design)
                visits = 2 if DESIGNS[design][0] else 1
                row["scanner_hours"] = 2 * n * visits * minutes_per_scan / 60
                row |= {"n": len(x), "note": ""}
                if n_studies:
                    found = simulated_power(own, atrophy, design, n, n_studies=n_studies, seed=seed)
                    names = ("simulated_power", "power_ci_low", "power_ci_high")
                    row |= dict(zip(names, found, strict=True))
                rows.append(row)
    return pd.DataFrame(rows)


def measured_atrophy(
    table: pd.DataFrame, *, value: str = "area_mm2", other_contrast: bool = False
) -> pd.DataFrame:
    """Loss of area of each person and method against the same person without atrophy.

    Args:
        table: `subject`, `contrast`, `method`, `atrophy_percent` (true; 0 is the baseline) and
            `value`.
        value: Column measured.
        other_contrast: Compare with the baseline in every other contrast instead of the same one.

    Returns:
        `subject`, `method`, `contrast`, `baseline_contrast`, `atrophy_percent`,
        `measured_percent`.
    """
    keys = ["subject", "method"]
    baseline = table.loc[table["atrophy_percent"] == 0, [*keys, "contrast", value]]
    baseline = baseline.rename(columns={"contrast": "baseline_contrast", value: "baseline"})
    columns = [*keys, "contrast", "atrophy_percent", value]
    both = table.loc[table["atrophy_percent"] != 0, columns].merge(baseline, on=keys)
    same = both["contrast"] == both["baseline_contrast"]
    both = both[~same if other_contrast else same].reset_index(drop=True)
    both["measured_percent"] = 100 * (1 - both[value] / both["baseline"])
    return both.drop(columns=[value, "baseline"])


def _arm(
    components: Components,
    rng: np.random.Generator,
    shape: tuple[int, int],
    loss_mm2: float,
    longitudinal: bool,
    mixed: bool,
) -> np.ndarray:
    bias = np.asarray(components.contrast_means_mm2)
    first = rng.integers(bias.size, size=shape)
    if not longitudinal:
        spread = np.hypot(components.person_sd, components.residual_sd)
        return rng.normal(-loss_mm2, spread, shape) + (bias[first] if mixed else 0.0)
    sd = components.residual_sd if mixed else components.rescan_sd
    change = rng.normal(0, sd, shape) - rng.normal(0, sd, shape) - loss_mm2
    if mixed:
        second = (first + rng.integers(1, bias.size, size=shape)) % bias.size
        change += bias[second] - bias[first]
    return change


def _interval(relative_sd: np.ndarray, atrophy: float, target_power: float) -> dict[str, float]:
    if not relative_sd.size:
        return {"ci_low": np.nan, "ci_high": np.nan}
    ends = np.percentile(relative_sd, [2.5, 97.5])
    low, high = (_size(float(sd), atrophy, target_power) for sd in ends)
    return {"ci_low": low, "ci_high": high}


def _size(relative_sd: float, atrophy: float, target_power: float, alpha: float = 0.05) -> int:
    # Measurements that do not vary at all, as in a resample of one person, show any atrophy.
    effect = atrophy / 100 / max(relative_sd, 1e-9)
    return sample_size(effect, target_power=target_power, alpha=alpha)
