"""The one result that is asserted: who learns soft truth depends less on the contrast."""

import nbformat
import pandas as pd
import pytest

from softseg_study.statistics.variability import contrast_variability


def glued(chapter, name: str) -> float:
    """A number that an executed chapter has glued."""
    outputs = (output for cell in chapter.cells for output in cell.get("outputs", []))
    (text,) = (
        output["data"]["application/papermill.record/text/plain"]
        for output in outputs
        if output.get("metadata", {}).get("scrapbook", {}).get("name") == name
    )
    return float(text)


def test_in_the_book_soft_truth_gives_the_smaller_spread_over_contrasts(project_root):
    chapter = nbformat.read(project_root / "book/chapters/04_csa_variability.ipynb", as_version=4)
    assert glued(chapter, "n_people") >= 20
    assert glued(chapter, "sd_soft_all") < glued(chapter, "sd_hard_all")


@pytest.mark.parametrize("run", ["demo", "book"])
def test_in_a_run_soft_truth_gives_the_smaller_spread_over_contrasts(project_root, run):
    table = project_root / "runs" / run / "tables" / "csa.csv"
    if not table.exists():
        pytest.skip(f"runs/{run} has not run here; `make reproduce` runs demo")
    areas = pd.read_csv(table).query("mask == 'soft'")
    areas = areas.assign(method=areas["method"].str.replace(r"_seed-\d+$", "", regex=True))
    areas = areas.groupby(["subject", "contrast", "method"], as_index=False)["area_mm2"].mean()
    spread = contrast_variability(areas).groupby("method")["sd_mm2"].mean()
    assert spread["soft_all"] < spread["hard_all"]
