"""A data set of digital participants scanned again after losing a known share of their cord.

Every visit is another position in the scanner, other noise and another day of the rater. What
differs in the participant is the cord alone, smaller by an exact share of its area along its whole
length. Each participant is moved into place whole, so that a set that was stopped goes on where it
stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from softseg.batch import map_batch
from softseg.contrasts import CONTRASTS
from softseg.errors import InputError
from softseg.files import remove_leftovers, write_json
from softseg.phantom.cohort import (
    MOST_SUBJECTS,
    check_folder,
    check_options,
    describe,
    make_subject,
    write_participants,
)
from softseg.phantom.protocols import imaged
from softseg.phantom.subjects import (
    CohortOptions,
    Subject,
    draw_subject,
    session_label,
    subject_label,
    write_subject,
)

OPTIONS_FILE = "code/softseg_visits.json"
"""What made the set; by it a folder is known as ours."""
MOST_ATROPHY_PERCENT = 60.0

_README = """Digital spinal cords, several visits

People who do not exist, scanned again and again by a simulated scanner. At each session the cord
has lost the share of its area that sub-XXX/sub-XXX_sessions.tsv names. Settings: {options}.
"""


@dataclass(frozen=True)
class VisitOptions:
    """What makes a set of visits: two sets of equal options are equal byte by byte.

    Attributes:
        cohort: Who is scanned, and how; of healthy participants.
        atrophies_percent: Exact loss of area at each visit, against the healthy participant.
    """

    cohort: CohortOptions
    atrophies_percent: tuple[float, ...]

    def check(self, subjects: int) -> None:
        """Refuse what cannot be made.

        Raises:
            InputError: If a setting is unknown or out of range.
        """
        check_options(self.cohort, subjects)
        losses = self.atrophies_percent
        wrong = [a for a in losses if not 0 <= a <= MOST_ATROPHY_PERCENT]
        if wrong or len(losses) < 2:
            raise InputError(
                f"atrophies_percent must be two or more of 0 to {MOST_ATROPHY_PERCENT:g}, found "
                f"{', '.join(f'{a:g}' for a in losses) or 'none'}"
            )

    @property
    def content(self) -> dict:
        """The options as JSON writes it."""
        names = ("seed", "contrasts", "vendor", "field_of_view", "severity")
        shown = {name: getattr(self.cohort, name) for name in names}
        lists = {"contrasts": list(self.cohort.contrasts)}
        return shown | lists | {"atrophies_percent": list(self.atrophies_percent)}


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
    """Write a BIDS data set of digital participants with one session a visit.

    Visit 0 is, scan for scan, the participant of the cohort of the same seed.

    Args:
        out: Folder of the data set: new, empty, or a set of the same options to go on with; more
            participants may be added.
        subjects: How many participants.
        seed: Which participants; the same seed gives the same bytes, whatever `jobs`.
        atrophies_percent: Exact loss of area at each visit; two zeros are a scan and its repeat.
        contrasts: Keys of `softseg.contrasts`; None for the six of the paper.
        vendor: Vendor of every scanner; None for the shares of Spine Generic.
        field_of_view: `cord` or `full`.
        severity: `mild` or `realistic`.
        jobs: Processes; None for one a core.

    Returns:
        `out` as a path.

    Raises:
        InputError: If a setting is wrong or `out` holds something else; nothing is touched.
    """
    names = imaged(CONTRASTS) if contrasts is None else tuple(contrasts)
    cohort = CohortOptions(seed, names, None, vendor, field_of_view, severity)
    options = VisitOptions(cohort, tuple(float(a) for a in atrophies_percent))
    options.check(subjects)
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be at least 1, found {jobs}")
    out = Path(out)
    check_folder(out, OPTIONS_FILE, options.content, MOST_SUBJECTS)
    readme = _README.format(options=OPTIONS_FILE)
    title = "Digital spinal cords, several visits"
    describe(out, OPTIONS_FILE, options.content, title=title, readme=readme)
    remove_leftovers(out)
    map_batch(
        partial(_make_subject, out, options),
        range(subjects),
        jobs=jobs,
        finished=lambda index: (out / subject_label(index)).exists() or None,
    )
    write_participants(out, cohort, len(list(out.glob("sub-*"))))
    return out


def read_visits(root: Path | str) -> pd.DataFrame:
    """What each participant had lost at each session, from the `sessions.tsv` files.

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


def visited_subject(options: VisitOptions, index: int, visit: int) -> Subject:
    """The participant at a position of the set, as they are at a visit: the cord alone differs."""
    # A loss that is given draws no random number, so that all else is the healthy participant's.
    shrunk = replace(options.cohort, pathology=f"atrophy={options.atrophies_percent[visit]!r}")
    return draw_subject(shrunk, index)


def _make_subject(out: Path, options: VisitOptions, index: int) -> None:
    make_subject(out, subject_label(index), partial(write_all_visits, options=options, index=index))


def write_all_visits(root: Path, options: VisitOptions, index: int) -> None:
    """Write every file of one participant below `root`."""
    visits = range(len(options.atrophies_percent))
    for visit in visits:
        write_subject(root, visited_subject(options, index, visit), options.cohort, visit=visit)
    label = subject_label(index)
    sessions = [session_label(visit) for visit in visits]
    table = pd.DataFrame({"session_id": sessions, "atrophy_percent": options.atrophies_percent})
    path = root / label / f"{label}_sessions.tsv"
    table.to_csv(path, sep="\t", index=False, lineterminator="\n")
    about = {"atrophy_percent": {"Description": "Exact loss of cord area", "Units": "%"}}
    write_json(path.with_suffix(".json"), about)
