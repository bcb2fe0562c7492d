"""Thousands of broken inputs for every command, and what became of them.

    python tests/fuzzing.py book/tables/fuzz.csv --cases 2400

writes the table of the page "What runs, what is written, what leaves the machine".
"""

import contextlib
import io
import json
import resource
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from broken_files import bids_trees, nifti_bytes, write_tree, write_whole
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scale_run import processor

from softseg.cli import app
from softseg.cli.invocation import run

SLOWEST_SECONDS = 20.0
"""Of processor time, for any case: what takes longer is a way to stop a machine."""


@dataclass(frozen=True)
class Case:
    """One run of a command: its exit code, what it said, wrote and took, and what is wrong."""

    command: str
    code: int
    seconds: float
    lines: tuple[str, ...]
    faults: tuple[str, ...]


@dataclass
class Report:
    """All cases of a run."""

    cases: list[Case] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def faults(self) -> list[tuple[str, str]]:
        """Command and fault of each case that has one."""
        return [(case.command, fault) for case in self.cases for fault in case.faults]

    def table(self, command_line: str) -> pd.DataFrame:
        """A row per command and one for all."""
        groups = {"all": self.cases}
        for case in self.cases:
            groups.setdefault(case.command, []).append(case)
        rows = [
            {
                "tried on": name,
                "cases": len(cases),
                "done": sum(case.code == 0 for case in cases),
                "some failed": sum(case.code == 1 for case in cases),
                "refused": sum(case.code == 2 for case in cases),
                "faults": sum(len(case.faults) for case in cases),
                "median (ms)": 1e3 * float(pd.Series([c.seconds for c in cases]).median()),
                "slowest (s)": max(case.seconds for case in cases),
            }
            for name, cases in groups.items()
        ]
        # Each row names the whole run's date, machine and command, as the book's other tables do.
        every = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": processor(),
            "command": command_line,
        }
        return pd.DataFrame(rows).assign(
            **{"peak memory (MiB)": round(self.peak_bytes / 2**20)}, **every
        )


def below(folder: Path) -> set[str]:
    """Every name below a folder; links are not followed."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def attempt(command: str, arguments: list[object], folder: Path, *, most_lines: int = 1) -> Case:
    """Run a command in this process and judge how it ended.

    Refused means: exit code 2, one line on standard error (one for each of several inputs), no
    traceback, and nothing new in `folder`.
    """
    before, said = below(folder), io.StringIO()
    start = time.process_time()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = run(app, [command, *map(str, arguments)])
        except BaseException as error:
            code = -1
            said.write(f"{type(error).__name__}: {error}")
    seconds = time.process_time() - start
    lines = tuple(line for line in said.getvalue().splitlines() if line.strip())
    new = below(folder) - before
    faults = [f"exit code {code}: {' | '.join(lines)[:300]}"] if code not in (0, 1, 2) else []
    if code == 2 and new:
        faults.append(f"refused ({lines[-1][:200]}) and wrote {sorted(new)[:3]}")
    if code == 2 and not 1 <= len(lines) <= most_lines:
        faults.append(f"refused in {len(lines)} lines: {lines[:3]}")
    if any("Traceback" in line or "Warning:" in line for line in lines):
        faults.append(f"traceback or raw warning: {lines[:3]}")
    if seconds > SLOWEST_SECONDS:
        faults.append(f"took {seconds:.0f} s: {arguments}")
    return Case(command, code, seconds, lines, tuple(faults))


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """An empty folder for one case."""
    folder = Path(tempfile.mkdtemp(prefix="softseg-fuzz-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_ending = st.sampled_from([".nii", ".nii.gz"])
_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_word = st.sampled_from(["--threshold", "--slices", "--vertebrae", "--disc", "--sex", "--height",
                         "--levels", "--per-level", "--per-slice", "--centreline"])  # fmt: skip


def kinds(weights: Path) -> dict[str, tuple[int, st.SearchStrategy, Callable[..., Case]]]:
    """Kinds of cases: their share, what is drawn, and what is run."""

    def csa_image(drawn) -> Case:
        content, ending = drawn
        with place() as folder:
            (folder / f"a{ending}").write_bytes(content)
            return attempt("csa", [folder / f"a{ending}", "-o", folder / "a.csv"], folder)

    def csa_second(drawn) -> Case:
        content, option = drawn
        with place() as folder:
            mask = write_whole(folder / "a.nii.gz")
            (folder / "b.nii").write_bytes(content)
            words = [mask, "-o", folder / "a.csv", option, folder / "b.nii"]
            return attempt("csa", words, folder)

    def csa_options(drawn) -> Case:
        with place() as folder:
            mask = write_whole(folder / "a.nii.gz")
            return attempt(
                "csa", [mask, "-o", folder / "a.csv", *sum(drawn, ())], folder, most_lines=4
            )

    def segment_image(drawn) -> Case:
        content, ending = drawn
        with place() as folder:
            (folder / f"a{ending}").write_bytes(content)
            out = ["-o", folder / "mask.nii.gz", "--weights", weights]
            return attempt("segment", [folder / f"a{ending}", *out], folder)

    def segment_weights(drawn) -> Case:
        at, value = drawn
        with place() as folder:
            image = write_whole(folder / "a.nii.gz")
            content = bytearray(weights.read_bytes())
            content[at % len(content)] ^= value
            (folder / "w.safetensors").write_bytes(content[: len(content) - at % 7])
            out = ["-o", folder / "mask.nii.gz", "--weights", folder / "w.safetensors"]
            return attempt("segment", [image, *out], folder)

    def segment_tree(drawn) -> Case:
        with place() as folder:
            write_tree(folder / "data", drawn)
            words = [folder / "data", "-o", folder / "out", "--weights", weights]
            return attempt("segment", words, folder, most_lines=30)

    def truth_tree(drawn) -> Case:
        with place() as folder:
            return attempt(
                "ground-truth", [write_tree(folder / "data", drawn)], folder, most_lines=30
            )

    def phantom_options(drawn) -> Case:
        with place() as folder:
            (folder / "full").mkdir()
            (folder / "full/thesis.txt").write_text("precious")
            return attempt("phantom", [folder / "full", *sum(drawn, ())], folder)

    def fetch_options(drawn) -> Case:
        with place() as folder:
            return attempt("fetch", [drawn[0], folder / "out", *sum(drawn[1], ())], folder)

    def unpack_archive(drawn) -> Case:
        return _unpack(*drawn)

    def verify_folder(drawn) -> Case:
        with place() as folder:
            for name, content in drawn.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                text = content if isinstance(content, bytes) else json.dumps(content).encode()
                path.write_bytes(text)
            return attempt("verify", [folder], folder)

    images = st.tuples(nifti_bytes(), _ending)
    csa_words = st.lists(st.tuples(_word, _text | st.from_regex(r"\A-?\d+[:,.]\d+\Z")), max_size=3)
    phantom_words = st.lists(
        st.tuples(st.sampled_from(["--subjects", "--seed", "--contrasts", "--pathology", "--vendor",
                                   "--severity", "--field-of-view", "--jobs"]),
                  _text | st.integers(-5, 2**40).map(str)), max_size=3)  # fmt: skip
    fetch_words = st.tuples(
        st.sampled_from(["pam50", "sct-testing", "unknown", "../x"]) | _text,
        st.lists(st.tuples(st.sampled_from(["--release", "--subjects", "--contrasts"]), _text)),
    ).map(lambda d: (d[0], [*d[1], ("--source", "ftp://nowhere.invalid/a.zip")]))
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | _text,
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["GeneratedBy", "Name", "Files", "SHA256", "SourcesSHA256", "softseg"]),
            inner, max_size=3),
        max_leaves=8,
    )  # fmt: skip
    record = st.fixed_dictionaries(
        {"GeneratedBy": st.just([{"Name": "softseg x"}])},
        optional={"SHA256": json_values, "SourcesSHA256": json_values, "Files": json_values},
    )
    folders = st.dictionaries(
        st.sampled_from(["a.json", "a.csv", "code/provenance.json", "b.csv.json", "b.nii",
                         "dataset_description.json"]),
        st.binary(max_size=20) | record | json_values, max_size=4)  # fmt: skip
    return {
        "csa image": (24, images, csa_image),
        "csa second image": (
            8,
            st.tuples(nifti_bytes(), st.sampled_from(["--levels", "--discs", "--centreline"])),
            csa_second,
        ),
        "csa options": (8, csa_words, csa_options),
        "segment image": (20, images, segment_image),
        "segment weights": (4, st.tuples(st.integers(0, 2**20), st.integers(1, 255)),
                            segment_weights),
        "segment tree": (6, bids_trees(), segment_tree),
        "ground truth": (10, bids_trees(), truth_tree),
        "phantom options": (8, phantom_words, phantom_options),
        "fetch options": (4, fetch_words, fetch_options),
        "fetch archive": (4, st.tuples(st.integers(0, 400), st.integers(0, 255), _text),
                          unpack_archive),
        "verify": (8, folders, verify_folder),
    }  # fmt: skip


def _unpack(at: int, value: int, name: str) -> Case:
    """What `fetch` does with an archive that came."""
    from softseg.archives import unpack
    from softseg.errors import InputError

    with place() as folder:
        with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("t2/t2.txt", "content" * 20)
            file.writestr(name or "x", "more")
        content = bytearray((folder / "a.zip").read_bytes())
        content[at % len(content)] ^= value
        (folder / "a.zip").write_bytes(content)
        (folder / "out").mkdir()
        outside = {name for name in below(folder) if not name.startswith("out")}
        start, faults = time.process_time(), []
        try:
            unpack(folder / "a.zip", folder / "out")
            code, lines = 0, ()
        except InputError as error:
            code, lines = 2, (str(error),)
            if any((folder / "out").iterdir()):
                faults.append(f"refused ({error}) and wrote")
        except Exception as error:
            code, lines = -1, (repr(error),)
            faults.append(f"{error!r}")
        if {n for n in below(folder) if not n.startswith("out")} != outside:
            faults.append("left the folder")
        return Case("fetch", code, time.process_time() - start, lines, tuple(faults))


def fuzz(cases: int, weights: Path, *, only: str = "") -> Report:
    """Run about `cases` cases, the same every time."""
    report = Report()
    chosen = {name: kind for name, kind in kinds(weights).items() if only in name}
    total = sum(share for share, _, _ in chosen.values())
    for share, strategy, execute in chosen.values():
        _explore(strategy, execute, max(1, round(cases * share / total)), report.cases)
    report.peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return report


def _explore(
    strategy: st.SearchStrategy, execute: Callable[..., Case], number: int, cases: list[Case]
) -> None:
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def every(drawn) -> None:
        cases.append(execute(drawn))

    every()


def untrained_weights(folder: Path) -> Path:
    """Weights of a tiny network: what it answers does not matter here."""
    from segmentation_network import CONFIG

    from softseg.network.unet import build_network
    from softseg.network.weights import save_weights

    path = folder / "tiny.safetensors"
    save_weights(path, build_network(CONFIG, seed=0), CONFIG, {"data": "none"})
    return path


def main() -> None:
    """Write the table."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--cases", type=int, default=2400)
    parser.add_argument("--only", default="", help="kinds of cases whose name holds this")
    options = parser.parse_args()
    with place() as folder:
        report = fuzz(options.cases, untrained_weights(folder), only=options.only)
    for command, fault in report.faults[:40]:
        print(f"{command}: {fault}")
    line = f"python tests/fuzzing.py {options.table} --cases {options.cases}"
    table = report.table(line)
    print(table.drop(columns=["date", "machine", "command"]).to_string())
    table.to_csv(options.table, index=False, float_format="%.3g")
    sys.exit(bool(report.faults))


if __name__ == "__main__":
    main()
