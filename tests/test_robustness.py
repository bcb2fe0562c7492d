"""Cohorts of other phantoms, and the parts of a network's bias: the scripts and their tables."""

import json
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scripts import ROOT, loaded_script
from tubes import Tube, sample

from softseg.network.config import NetworkConfig
from softseg_study.evaluation.areas import measure_areas, true_csa

TABLES = ROOT / "book" / "tables"


@pytest.fixture(scope="module")
def robustness():
    return loaded_script("notebooks/robustness.py")


@pytest.fixture(scope="module")
def bias():
    return loaded_script("notebooks/training_bias.py")


@pytest.fixture(scope="module")
def mend():
    return loaded_script("notebooks/mend_bias.py")


def test_a_cohort_at_c2_c3_has_masks_levels_and_true_areas(robustness, tmp_path):
    options = robustness.CohortOptions(robustness.SEED, ("DWI", "T2w"), mean_area_mm2=66.0)
    dataset = robustness.write_cohort(tmp_path, options, 1)
    masks = {name: name for name in ("labels", "labels_softseg")}
    areas = measure_areas(dataset, masks, masks=("soft",))
    truth = true_csa(dataset).set_index("contrast")["area_mm2"]
    found = areas.pivot_table("area_mm2", "contrast", "method")
    assert sorted(found.index) == ["DWI", "T2w"]
    drawn = found["labels"] / truth
    assert drawn.between(0.75, 1.25).all(), drawn
    assert np.ptp(found["labels_softseg"]) < np.ptp(found["labels"])


def made_up(sds, *, bias=2.0, slope=0.8, people=8):
    """Areas of people 60 to 80 mm² large whose contrasts differ by constants of a given SD."""
    sizes, shift = np.linspace(60, 80, people), np.array([-1.0, 0.0, 1.0])
    rows = []
    for method, sd in {"truth": 0.0, **sds}.items():
        for who, size in enumerate(sizes):
            own = bias + 70 + slope * (size - 70) if method == "soft_all" else size
            rows += [
                {"subject": f"sub-{who}", "contrast": c, "method": method,
                 "seed": str(int(method != "truth")),
                 "area_mm2": own + sd * x}
                for c, x in zip(("T1w", "T2w", "DWI"), shift, strict=True)
            ]  # fmt: skip
    return pd.DataFrame(rows)


def test_figures_of_a_cohort_are_those_of_made_up_areas(robustness):
    areas = made_up({"labels": 5.0, "soft_all": 1.0, "hard_all": 4.0})
    found = robustness.summarise(areas)
    assert found["bias (mm²)"] == pytest.approx(2.0)
    assert found["slope"] == pytest.approx(0.8)
    assert found["SD, network of soft masks (mm²)"] == pytest.approx(1.0)
    assert found["SD, drawn masks (mm²)"] == pytest.approx(5.0)
    assert found["drawn masks with constants (mm²)"] == pytest.approx(0.0, abs=1e-9)
    assert found["closer"] == found["test people"] == 8


def test_figures_of_a_training_are_those_of_made_up_areas(mend):
    areas = made_up({"soft_all": 1.0})
    own, truth = (areas[areas["method"] == name] for name in ("soft_all", "truth"))
    found = mend.figures(own, truth.drop(columns="seed"))
    assert found["bias (mm²)"] == pytest.approx(2.0)
    assert found["bias (per cent)"] == pytest.approx(100 * 2 / 70)
    assert found["bias in T1w (mm²)"] == pytest.approx(1.0)
    assert [found[f"slope{end}"] for end in ("", ", from", ", to")] == pytest.approx([0.8] * 3)
    assert found["SD over contrasts (mm²)"] == pytest.approx(1.0)


def test_the_exponent_makes_areas_those_of_learnt_masks(mend, monkeypatch):
    def areas(data, masks, people, exponent=1.0):
        larger = masks != "labels_softseg"
        return pd.Series([70.0, 80.0]) + larger * (np.array([2, 4]) - 10 * np.log(exponent))

    monkeypatch.setattr(mend, "areas_of", areas)
    assert mend.fitted_exponent(None, "longer", []) == pytest.approx(np.exp(0.3))
    soft = sample(Tube(), (0.8, 0.8, 5.0), length_mm=10).soft
    smaller = mend.raised(soft, 1.2).data
    edge = (soft.data > 0.01) & (soft.data < 0.99)
    assert (smaller[edge] < soft.data[edge]).all()
    assert [smaller.min(), smaller.max()] == [soft.data.min(), soft.data.max()] == [0, 1]


def test_sums_near_the_cord_are_those_of_a_network_that_adds_a_tenth(bias, monkeypatch):
    soft = sample(Tube(), (0.8, 0.8, 5.0), length_mm=40).soft
    image = soft.like(100 + 200 * soft.data)

    config = NetworkConfig(patch_size=(48, 48))
    prepared = bias.prepare(image, config)
    mask, (low, high) = prepared.to_working(soft), (prepared.data.min(), prepared.data.max())

    def network(windows):
        return 1.1 * (windows - low) / (high - low)

    model = SimpleNamespace(config=config, running=lambda: nullcontext(network))
    monkeypatch.setattr(bias, "predict_slices", lambda network, windows: network(windows))
    found = bias.window_sums(image, {"exact": soft, "learnt": soft}, {"m": model}, np.arange(3))
    assert found["learnt", "mask"] == pytest.approx(mask[:, :, :3].sum())
    assert found["m", "raw"] == pytest.approx(1.1 * found["learnt", "mask"], rel=0.02)
    assert found["m", "cut"] < found["m", "raw"]


def test_parts_of_a_bias_sum_to_it_and_switches_to_the_network_s_own_part(bias):
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product(
        [[f"sub-{i}" for i in range(4)], ["T2star", "T2w"]], names=["subject", "contrast"]
    )
    names = ["true", "exact", "learnt", "grid", "soft_all_seed-1"]
    areas = pd.DataFrame(70 + rng.normal(size=(8, 5)), index, names)
    columns = [("exact", "mask"), ("learnt", "mask")]
    columns += [(n, k) for n in ("soft_all_seed-1", "loss", "target") for k in ("raw", "cut")]
    sums = pd.DataFrame(100 + rng.normal(size=(8, 8)), index, pd.MultiIndex.from_tuples(columns))
    test = pd.Series(rng.normal(2, 1, 8), index)
    table = bias.tabulate(bias.errors_of(sums, areas, ["soft_all_seed-1"]), test, 70.0)
    check_sums(table, bias)
    whole = table.set_index("part")
    trained = (areas["soft_all_seed-1"] - areas["true"]).mean()
    assert whole["mm2"][list(bias.PARTS[:6])].sum() == pytest.approx(trained)
    assert whole["mm2"]["bias on test people"] == pytest.approx(test.mean())


def check_sums(table, bias, tolerance=1e-6):
    by = table.groupby("kind")
    total = by.get_group("sum").iloc[0]
    own = table.set_index("part").loc[bias.PARTS[3]]
    for column in ("mm2", "t2star_mm2"):
        parts, switches = (by.get_group(kind)[column].sum() for kind in ("part", "switch"))
        assert parts == pytest.approx(total[column], abs=tolerance)
        assert switches == pytest.approx(own[column], abs=tolerance)


def test_the_committed_bias_sums_up(bias):
    shown = {heading: name for name, heading in bias.HEADINGS.items()}
    table = pd.read_csv(TABLES / "training_bias.csv").rename(columns=shown)
    check_sums(table, bias, tolerance=0.01)
    assert list(table["part"][table["kind"] == "part"]) == list(bias.PARTS)
    assert table["mm2"].between(table["ci_low"], table["ci_high"]).all()


def test_the_committed_mending_begins_with_what_chapter_04_says(mend):
    table = pd.read_csv(TABLES / "training_bias_mended.csv", index_col="figure")
    errors, spread = (pd.read_csv(TABLES / f"{name}.csv") for name in ("area_errors", "spread"))
    said = errors.set_index("method").loc["soft_all"]
    book = table[mend.BOOK]
    assert book["bias (mm²)"] == pytest.approx(said["error_mm2"], abs=2e-3)
    assert book["slope"] == pytest.approx(said["slope"], abs=2e-3)
    sd = spread.loc[spread["method"] == "soft_all", "sd_mm2"].mean()
    assert book["SD over contrasts (mm²)"] == pytest.approx(sd, abs=2e-3)
    ideal = mend.floor().drop(index=mend.ALL)["error_percent"].mean()
    assert table.loc[mend.ERROR, mend.FLOOR] == pytest.approx(ideal, abs=1e-3)
    tried = table.drop(columns=mend.FLOOR)
    recipes = (mend.BOOK, mend.LONGER, mend.THROUGHOUT)
    assert list(tried) == [name + end for name in recipes for end in ("", mend.WITH)]
    assert tried.notna().all(axis=None)
    for name in ("bias (mm²)", "slope", "SD over contrasts (mm²)"):
        assert tried.loc[name].between(tried.loc[f"{name}, from"], tried.loc[f"{name}, to"]).all()


def test_the_committed_cohorts_are_those_of_the_script(robustness):
    table = pd.read_csv(TABLES / "robustness.csv").set_index("cohort")
    known = [name for name in robustness.COHORTS if name in table.index]
    assert list(table.index) == known
    assert known[0] == "standard"
    assert len(known) > 2
    assert table.notna().all(axis=None)
    assert (table["test people"] >= 12).all()
    areas = table["true area (mm²)"]
    for name, options in robustness.COHORTS.items():
        wanted = areas["standard"] * options.get("mean_area_mm2", 72.0) / 72
        assert areas.get(name, wanted) == pytest.approx(wanted, rel=2e-3), name


@pytest.mark.parametrize("script", ["bias", "mend"])
def test_a_run_without_models_is_named(script, request, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("softseg_study.run.RUNS", tmp_path)
    (tmp_path / "none" / "data").mkdir(parents=True)
    content = {"Name": "x", "BIDSVersion": "1.9.0"}
    (tmp_path / "none/data/dataset_description.json").write_text(json.dumps(content))
    assert request.getfixturevalue(script).main(["--run", "none"]) == 2
    assert "softseg:" in capsys.readouterr().err
