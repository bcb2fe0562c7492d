"""Cells of chapters that compute what they claim, run on areas whose answer is known."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from softseg.contrasts import CONTRASTS
from softseg_study.names import CONSTANTS
from softseg_study.statistics.atrophy import visit_fits
from softseg_study.statistics.harmonising import with_constants

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
PATTERN = np.array([-4.0, 2.0, -1.0, -3.0, 4.0, 2.0])
PEOPLE = [f"sub-{i:02d}" for i in range(24)]


class Saved:
    """Takes the place of a run: tables stay in memory."""

    def save(self, **tables):
        self.__dict__ |= tables


def run(number: str, *labels: str, **given: object) -> dict:
    """The names after the imports of a notebook and its cells of these labels."""
    path = next(NOTEBOOKS.glob(f"{number}_*.ipynb"))
    cells = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    named = {c.metadata["label"]: c for c in cells if "label" in c.metadata}
    names: dict = {"display": lambda shown: None}
    for cell in [cells[0], cells[1]]:
        exec(compile(cell.source, path.name, "exec"), names)
    names |= {"results": Saved()} | given
    for label in labels:
        exec(compile(named[label].source, f"{path.name}:{label}", "exec"), names)
    return names


def areas(methods: dict[str, float], *, noise=0.3, sizes=6.0, added=None, seed=1) -> pd.DataFrame:
    """Methods that show a share of the contrasts' pattern, on people of known size."""
    rng = np.random.default_rng(seed)
    own = rng.normal(72, sizes, len(PEOPLE))
    rows = [
        (person, contrast, method, "1",
         own[i] + share * offset + rng.normal(0, noise) + (0 if added is None else added[i]))
        for method, share in methods.items()
        for i, person in enumerate(PEOPLE)
        for contrast, offset in zip(CONTRASTS, PATTERN, strict=True)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["subject", "contrast", "method", "seed", "area_mm2"])
    return table.assign(true=np.tile(np.repeat(own, len(CONTRASTS)), len(methods)))


def truth(table: pd.DataFrame) -> pd.DataFrame:
    one = table.drop_duplicates(["subject", "contrast"])
    return one[["subject", "contrast"]].assign(method="truth", area_mm2=one["true"])


MAIN = ["labels", "hard_all", "soft_all"]


def chapter_4(*labels: str, shares=(1.0, 1.0, 0.2), added=None, participants=None) -> dict:
    table = areas(dict(zip(MAIN, shares, strict=True)), added=added)

    class Data:
        contrasts = CONTRASTS

    Data.participants = pd.DataFrame() if participants is None else participants
    return run(
        "04", *labels, csa=table, areas=with_constants(table.drop(columns="true"), MAIN),
        truth=truth(table), main=MAIN, compared=MAIN + [m + CONSTANTS for m in MAIN],
        first="soft_all", people=PEOPLE, levels=(2, 3), data=Data,
        true_csa=lambda *a, **k: truth(table),
    )  # fmt: skip


def test_the_table_of_means_begins_with_the_true_area_and_ends_with_the_published_ones():
    means = chapter_4("means")["means"].set_index("method")
    assert means.index[0] == "truth"
    assert means.loc["truth", "sd_mm2"] == pytest.approx(0, abs=1e-9)
    assert means.loc["labels", "range_mm2"] == pytest.approx(np.ptp(PATTERN), abs=0.3)
    assert means.loc["labels", "sd_mm2"] == pytest.approx(PATTERN.std(ddof=1), abs=0.2)
    published = means.loc["published, contrast-agnostic"]
    assert published["range_mm2"] == pytest.approx(3.73)
    assert published["sd_mm2"] == pytest.approx(1.48, abs=0.005)
    assert means.loc["published, contrast-specific", "range_mm2"] == pytest.approx(15.57)


def test_spreads_are_those_that_were_made_and_constants_leave_the_noise():
    mean = chapter_4("spread")["summary"].set_index("method")["mean"]
    assert mean["labels"] == pytest.approx(PATTERN.std(ddof=1), rel=0.05)
    assert mean["hard_all" + CONSTANTS] == pytest.approx(0.3, rel=0.15)


def test_a_method_that_ties_with_the_proposal_is_not_told_apart_and_one_that_does_not_is():
    names = chapter_4("spread", "tests", shares=(1.0, 1.0, 0.0))
    tests = names["tests"].set_index("method_b")
    assert names["verdict"](tests, "hard_all") == "smaller"
    assert names["verdict"](tests, "hard_all" + CONSTANTS) == "same"
    assert (tests["p_adjusted"] >= tests["p"]).all()


def test_bias_and_error_after_one_constant_are_told_apart():
    names = chapter_4("errors", added=np.full(24, 5.0))
    table = names["error_table"]
    assert table.loc["labels", "error_mm2"] == pytest.approx(5, abs=0.1)
    assert table.loc["labels", "absolute_error_mm2"] > 4.5
    assert table.loc["labels" + CONSTANTS, "after_constant_mm2"] < 0.4
    assert table.loc["soft_all", "slope"] == pytest.approx(1, abs=0.05)
    assert 0 < table.loc["floor", "after_constant_mm2"] < 3, "the floor stands beside the errors"


@pytest.mark.parametrize("site_sd", [0.0, 1.1])
def test_sites_whose_masks_differ_are_found_in_the_errors(site_sd):
    """Sites differ by about one mm², which a model of areas cannot tell from people's sizes."""
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        site = rng.integers(12, size=24)
        added = rng.normal(0, site_sd, 12)[site] + rng.normal(0, 0.4, 24)
        participants = pd.DataFrame({"institution_id": [f"s{k}" for k in site]}, index=PEOPLE)
        names = chapter_4("errors", "sites", added=added, participants=participants)
        found.append(names["effects"].set_index("method").loc["labels", "site_sd_mm2"])
    assert np.median(found) == pytest.approx(site_sd, abs=0.35)


def test_the_contrast_matters_where_it_was_made_to():
    names = chapter_4("errors", "sites", shares=(1.0, 1.0, 0.0))
    p = names["effects"].set_index("method")["p_contrast"]
    assert p["labels"] < 1e-6
    assert p["soft_all"] > 0.001


def test_agreement_of_a_pair_is_the_difference_that_was_made():
    table = chapter_4("agreement")["agreement"]
    t1w, t2w = (PATTERN[list(CONTRASTS).index(name)] for name in ("T1w", "T2w"))
    assert table.loc["labels", "bias_mm2"] == pytest.approx(t1w - t2w, abs=0.2)
    assert table.loc["soft_all", "icc"] > table.loc["labels", "icc"]


def test_the_experiment_takes_interaction_and_shifts_from_the_areas():
    names = chapter_4("means", "interaction")
    assert names["sd"][0] == pytest.approx(0.3, rel=0.15)
    assert set(names["simulated"]["strength_mm2"]) == {0, 0.5, 1, 2, 4}
    assert names["simulated"]["seed"].nunique() == 3


@pytest.mark.parametrize("steps", [1, 10, 65])
def test_a_training_of_few_steps_is_not_asked_whether_its_loss_fell(steps):
    """Ten steps of a volume's network are warm-up alone: first and last ones are the same."""

    class History:
        losses = pd.DataFrame({"loss": np.linspace(1, 0.5, steps) if steps > 50 else 1.0},
                              index=range(steps))  # fmt: skip

    class Config:
        pass

    Config.steps = steps
    table = pd.DataFrame({"soft_dice": 0.9, "without_cord": 0}, index=["T2w"])
    images = pd.DataFrame({"subject": ["a"], "soft_dice": 0.9, "status": "ok"})
    known = {"history": History, "config": Config, "by_contrast": table, "overlap": images}
    names = run("03", "said", **known, outcomes=images, glue=lambda *a, **k: None)
    assert names["first"] >= names["last"]


def chapter_5(
    methods: dict[str, float], factors: dict, *, seeds=("1", "2"), lost=(), fewer=()
) -> dict:
    parts = [areas(methods, seed=int(seed)).assign(seed=seed) for seed in seeds]
    csa = pd.concat(parts, ignore_index=True).assign(status="ok")
    csa.loc[csa["method"].isin(fewer) & csa["subject"].isin(csa["subject"].unique()[12:]),
            ["area_mm2", "status"]] = [np.nan, "no mask"]  # fmt: skip
    csa.loc[csa["method"].isin(lost) & (csa["contrast"] == "T1w"), "area_mm2"] = np.nan
    return run(
        "05", "pairs", "ablations", "missing", csa=csa, known=csa.dropna(subset=["area_mm2"]),
        plan=[(f, *p) for f, pairs in factors.items() for p in pairs.items()], family=factors,
    )  # fmt: skip


def test_a_change_that_matters_is_told_from_one_that_does_not():
    methods = {"soft_all": 0.2, "hard_all": 1.0, "soft_all_dice": 0.2}
    factors = {"truth": {"hard_all": "soft_all"}, "loss": {"soft_all_dice": "soft_all"}}
    found = chapter_5(methods, factors)["found"].set_index("method_a")
    made = 0.8 * PATTERN.std(ddof=1)
    assert found.loc["hard_all", "difference_mm2"] == pytest.approx(made, abs=0.1)
    assert found.loc["hard_all", "sure"]
    assert not found.loc["soft_all_dice", "sure"]
    assert (
        abs(found.loc["soft_all_dice", "difference_mm2"])
        < found.loc["soft_all_dice", "seeds"] + 0.1
    )


def test_trainings_that_lack_contrasts_say_nothing_of_how_others_vary():
    methods = {"soft_all": 0.2, "hard_all": 1.0, "soft_1_contrast": 5.0}
    truth = {"hard_all": "soft_all"}
    alone = chapter_5(methods, {"truth": truth})["found"].set_index("method_a")
    of_all = {"truth": truth, "contrasts": {"soft_1_contrast": "soft_all"}}
    found = chapter_5(methods, of_all)["found"].set_index("method_a")
    assert found.loc["hard_all", "seeds"] != alone.loc["hard_all", "seeds"], "one less is pooled"
    assert found.loc["soft_1_contrast", "seeds"] == alone.loc["hard_all", "seeds"]


def test_variants_are_compared_in_the_contrasts_that_both_have_and_lost_masks_are_counted():
    methods = {"soft_all": 0.2, "hard_all": 1.0}
    names = chapter_5(methods, {"truth": {"hard_all": "soft_all"}}, lost=["hard_all"])
    rest = np.delete(PATTERN, list(CONTRASTS).index("T1w"))
    mean = names["found"].loc[0, "mean_mm2"]
    assert mean == pytest.approx(rest.std(ddof=1), rel=0.1)
    assert names["lost"].to_numpy().tolist() == [["hard_all", 288, 48]]


def test_a_variant_that_segments_fewer_people_is_compared_on_them_and_has_lost_none():
    methods = {"soft_all": 0.2, "hard_all": 1.0}
    names = chapter_5(methods, {"truth": {"hard_all": "soft_all"}}, fewer=["hard_all"])
    assert names["found"].loc[0, "n"] == 12
    assert names["lost"].empty


class Earlier(Saved):
    """A run whose chapter 04 has been executed."""

    data = None

    def table(self, name):
        return name

    def needs(self, path, made_by):
        return path


def reading(csa: pd.DataFrame) -> dict:
    """What a chapter is given that reads the areas of chapter 04."""
    return {
        "results": Earlier(), "true_csa": lambda *a, **k: truth(csa),
        "Dataset": type("D", (), {"index": staticmethod(lambda *a: None)}),
        "pd": type("P", (), vars(pd) | {"read_csv": staticmethod(lambda *a, **k: csa)}),
    }  # fmt: skip


def test_a_study_is_sized_with_constants_too_and_networks_are_compared_with_networks():
    drawn = ["labels", "hard_all", "hard_per_contrast", "contour_following"]
    shares = {"soft_all": 0.1, "soft_per_contrast": 0.1} | dict.fromkeys(drawn, 1.0)
    csa = areas(shares)
    days = [
        (person, contrast, method, "1", visit, 0.0, area * (1 + error))
        for _, person, contrast, method, area in
        csa[["subject", "contrast", "method", "area_mm2"]].itertuples(name=None)
        for visit, error in (("1", 0.0), ("2", 0.01 * (-1) ** int(person[-1])))
    ]  # fmt: skip
    columns = ["subject", "contrast", "method", "seed", "session", "atrophy_percent", "area_mm2"]
    fits = visit_fits(pd.DataFrame(days, columns=columns), by=["seed"]).assign(response=1.0)
    methods = ["soft_all", "hard_all", "soft_per_contrast", "hard_per_contrast"]
    names = run("08", "sizes", "people", "networks", fits=fits, methods=methods, **reading(csa))
    n = names["one"].set_index(["design", "method"])["n_per_arm"]
    mixed = n["longitudinal, different contrasts"]
    for method in drawn:
        assert mixed[method + CONSTANTS] < 0.2 * mixed[method], "constants undo the contrasts"
    assert set(names["fair"]["method"]) == set(methods), "no drawn mask among the networks"
    own = names["fair"][names["fair"]["method"] == "soft_all"]
    assert own["ratio"].tolist() == [1, 1]


def test_a_failed_mask_counts_as_an_error_of_all_of_the_area_and_is_counted_apart():
    rows = [(c, m, s, "T1w", 0.9, False, 72.0 + d, 72.0)
            for c in ("reference", "GE") for m, d in (("soft_all", 0.72), ("hard_all", 7.2))
            for s in PEOPLE]  # fmt: skip
    columns = ["condition", "method", "subject", "contrast", "dice", "failed", "area_mm2"]
    table = pd.DataFrame(rows, columns=[*columns, "truth_mm2"]).assign(seed="1")
    lost = (table["condition"] == "GE") & (table["subject"] == PEOPLE[0])
    table.loc[lost & (table["method"] == "soft_all"), ["failed", "area_mm2"]] = [True, np.nan]
    csa = areas({"hard_all": 0.0}).assign(contrast="T1w")
    csa["area_mm2"] = csa["true"] + 5.0
    csa = csa.drop_duplicates("subject")

    names = run(
        "06", "conditions", "summary", run_conditions=lambda *a, **k: table,
        who={}, what={}, sources={}, folder=None, **reading(csa),
    )  # fmt: skip
    summary = names["summary"].set_index(["condition", "method"])
    assert summary.loc[("reference", "soft_all"), "off_percent"] == pytest.approx(1)
    assert summary.loc[("GE", "soft_all"), "off_percent"] == pytest.approx((23 * 1 + 100) / 24)
    assert summary.loc[("GE", "soft_all"), "error_percent"] == pytest.approx(1)
    assert summary.loc[("GE", "soft_all"), "failures"] == 1
    corrected = summary.loc[("GE", "hard_all" + CONSTANTS), "off_percent"]
    assert corrected == pytest.approx(100 * 2.2 / 72, abs=0.01), (
        "a constant of five mm² is taken off"
    )
