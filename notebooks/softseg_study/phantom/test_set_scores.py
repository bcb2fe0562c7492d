"""Weights judged on the test sets: one row an image, written as it is scored.

`python -m softseg_study.phantom.test_set_scores WEIGHTS OUT.csv [--sets a,b] [--every 10]` goes on
where it stopped. Weights of a new design are scored on the same images as those before.
"""

import argparse
import csv
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from softseg.metrics.volumes import dice
from softseg.segmentation.engine import Model, Segmentation, segment
from softseg.volume import Volume
from softseg_study.phantom.test_sets import SETS, TestImage, make_image

WHOLE = 0.5
"""A slice counts for areas where its cord has this share of the image's median area."""
LEAST_MM2 = 10.0
"""A predicted slice of less shows no cord."""
COLUMNS = [
    "weights", "set", "index", "kind", "slices", "true_mm2", "area_mm2", "error_percent", "dice",
    "found", "found_slices", "wrong_mm", "uncertain_slices", "presence", "quality", "seconds",
]  # fmt: skip


def slice_areas_mm2(soft: Volume) -> np.ndarray:
    """`(Z,)` area of a soft mask in each axial slice, from below.

    Example:
        >>> slice_areas_mm2(Volume(np.ones((2, 3, 1)), np.diag([-0.5, 0.5, 5.0, 1.0])))
        array([1.5])
    """
    oriented = soft.oriented()
    return oriented.data.sum(axis=(0, 1), dtype=float) * np.prod(oriented.spacing_mm[:2])


def score_image(shown: TestImage, found: Segmentation) -> dict[str, Any]:
    """How right one mask is.

    Areas are means over the slices that hold a whole cord, 0 where nothing was predicted. The
    height `wrong_mm` is that of all slices with a mask beyond the true cord's ends, or in an image
    without a cord.

    Args:
        shown: Image and truth.
        found: What the weights made of it.
    """
    truth, soft = shown.truth.oriented(), found.soft.oriented()
    true, predicted = slice_areas_mm2(truth), slice_areas_mm2(soft)
    cord = true > 0.5
    row: dict[str, Any] = {"kind": shown.kind, "slices": int(cord.sum())}
    if cord.any():
        whole = true > WHOLE * np.median(true[cord])
        row["true_mm2"], row["area_mm2"] = true[whole].mean(), predicted[whole].mean()
        row["error_percent"] = 100 * (row["area_mm2"] / row["true_mm2"] - 1)
        row["dice"] = dice(soft.data >= 0.5, truth.data >= 0.5)
    masked = predicted > LEAST_MM2
    row["found"] = bool(found.cord_found and masked.any())
    row["found_slices"] = int((masked & cord).sum())
    row["wrong_mm"] = float((masked & ~cord).sum() * truth.spacing_mm[2])
    row["uncertain_slices"] = len(found.uncertain_slices)
    row["presence"] = getattr(found, "presence", np.nan)
    row["quality"] = getattr(found, "quality", np.nan)
    return row


def score_test_sets(
    weights: str | Path, out: Path, *, sets: Iterable[str] = tuple(SETS), every: int = 1
) -> pd.DataFrame:
    """Score weights on the test sets; images whose row is in `out` are not made again.

    Args:
        weights: A file, a model's folder or a shipped name.
        out: The table, made or gone on with; it may hold rows of other weights.
        sets: Keys of `SETS`.
        every: Only every so many images of each, from the first.

    Returns:
        The whole table, as `COLUMNS` name it.

    Raises:
        KeyError: If there is no such set.
    """
    model = Model.load(weights)
    done = _done(out)
    known = set(zip(done["weights"], done["set"], done["index"], strict=True))
    with open(out, "a", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        for name in sets:
            for index in range(0, SETS[name].count, every):
                if (str(weights), name, index) in known:
                    continue
                shown = make_image(name, index)
                started = time.perf_counter()
                row = score_image(shown, segment(shown.image, weights=model))
                row["seconds"] = time.perf_counter() - started
                row = {key: _short(value) for key, value in row.items()}
                table.writerow({"weights": weights, "set": name, "index": index} | row)
                file.flush()
    return pd.read_csv(out)


def _done(out: Path) -> pd.DataFrame:
    """The rows of a table, which is left without a last row that was cut off."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if not out.exists():
        out.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    whole = [line for line in out.read_text(encoding="utf-8").splitlines(keepends=True)
             if line.endswith("\n")]  # fmt: skip
    out.write_text("".join(whole), encoding="utf-8")
    return pd.read_csv(out, dtype={"weights": str})


def _short(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """One row for each of the weights and sets.

    Args:
        scores: From `score_test_sets`.

    Returns:
        `images`, `found` and `good` (Dice of at least 0.90) as shares, `dice` (median),
        `bias_percent` and `error_percent` (mean, and mean absolute, where a cord was found),
        `wrong_mm` (95th percentile) and `wrong` (share with more than 20 mm).
    """
    rows = []
    for (weights, name), part in scores.groupby(["weights", "set"], sort=False):
        with_cord = part[part["slices"] > 0]
        seen = with_cord[with_cord["found"]]
        rows.append(
            {
                "weights": weights,
                "set": name,
                "images": len(part),
                "found": part["found"].mean(),
                "good": (with_cord["dice"] >= 0.9).mean() if len(with_cord) else np.nan,
                "dice": with_cord["dice"].median(),
                "bias_percent": seen["error_percent"].mean(),
                "error_percent": seen["error_percent"].abs().mean(),
                "wrong_mm": part["wrong_mm"].quantile(0.95),
                "wrong": (part["wrong_mm"] > 20).mean(),
            }
        )
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Score weights on the phantom test sets.")
    parser.add_argument("weights", help="a file, a model's folder or a shipped name")
    parser.add_argument("out", type=Path, help="table to write or to go on with")
    parser.add_argument("--sets", default=",".join(SETS), help="comma-separated")
    parser.add_argument("--every", type=int, default=1, help="only every so many images")
    given = parser.parse_args(arguments)
    names = given.sets.split(",")
    scores = score_test_sets(given.weights, given.out, sets=names, every=given.every)
    print(summarise(scores).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
