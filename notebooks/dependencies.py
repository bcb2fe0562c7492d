"""What a notebook or a command runs on, found by reading it: our own files, and its parameters.

The workflow lists the files as inputs, so that a change re-runs what uses the changed module and
nothing else. Imports inside functions count: the package imports its heavy parts there.
"""

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
HOMES = {"softseg": ".", "softseg_study": "notebooks"}
"""Where our packages lie in the checkout."""
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Parts of a statement that hold statements; what is in expressions imports nothing."""


def module_files(name: str, root: Path = ROOT) -> list[Path]:
    """Files behind a dotted name, parent packages included; empty for a name that is not ours.

    `softseg.csa.measure` may be a module or something that the module `softseg.csa` defines.
    """
    parts = name.split(".")
    if parts[0] not in HOMES:
        return []
    home = root / HOMES[parts[0]]
    files = []
    for stop in range(1, len(parts) + 1):
        base = home.joinpath(*parts[:stop])
        found = [f for f in (base.with_suffix(".py"), base / "__init__.py") if f.is_file()]
        files += found
        if not found:
            break
    return files


def imported_names(source: str, package: str = "") -> set[str]:
    """Dotted names that a piece of Python imports; relative ones are resolved in `package`."""
    names, waiting = set(), list(ast.parse(source).body)
    while waiting:
        node = waiting.pop()
        for within in BLOCKS:
            waiting += getattr(node, within, [])
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in HOMES}


@cache
def _imports_of(path: Path, root: Path) -> frozenset[Path]:
    relative = path.relative_to(root).with_suffix("")
    parts = [part for part in relative.parts[:-1] if part != "notebooks"]
    names = imported_names(path.read_text(encoding="utf-8"), ".".join(parts))
    return frozenset(file for name in names for file in module_files(name, root))


def closure(start: set[Path], root: Path = ROOT) -> list[Path]:
    """`start` and everything of ours that it imports, directly or not, sorted."""
    seen: set[Path] = set()
    waiting = set(start)
    while waiting:
        path = waiting.pop()
        seen.add(path)
        waiting |= _imports_of(path, root) - seen
    return sorted(seen)


def _cells(path: Path) -> list[tuple[dict, str]]:
    """Code cells, as nbformat reads them; to import that takes longer than all the rest."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(c["metadata"], "".join(c["source"])) for c in cells if c["cell_type"] == "code"]


def notebook_modules(path: Path, root: Path = ROOT) -> list[Path]:
    """Our files that a notebook runs on."""
    code = "\n".join(source for _, source in _cells(path))
    start = {file for name in imported_names(code) for file in module_files(name, root)}
    return closure(start, root)


def defaults(path: Path) -> dict[str, Any]:
    """A notebook's parameters with the values that its source gives them."""
    cell = next(code for about, code in _cells(path) if "parameters" in about.get("tags", []))
    return {line.target.id: ast.literal_eval(line.value) for line in ast.parse(cell).body}


def command_modules(command: str, root: Path = ROOT) -> list[Path]:
    """The package's files that `softseg COMMAND` runs on."""
    module = f"softseg.cli.{command.replace('-', '_')}"
    # The command line imports every command; only the one that runs counts.
    start = set(module_files(module, root)) - set(module_files("softseg.cli", root))
    return closure(start, root)
