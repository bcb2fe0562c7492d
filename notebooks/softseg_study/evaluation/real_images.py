"""The real images beside the project: every method on them, without writing to them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from softseg.contrasts import CONTRASTS
from softseg.dataset.index import Dataset
from softseg.dataset.names import strip_extension
from softseg_study.evaluation.generalisation import apply_method
from softseg_study.evaluation.image_masks import find_masks
from softseg_study.evaluation.manual import (
    MANUAL,
    MANUAL_COLUMNS,
    PAIR_COLUMNS,
    evaluate_manual,
    evaluate_pairs,
)
from softseg_study.evaluation.method_folders import Source, separate_seeds

DRAWN = ("T1w", "T2w", "T2star")
"""Contrasts whose masks somebody has drawn; those of the other contrasts come from tools."""
MT_OFF = "MT-off=flip-1_mt-off_MTS"
"""A contrast that the paper does not have: MT-on without its pulse, on the same grid."""


def linked_copy(source: Path | str, folder: Path | str) -> Path:
    """A data set whose files are links to another's, so that masks can be added to it.

    Args:
        source: The data set; it is not written to.
        folder: Where the links go; those that are there stay.
    """
    source, folder = Path(source).resolve(), Path(folder)
    for path in sorted(source.rglob("*")):
        link = folder / path.relative_to(source)
        if path.is_file() and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return folder


def run_real(
    source: Path | str,
    folder: Path | str,
    methods: Mapping[str, Source],
    *,
    people: int | None = None,
    subjects: Iterable[str] | None = None,
    trained_on_them: Iterable[str] = (),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every method on the real images beside the project.

    Of a repeated scan only the first is compared with the manual mask, which was drawn on it.

    Args:
        source: BIDS data set with `derivatives/labels`; other tools' masks among its derivatives
            are compared as well. It is not written to, and may be absent.
        folder: Where links to it and the new masks go.
        methods: From `method_sources`.
        people: At most so many participants, those with manual masks first; None for all.
        subjects: Only these; all by default.
        trained_on_them: Weights of the package that may have learnt from the manual masks; for
            everybody who has one their rows are those of their cross-validation, where there is
            one.

    Returns:
        `evaluate_manual`'s table of the contrasts with manual masks, and `evaluate_pairs`'s; empty
        ones without images.
    """
    left_out = [cross_validation(name) for name in trained_on_them]
    if people == 0 or not Path(source).is_dir():
        return _joined(*left_out), pd.DataFrame(columns=PAIR_COLUMNS)
    root = linked_copy(source, folder)
    labelled = _labelled(Dataset.index(root, contrasts=DRAWN, entities={"run": "1"}))
    everybody = set(Dataset.index(root, contrasts=[*CONTRASTS, MT_OFF]).subjects)
    everybody &= everybody if subjects is None else set(subjects)
    wanted = sorted(everybody, key=lambda name: (name not in labelled, name))[:people]
    data = Dataset.index(root, contrasts=[*CONTRASTS, MT_OFF], subjects=wanted)
    for name, weights in methods.items():
        apply_method(data, name, weights)
    folders = sorted(p.name for p in (Path(source) / "derivatives").iterdir() if p.is_dir())
    # Contours of chapter 04 started from the drawn mask, which no user has.
    ours = {*methods, "contour_following"}
    given = [name for name in folders if not name.startswith("labels") and name not in ours]
    names = {name: name for name in [*methods, *given]}
    drawn = Dataset.index(root, contrasts=DRAWN, subjects=wanted, entities={"run": "1"})
    tables = evaluate_manual(drawn, names), evaluate_pairs(data, names)
    seen = _same_persons(data, labelled)
    fair = [t[~(t["method"].isin(list(trained_on_them)) & t["subject"].isin(seen))] for t in tables]
    shown = [t[t["image"].isin(set(fair[0]["image"]))] for t in left_out]
    return _joined(fair[0], *shown), separate_seeds(fair[1]).reset_index(drop=True)


def held_out(run: Path) -> list[str] | None:
    """Who was kept for testing, by the run's `splits.json`; None where there is none."""
    path = Path(run) / "splits.json"
    return json.loads(path.read_text(encoding="utf-8"))["test"] if path.is_file() else None


def _joined(*tables: pd.DataFrame) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    if not filled:
        return pd.DataFrame(columns=[*MANUAL_COLUMNS, "seed"])
    return separate_seeds(pd.concat(filled, ignore_index=True))


def _labelled(dataset: Dataset) -> set[str]:
    entries = find_masks(dataset, {}, extra={"manual": MANUAL})
    return {entry.subject for entry in entries if entry.extra["manual"] is not None}


def _same_persons(dataset: Dataset, subjects: set[str]) -> set[str]:
    """All entries of the people behind `subjects`, who may be listed more than once."""
    if "person" not in dataset.participants:
        return subjects
    person = dataset.participants["person"]
    known = set(person.reindex(sorted(subjects)).dropna())
    return subjects | set(person.index[person.isin(known)])


def cross_validation(weights: str, *, folder: Path | None = None) -> pd.DataFrame:
    """Scores that weights of the package reached on people left out of their training.

    Args:
        weights: Name of the weights.
        folder: Where `<weights>_crossvalidation.csv` lies; the package's own by default.

    Returns:
        As `evaluate_manual`, with the method named after the weights, of the images whose masks
        somebody has drawn; empty if there is no table.
    """
    if folder is None:
        from softseg.network.weights import SHIPPED as folder
    path = Path(folder) / f"{weights}_crossvalidation.csv"
    if not path.is_file():
        return pd.DataFrame(columns=MANUAL_COLUMNS)
    table = pd.read_csv(path)
    # Of a repeated scan the drawn mask lies on the first; masks of other contrasts come from tools.
    table = table[table["contrast"].isin(DRAWN) & ~table["image"].str.contains("_run-[2-9]")]
    return table.assign(
        subject=table["person"].astype(str),
        image=[strip_extension(Path(str(name)).name) for name in table["image"]],
        method=weights,
        error_percent=100 * (table["area_mm2"] / table["manual_area_mm2"] - 1),
        status="ok",
    ).reindex(columns=MANUAL_COLUMNS)
