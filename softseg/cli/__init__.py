"""The command line: `softseg …`.

Each command is a module of this package with one function of the command's name; what a command
computes with is imported inside the function, so that `softseg --help` answers at once.

Exit codes: 0 done, 1 some items of a batch failed or a file is not what it was, 2 wrong input or
use, 3 an error of softseg itself, 130 interrupted.
"""

import atexit
import gc
import importlib
import os
import sys

import typer

from softseg.cli.invocation import EPILOG, run
from softseg.cli.options import print_version

app = typer.Typer(
    name="softseg",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Contrast-agnostic soft segmentation of the spinal cord. For research, not for diagnosis.",
)

COMMANDS = (
    "segment", "csa", "levels", "qc", "train", "compare_weights", "phantom", "ground_truth",
    "fetch", "verify",
)  # fmt: skip
"""Modules of this package, in the order that `softseg --help` shows."""

for _name in COMMANDS:
    _module = importlib.import_module(f"softseg.cli.{_name}")
    _class, _function = getattr(_module, "Command", None), getattr(_module, _name)
    _first = " ".join(_function.__doc__.partition("\n\n")[0].split())
    app.command(_name.replace("_", "-"), cls=_class, epilog=EPILOG, short_help=_first)(_function)


# The last four are taken out by `invocation.run`, wherever they stand; here they are documented.
@app.callback()
def _options(
    version: bool = typer.Option(
        False, "-V", "--version", callback=print_version, is_eager=True, help="Print the version."
    ),
    verbose: bool = typer.Option(
        False, "-v", "--verbose", help="Say what happens, one line each on standard error."
    ),
    log_json: bool = typer.Option(
        False, "--log-json", help="Say it as JSON lines, messages and errors too."
    ),
    quiet: bool = typer.Option(False, "-q", "--quiet", help="Say nothing but what went wrong."),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks."),
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    # Systems of equations are small here: further threads of NumPy would only wait, and busily.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if arguments is None:  # Of what the imports of a process make, little is ever garbage.
        gc.set_threshold(10_000)
        atexit.register(gc.freeze)
    sys.exit(run(app, sys.argv[1:] if arguments is None else arguments))
