"""The command line: `softseg …`.

Each command is a module of this package with one function of the command's name; what a command
computes with is imported inside the function, so that `softseg --help` answers at once.

Exit codes: 0 done, 1 some items of a batch failed or a file is not what it was, 2 wrong input or
use, 3 an error of softseg itself, 130 interrupted.
"""

import importlib
import sys

import typer

import softseg
from softseg.cli.invocation import run

app = typer.Typer(
    name="softseg",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Contrast-agnostic soft segmentation of the spinal cord. For research, not for diagnosis.",
)

COMMANDS = ("segment", "csa", "compare_weights", "phantom", "ground_truth", "fetch", "verify")
"""Modules of this package, in the order that `softseg --help` shows."""

EPILOG = (
    "With every command: -v says what happens, --log-json says it as JSON lines, --debug shows "
    "tracebacks. Exit codes: 0 done, 1 some failed, 2 wrong input, 3 an error of softseg, 130 "
    "interrupted."
)

for _name in COMMANDS:
    _module = importlib.import_module(f"softseg.cli.{_name}")
    _class = getattr(_module, "Command", None)
    app.command(_name.replace("_", "-"), cls=_class, epilog=EPILOG)(getattr(_module, _name))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"softseg {softseg.__version__}")
        raise typer.Exit


# The last three are taken out by `invocation.run`, wherever they stand; here they are documented.
@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
    verbose: bool = typer.Option(
        False, "-v", "--verbose", help="Say what happens, one line each on standard error."
    ),
    log_json: bool = typer.Option(
        False, "--log-json", help="Say it as JSON lines, messages and errors too."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks."),
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    sys.exit(run(app, sys.argv[1:] if arguments is None else arguments))
