"""What the shipped weights measure on digital participants: `python tests/reference_areas.py`.

`tests/test_weights_comparison.py` measures them again and fails where areas have moved, so that
neither new weights nor a change of the segmentation can move areas unseen. Run this
after weights were replaced on purpose, look at `softseg compare-weights OLD NEW DATASET`, say in
the change log how far areas moved, and commit the table with the weights.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd

from softseg.dataset.index import Dataset
from softseg.files import replacing
from softseg.network.weights import available_weights, resolve_weights
from softseg.phantom.cohort import write_cohort
from softseg.segmentation.engine import Model
from softseg.segmentation.weights_comparison import measure_weights
from softseg.volume import Volume

SUBJECTS, SEED = 2, 2026
LIMIT_PERCENT = 0.2
"""Of a contrast's mean area at a level: far above what rounding differs by between machines, far
below the one per cent that studies look for."""
IMAGE_PERCENT = 0.1
"""Images whose mean differs by more are other images."""
KEYS = ["subject", "contrast", "level"]


def reference_path(name: str) -> Path:
    """The table beside the weights called `name`."""
    return resolve_weights(name).with_name(f"{name}_reference_areas.csv")


def write_participants(out: Path) -> Path:
    """The same few participants every time, in all six contrasts."""
    return write_cohort(out, subjects=SUBJECTS, seed=SEED, jobs=1)


def measure_reference(root: Path, weights: object) -> pd.DataFrame:
    """Mean area and number of slices by participant, contrast and level."""
    dataset = Dataset.index(root)
    # 32 bits, since 16-bit products differ between processors.
    model = Model.load(weights, device="cpu", precision="float32")
    slices = measure_weights(dataset, {"shipped": model})
    slices = slices[slices["level"].notna()]
    table = slices.groupby(KEYS, as_index=False).agg(
        n_slices=("area_mm2", "size"), area_mm2=("area_mm2", "mean")
    )
    means = {
        (row.subject, row.contrast): float(Volume.load(dataset.root / row.path).data.mean())
        for row in dataset.images.itertuples()
    }
    keys = zip(table["subject"], table["contrast"], strict=True)
    table["image_mean"] = [means[key] for key in keys]
    return table.assign(weights=str(model.card.get("checksum"))[:12])


def changes(reference: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    """What differs, one line each; nothing where nothing that matters has."""
    both = reference.merge(found, on=KEYS, how="outer", suffixes=("_old", "_new"))
    other = 100 * (both["image_mean_new"] / both["image_mean_old"] - 1).abs() > IMAGE_PERCENT
    if other.any():
        return [
            "the digital participants' images are others than those of the reference, so that it "
            "says nothing about the weights: run tests/reference_areas.py at the commit before the "
            "phantom changed, compare, then refresh the table"
        ]
    lines = []
    counts = both[["n_slices_old", "n_slices_new"]].fillna(0)
    both[counts.columns] = counts
    lost = both[(counts.diff(axis=1).iloc[:, 1].abs() > 1) | (counts == 0).any(axis=1)]
    lines += [
        f"{row.subject} {row.contrast} level {row.level}: {row.n_slices_new:g} slices with an "
        f"area instead of {row.n_slices_old:g}"
        for row in lost.itertuples()
    ]
    means = both.groupby(["contrast", "level"])[["area_mm2_old", "area_mm2_new"]].mean()
    percent = 100 * (means["area_mm2_new"] / means["area_mm2_old"] - 1)
    for (contrast, level), moved in percent[percent.abs() > LIMIT_PERCENT].items():
        old, new = means.loc[(contrast, level)]
        lines.append(f"{contrast} level {level}: {old:.2f} mm² became {new:.2f} ({moved:+.2f} %)")
    return lines


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="shipped weights; all of them by default"
    )
    names = parser.parse_args().names or available_weights()
    with tempfile.TemporaryDirectory() as folder:
        root = write_participants(Path(folder) / "data")
        for name in names:
            table = measure_reference(root, name)
            with replacing(reference_path(name)) as temporary:
                table.to_csv(temporary, index=False, float_format="%.6g")
            print(f"{reference_path(name)}: {len(table)} rows")


if __name__ == "__main__":
    main()
