"""The baseline that decides: areas after one additive constant per contrast, learnt on others.

If a contrast shifts everybody's area alike, six numbers undo it and no new network is needed. What
no constant undoes is the interaction: that a contrast shifts one person's area more than another's.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from softseg_study.names import CONSTANTS


def with_constants(csa_table: pd.DataFrame, methods: Iterable[str]) -> pd.DataFrame:
    """The table, and more rows: areas of `methods` less one constant per contrast.

    A contrast's constant is the mean, over the *other* people of the table, of its area minus the
    same person's mean over contrasts; no truth is needed, and nobody's own areas are used.

    Args:
        csa_table: `subject`, `contrast`, `method`, `area_mm2` and, where there are trainings,
            `seed`: each gets constants of its own.
        methods: Which; those that are not there are left out.

    Returns:
        Its columns; the new rows' `method` ends in `CONSTANTS`. A contrast that one person alone
        has loses its area.

    Example:
        >>> table = pd.DataFrame({"method": "hard", "subject": list("aabb"),
        ...     "contrast": ["T1w", "T2w"] * 2, "area_mm2": [70.0, 74, 60, 66]})
        >>> with_constants(table, ["hard"])["area_mm2"].tolist()[4:]
        [73.0, 71.0, 62.0, 64.0]
    """
    chosen = csa_table[csa_table["method"].isin(list(methods))]
    own = ["method", *(name for name in ("seed",) if name in csa_table)]
    person = chosen.groupby([*own, "subject"], observed=True)["area_mm2"]
    deviation = chosen["area_mm2"] - person.transform("mean")
    groups = deviation.groupby([chosen[name] for name in (*own, "contrast")], observed=True)
    others = groups.transform("count") - deviation.notna()
    constant = (groups.transform("sum") - deviation) / others.where(others > 0)
    names = chosen["method"].astype(str) + CONSTANTS
    made = chosen.assign(method=names, area_mm2=chosen["area_mm2"] - constant)
    return pd.concat([csa_table, made], ignore_index=True)


def constants_against_truth(errors: pd.DataFrame) -> pd.Series:
    """Mean error of every method and contrast, in mm²: what to take off areas of other people.

    Args:
        errors: `method`, `contrast`, `subject`, `error_mm2`; rows of one person are averaged.

    Returns:
        Indexed by `method` and `contrast`; under the contrast `any` the mean over contrasts, for
        one that nobody has measured.
    """
    people = errors.groupby(["method", "contrast", "subject"])["error_mm2"].mean()
    found = people.groupby(["method", "contrast"]).mean()
    every = found.groupby("method").mean()
    every.index = pd.MultiIndex.from_product([every.index, ["any"]], names=found.index.names)
    return pd.concat([found, every])


def interaction(csa_table: pd.DataFrame) -> pd.DataFrame:
    """What is left of every area after its person's and its contrast's mean, people × contrasts.

    Args:
        csa_table: `subject`, `contrast`, `area_mm2` of one method; trainings are averaged. People
            who lack a contrast are left out.
    """
    wide = csa_table.pivot_table("area_mm2", "subject", "contrast").dropna()
    return wide.sub(wide.mean(axis=1), axis=0).sub(wide.mean() - wide.to_numpy().mean(), axis=1)


def interaction_sd(left: pd.DataFrame) -> float:
    """SD of an `interaction`, by its degrees of freedom."""
    people, contrasts = left.shape
    df = (people - 1) * (contrasts - 1)
    return float(np.sqrt((left.to_numpy() ** 2).sum() / df)) if df > 0 else np.nan


def interaction_experiment(
    strengths_mm2: Sequence[float],
    *,
    shifts_mm2: Sequence[float],
    network_shifts_mm2: Sequence[float],
    network_sd_mm2: float,
    carried: float,
    seeds: Sequence[int] = (1, 2, 3),
    learnt_on: int = 24,
    people: int = 24,
) -> pd.DataFrame:
    """When does one network for all contrasts beat six numbers? Simulated areas, no images.

    A tool that follows each contrast measures `size + shift of the contrast + interaction`, where
    the interaction of a person and a contrast is normal with the given strength. The network shows
    its own shifts, the share `carried` of that interaction and an error of its own. Constants are
    learnt on other people than those that are measured.

    Args:
        strengths_mm2: SD of the interaction.
        shifts_mm2: Of the tool, one a contrast.
        network_shifts_mm2: Of the network, one a contrast.
        network_sd_mm2: Of the network's own error.
        carried: Share of the interaction that the network shows, 0 to 1.
        seeds: A cohort each.
        learnt_on: People whom constants are learnt on.
        people: People measured.

    Returns:
        `strength_mm2`, `seed`, `method` (`tool`, `tool + constants`, `network`, `network +
        constants`), `subject`, `sd_mm2` (over that person's contrasts).
    """
    both = {"tool": shifts_mm2, "network": network_shifts_mm2}
    shifts = {name: np.asarray(values, dtype=float) for name, values in both.items()}
    rows = []
    for strength in strengths_mm2:
        for seed in seeds:
            rng = np.random.default_rng([seed, int(1000 * strength)])
            shape = (learnt_on + people, len(shifts["tool"]))
            own = rng.normal(0, strength, shape)
            left = {"tool": own, "network": carried * own + rng.normal(0, network_sd_mm2, shape)}
            for name, shift in shifts.items():
                areas = shift + left[name]
                areas -= areas.mean(axis=1, keepdims=True)
                constant = areas[:learnt_on].mean(axis=0)
                for method, measured in ((name, areas), (name + CONSTANTS, areas - constant)):
                    sds = measured[learnt_on:].std(axis=1, ddof=1)
                    found = {"strength_mm2": strength, "seed": seed, "method": method}
                    rows.append(
                        pd.DataFrame({"subject": range(people), "sd_mm2": sds}).assign(**found)
                    )
    return pd.concat(rows, ignore_index=True)


def frontier_mm2(network_sd_mm2: np.ndarray | float, carried: float) -> np.ndarray | float:
    """Interaction beyond which a network beats constants: `sd / √(1 - carried²)`, both corrected.

    Example:
        >>> float(frontier_mm2(1.2, 0.0)), float(frontier_mm2(1.2, 1.0))
        (1.2, inf)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return network_sd_mm2 / np.sqrt(1 - np.minimum(carried**2, 1.0))


def without_bias(errors: pd.DataFrame) -> pd.Series:
    """Errors less one constant per method (and training), the mean error of the *other* people.

    Where people draw the edge is a convention, and a constant of a data set: this is the error that
    is left when it is agreed on.

    Args:
        errors: `method`, `subject`, `error_mm2` and, where there are trainings, `seed`.

    Example:
        >>> rows = {"method": "m", "subject": [1, 2, 3], "error_mm2": [4.0, 5.0, 6.0]}
        >>> without_bias(pd.DataFrame(rows)).tolist()
        [-1.5, 0.0, 1.5]
    """
    own = ["method", *(name for name in ("seed",) if name in errors)]
    groups = [errors[name] for name in own]
    value = errors["error_mm2"]
    sums, counts = ([value.groupby(keys, observed=True).transform(how)
                     for keys in (groups, [*groups, errors["subject"]])]
                    for how in ("sum", "count"))  # fmt: skip
    others = counts[0] - counts[1]
    return value - (sums[0] - sums[1]) / others.where(others > 0)
