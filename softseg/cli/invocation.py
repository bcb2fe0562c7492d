"""One invocation of a command: what is shown while it runs, and with which exit code it ends."""

import logging
import sys
import time
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import typer

import softseg
from softseg.errors import InputError, brief, printable
from softseg.events import event, following, form, tell

EPILOG = (
    "With every command: -v says what happens, -q only what went wrong, --debug shows tracebacks, "
    "--log-json says all as JSON lines. Exit codes: 0 done, 1 some failed, 2 wrong input, 3 an "
    "error of softseg, 130 interrupted."
)
"""What the help of every command ends with."""

DONE, SOME_FAILED, WRONG_INPUT, OWN_ERROR, INTERRUPTED = 0, 1, 2, 3, 130

# Typer brings its own copy of click, or uses the one installed: the class is found by name.
_ClickError = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
_COMMON = {
    "-v": "text", "--verbose": "text", "--log-json": "json", "--debug": "debug", "-q": "quiet",
    "--quiet": "quiet",
}  # fmt: skip


@dataclass(frozen=True)
class Common:
    """What may stand anywhere in a command line, and the rest of it."""

    shown: str | None
    debug: bool
    arguments: tuple[str, ...]


def common_options(arguments: Sequence[str]) -> Common:
    """Take out the options that every command has; what follows `--` is left alone.

    Example:
        >>> common_options(["csa", "a.nii", "-v"])
        Common(shown='text', debug=False, arguments=('csa', 'a.nii'))
    """
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    asked = {_COMMON[word] for word in arguments[:end] if word in _COMMON}
    rest = [word for word in arguments[:end] if word not in _COMMON]
    shown = next((form for form in ("json", "text", "quiet") if form in asked), None)
    return Common(shown, "debug" in asked, (*rest, *arguments[end:]))


def run(app: typer.Typer, arguments: Sequence[str], program: str = "softseg") -> int:
    """Run a command and return its exit code; every error is one line unless debugging."""
    common = common_options(arguments)
    with following(common.shown), _warnings_in_one_line():
        start = time.monotonic()
        event("start", version=softseg.__version__, arguments=list(common.arguments))
        code = _run(app, common, program)
        event("end", exit_code=code, seconds=round(time.monotonic() - start, 3))
    return code


def _run(app: typer.Typer, common: Common, program: str) -> int:
    try:
        # Without an exit of its own the command line returns what `typer.Exit` held.
        code = int(app(args=list(common.arguments), standalone_mode=False) or DONE)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        sys.stdout = None  # who read it has gone: nothing may be flushed at the end
        return SOME_FAILED
    except Exception as error:
        if common.debug and not isinstance(error, _ClickError):
            raise
        return _explain(error, common, program)
    if code == INTERRUPTED:
        _say("interrupted; what was finished is kept", "yellow")
    return code


def _explain(error: Exception, common: Common, program: str) -> int:
    """Say in one line what is wrong; the exit code."""
    if isinstance(error, InputError):
        return _fail(str(error), WRONG_INPUT)
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return WRONG_INPUT
    if isinstance(error, _ClickError):
        command = next((w for w in common.arguments if not w.startswith("-")), "")
        known = getattr(getattr(error, "ctx", None), "info_name", None) == command
        help_of = f"{program} {command} --help" if known else f"{program} --help"
        text = " ".join(error.format_message().split()).rstrip(".")
        return _fail(f"{text}; see {help_of}", WRONG_INPUT)
    if isinstance(error, MemoryError):
        return _fail("not enough memory; crop the image, or run fewer --jobs", WRONG_INPUT)
    if isinstance(error, OSError) and error.strerror:
        return _fail(f"{error.filename or 'system'}: {error.strerror}", WRONG_INPUT)
    return _fail(
        f"an error of softseg itself ({type(error).__name__}: {brief(error)}); run it again with "
        "--debug and report what that shows",
        OWN_ERROR,
    )


def _fail(message: str, code: int) -> int:
    if form() == "json":
        event("error", level=logging.ERROR, message=printable(message), exit_code=code)
    else:
        _say(message, "red")
    return code


def _say(message: str, style: str) -> None:
    if form() == "json":
        tell(message)
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    console.print(printable(f"softseg: {message}"), style=style, markup=False)


@contextmanager
def _warnings_in_one_line():
    def show(message, category, *_, **__) -> None:
        if not issubclass(category, DeprecationWarning | FutureWarning):
            tell(f"softseg: {brief(message)}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
