"""Execute one notebook source into a chapter: `python notebooks/execute.py SOURCE CHAPTER …`.

papermill does the work. Around it: unknown parameters are an error, a failed cell leaves no file,
and whatever differs between two runs of the same thing (times, random identifiers) is taken out, so
that a chapter's bytes depend on its source, its parameters and the package alone. Times go to a
file of their own.

What the notebook wrote is known from the package's events. Beside each of its tables lies a record
of where it comes from, and with `--record` there is one for everything else below the run's folder:
`softseg verify` checks both. Wrong input and full disks end with 2 and one line.
"""

import argparse
import hashlib
import json
import logging
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml

from softseg.errors import InputError
from softseg.events import FILE_VARIABLE
from softseg.files import replacing, write_json
from softseg.provenance.records import MANIFEST, record_of, write_record
from softseg_study.run import WORKFLOW_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
TABLES = (".csv", ".tsv")
CHANGING = ("timing.json",)
"""What no two runs of the same thing share."""
VERSIONS = ("softseg", "numpy", "scipy", "pandas", "torch", "nibabel", "matplotlib")


def scale_digest(scale: Path) -> str:
    """SHA-256 of what a scale file says, whatever its comments and layout."""
    content = yaml.safe_load(scale.read_text(encoding="utf-8"))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def source_digest(source: Path) -> str:
    """SHA-256 of a notebook's cells, whatever its metadata."""
    cells = [(cell.cell_type, cell.source) for cell in nbformat.read(source, as_version=4).cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def commit() -> str:
    """The checkout's commit, `unknown` outside one."""
    shown = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],  # noqa: S607
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return shown.stdout.strip() or "unknown"


def check_parameters(source: Path, parameters: dict[str, Any]) -> None:
    """Stop at a parameter that the notebook does not have; papermill would only print it."""
    logging.disable(logging.WARNING)  # papermill comments on every parameter without a type
    known = papermill.inspect_notebook(str(source))
    logging.disable(logging.NOTSET)
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        sys.exit(
            f"{source.name}: unknown parameter {', '.join(unknown)}; it has {', '.join(known)}"
        )


def scrub(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take out what differs between two runs of the same thing."""
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"].append("hide-input")  # as the defaults above it
        for key in ("papermill", "execution", "ExecuteTime"):
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = re.sub(r"ipykernel_\d+", "ipykernel", output["text"])
    return notebook


def execute(source: Path, parameters: dict[str, Any], *, folder: Path) -> nbformat.NotebookNode:
    """Run `source` in `folder` and return it executed; a failed cell ends the program."""
    os.environ |= dict.fromkeys(THREADS, os.environ.get("SOFTSEG_THREADS", "1"))
    os.environ[WORKFLOW_VARIABLE] = "1"
    os.environ |= {"PYTHONHASHSEED": "0", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    try:
        return papermill.execute_notebook(
            str(source),
            str(folder / source.name),
            parameters=parameters,
            kernel_name="python3",
            cwd=str(ROOT),
            progress_bar=sys.stderr.isatty(),
            log_output=False,
        )
    except papermill.PapermillExecutionError as error:
        if error.ename == "InputError":  # says all in a line
            raise InputError(f"{source.name}, cell {error.exec_count}: {error.evalue}") from error
        sys.exit(f"{source.name}: cell {error.exec_count} failed\n{error}")


def written(events: Path) -> list[Path]:
    """Files and folders that a notebook wrote, in order, by the events that it left."""
    lines = events.read_text("utf-8").splitlines() if events.exists() else []
    found = {}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:  # cut off by a kill
            continue
        if event.get("event") == "write":
            found[ROOT / event["file"]] = None
    return [path for path in found if path.exists()]


def record(products: list[Path], options: argparse.Namespace) -> None:
    """Say beside each table, and for the rest in one file, where it comes from."""
    step, values = options.source.stem, options.parameters
    about = {"notebook": options.source.name, "scale": options.scale.stem, **values}
    sources = [options.source, *(p for p in options.sources if p.suffix not in (".py", ".done"))]
    if options.record:
        run = options.record.parent.parent
        data = Path(values.get("dataset") or run / "data")
        sources += [path for path in (ROOT / data / MANIFEST,) if path.is_file()]
    tables = [path for path in products if path.is_file() and path.suffix in TABLES]
    mine = {"step": step, "parameters": about, "sources": dict.fromkeys(sources)}
    for table in tables:
        if table.parent.name == "tables":
            write_record(record_of(table), [table], **mine)
    if options.record:
        rest = [
            path for path in products
            if path.parent.name != "tables" and path.is_relative_to((ROOT / run).absolute())
            and path.name not in CHANGING
        ]  # fmt: skip
        write_record(options.record, [options.chapter, *rest], **mine)


def processor_seconds() -> float:
    """What this process and the kernels that it has waited for have computed."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Command line."""
    try:
        make_chapter(arguments())
    except InputError as error:
        print(f"softseg: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"softseg: {error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("chapter", type=Path)
    parser.add_argument("--scale", type=Path, required=True, help="YAML of the scale")
    parser.add_argument("--parameters", type=json.loads, default={}, help="JSON object")
    parser.add_argument("--times", type=Path, help="where the run time goes (JSON)")
    parser.add_argument("--record", type=Path, help="where it says what was written (JSON)")
    parser.add_argument("--sources", type=Path, nargs="*", default=[], help="what it is made from")
    return parser.parse_args()


def make_chapter(options: argparse.Namespace) -> None:
    """Execute, scrub, write and record.

    Raises:
        InputError: If input is wrong or something cannot be written.
    """
    check_parameters(options.source, options.parameters)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        events = Path(folder) / "events.jsonl"
        if options.record:
            # Kept when the process is killed: what it wrote, the next one finds finished.
            options.record.parent.mkdir(parents=True, exist_ok=True)
            events = options.record.with_suffix(".events").absolute()
        os.environ[FILE_VARIABLE] = str(events)
        notebook = execute(options.source, options.parameters, folder=Path(folder))
        products = written(events)
    seconds = time.monotonic() - began

    scrub(notebook).metadata["softseg"] = {
        "source": options.source.name,
        "source_sha256": source_digest(options.source),
        "parameters": options.parameters,
        "scale": options.scale.stem,
        "scale_sha256": scale_digest(options.scale),
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
    }
    with replacing(options.chapter) as temporary:
        nbformat.write(notebook, temporary)
    record(products, options)
    if options.record:
        events.unlink(missing_ok=True)
    if options.times:
        took = {"seconds": round(seconds, 1), "processor_seconds": round(processor_seconds(), 1)}
        write_json(options.times, {"notebook": options.source.stem} | took)


if __name__ == "__main__":
    main()
