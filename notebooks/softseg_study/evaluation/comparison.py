"""What a comparison of methods shows: who takes part, and one row a method of every measure.

Rows of several trainings carry a `seed`: a measure is taken within each training and averaged
within each person, never taken of averaged areas, which would show a committee of networks.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from softseg.contrasts import CONTRASTS
from softseg.dataset.index import Dataset
from softseg.dataset.names import parse_method
from softseg_study.evaluation.overlap import count_failures
from softseg_study.statistics.agreement import contrast_agreement, icc
from softseg_study.statistics.comparison import compare_units
from softseg_study.statistics.mixed_model import mixed_model
from softseg_study.statistics.summary import participant_means
from softseg_study.statistics.variability import area_tracking, csa_error

PROPOSAL = "soft_all"
HEADLINE = (
    "labels", "labels_softseg", "contour_following", "hard_per_contrast", "soft_per_contrast",
    "hard_all", PROPOSAL,
)  # fmt: skip
"""Methods of the main comparison, from the masks drawn by hand to the proposal."""
FEW = ("labels", "contour_following", "hard_all", PROPOSAL)
"""What a figure with room for few methods shows of them."""
OVERLAP = ("dice", "relative_volume_error_percent", "mean_surface_distance_mm", "hausdorff95_mm")


def headline(methods: Iterable[str], extra: Sequence[str] = ()) -> list[str]:
    """Those of the main comparison that are there, in its order, and then the extra ones.

    Example:
        >>> headline(["soft_all", "labels", "soft_all_dice", "theirs"], ["theirs"])
        ['labels', 'soft_all', 'theirs']
    """
    present = set(methods)
    names = dict.fromkeys([*HEADLINE, *(parse_method(name)[0] for name in extra)])
    return [name for name in names if name in present]


def few(methods: Sequence[str]) -> list[str]:
    """Up to four methods for a crowded figure; without any of the main ones the first three.

    Example:
        >>> few(["labels", "labels_softseg", "hard_all", "soft_all"]), few(["a", "b", "c", "d"])
        (['labels', 'hard_all', 'soft_all'], ['a', 'b', 'c'])
    """
    return [method for method in FEW if method in methods] or list(methods)[:3]


def against(methods: Sequence[str], proposal: str = PROPOSAL) -> list[tuple[str, str]] | None:
    """The proposal paired with every other method; None, meaning all pairs, where it is absent."""
    return [(proposal, m) for m in methods if m != proposal] if proposal in methods else None


def mean_areas(csa_table: pd.DataFrame, methods: Sequence[str] | None = None) -> pd.DataFrame:
    """One area a person, contrast and method for figures: the mean over trainings.

    Args:
        csa_table: `subject`, `contrast`, `method`, `seed`, `area_mm2`.
        methods: Which, in which order; all by default.
    """
    methods = list(pd.unique(csa_table["method"])) if methods is None else list(methods)
    means = participant_means(csa_table, "area_mm2", unit=("subject", "contrast"))
    order = {method: place for place, method in enumerate(methods)}
    means = means[means["method"].isin(order)]
    return means.sort_values("method", key=lambda names: names.map(order), kind="stable")


def by_contrast(areas: pd.DataFrame) -> pd.DataFrame:
    """Mean area of every method, a column a contrast in the order of the package.

    Args:
        areas: `subject`, `contrast`, `method`, `area_mm2`.
    """
    wide = areas.pivot_table("area_mm2", index="method", columns="contrast", sort=False)
    known = [contrast for contrast in CONTRASTS if contrast in wide]
    return wide[known + [contrast for contrast in wide if contrast not in known]]


def method_agreement(csa_table: pd.DataFrame) -> pd.DataFrame:
    """Agreement between contrasts of every method: ICC over all, and one pair in detail.

    ICC(2,1): whether one contrast's area can stand for another's. With several trainings the mean
    over them, of the ends of its interval too.

    Args:
        csa_table: `subject`, `contrast`, `method`, `seed`, `area_mm2`.

    Returns:
        One row a method: `method`, `n` (people with all contrasts), `icc`, `ci_low`, `ci_high`,
        `bias_mm2`, `low_mm2`, `high_mm2` (limits of agreement), `r`, `concordance` of the pair;
        `nan` where too few people are complete.
    """
    rows = []
    for (method, _), part in csa_table.groupby(["method", "seed"], sort=False):
        wide = part.pivot_table(index="subject", columns="contrast", values="area_mm2")
        n, k = wide.dropna().shape
        row = {"method": method, "n": n}
        if n > 1 and k > 1:
            known = part.dropna(subset=["area_mm2"])
            found = icc(known).set_index("kind").loc["ICC(2,1)"]
            row |= {key: float(found[key]) for key in ("icc", "ci_low", "ci_high")}
        if {"T1w", "T2w"} <= set(wide.columns):
            pair = contrast_agreement(part, pairs=[("T1w", "T2w")]).iloc[0]
            row |= {f"{key}_mm2": pair[key] for key in ("bias", "low", "high")}
            row |= {key: pair[key] for key in ("r", "concordance")}
        rows.append(row)
    columns = ["method", "n", "icc", "ci_low", "ci_high", "bias_mm2", "low_mm2", "high_mm2"]
    table = pd.DataFrame(rows).reindex(columns=[*columns, "r", "concordance"])
    return table.groupby("method", sort=False).mean().reset_index().astype({"n": int})


def area_errors(csa_table: pd.DataFrame, truth: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Error of every area, and the name of what counts as right.

    Where no area is known exactly, the soft truth's is taken, as the paper does; it then has no
    errors of its own.

    Args:
        csa_table: `subject`, `contrast`, `method`, `seed`, `area_mm2`.
        truth: From `true_csa`; empty for real data.

    Returns:
        As `csa_error`, empty if there is no soft truth either, and the name.
    """
    is_soft = csa_table["method"] == "labels_softseg"
    name = "true area" if len(truth) else "area of the soft truth"
    reference = truth if len(truth) else csa_table.loc[is_soft, ["subject", "contrast", "area_mm2"]]
    others = csa_table if len(truth) else csa_table[~is_soft]
    if reference["area_mm2"].notna().any():
        return csa_error(others, reference, by=["seed"]), name
    measures = ["truth_mm2", "error_mm2", "absolute_error_mm2", "error_percent"]
    return others.head(0).reindex(columns=[*others.columns, *measures]), name


def method_errors(errors: pd.DataFrame, overlap: pd.DataFrame | None = None) -> pd.DataFrame:
    """Error of the area, how far it follows the people, overlap and failures, by method.

    Args:
        errors: From `area_errors`.
        overlap: From `evaluate_overlap`, seeds separated.

    Returns:
        Indexed by method: `n`, `error_mm2` (bias), `error_percent`, `absolute_error_mm2`, `slope`
        on what counts as right, the measures of overlap (means over people) and `failures` (images
        without a usable mask, all trainings together).
    """
    people = errors.groupby("method", sort=False)["subject"].nunique().rename("n")
    measures = ["error_mm2", "error_percent", "absolute_error_mm2"]
    by_participant = errors.groupby(["method", "subject"], sort=False)[measures].mean()
    table = pd.concat([people, by_participant.groupby("method", sort=False).mean()], axis=1)
    if len(errors):
        right = errors[["subject", "contrast", "seed", "method", "truth_mm2"]]
        right = right.drop_duplicates(["subject", "contrast"]).drop(columns=["method", "seed"])
        right = right.rename(columns={"truth_mm2": "area_mm2"})
        tracking = area_tracking(errors, right, by=["seed"])
        table["slope"] = tracking.set_index("method")["slope"]
    if overlap is not None:
        found = overlap.groupby(["method", "subject"], sort=False)[list(OVERLAP)].mean()
        table = table.join(found.groupby("method", sort=False).mean(), how="outer")
        table["failures"] = count_failures(overlap).set_index("method")["failures"]
    return table.rename_axis("method")


def split_errors(table: pd.DataFrame, methods: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `method_errors` says of the area, and what of the overlap: two tables that fit a page.

    Args:
        table: From `method_errors`.
        methods: Rows, in this order.
    """
    rows = table.reindex(methods).rename_axis("method")
    overlap = [name for name in OVERLAP if name in rows]
    return rows.drop(columns=overlap), rows[overlap]


def units_side_by_side(
    errors: pd.DataFrame, methods: Sequence[str], *, correction: str = "holm"
) -> pd.DataFrame:
    """The proposal against every other method, with people and with images as units.

    Six errors of one person go together: pooled, as in the paper, one person counts as six.

    Args:
        errors: From `csa_error`.
        methods: Methods compared, those without errors are left out.
        correction: Over the family, for either unit.

    Returns:
        `method_a`, `method_b`, `median_difference`, `ci_low`, `ci_high`, `n`, `p_adjusted` with
        people as units; `n_images`, `p_pooled` (adjusted) and `note`. Empty without the proposal.
    """
    shown = [m for m in methods if m in set(errors["method"])]
    columns = ["method_a", "method_b", "median_difference", "ci_low", "ci_high", "n", "p_adjusted"]
    if PROPOSAL not in shown or len(shown) < 2:
        return pd.DataFrame(columns=[*columns, "n_images", "p_pooled", "note"])
    pairs = against(shown, PROPOSAL)
    both = compare_units(errors, "absolute_error_mm2", pairs=pairs, correction=correction)
    people = both[both["unit"] == "participant"].reset_index(drop=True)
    images = both[both["unit"] != "participant"].reset_index(drop=True)
    found = people[columns].assign(n_images=images["n"], p_pooled=images["p_adjusted"])
    return found.assign(note=people["note"])


def site_effects(csa_table: pd.DataFrame, participants: pd.DataFrame) -> pd.DataFrame:
    """Mixed model of the area for every method: contrast fixed, person and site random.

    Args:
        csa_table: One area a person, contrast and method, as `mean_areas` gives them.
        participants: Indexed by participant.

    Returns:
        `method`, `n`, `n_sites`, `p_contrast` (joint Wald test), `site_sd_mm2`, `subject_sd_mm2`,
        `residual_sd_mm2` and `note`.
    """
    places = (
        participants["institution_id"]
        if "institution_id" in participants
        else pd.Series(dtype=object)
    )
    table = csa_table.dropna(subset=["area_mm2"]).assign(
        site=csa_table["subject"].map(places.to_dict())
    )
    rows = []
    for method, part in table.groupby("method", sort=False):
        people = part.drop_duplicates("subject")
        counts = people["site"].value_counts()
        row = {"method": method, "n": len(people), "n_sites": len(counts)}
        if len(people) < 3 or part["contrast"].nunique() < 2:
            rows.append(row | {"note": f"n too small: {len(people)} people"})
            continue
        nested = 1 < len(counts) < len(people) and people["site"].notna().all()
        model = mixed_model(part, site="site" if nested else None)
        sd = dict(zip(model.random["source"], model.random["sd"], strict=True))
        row |= {"p_contrast": model.effect["p"], "site_sd_mm2": sd.get("site", np.nan)}
        row |= {"subject_sd_mm2": sd["subject"], "residual_sd_mm2": sd["residual"]}
        # The fit stops at a variance of zero, and says so in a sentence about likelihoods.
        note = "no variance left for sites" if "boundary" in model.note else model.note
        rows.append(row | {"note": note or ("" if nested else "no site with two people")})
    columns = ["method", "n", "n_sites", "p_contrast", "site_sd_mm2", "subject_sd_mm2"]
    return pd.DataFrame(rows).reindex(columns=[*columns, "residual_sd_mm2", "note"])


def with_participants(
    table: pd.DataFrame, dataset: Dataset, columns: Sequence[str] = ("manufacturer",)
) -> pd.DataFrame:
    """`table` with columns of `participants.tsv`; `unknown` where somebody or a column is missing.

    Args:
        table: With a column `subject`.
        dataset: Whose participants.
        columns: Which of their columns.
    """
    known = dataset.participants
    found = {c: known[c] if c in known else pd.Series(dtype=object) for c in columns}
    added = {c: table["subject"].map(v.to_dict()).fillna("unknown") for c, v in found.items()}
    return table.assign(**added)
