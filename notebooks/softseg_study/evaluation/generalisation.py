"""Every method under every condition: one row an image, with its error and whether it failed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from softseg.batch import map_batch
from softseg.dataset.index import Dataset
from softseg.dataset.names import method_folder
from softseg.volume import Volume
from softseg_study.competitors.contour import cord_polarity, follow_contours
from softseg_study.evaluation.areas import measure_slices, true_csa
from softseg_study.evaluation.conditions import (
    CONDITIONS,
    REFERENCE_CONTRASTS,
    Condition,
    choose_conditions,
    write_condition,
)
from softseg_study.evaluation.method_folders import CONTOUR, Source, separate_seeds
from softseg_study.evaluation.overlap import DICE_FLOOR, evaluate_overlap
from softseg_study.names import contrast_title

_IMAGE = ["subject", "contrast", "method"]
_AREAS = [
    "area_mm2", "truth_mm2", "error_percent", "slice_error_percent", "worst_slice", "covered",
]  # fmt: skip


def apply_method(dataset: Dataset, name: str, source: Source) -> None:
    """Segment a data set into `derivatives/<name>`, unless it has been.

    Args:
        dataset: Its images are segmented.
        name: Folder below `derivatives`.
        source: Weights as `segment_dataset` takes them, `CONTOUR`, or contrast → weights: images of
            other contrasts get no mask.
    """
    if source == CONTOUR:
        _follow_contours(dataset, name)
        return
    from softseg_study.evaluation.network_masks import segment_dataset

    each = source if isinstance(source, dict) else {None: source}
    for contrast, weights in each.items():
        here = dataset.images["contrast"].isin([contrast]) | (contrast is None)
        part = replace(dataset, images=dataset.images[here].reset_index(drop=True))
        if here.any():
            segment_dataset(part, weights, name, overwrite=False)


def _follow_contours(dataset: Dataset, name: str) -> None:
    missing = {
        row.subject
        for row in dataset.images.itertuples()
        if dataset.existing(name, row.subject, row.contrast, "label-SC_seg", row.session, row.run)
        is None
    }
    if missing:
        follow_contours(dataset, subjects=sorted(missing), method=name, polarity=cord_polarity)


def run_conditions(
    folder: Path | str,
    methods: Mapping[str, Source],
    *,
    conditions: Iterable[str] = (),
    people: int,
    seed: int,
    contrasts: Sequence[str] = REFERENCE_CONTRASTS,
    vertebrae: tuple[int, int] = (2, 7),
    jobs: int = 1,
) -> pd.DataFrame:
    """Write every condition's cohort, segment it by every method and measure the errors.

    What is there is kept, so that a run that was stopped goes on.

    Args:
        folder: Where the cohorts go, one folder a condition.
        methods: From `method_sources`.
        conditions: Names; the reference is always among them, and all are by default.
        people: Of each condition, the same ones.
        seed: Which people.
        contrasts: Of every condition that is not a contrast itself.
        vertebrae: First and last level whose slices are measured.
        jobs: Conditions at a time; the table does not depend on it.

    Returns:
        `evaluate_condition`'s table with the column `condition` (its title), in the order of
        `CONDITIONS`; the seed of a model in `seed`, its name in `method`.
    """
    work = partial(
        _one_condition,
        folder=Path(folder),
        methods=dict(methods),
        people=people,
        seed=seed,
        contrasts=list(contrasts),
        vertebrae=vertebrae,
    )
    tables = map_batch(work, choose_conditions(conditions), jobs=jobs)
    return separate_seeds(pd.concat(tables, ignore_index=True))


def _one_condition(condition: Condition, *, folder, methods, vertebrae, **people) -> pd.DataFrame:
    dataset = write_condition(condition, folder, **people)
    for name, source in methods.items():
        apply_method(dataset, name, source)
    here = set(dataset.images["contrast"])
    # Of six networks none may know a contrast: all its masks are missing.
    none = [m for m, source in methods.items() if isinstance(source, dict) and not here & {*source}]
    table = evaluate_condition(dataset, [m for m in methods if m not in none], vertebrae=vertebrae)
    images = dataset.images[["subject", "contrast"]]
    lost = [images.assign(method=m, status="no mask", failed=True) for m in none]
    table = pd.concat([table, *lost], ignore_index=True)
    table.insert(0, "condition", condition.title)
    return table


def evaluate_condition(
    dataset: Dataset, methods: Iterable[str], *, vertebrae: tuple[int, int] = (2, 7)
) -> pd.DataFrame:
    """Error of every method's mask of every image of a phantom cohort.

    Areas are compared slice by slice, over the slices that the mask and the truth both have: a
    local error counts even where the mean area is right.

    Args:
        dataset: A phantom cohort with the methods' masks.
        methods: Folders below `derivatives`.
        vertebrae: First and last level whose slices are measured.

    Returns:
        One row an image and method: `subject`, `contrast`, `method`, `dice`, `hausdorff95_mm`,
        `status`, `failed` (no mask, or overlap below `DICE_FLOOR`), `area_mm2` and `truth_mm2`
        (means over the slices), `error_percent` (signed, of the mean area),
        `slice_error_percent` (mean absolute error of a slice), `worst_slice` (its number),
        `covered` (share of the true slices that have an area).
    """
    names = {name: name for name in methods}
    overlap = evaluate_overlap(dataset, names, "truth")
    overlap["failed"] = (overlap["status"] != "ok") | ~(overlap["dice"] >= DICE_FLOOR)
    columns = [*_IMAGE, "dice", "hausdorff95_mm", "status", "failed"]
    areas = _areas_by_slice(dataset, overlap[~overlap["failed"]], vertebrae)
    return overlap[columns].merge(areas, on=_IMAGE, how="left")


def _profiles(dataset: Dataset, usable: pd.DataFrame) -> pd.DataFrame:
    """Area of every slice of the masks that did not fail."""
    images, tables = dataset.images, []
    for method, rows in usable.groupby("method", sort=False):
        there = pd.MultiIndex.from_frame(rows[["subject", "contrast"]])
        chosen = pd.MultiIndex.from_frame(images[["subject", "contrast"]]).isin(there)
        part = replace(dataset, images=images[chosen].reset_index(drop=True))
        tables.append(measure_slices(part, {method: method}))
    columns = [*_IMAGE, "slice", "area_mm2"]
    table = pd.concat(tables) if tables else pd.DataFrame(columns=columns)
    return table[columns].dropna()


def _areas_by_slice(
    dataset: Dataset, usable: pd.DataFrame, vertebrae: tuple[int, int]
) -> pd.DataFrame:
    truth = true_csa(dataset, per_slice=True)
    truth = truth[truth["level"].between(*vertebrae)]
    truth = truth[["subject", "contrast", "slice", "area_mm2"]]
    total = truth.groupby(["subject", "contrast"]).size().rename("total").reset_index()
    both = _profiles(dataset, usable).merge(
        truth.rename(columns={"area_mm2": "truth_mm2"}), on=["subject", "contrast", "slice"]
    )
    if both.empty:
        return pd.DataFrame(columns=[*_IMAGE, *_AREAS]).astype(dict.fromkeys(_AREAS, float))
    relative = 100 * (both["area_mm2"] - both["truth_mm2"]).abs() / both["truth_mm2"]
    both["slice_error_percent"] = relative
    groups = both.groupby(_IMAGE, sort=False)
    found = groups[["area_mm2", "truth_mm2", "slice_error_percent"]].mean().reset_index()
    found["error_percent"] = 100 * (found["area_mm2"] / found["truth_mm2"] - 1)
    worst = both.loc[groups["slice_error_percent"].idxmax(), [*_IMAGE, "slice"]]
    found = found.merge(worst.rename(columns={"slice": "worst_slice"}), on=_IMAGE, how="left")
    counted = groups.size().rename("counted").reset_index()
    found = found.merge(counted, on=_IMAGE).merge(total, on=["subject", "contrast"])
    found["covered"] = found.pop("counted") / found.pop("total")
    return found[[*_IMAGE, *_AREAS]]


def worst_cases(
    table: pd.DataFrame,
    folder: Path | str,
    method: str,
    *,
    count: int = 8,
    beside: Iterable[str] = (),
) -> list[dict]:
    """The images that a method does worst, at most one a condition, ready for a picture.

    Args:
        table: From `run_conditions`.
        folder: Where its cohorts lie.
        method: Whose errors count.
        count: At most so many.
        beside: More methods whose masks are shown.

    Returns:
        Mappings with `title`, `image`, `masks` (the truth's first) and `z`, the slice with the
        largest error (None where the mask has none), as `Case` takes them. An
        image without any overlap is worse than any error.
    """
    own = table[table["method"] == method].assign(
        badness=lambda t: t["slice_error_percent"].where(~t["failed"], 1e6 - t["dice"].fillna(0))
    )
    own = own.sort_values("badness", ascending=False, kind="stable")
    own = own.drop_duplicates("condition").head(count)
    names = {condition.title: condition.name for condition in CONDITIONS.values()}
    return [_case(row, Path(folder) / names[row.condition], beside) for row in own.itertuples()]


def _case(row: object, root: Path, beside: Iterable[str]) -> dict:
    data = Dataset.index(root, contrasts=[row.contrast])
    shown = {"truth": ["truth"]} | {
        name: [name, method_folder(name, row.seed)] for name in (row.method, *beside)
    }
    masks = {}
    for name, folders in shown.items():
        paths = (_mask(data, folder, row.subject, row.contrast) for folder in folders)
        path = next((p for p in paths if p is not None), None)
        if path is not None:
            masks[name] = Volume.load(path)
    image = Volume.load(data.image(row.subject, row.contrast), average="mean")
    error = "failed" if row.failed else f"{row.slice_error_percent:.0f} % per slice"
    z = None if row.failed or pd.isna(row.worst_slice) else int(row.worst_slice)
    title = f"{row.condition}\n{contrast_title(row.contrast)}, {error}"
    return {"title": title, "image": image, "masks": masks, "z": z}


def _mask(data: Dataset, folder: str, subject: str, contrast: str) -> Path | None:
    for ending in ("label-SC_softseg", "label-SC_seg"):
        path = data.existing(folder, subject, contrast, ending)
        if path is not None:
            return path
    return None
