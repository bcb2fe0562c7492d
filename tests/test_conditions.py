"""Digital people under one changed condition at a time, and what is measured on them."""

import numpy as np
import pandas as pd
import pytest

from softseg.contrasts import UNSEEN_CONTRASTS
from softseg.dataset.index import Dataset
from softseg.errors import InputError
from softseg.phantom.artefacts import get_severity
from softseg.phantom.protocols import VENDORS
from softseg.phantom.subjects import CohortOptions, draw_subject
from softseg.phantom.tissues import FIELDS_T
from softseg.volume import Volume
from softseg_study.competitors.contour import POLARITY, cord_polarity
from softseg_study.evaluation import conditions
from softseg_study.evaluation.conditions import (
    CONDITIONS,
    REFERENCE,
    REFERENCE_OPTIONS,
    choose_conditions,
    write_condition,
)
from softseg_study.evaluation.generalisation import (
    evaluate_condition,
    run_conditions,
    worst_cases,
)
from softseg_study.evaluation.method_folders import CONTOUR, method_sources

FEW = {"people": 2, "seed": 3, "contrasts": ["DWI"]}
ENDING = "label-SC_softseg"


def test_every_condition_but_the_reference_changes_one_thing():
    for condition in CONDITIONS.values():
        changed = len(condition.options) + (condition.contrasts is not None)
        assert changed == (condition.name != REFERENCE), condition.name
        assert all(REFERENCE_OPTIONS.get(k) != v for k, v in condition.options.items())


def test_every_vendor_field_strength_and_unseen_contrast_is_a_condition():
    options = [{**REFERENCE_OPTIONS, **c.options} for c in CONDITIONS.values()]
    assert {o["vendor"] for o in options} == set(VENDORS)
    assert {o.get("field_t", 3.0) for o in options} == set(FIELDS_T)
    imaged = {name for c in CONDITIONS.values() for name in c.contrasts or ()}
    assert imaged == set(UNSEEN_CONTRASTS)
    assert len({c.title for c in CONDITIONS.values()}) == len(CONDITIONS)


def test_artefact_conditions_are_stronger_than_the_reference():
    mild = get_severity("mild")
    for name, setting in (("noise", "noise"), ("motion", "ghost"), ("coil", "bias")):
        level = CONDITIONS[name].options["severity"]
        assert getattr(level, setting) > getattr(mild, setting)


@pytest.mark.parametrize("condition", CONDITIONS.values(), ids=lambda c: c.name)
def test_the_same_people_are_in_every_condition(condition):
    options = {**REFERENCE_OPTIONS, **condition.options}
    known = {k: v for k, v in options.items() if k in ("vendor", "pathology", "same_people")}
    for index in range(3):
        own = draw_subject(CohortOptions(5, ("T2w",), **known), index).anatomy
        plain = draw_subject(CohortOptions(5, ("T2w",), same_people=True), index).anatomy
        assert own.participant == plain.participant
        np.testing.assert_array_equal(own.centreline.position, plain.centreline.position)


def test_conditions_are_chosen_by_name_and_an_unknown_one_is_named():
    assert [c.name for c in choose_conditions()] == list(CONDITIONS)
    assert [c.name for c in choose_conditions(["noise", "vendor-ge"])] == [
        REFERENCE, "vendor-ge", "noise",
    ]  # fmt: skip
    with pytest.raises(InputError, match="moon"):
        choose_conditions(["moon"])


def test_the_rule_for_unseen_contrasts_agrees_with_the_table_of_the_others(monkeypatch):
    known = dict(POLARITY)
    monkeypatch.setattr("softseg_study.competitors.contour.POLARITY", {})
    assert {name: cord_polarity(name) for name in known} == known


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three conditions segmented by the contour follower."""
    folder = tmp_path_factory.mktemp("study")
    chosen = ["vendor-ge", "atrophy"]
    return folder, run_conditions(folder, {CONTOUR: CONTOUR}, conditions=chosen, **FEW)


def test_a_study_has_a_row_for_every_condition_image_and_method(study):
    _, table = study
    titles = [CONDITIONS[name].title for name in (REFERENCE, "vendor-ge", "atrophy")]
    assert list(table["condition"].unique()) == titles
    assert len(table) == 3 * FEW["people"]
    assert set(table["seed"]) == {"0"}
    true = table.pivot_table(index="subject", columns="condition", values="truth_mm2")
    np.testing.assert_allclose(true[titles[1]], true[titles[0]], rtol=1e-3)
    np.testing.assert_allclose(true[titles[2]], 0.85 * true[titles[0]], rtol=0.02)


def test_a_second_run_keeps_what_is_there_and_says_the_same(study):
    folder, table = study
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.nii.gz")}
    again = run_conditions(folder, {CONTOUR: CONTOUR}, conditions=["vendor-ge", "atrophy"], **FEW)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.nii.gz")} == before
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.stress
def test_the_table_does_not_depend_on_the_number_of_processes(study, tmp_path):
    _, table = study
    again = run_conditions(
        tmp_path, {CONTOUR: CONTOUR}, conditions=["vendor-ge", "atrophy"], jobs=2, **FEW
    )
    pd.testing.assert_frame_equal(again, table)


def test_a_cohort_of_other_settings_or_of_an_older_phantom_is_replaced(tmp_path, monkeypatch):
    one = {"people": 1, "contrasts": ["EPI"]}

    def image(seed):
        data = write_condition(CONDITIONS[REFERENCE], tmp_path, seed=seed, **one)
        path = data.image("sub-001", "EPI")
        return path.read_bytes(), path.stat().st_mtime_ns

    first, kept, other = image(1), image(1), image(2)
    assert first == kept
    assert other[0] != first[0]
    monkeypatch.setattr(conditions, "phantom_version", lambda: "of tomorrow")
    again = image(2)
    assert again[0] == other[0]
    assert again[1] != other[1], "made anew"


def test_what_is_no_cohort_is_refused_and_left_alone(tmp_path):
    thesis = tmp_path / REFERENCE / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("mine")
    with pytest.raises(InputError, match="not a phantom cohort"):
        write_condition(CONDITIONS[REFERENCE], tmp_path, **FEW)
    assert thesis.read_text() == "mine"


@pytest.fixture(scope="module")
def judged(study):
    """Masks whose error is known, made from the truth of the reference cohort."""
    folder, _ = study
    data = Dataset.index(folder / REFERENCE, contrasts=["DWI"])
    for subject in data.subjects:
        truth = Volume.load(data.existing("truth", subject, "DWI", ENDING))
        local = truth.data.copy()
        local[..., 7] *= 0.5
        found = {"exact": truth.data, "faint": 0.8 * truth.data, "local": local}
        found |= {"nothing": 0 * truth.data, "beside": np.roll(truth.data, 20, axis=0)}
        if subject == "sub-001":
            found["once"] = truth.data
        for name, values in found.items():
            path = data.derivative(name, subject, "DWI", ENDING)
            truth.like(values.astype(np.float32)).save(path)
    names = ["exact", "faint", "local", "nothing", "beside", "once"]
    return evaluate_condition(data, names).set_index("method")


def test_the_truth_itself_has_no_error(judged):
    rows = judged.loc["exact"]
    assert (rows["dice"] == 1).all()
    assert rows["error_percent"].abs().max() < 0.5
    assert (rows["covered"] == 1).all()
    assert not rows["failed"].any()


def test_six_networks_that_do_not_know_a_contrast_have_missed_all_of_it(tmp_path):
    six = {"six_seed-1": {"T2w": tmp_path / "never read"}, CONTOUR: CONTOUR}
    table = run_conditions(tmp_path, six, conditions=["contrast-UNIT1"], **FEW)
    found = table.groupby(["method", "status"]).size()
    assert found["six"].to_dict() == {"no mask": 4}
    assert table[table["method"] == "six"]["failed"].all()
    assert found[CONTOUR].sum() == 4


def test_a_faint_mask_is_too_small_by_its_share(judged):
    exact, faint = judged.loc["exact"], judged.loc["faint"]
    ratio = faint["area_mm2"].to_numpy() / exact["area_mm2"].to_numpy()
    np.testing.assert_allclose(ratio, 0.8, rtol=0.01)
    np.testing.assert_allclose(faint["error_percent"], -20, atol=1.0)


def test_an_error_of_one_slice_is_found_there_and_counts_for_its_share(judged):
    rows = judged.loc["local"]
    assert (rows["worst_slice"] == 7).all()
    excess = rows["slice_error_percent"] - judged.loc["exact"]["slice_error_percent"].to_numpy()
    assert excess.between(50 / 16, 50 / 8).all()


def test_masks_that_are_missing_empty_or_elsewhere_have_failed_and_have_no_error(judged):
    failed = judged[judged["failed"]]
    assert list(failed.index) == ["nothing", "beside", "nothing", "beside", "once"]
    assert failed["area_mm2"].isna().all()


def test_worst_cases_show_failures_first_then_the_largest_error(study):
    folder, table = study
    made = table.assign(failed=False, worst_slice=5.0)
    made["slice_error_percent"] = [1.0, 2.0, 9.0, 3.0, 4.0, 5.0]
    made.loc[5, "failed"] = True
    found = worst_cases(made, folder, CONTOUR, count=2, beside=["absent"])
    assert [case["title"].splitlines()[0] for case in found] == ["atrophy, 15 %", "GE"]
    assert [case["z"] for case in found] == [None, 5]
    assert list(found[0]["masks"]) == ["truth", CONTOUR]
    assert found[1]["image"].grid.matches(found[1]["masks"]["truth"].grid)


def test_methods_are_models_of_the_run_shipped_weights_that_are_there_and_the_contour(
    tmp_path, monkeypatch
):
    for name in ("soft_all_seed-1", "soft_all_seed-2", "soft_all_seed-10", "soft_all_dice_seed-1"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("softseg.network.weights.available_weights", lambda: ("axial",))
    found = method_sources(tmp_path, ["soft_all"], seeds=2, shipped=["axial", "volume"])
    assert list(found) == ["soft_all_seed-1", "soft_all_seed-2", "axial", CONTOUR]
    every = method_sources(tmp_path, ["soft_all", "absent"], contour=False)
    assert list(every) == ["soft_all_seed-1", "soft_all_seed-2", "soft_all_seed-10"]


def test_six_networks_are_one_method_whose_seeds_hold_a_network_a_contrast(tmp_path):
    for name in ("hard_T1w_seed-1", "hard_T2w_seed-1", "hard_T1w_seed-2", "hard_all_seed-1"):
        (tmp_path / name).mkdir()
    found = method_sources(tmp_path, ["hard_per_contrast"], contour=False)
    assert list(found) == ["hard_per_contrast_seed-1", "hard_per_contrast_seed-2"]
    assert {c: p.name for c, p in found["hard_per_contrast_seed-1"].items()} == {
        "T1w": "hard_T1w_seed-1",
        "T2w": "hard_T2w_seed-1",
    }


def test_a_network_of_a_run_takes_part_and_its_seed_is_told_apart(study, tmp_path):
    from segmentation_network import CONFIG, trained

    from softseg.network.weights import save_weights

    weights = tmp_path / "bright_seed-3"
    save_weights(weights / "model.safetensors", trained(), CONFIG, {})
    folder, _ = study
    methods = method_sources(tmp_path, ["bright"], contour=False)
    table = run_conditions(folder, methods, conditions=[REFERENCE], **FEW)
    assert set(zip(table["method"], table["seed"], strict=True)) == {("bright", "3")}
    assert table["status"].isin(["ok", "empty mask"]).all()
