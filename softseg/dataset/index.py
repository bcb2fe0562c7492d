"""The index of a BIDS data set and the paths of its derivatives."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

import pandas as pd

from softseg.contrasts import Contrast, get_contrast
from softseg.dataset.exclusions import read_exclusions
from softseg.dataset.names import (
    EXTENSIONS,
    OLDER_ENDINGS,
    candidate_stems,
    match_contrast,
    parse_contrasts,
    strip_extension,
    suffix_of,
)
from softseg.dataset.raw_images import (
    ignored_names,
    is_fetched,
    no_data_set,
    phase_name,
    raw_images,
)
from softseg.errors import InputError, brief
from softseg.files import read_text

COLUMNS = ["subject", "session", "run", "contrast", "path"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """The images of a BIDS data set by subject and contrast, and where their derivatives lie.

    Attributes:
        root: The data set's folder.
        images: One row an image: `subject`, `session` and `run` (None where there is none),
            `contrast`, `path`; sorted.
        missing: Images that are expected and not used: `subject`, `session`, `contrast`, `reason`.
        contrasts: The contrasts looked for, by name.
        masked: Participants that have masks and are not excluded, with the sessions of these.
    """

    root: Path
    images: pd.DataFrame
    missing: pd.DataFrame
    contrasts: Mapping[str, Contrast] = field(repr=False)
    masked: Mapping[str, tuple[str | None, ...]] = field(repr=False, default_factory=dict)

    @classmethod
    def index(
        cls,
        root: Path | str,
        *,
        contrasts: Iterable[str] | str | None = None,
        subjects: Iterable[str] | None = None,
        exclude: str | Path | Iterable[str | Path] = (),
        entities: Mapping[str, str] | None = None,
        labels: str = "labels",
    ) -> "Dataset":
        """Find the images of a data set; 267 participants with six contrasts take half a second.

        Names of today's Spine Generic and of its earlier releases are both understood. Where
        several images of a session could be one contrast (runs, `acq-`), the exact name wins over
        one with further entities; what remains ambiguous is kept and refused when it is asked for.

        Args:
            root: Folder with the `sub-XX` folders.
            contrasts: Names, `NAME=SUFFIX` for one of your own, or `all`; the paper's six by
                default.
            subjects: Only these, with or without `sub-`.
            exclude: What `read_exclusions` takes: participants, single images, YAML files.
            entities: Keep only images with these, for example `{"run": "1"}`; images without the
                entity stay.
            labels: Folder in `derivatives` with masks; who has some there belongs to the data set
                even without images. What `.bidsignore` lists does not.

        Raises:
            InputError: If there is no data set, or a participant or contrast is unknown.
        """
        root = Path(root).expanduser().absolute()
        chosen = parse_contrasts(contrasts)
        files = _list_images(root)
        masked = _masked(root / "derivatives" / labels)
        if files.empty and not masked:
            raise no_data_set(root)
        excluded = read_exclusions(exclude)
        table = _match(files, chosen, entities or {})
        present = set(files["subject"]) | set(masked)
        names = _choose_subjects(present, subjects, root)
        table = table[table["subject"].isin(names)]
        table, missing = _leave_out(root, table, names, chosen, excluded)
        masked = {name: masked[name] for name in names if name in masked and name not in excluded}
        return cls(root, table, missing, chosen, masked)

    @property
    def subjects(self) -> list[str]:
        """Participants that have at least one image, sorted."""
        return sorted(self.images["subject"].unique())

    @property
    def everybody(self) -> list[str]:
        """Participants that have at least one image or mask, sorted."""
        return sorted({*self.subjects, *self.masked})

    @cached_property
    def participants(self) -> pd.DataFrame:
        """`participants.tsv`, indexed by `participant_id`; empty if there is none.

        Raises:
            InputError: If it is no such table, or lists somebody twice.
        """
        return _read_participants(self.root)

    def sessions(self, subject: str) -> list[str | None]:
        """Sessions of a participant, `[None]` if the data set has none."""
        return sorted(self._sessions.get(subject, [None]), key=str)

    def only(self, subject: str) -> "Dataset":
        """The part of the index that is about one participant, small to hand to a process."""
        images = self.images[self.images["subject"] == subject].reset_index(drop=True)
        missing = self.missing[self.missing["subject"] == subject].reset_index(drop=True)
        masked = {name: found for name, found in self.masked.items() if name == subject}
        return replace(self, images=images, missing=missing, masked=masked)

    def image(
        self, subject: str, contrast: str, session: str | None = None, run: str | None = None
    ) -> Path | None:
        """The image of a contrast; None if there is none.

        Raises:
            InputError: If several images could be meant.
        """
        found = [
            path
            for in_session, in_run, path in self._by_contrast.get((subject, contrast), ())
            if session in (None, in_session) and run in (None, in_run)
        ]
        if len(found) > 1:
            raise InputError(
                f"{subject} {contrast}: {len(found)} candidates for one contrast "
                f"({', '.join(path.name for path in found)}); choose one by an entity "
                '(ground-truth --entity run=1; in Python entities={"run": "1"}), or list the '
                "others in .bidsignore"
            )
        return found[0] if found else None

    @cached_property
    def _by_contrast(self) -> dict[tuple[str, str], list[tuple[str | None, str | None, Path]]]:
        found: dict[tuple[str, str], list] = {}
        for row in self.images.itertuples():
            found.setdefault((row.subject, row.contrast), []).append(
                (row.session, row.run, row.path)
            )
        return found

    @cached_property
    def _sessions(self) -> dict[str, list[str | None]]:
        rows = self.images[["subject", "session"]].drop_duplicates().itertuples(index=False)
        found: dict[str, list[str | None]] = {}
        for subject, session in rows:
            found.setdefault(subject, []).append(session)
        for subject, sessions in self.masked.items():
            known = found.setdefault(subject, [])
            # Masks outside sessions are those of images in sessions, where these are.
            known += [s for s in sessions if s not in known and (s is not None or not known)]
        return found

    def derivative(
        self,
        pipeline: str,
        subject: str,
        contrast: str,
        ending: str,
        session: str | None = None,
        run: str | None = None,
    ) -> Path:
        """Where a derivative of an image is or would be written.

        Args:
            pipeline: Folder below `derivatives`, for example `labels`.
            subject: Participant.
            contrast: Name of the contrast.
            ending: What follows the image's name: `label-SC_seg`, `label-SC_softseg`, …
            session: Needed where a participant has several.
            run: Needed where a contrast has several.

        Raises:
            InputError: If several images could be meant.
        """
        stem = self._stems(subject, contrast, session, run)[0]
        return self.root / "derivatives" / pipeline / f"{stem}_{ending}.nii.gz"

    def existing(
        self,
        pipeline: str,
        subject: str,
        contrast: str,
        ending: str,
        session: str | None = None,
        run: str | None = None,
    ) -> Path | None:
        """The derivative if it is there, under today's name or an older one; else None."""
        folder = self.root / "derivatives" / pipeline
        for word in (ending, *OLDER_ENDINGS.get(ending, ())):
            for stem in self._stems(subject, contrast, session, run):
                for extension in EXTENSIONS:
                    path = folder / f"{stem}_{word}{extension}"
                    if path.exists():
                        return path
        return None

    def _stems(
        self, subject: str, contrast: str, session: str | None, run: str | None
    ) -> list[str]:
        path = self.image(subject, contrast, session, run)
        if path is not None:
            found = path.relative_to(self.root)
            image = strip_extension(found.as_posix())
            session = found.parts[1] if found.parts[1].startswith("ses-") else None
        else:
            image = None
            sessions = self.sessions(subject)
            session = sessions[0] if session is None and len(sessions) == 1 else session
        known = self.contrasts.get(contrast) or get_contrast(contrast)
        return list(candidate_stems(subject, session, known, image))


def _list_images(root: Path) -> pd.DataFrame:
    """Every NIfTI image of the raw data set at `root`; derivatives and source data are not.

    Returns:
        `subject`, `session`, `run` (None where there is none), `name` (what follows these in the
        file name), `path` (below `root`).
    """
    ignored = ignored_names(root)
    rows = []
    for path in raw_images(root):
        words = PurePosixPath(path).name.split("_")
        known = words[0].startswith("sub-") and path.endswith(EXTENSIONS)
        if known and not ignored(path) and not phase_name(path):
            session = words[1] if words[1:] and words[1].startswith("ses-") else None
            rows.append((words[0], session, _run(path), suffix_of(path), path))
    columns = ["subject", "session", "run", "name", "path"]
    return pd.DataFrame(rows, columns=columns, dtype=object)


def _run(path: str) -> str | None:
    words = [w for w in Path(path).name.split("_") if w.startswith("run-")]
    return words[0].removeprefix("run-") if words else None


def _match(
    files: pd.DataFrame, contrasts: Mapping[str, Contrast], entities: Mapping[str, str]
) -> pd.DataFrame:
    """Rows of `files` that are one of `contrasts`, the best-fitting names of each only."""
    # Names repeat from participant to participant: each pattern is judged once.
    found = {
        name: match_contrast(f"sub-x_{name}.nii.gz", contrasts.values())
        for name in files["name"].unique()
    }
    matched = files[files["name"].map(found).notna()].copy()
    matched["contrast"] = [found[name][0] for name in matched["name"]]
    matched["looseness"] = [found[name][1] for name in matched["name"]]
    for key, value in entities.items():
        prefix = f"{key}-"
        words = matched["path"].map(
            lambda path, prefix=prefix: [
                w for w in Path(path).name.split("_") if w.startswith(prefix)
            ]
        )
        wanted = f"{prefix}{str(value).removeprefix(prefix)}"
        matched = matched[[not w or wanted in w for w in words]]
    best = matched.groupby(["subject", "session", "contrast"], dropna=False)["looseness"]
    matched = matched[matched["looseness"] == best.transform("min")]
    return matched[COLUMNS].sort_values(COLUMNS, na_position="first", ignore_index=True)


def _leave_out(
    root: Path,
    table: pd.DataFrame,
    names: list[str],
    contrasts: Mapping[str, Contrast],
    excluded: Mapping[str, str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop excluded and unfetched images; list what is not there and why."""
    reasons: list[str | None] = []
    for row in table.itertuples():
        why = excluded.get(row.subject) or excluded.get(f"{row.subject}/{row.contrast}")
        path = root / row.path
        absent = None if is_fetched(path) else "not fetched yet (datalad get)"
        reasons.append(f"excluded: {why}" if why else absent)
    out = table.assign(reason=pd.Series(reasons, index=table.index, dtype=object))
    kept = table[out["reason"].isna()].assign(
        path=[root / p for p in table["path"][out["reason"].isna()]]
    )
    dropped = out[out["reason"].notna()][["subject", "session", "contrast", "reason"]]
    there = set(zip(table["subject"], table["contrast"], strict=True))
    absent = []
    for subject, contrast in ((s, c) for s in names for c in contrasts if (s, c) not in there):
        why = excluded.get(subject) or excluded.get(f"{subject}/{contrast}")
        absent.append((subject, None, contrast, f"excluded: {why}" if why else "no image"))
    missing = pd.DataFrame(absent, columns=dropped.columns, dtype=object)
    missing = pd.concat([dropped, missing]) if len(dropped) else missing
    missing = missing.sort_values(["subject", "contrast"], ignore_index=True)
    return kept.reset_index(drop=True), missing


def _masked(folder: Path) -> dict[str, tuple[str | None, ...]]:
    """Who has files in a folder of masks, and in which sessions."""
    found: dict[str, set[str | None]] = {}
    for path in folder.glob("sub-*/*/"):
        session = path.name if path.name.startswith("ses-") else None
        found.setdefault(path.parent.name, set()).add(session)
    return {name: tuple(sorted(sessions, key=str)) for name, sessions in found.items()}


def _choose_subjects(present: set[str], subjects: Iterable[str] | None, root: Path) -> list[str]:
    if subjects is None:
        return sorted(present)
    subjects = [subjects] if isinstance(subjects, str) else list(subjects)
    wanted = [s if s.startswith("sub-") else f"sub-{s}" for s in subjects]
    unknown = [s for s in wanted if s not in present]
    if unknown:
        raise InputError(f"{root}: no participant {', '.join(unknown)}; see its sub-* folders")
    return sorted(set(wanted))


def _read_participants(root: Path) -> pd.DataFrame:
    path = root / "participants.tsv"
    if not path.is_file():
        return pd.DataFrame(index=pd.Index([], name="participant_id"))
    try:
        table = pd.read_csv(io.StringIO(read_text(path)), sep="\t", dtype={"participant_id": str})
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path}: not a readable table ({brief(error)})") from error
    if "participant_id" not in table:
        raise InputError(f"{path}: a column participant_id is needed, found {list(table)}")
    repeated = table["participant_id"][table["participant_id"].duplicated()].unique()
    if len(repeated):
        raise InputError(
            f"{path}: each participant is listed once, found {', '.join(map(str, repeated))} "
            "again; remove the duplicate rows"
        )
    return table.set_index("participant_id")
