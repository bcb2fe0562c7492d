"""A data set of the same digital people scanned again after losing a known share of their cord.

Each person is moved into place whole, so that a set that was stopped goes on where it stopped.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from softseg.batch import map_batch
from softseg.contrasts import CONTRASTS
from softseg.dataset.writing import describe_pipeline
from softseg.errors import InputError
from softseg.events import event
from softseg.files import replacing, write_json
from softseg.phantom.subjects import Recipe, draw_subject, subject_label
from softseg.provenance.records import generated_by
from softseg_study.phantom.followup import VisitPlan, session_label, write_visit

PLAN_FILE = "code/softseg_visits.json"
"""What made the set; by it a folder is known as ours."""

_README = """Digital spinal cords, several visits

People who do not exist, scanned again and again by a simulated scanner. At each session the cord
has lost the share of its area that sub-XXX/sub-XXX_sessions.tsv names. Settings: {plan}.
"""


def write_visits(
    out: Path | str,
    *,
    subjects: int,
    seed: int,
    atrophies_percent: Sequence[float] = (0.0, 0.0, 2.0, 5.0),
    contrasts: Sequence[str] | None = None,
    vendor: str | None = None,
    field_of_view: str = "cord",
    severity: str = "mild",
    jobs: int | None = None,
) -> Path:
    """Write a BIDS data set of digital people with one session a visit.

    Args:
        out: Folder of the data set: new, empty, or a set of the same plan to go on with; more
            people may be added.
        subjects: How many people.
        seed: Which people; the same seed gives the same bytes, whatever `jobs`.
        atrophies_percent: Exact loss of area at each visit; two zeros are a scan and its repeat.
        contrasts: Keys of `softseg.contrasts`; None for the six of the paper.
        vendor: Vendor of everybody's scanner; None for the shares of Spine Generic.
        field_of_view: `cord` or `full`.
        severity: `mild` or `realistic`.
        jobs: Processes; None for one a core.

    Returns:
        `out` as a path.

    Raises:
        InputError: If a setting is wrong or `out` holds something else; nothing is touched.
    """
    names = tuple(CONTRASTS) if contrasts is None else tuple(contrasts)
    recipe = Recipe(seed, names, None, vendor, field_of_view, severity)
    plan = VisitPlan(recipe, tuple(float(a) for a in atrophies_percent))
    plan.check()
    if subjects < 1 or (jobs is not None and jobs < 1):
        raise InputError(f"subjects and jobs must be at least 1, found {subjects} and {jobs}")
    out = Path(out)
    _check_folder(out, plan)
    _describe(out, plan)
    for leftover in out.glob(".partial-*"):  # of a run that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    missing = [i for i in range(subjects) if not (out / subject_label(i)).exists()]
    map_batch(partial(make_person, out, plan), missing, jobs=jobs)
    _write_participants(out, recipe)
    return out


def read_visits(root: Path | str) -> pd.DataFrame:
    """What each person had lost at each session, from the `sessions.tsv` files.

    Args:
        root: Folder of a BIDS data set; sessions without a known loss are left out.

    Returns:
        `subject`, `session`, `atrophy_percent`.
    """
    tables = [pd.DataFrame(columns=["subject", "session", "atrophy_percent"])]
    for file in sorted(Path(root).glob("sub-*/sub-*_sessions.tsv")):
        table = pd.read_csv(file, sep="\t").rename(columns={"session_id": "session"})
        if "atrophy_percent" in table:
            tables.append(table.assign(subject=file.parent.name)[tables[0].columns])
    return pd.concat(tables[1:] or tables, ignore_index=True)


def make_person(out: Path, plan: VisitPlan, index: int) -> None:
    """Write all visits of one person beside the data set and move them in, raw images last."""
    label = subject_label(index)
    scratch = Path(tempfile.mkdtemp(prefix=f".partial-{label}-", dir=out))
    parts = ("derivatives/labels", "derivatives/truth", ".")
    try:
        for visit in range(len(plan.atrophies_percent)):
            write_visit(scratch, plan, index, visit)
        _write_sessions(scratch / label / f"{label}_sessions.tsv", plan)
        for part in parts:
            target = out / part / label
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(scratch / part / label, target)
            event("write", file=target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_sessions(path: Path, plan: VisitPlan) -> None:
    labels = [session_label(visit) for visit in range(len(plan.atrophies_percent))]
    table = pd.DataFrame({"session_id": labels, "atrophy_percent": plan.atrophies_percent})
    table.to_csv(path, sep="\t", index=False, lineterminator="\n")
    about = {"atrophy_percent": {"Description": "Exact loss of cord area", "Units": "%"}}
    write_json(path.with_suffix(".json"), about)


def _check_folder(out: Path, plan: VisitPlan) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; choose a folder")
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        found = json.loads((out / PLAN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{out}: holds something that is no set of visits; choose another") from (
            error
        )
    if found != plan.content:
        raise InputError(
            f"{out}: holds visits of another plan ({PLAN_FILE}); choose another folder"
        )


def _describe(out: Path, plan: VisitPlan) -> None:
    if (out / PLAN_FILE).exists():
        return
    write_json(
        out / "dataset_description.json",
        {
            "Name": "Digital spinal cords, several visits",
            "BIDSVersion": "1.9.0",
            "DatasetType": "raw",
            "License": "CC0",
            "Authors": ["softseg phantom"],
            "GeneratedBy": generated_by("phantom", **plan.content),
        },
    )
    with replacing(out / "README") as temporary:
        temporary.write_text(_README.format(plan=PLAN_FILE), encoding="utf-8")
    labels, truth = out / "derivatives" / "labels", out / "derivatives" / "truth"
    describe_pipeline(labels, "Masks and labels of simulated raters", "phantom")
    describe_pipeline(truth, "Exact cord fractions and areas", "phantom")
    write_json(out / PLAN_FILE, plan.content)


def _write_participants(out: Path, recipe: Recipe) -> None:
    present = sorted(int(path.name.removeprefix("sub-")) for path in out.glob("sub-*"))
    rows = pd.DataFrame([draw_subject(recipe, number - 1).row for number in present])
    with replacing(out / "participants.tsv") as temporary:
        rows.to_csv(temporary, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
