"""Benchmarks as the book shows them: `python tests/benchmark_table.py RAW.json … TABLE.csv`.

Reads what `pytest --benchmark-json` wrote and keeps one row a benchmark: what it does (its name is
a sentence), its median time, spread, number of rounds, and what else it measured (memory, shares,
ratios to something else in the same run). Times hold for the machine named in the last column.
"""

import argparse
import json
import re
from pathlib import Path

import pandas as pd

from softseg.files import replacing


def sentence(name: str) -> str:
    """A test's name as words, its parameters in brackets.

    Example:
        >>> sentence("test_speed_of_the_index[cached]")
        'speed of the index (cached)'
    """
    words, _, parameters = name.removeprefix("test_").partition("[")
    words = words.replace("_", " ")
    return f"{words} ({parameters.removesuffix(']')})" if parameters else words


def area(path: str) -> str:
    """Which part of the package a test file measures.

    Example:
        >>> area("tests/test_ground_truth_benchmark.py")
        'ground truth'
    """
    stem = re.sub(r"^test_|_benchmark$", "", Path(path).stem)
    return stem.replace("_", " ")


UNITS = {
    "_gib": " GiB",
    "_mib": " MiB",
    "_percent": " %",
    "_s_float32": " s at 32 bits",
    "_s": " s",
    "_float32": " at 32 bits",
}
"""Endings of names that say a unit, the longer ones first."""


def beside(info: dict) -> str:
    """What a benchmark measured beside its time, in words.

    Example:
        >>> beside({"memory_gib": 0.912, "papers_cpu_s": 41.7, "loading_share": 0.021})
        'memory 0.91 GiB, papers cpu 42 s, loading share 0.021'
    """
    parts = []
    for name, value in info.items():
        ending = next((end for end in UNITS if name.endswith(end)), "")
        words = name.removesuffix(ending).replace("_", " ")
        small = isinstance(value, float) and abs(value) < 100
        number = f"{value:.2g}" if small else f"{value:.0f}"
        parts.append(f"{words} {number}{UNITS.get(ending, '')}")
    return ", ".join(parts)


def table(raw: dict) -> pd.DataFrame:
    """One row a benchmark, in the order of parts and names."""
    machine = raw["machine_info"]["cpu"].get("brand_raw", raw["machine_info"]["machine"])
    rows = []
    for entry in raw["benchmarks"]:
        stats = entry["stats"]
        rows.append(
            {
                "part": area(entry["fullname"].partition("::")[0]),
                "what": sentence(entry["name"]),
                "median (ms)": f"{1000 * stats['median']:.3g}",
                "spread (ms)": f"{1000 * stats['iqr']:.2g}",
                "rounds": stats["rounds"],
                "beside": beside(entry.get("extra_info", {})),
                "machine": machine,
            }
        )
    return pd.DataFrame(rows).sort_values(["part", "what"], ignore_index=True)


WHOLES = {"from the command to the mask against the papers network": "segmenting a volume"}
"""What one benchmark runs holds what another runs."""


def check_consistent(found: pd.DataFrame) -> None:
    """Refuse a whole that took less time than its part: something else ran beside one of them.

    Raises:
        SystemExit: With both times.

    Example:
        >>> names = [*WHOLES, *WHOLES.values()]
        >>> check_consistent(pd.DataFrame({"what": names, "median (ms)": ["5e+03", "3e+03"]}))
    """
    median = found.set_index("what")["median (ms)"].astype(float)
    for whole, part in WHOLES.items():
        if {whole, part} <= set(median.index) and median[whole] < median[part]:
            raise SystemExit(
                f"{whole} took {median[whole]:g} ms and {part}, which is a part of it, "
                f"{median[part]:g} ms; run both again on an idle machine"
            )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raw", type=Path, nargs="+")
    parser.add_argument("table", type=Path)
    options = parser.parse_args()
    tables = [table(json.loads(path.read_text(encoding="utf-8"))) for path in options.raw]
    found = pd.concat(tables).sort_values(["part", "what"], ignore_index=True)
    check_consistent(found)
    with replacing(options.table) as temporary:
        found.to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
