"""How far it goes: `python tests/scale_run.py --sizes 10 30 100 300 --table book/tables/scale.csv`.

Cohorts of growing size go through ground truth, segmentation, areas and statistics, each step in a
process of its own with one thread, whose processor time, wall time, peak memory and disk are noted.
Ten digital participants are drawn, with two contrasts of thick slices and a field of view around
the cord; larger cohorts hold copies of them under other names, for no step is faster with a copy.
"""

import argparse
import datetime
import os
import platform
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from softseg.files import replacing

ROOT = Path(__file__).resolve().parents[1]
CONTRASTS = ("T2star", "MT-on")
DISTINCT = 10
REAL = {"the real database": (243, 1458, 26e9 / 1577), "10,000 scans": (1667, 10_000, 26e9 / 1577)}
"""Participants, images and bytes an image; 26 GB in 1,577 images is the public release."""


def draw_participants(root: Path, count: int) -> Path:
    """The distinct participants that cohorts are made of."""
    from softseg.phantom.cohort import write_cohort

    return write_cohort(root, subjects=count, seed=12, contrasts=CONTRASTS, jobs=1)


def copy_participants(source: Path, root: Path, count: int) -> Path:
    """A cohort of `count` participants, the distinct ones taking turns."""
    root.mkdir(parents=True)
    shutil.copy(source / "dataset_description.json", root)
    people = sorted(path.name for path in source.glob("sub-*"))
    for number in range(count):
        old, new = people[number % len(people)], f"sub-{number + 1:04d}"
        for folder in (".", "derivatives/labels", "derivatives/truth"):
            for path in (source / folder / old).rglob("*"):
                if path.is_file():
                    name = str(path.relative_to(source)).replace(old, new)
                    (root / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, root / name)
    names = "\n".join(f"sub-{number + 1:04d}" for number in range(count))
    (root / "participants.tsv").write_text(f"participant_id\n{names}\n")
    return root


def index(root: Path):
    """The cohort's index, made anew."""
    from softseg.dataset.index import Dataset

    return Dataset.index(root, contrasts=CONTRASTS)


def make_truth(root: Path) -> None:
    """Soft ground truth."""
    from softseg.ground_truth.batch import make_ground_truth
    from softseg.ground_truth.soft import GroundTruthOptions

    make_ground_truth(index(root), options=GroundTruthOptions(reference=CONTRASTS[0], trim_mm=8.0))


def segment(root: Path) -> None:
    """Masks of every image."""
    from softseg_study.evaluation.network_masks import segment_dataset

    segment_dataset(index(root), root.parent / "weights.safetensors", "network")


def measure_areas(root: Path) -> None:
    """Areas of hard and soft masks at C2 and C3."""
    from softseg_study.evaluation.areas import measure_areas

    methods = {name: name for name in ("labels", "labels_softseg")}
    table = measure_areas(index(root), methods, masks=("soft",))
    table.to_csv(root / "csa.csv", index=False)


def compare(root: Path) -> None:
    """Spread over contrasts, and the tests between methods."""
    from scipy.stats import wilcoxon

    csa = pd.read_csv(root / "csa.csv")
    spread = csa.groupby(["method", "subject"], as_index=False)["area_mm2"].std()
    wide = spread.pivot_table("area_mm2", "subject", "method").dropna()
    p = wilcoxon(wide["labels"] - wide["labels_softseg"]).pvalue
    pd.DataFrame({"n": [len(wide)], "p": [p]}).to_csv(root / "tests.csv", index=False)


STEPS: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "ground truth": (
        make_truth, ("derivatives/labels_softseg", "derivatives/labels_softseg_bin"),
    ),
    "segmentation": (segment, ("derivatives/network",)),
    "areas": (measure_areas, ("csa.csv",)),
    "statistics": (compare, ("tests.csv",)),
}  # fmt: skip


def size_bytes(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def run_apart(work: Callable[[Path], None], root: Path) -> tuple[float, float, float]:
    """Processor seconds, wall seconds and peak MiB of `work` in a fork of this process.

    Raises:
        RuntimeError: If it did not end well.
    """
    began = time.monotonic()
    child = os.fork()
    if not child:
        code = 1
        try:
            work(root)
            code = 0
        finally:
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    if status:
        raise RuntimeError(f"{work.__name__} ended with {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime, time.monotonic() - began, used.ru_maxrss / 1024


def measure(sizes: list[int], folder: Path, *, distinct: int = DISTINCT) -> pd.DataFrame:
    """One row a step and size; cohorts are removed when they are measured."""
    # Imports belong to no step: they take the same seconds for one participant and for a thousand.
    import torch

    import softseg_study.evaluation
    import softseg_study.statistics  # noqa: F401
    from softseg.network.config import PRESETS
    from softseg.network.unet import build_network
    from softseg.network.weights import save_weights

    torch.set_num_threads(1)
    people = draw_participants(folder / "distinct", distinct)
    network = build_network(PRESETS["small"], seed=1)
    save_weights(folder / "weights.safetensors", network, PRESETS["small"], {})
    rows = []
    for count in sizes:
        root = copy_participants(people, folder / f"cohort-{count}", count)
        images = sum(size_bytes(path) for path in root.glob("sub-*")) / 1e6
        for step, (work, outputs) in STEPS.items():
            cpu_s, wall_s, peak_mib = run_apart(work, root)
            disk = sum(size_bytes(root / output) for output in outputs) / 1e6
            rows.append(
                {
                    "step": step, "participants": count, "images": count * len(CONTRASTS),
                    "input (MB)": round(images, 2), "processor (s)": round(cpu_s, 3),
                    "per participant (s)": round(cpu_s / count, 4), "wall (s)": round(wall_s, 2),
                    "peak memory (MiB)": round(peak_mib), "written (MB)": round(disk, 3),
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
        shutil.rmtree(root)
    return pd.DataFrame(rows)


def project(table: pd.DataFrame) -> pd.DataFrame:
    """What the largest measured cohort says of larger ones, by the number of images and their size.

    Time and disk of ground truth, segmentation and areas grow with the images' bytes, which
    compressed files give; statistics only with the number of participants.
    """
    largest = table[table["participants"] == table["participants"].max()].set_index("step")
    rows = []
    for name, (people, images, bytes_each) in REAL.items():
        for step, row in largest.iterrows():
            mb_each = row["input (MB)"] / row["images"]
            larger = 1.0 if step == "statistics" else bytes_each / 1e6 / mb_each
            factor = (
                (people / row["participants"]) if step == "statistics" else images / row["images"]
            )
            rows.append(
                {
                    "what": name, "step": step,
                    "measured (s)": round(row["processor (s)"], 2),
                    "times more images": round(factor, 2),
                    "times larger images": round(larger, 2),
                    "core hours": round(row["processor (s)"] * factor * larger / 3600, 3),
                    "written (GB)": round(row["written (MB)"] * factor * larger / 1e3, 3),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def plot(table: pd.DataFrame, path: Path) -> None:
    """Time and peak memory against the number of participants."""
    from softseg_study.figures.style import new_figure, use_style

    use_style()
    figure, grid = new_figure(1, 2, height_in=2.8, layout="constrained")
    axes = grid[0]
    for step, rows in table.groupby("step", sort=False):
        axes[0].plot(rows["participants"], rows["processor (s)"], marker="o", label=step)
        axes[1].plot(rows["participants"], rows["peak memory (MiB)"], marker="o", label=step)
    people = [table["participants"].min(), table["participants"].max()]
    first = table[(table["participants"] == people[0]) & (table["step"] == "ground truth")]
    start = float(first["processor (s)"].iloc[0])
    axes[0].plot(people, [start, start * people[1] / people[0]], "k:", label="linear")
    axes[0].set(xscale="log", yscale="log", xlabel="participants", ylabel="processor time (s)")
    highest = 1.1 * table["peak memory (MiB)"].max()
    axes[1].set(xscale="log", ylim=(0, highest), xlabel="participants", ylabel="peak memory (MiB)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=160, metadata={"Software": None})


def processor() -> str:
    """The processor's name."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def portable(word: str) -> str:
    """A word of the command line without the folders of the machine that it was typed on.

    Example:
        >>> portable(str(ROOT / "book/tables/scale.csv")), portable("/elsewhere/a.png")
        ('book/tables/scale.csv', 'a.png')
    """
    path = Path(word)
    if not path.is_absolute():
        return word
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 30, 100, 300])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = measure(options.sizes, Path(folder))
    command = shlex.join(["python", "tests/scale_run.py", *map(portable, sys.argv[1:])])
    stamp = {"date": str(datetime.date.today()), "machine": processor(), "command": command}
    for name, content in (("", table), ("_projection", project(table))):
        with replacing(options.table.with_stem(options.table.stem + name)) as temporary:
            content.assign(**stamp).to_csv(temporary, index=False)
    if options.figure:
        plot(table, options.figure)


if __name__ == "__main__":
    main()
