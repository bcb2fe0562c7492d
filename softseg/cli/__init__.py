"""The command line: `softseg …`.

Each command is a module of this package with one function of the command's name; what a command
computes with is imported inside the function, so that `softseg --help` answers at once.

Exit codes: 0 done, 1 some items of a batch failed, 2 wrong input or use, 130 interrupted.
"""

import importlib
import sys

import typer
from rich.console import Console

import softseg
from softseg.errors import InputError

app = typer.Typer(
    name="softseg",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Contrast-agnostic soft segmentation of the spinal cord. For research, not for diagnosis.",
)

COMMANDS = ("segment", "csa", "phantom", "ground_truth", "fetch")
"""Modules of this package, in the order that `softseg --help` shows."""

for _name in COMMANDS:
    _module = importlib.import_module(f"softseg.cli.{_name}")
    app.command(_name.replace("_", "-"))(getattr(_module, _name))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"softseg {softseg.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks of wrong input."),
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    stderr = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        app(args=arguments)
    except InputError as error:
        if "--debug" in arguments:
            raise
        stderr.print(f"softseg: {error}", style="red", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        stderr.print("softseg: interrupted; what was finished is kept", style="yellow")
        sys.exit(130)
