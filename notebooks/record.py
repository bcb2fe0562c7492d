"""What ran: `python notebooks/record.py runs/demo notebooks/scales/demo.yml`.

Writes `run.json` (scale, seeds, commit, machine, versions: the same for every run of the same
thing) and `times.json` (seconds by chapter) beside the executed chapters; the book's page
"Reproduce this" prints them.
"""

import argparse
import json
import platform
from importlib.metadata import version
from pathlib import Path

import nbformat
import yaml

from softseg.files import write_json

PACKAGES = (
    "dynamic-network-architectures", "jupyter-book", "lightning", "matplotlib", "monai", "nibabel",
    "numpy", "pandas", "papermill", "scipy", "seaborn", "snakemake", "softseg",
    "statsmodels", "torch",
)  # fmt: skip


def processor() -> str:
    """The processor's name as Linux tells it, else what Python knows."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def record(out: Path, scale_path: Path) -> dict:
    """What the chapters of a run were computed with."""
    scale = yaml.safe_load(scale_path.read_text(encoding="utf-8"))
    chapters = sorted((out / "chapters").glob("*.ipynb"))
    made = [nbformat.read(path, as_version=4).metadata["softseg"] for path in chapters]
    return {
        "scale": scale_path.stem,
        "data set": scale["dataset"],
        "seeds": scale["seeds"],
        "trained models": len(list((out / "models").glob("*/model.safetensors"))),
        "commit": sorted({chapter["commit"] for chapter in made}),
        "threads": 1,
        "machine": {"system": platform.system(), "processor": processor()},
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
    }


def seconds(out: Path) -> dict[str, float]:
    """Seconds by chapter; the trainings of one chapter are added up."""
    total: dict[str, float] = {}
    for path in sorted((out / "times").glob("*.json")):
        time = json.loads(path.read_text(encoding="utf-8"))
        total[time["notebook"]] = round(total.get(time["notebook"], 0.0) + time["seconds"], 1)
    return total


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("scale", type=Path)
    options = parser.parse_args()
    write_json(options.out / "chapters" / "run.json", record(options.out, options.scale))
    write_json(options.out / "chapters" / "times.json", seconds(options.out))


if __name__ == "__main__":
    main()
