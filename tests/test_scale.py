"""Time grows with the number of participants, memory does not; the page shows what was measured."""

import re

import pandas as pd
import pytest
import scale_run


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> pd.DataFrame:
    """The quick form of the run: two participants, then six."""
    return scale_run.measure([2, 6], tmp_path_factory.mktemp("scale"), distinct=2)


def by_size(table: pd.DataFrame, column: str) -> pd.DataFrame:
    return table.pivot_table(index="step", columns="participants", values=column)


def test_every_step_takes_linear_time_and_flat_memory(measured):
    memory = by_size(measured, "peak memory (MiB)")
    assert set(memory.index) == set(scale_run.STEPS)
    assert (memory[6] < memory[2] + 60).all(), memory
    # Three times the participants: linear with room for the machine's moods, far from quadratic.
    slow = by_size(measured, "processor (s)").loc[["ground truth", "segmentation", "areas"]]
    assert (slow[6] < 5 * slow[2] + 0.5).all(), slow
    written = by_size(measured, "written (MB)")
    assert (written[6] < 3.3 * written[2] + 0.01).all()


def test_a_projection_multiplies_images_and_their_size(measured):
    shown = scale_run.project(measured).set_index(["what", "step"])
    row = shown.loc[("the real database", "segmentation")]
    assert row["times more images"] == pytest.approx(1458 / 12, rel=0.01)
    expected = row["measured (s)"] * row["times more images"] * row["times larger images"] / 3600
    assert row["core hours"] == pytest.approx(expected, rel=0.05, abs=0.002)
    larger = shown.loc[("10,000 scans", "segmentation"), "core hours"]
    assert larger == pytest.approx(row["core hours"] * 10_000 / 1458, rel=0.05, abs=0.002)


def test_the_committed_table_shows_linear_time_and_flat_memory(project_root):
    table = pd.read_csv(project_root / "book/tables/scale.csv")
    for step, rows in table.groupby("step"):
        first, last = rows.iloc[0], rows.iloc[-1]
        assert last["participants"] >= 10 * first["participants"], step
        assert last["peak memory (MiB)"] < first["peak memory (MiB)"] + 100, step
        if step != "statistics":
            assert last["per participant (s)"] < 1.5 * first["per participant (s)"], step


def test_committed_tables_name_date_machine_and_command(project_root):
    for name in ("scale", "scale_projection", "interruptions", "fuzz", "versions"):
        table = pd.read_csv(project_root / f"book/tables/{name}.csv")
        assert table[["date", "machine", "command"]].notna().all().all(), name
        assert table["date"].str.fullmatch(r"\d{4}-\d\d-\d\d").all()
        for command in table["command"].unique():
            for script in re.findall(r"tests/\w+\.py", command):
                assert (project_root / script).is_file(), script


def test_no_committed_table_names_a_folder_of_the_machine_it_was_made_on(project_root):
    private = re.compile(r"(?<![\w.])/(?:tmp|root|home|work|Users|mnt|private)/")
    tables = [path for path in (project_root / "book/tables").rglob("*") if path.is_file()]
    assert len(tables) > 5
    found = {path.name: private.findall(path.read_text(encoding="utf-8")) for path in tables}
    assert {name: folders for name, folders in found.items() if folders} == {}


def test_a_command_is_recorded_without_the_folders_it_was_typed_with(project_root):
    typed = [str(project_root / "book/tables/scale.csv"), "/elsewhere/a.png", "--sizes", "a/b"]
    assert [*map(scale_run.portable, typed)] == ["book/tables/scale.csv", "a.png", "--sizes", "a/b"]


def test_at_least_fifty_interruptions_harmed_nothing(project_root):
    table = pd.read_csv(project_root / "book/tables/interruptions.csv")
    assert table["trials"].sum() >= 50
    assert (table["half files"] == 0).all()
    assert (table["restarts that ended well"] == table["trials"]).all()
    assert (table["identical results"] == table["trials"]).all()


def test_two_thousand_broken_inputs_made_no_fault(project_root):
    table = pd.read_csv(project_root / "book/tables/fuzz.csv").set_index("tried on")
    assert table.loc["all", "cases"] >= 2000
    assert (table["faults"] == 0).all()
    assert (table[["done", "some failed", "refused"]].sum(axis=1) == table["cases"]).all()
    assert (table["peak memory (MiB)"] < 1024).all()


@pytest.mark.stress
def test_a_hundred_participants_take_ten_times_what_ten_take(tmp_path):
    table = scale_run.measure([10, 100], tmp_path)
    memory, seconds = by_size(table, "peak memory (MiB)"), by_size(table, "processor (s)")
    assert (memory[100] < memory[10] + 100).all(), memory
    slow = seconds.loc[["ground truth", "segmentation", "areas"]]
    assert (slow[100] < 13 * slow[10]).all(), slow
