"""What a batch shows while it runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from softseg.errors import printable
from softseg.events import event, form, tell

Shown = tuple[Callable[..., None], Callable[[str], None]]


@contextmanager
def progress(total: int, what: str) -> Iterator[Shown]:
    """Two functions: one says a line (`style` is its colour), one counts an item by its name.

    A bar on a terminal, a line an item elsewhere, an event where programs read, and nothing for a
    single item. With `--quiet` only what failed, which is red, is said.
    """
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def say(line: str, style: str | None = None) -> None:
        if form() != "quiet" or style == "red":
            console.print(printable(line), style=style)

    done = iter(range(1, total + 1))
    if form() == "json":
        yield (
            lambda line, style=None: tell(line),
            lambda name: event("progress", item=name, done=next(done), total=total),
        )
    elif total == 1 or form() == "quiet":
        yield say, lambda name: None
    elif not console.is_terminal:
        yield say, lambda name: say(f"[{next(done)}/{total}] {name}")
    else:
        with _bar(console, total, what) as advance:
            yield say, advance


@contextmanager
def _bar(console, total: int, what: str) -> Iterator[Callable[[str], None]]:
    from rich.markup import escape
    from rich.progress import MofNCompleteColumn, Progress

    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total)
        yield lambda name: bar.update(task, advance=1, description=escape(printable(name)))
