"""Do other weights measure other areas? Two networks on the same images, slice by slice."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from softseg.csa.aggregation import whole_slices
from softseg.csa.levels import level_name
from softseg.csa.measure import MeasurementWarning, measure
from softseg.dataset.index import Dataset
from softseg.errors import InputError, brief
from softseg.volume import Volume

if TYPE_CHECKING:
    from softseg.segmentation.engine import Model

LEVELS = "labels:label-vertebrae_dseg"
"""One level file an image, the same for both weights: areas differ by the masks alone."""
DISCS = "labels:label-discs_dlabel"
"""Disc points; they tell the levels where no level file does."""
ALL = "all"
"""What stands for every level, or every contrast."""
_EVERY = 0
SLICE_COLUMNS = ["image", "subject", "contrast", "weights", "slice", "level", "area_mm2", "status"]
COLUMNS = [
    "contrast", "level", "n_subjects", "n_slices", "old_mm2", "new_mm2", "difference_mm2", "ci_low",
    "ci_high", "difference_percent", "only_old", "only_new",
]  # fmt: skip


def measure_weights(
    dataset: Dataset,
    weights: Mapping[str, "Path | str | tuple | Model"],
    *,
    subjects: Iterable[str] | None = None,
    levels: str = LEVELS,
    device: str | None = None,
    precision: str | None = None,
    advance: Callable[[str], None] = lambda name: None,
) -> pd.DataFrame:
    """Areas of every slice of every image, segmented with each of several weights.

    Nothing is written. Each image is read once; a file of several volumes is averaged.

    Args:
        dataset: Its images are segmented.
        weights: Name in the table → shipped name, file, model's folder, `(network, config)` or
            `Model`.
        subjects: Only these.
        levels: `FOLDER:ENDING` of level files; where there is none, disc points of
            `derivatives/labels` tell the levels.
        device: As in `Model.load`.
        precision: As in `Model.load`; `float32` gives numbers that hold on every machine.
        advance: Called with the name of each image that is done.

    Returns:
        One row a slice that is wholly covered: `image` (its path), `subject`, `contrast`,
        `weights`, `slice`, `level` (missing where none is known), `area_mm2`, `status` (`ok`).
        An image without a mask has one row without slice, its `status` says why: `no cord`, or
        what was wrong.

    Raises:
        InputError: If weights cannot be loaded or a subject is unknown.
    """
    from softseg.segmentation.engine import Model

    models = {
        name: Model.load(source, device=device, precision=precision)
        for name, source in weights.items()
    }
    wanted = dataset.subjects if subjects is None else sorted(set(subjects))
    unknown = set(wanted) - set(dataset.subjects)
    if unknown:
        raise InputError(f"{dataset.root}: no images of {', '.join(sorted(unknown))}")
    rows: list[dict] = []
    for image in dataset.images.itertuples():
        if image.subject in wanted:
            landmarks = _landmarks(dataset, image, levels)
            rows += _measure_image(dataset.root / image.path, image, landmarks, models)
            advance(Path(image.path).name)
    table = pd.DataFrame(rows, columns=SLICE_COLUMNS)
    return table.astype({"slice": "Int64", "level": "Int64", "area_mm2": float})


def _landmarks(dataset: Dataset, image: Any, levels: str) -> dict[str, Path]:
    """The options of `csa.measure` that tell the levels of an image."""
    for option, source in (("levels", levels), ("discs", DISCS)):
        pipeline, _, ending = source.partition(":")
        path = dataset.existing(
            pipeline, image.subject, image.contrast, ending, session=image.session, run=image.run
        )
        if path is not None:
            return {option: path}
    return {}


def _measure_image(
    path: Path, image: Any, landmarks: Mapping[str, Path], models: Mapping[str, "Model"]
) -> list[dict]:
    from softseg.segmentation.engine import segment

    keys = {"image": str(image.path), "subject": image.subject, "contrast": image.contrast}
    try:
        volume = Volume.load(path, average="mean")
    except (InputError, ValueError, MemoryError) as error:
        return [keys | {"weights": name, "status": brief(error)} for name in models]
    rows = []
    for name, model in models.items():
        row = keys | {"weights": name}
        try:
            mask = segment(volume, weights=model).soft
            found = _slices(mask, landmarks) if mask.data.any() else "no cord"
        except (ValueError, MemoryError, RuntimeError) as error:
            found = brief(error)
        if isinstance(found, str):
            rows.append(row | {"status": found})
        else:
            rows += [row | one | {"status": "ok"} for one in found]
    return rows


def _slices(mask: Volume, landmarks: Mapping[str, Path]) -> list[dict]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MeasurementWarning)
        table = measure(mask, shape=False, **landmarks)
    return whole_slices(table)[["slice", "level", "area_mm2"]].to_dict("records")


def compare_areas(
    table: pd.DataFrame, *, old: str = "old", new: str = "new", seed: int = 0
) -> pd.DataFrame:
    """How areas moved from one set of weights to another, by contrast and level.

    Only slices that both measured are compared, so that a longer mask is no larger area; slices
    that one of them alone measured are counted. Means are over slices within an image, then over
    a participant's images, then over participants, over whom the interval is a bootstrap.

    Args:
        table: From `measure_weights`.
        old: Name of the weights compared with.
        new: Name of the weights in question.
        seed: Of the bootstrap.

    Returns:
        One row a contrast and level, each also for `all`: `n_subjects` and `n_slices` compared,
        `old_mm2`, `new_mm2`, `difference_mm2` (new - old) with `ci_low` and `ci_high` (95 %; `nan`
        for one participant), `difference_percent` (of the old), `only_old`, `only_new` (slices).

    Example:
        >>> table = pd.DataFrame({"image": list("aabb"), "subject": list("aabb"),
        ...     "contrast": "T2w", "weights": ["old", "new"] * 2, "slice": 3, "level": 2,
        ...     "area_mm2": [70.0, 71.0, 80.0, 83.0], "status": "ok"})
        >>> compare_areas(table).loc[0, ["old_mm2", "new_mm2", "difference_mm2"]].tolist()
        [75.0, 77.0, 2.0]
    """
    pairs = _pairs(table, old, new)
    every = pairs.assign(level=_EVERY)
    by_level = pd.concat([every, pairs[pairs["level"].notna()]], ignore_index=True)
    both = pd.concat([by_level, by_level.assign(contrast=ALL)], ignore_index=True)
    contrasts = list(pd.unique(pairs["contrast"]))
    rows = []
    for contrast in [*contrasts, ALL] if len(contrasts) > 1 else contrasts:
        part = both[both["contrast"] == contrast]
        for level in sorted(part["level"].unique()):
            name = ALL if level == _EVERY else level_name(int(level))
            found = _row(part[part["level"] == level], seed)
            rows.append({"contrast": contrast, "level": name} | found)
    return pd.DataFrame(rows, columns=COLUMNS)


def _pairs(table: pd.DataFrame, old: str, new: str) -> pd.DataFrame:
    """One row a slice of an image: `old_mm2` and `new_mm2`, `nan` where one has no area."""
    keys = ["image", "subject", "contrast", "slice"]
    measured = table[table["slice"].notna()]
    sides = [
        measured.loc[measured["weights"] == name, [*keys, "level", "area_mm2"]].rename(
            columns={"area_mm2": f"{side}_mm2", "level": f"{side}_level"}
        )
        for name, side in ((old, "old"), (new, "new"))
    ]
    pairs = sides[0].merge(sides[1], on=keys, how="outer")
    # From disc points each mask's own course tells the level: the old one's counts for both.
    return pairs.assign(level=pairs["old_level"].combine_first(pairs["new_level"]))


def _interval(values: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean; `nan` for fewer than two values."""
    if len(values) < 2:
        return float("nan"), float("nan")
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=4999, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return float(found.low), float(found.high)


def _row(part: pd.DataFrame, seed: int) -> dict[str, float]:
    values = ["old_mm2", "new_mm2"]
    both = part.dropna(subset=values)
    images = both.groupby(["subject", "image"], sort=True)[values].mean()
    participants = images.groupby("subject", sort=True).mean()
    difference = (participants["new_mm2"] - participants["old_mm2"]).to_numpy(dtype=float)
    low, high = _interval(difference, seed)
    before = float(participants["old_mm2"].mean())
    mean = float(difference.mean()) if len(difference) else np.nan
    return {
        "n_subjects": len(participants),
        "n_slices": len(both),
        "old_mm2": before,
        "new_mm2": float(participants["new_mm2"].mean()),
        "difference_mm2": mean,
        "ci_low": low,
        "ci_high": high,
        "difference_percent": 100 * mean / before if before else np.nan,
        "only_old": int(part["new_mm2"].isna().sum()),
        "only_new": int(part["old_mm2"].isna().sum()),
    }
