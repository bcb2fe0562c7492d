"""A step for some people: `python notebooks/shard.py ground-truth REPORT --shard 3 --of 24 …`.

Chapter 02 makes the soft truth of everybody. On a cluster its people are shared out first: every
shard makes those of its own with the chapter's parameters, and the chapter then finds them made.
"""

import argparse
import ast
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import papermill

from softseg.contrasts import CONTRASTS
from softseg.dataset.index import Dataset
from softseg.ground_truth.batch import make_ground_truth
from softseg.ground_truth.report import PIPELINE
from softseg.ground_truth.soft import GroundTruthOptions
from softseg.paths import ROOT, Run
from softseg.provenance.records import record_step, signed

NOTEBOOK = ROOT / "notebooks" / "02_soft_ground_truth.ipynb"


def parameters(notebook: Path, changed: Mapping[str, Any]) -> dict[str, Any]:
    """A notebook's parameters: its own defaults, and what the scale changes of them."""
    logging.disable(logging.WARNING)  # papermill comments on every parameter without a type
    known = papermill.inspect_notebook(str(notebook))
    logging.disable(logging.NOTSET)
    defaults = {name: ast.literal_eval(each["default"]) for name, each in known.items()}
    return defaults | dict(changed)


def truth_settings(values: Mapping[str, Any]) -> GroundTruthOptions:
    """The settings that chapter 02 makes of its parameters; what differed would be made twice."""
    thick = [name for name in CONTRASTS if name not in ("T1w", "T2w")]
    return GroundTruthOptions(
        reference=values["reference"],
        registration=values["registration"],
        average=values["average"],
        trim_mm=dict.fromkeys(thick, values["trim_mm"]),
    )


def people_of(shard: int, count: int, people: list[str]) -> list[str]:
    """Every `count`-th of the sorted people, so that shards are of one size and one site is in all.

    Example:
        >>> people_of(1, 2, ["sub-c", "sub-a", "sub-b"])
        ['sub-b']
    """
    return sorted(people)[shard::count]


def make_shard(values: Mapping[str, Any], shard: int, count: int, report: Path) -> bool:
    """Make the truth of one shard's people and write their report; whether all went well."""
    results = Run(values["run"])
    data = Dataset.index(values["dataset"] or results.data, contrasts=values["contrasts"] or None)
    parts = json.loads((results.root / "splits.json").read_text(encoding="utf-8")).values()
    everybody = sorted(set(data.subjects) & {person for part in parts for person in part})
    chosen = people_of(shard, count, everybody)
    lines = ["subject,status"]
    failed = False
    if chosen:
        table = make_ground_truth(
            data, subjects=chosen, options=truth_settings(values), jobs=values["jobs"]
        ).drop_duplicates(["subject", "session"])
        failed = bool((table["status"] == "failed").any())
        for row in table.itertuples():
            print(f"{row.subject}: {row.status} {row.message}".strip())
            lines.append(f"{row.subject},{row.status}")
    if not failed:
        about = {"shard": shard, "of": count, **values}
        splits = [results.root / "splits.json"]
        mine = {"step": "ground-truth", "parameters": about, "sources": splits}
        with signed(report, **mine) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        if data.root.is_relative_to(results.root):  # else the data set keeps its own records
            made = [data.root / "derivatives" / f"{PIPELINE}{ending}" / person
                    for ending in ("", "_bin") for person in chosen]  # fmt: skip
            record_step(results.root / "records" / f"{report.stem}.json", made, **mine)
    return not failed


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["ground-truth"])
    parser.add_argument("report", type=Path, help="table of who was made")
    parser.add_argument("--shard", type=int, required=True, help="from 0")
    parser.add_argument("--of", type=int, required=True, help="number of shards")
    parser.add_argument("--parameters", type=json.loads, default={}, help="JSON object")
    options = parser.parse_args()
    values = parameters(NOTEBOOK, options.parameters)
    if not make_shard(values, options.shard, options.of, options.report):
        sys.exit("some people failed; what was made of the others is kept")


if __name__ == "__main__":
    main()
