"""One function over many items: resumed, in processes, and a failing item does not stop the batch.

Worker processes are fresh interpreters, end with their parent however it ends, and finish the item
in hand when the batch is interrupted. What an item writes should be whole or absent (`commit`), so
that a batch that was stopped goes on where it stopped.
"""

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softseg.errors import InputError, brief
from softseg.events import tell
from softseg.files import replacing


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one item.

    Attributes:
        index: The item's place among all.
        item: As it was given.
        status: `done`, `skipped` because it was finished before, or `failed`.
        result: What was computed, or found finished; None where it failed.
        message: One line that says what failed.
        error: What was raised.
    """

    index: int
    item: Any
    status: str
    result: Any = None
    message: str = ""
    error: Exception | None = None


def run_batch(
    work: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    jobs: int | None = 1,
    finished: Callable[[Any], Any] | None = None,
    name: Callable[[Any], str] = str,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Outcome]:
    """Do `work` for every item and tell what became of each, as soon as it is known.

    Args:
        work: A function of one item; with several processes one of a module (or a
            `functools.partial` of one), so that it can be sent to them.
        items: One after the other with one process, in any order with several (`Outcome.index`).
        jobs: Processes, None for one a core; a single item is done in this one.
        finished: Asked in this process first: what an earlier run made of an item, which is then
            skipped, or None.
        name: How messages call an item.
        progress: Told the name of each item once its outcome is known.

    Returns:
        Outcomes; the work is done while they are read.

    Raises:
        InputError: If `jobs` is below 1 or a worker process is killed.

    Example:
        >>> for outcome in run_batch(float, ["1.5", "one"]):
        ...     print(outcome.status, outcome.result, outcome.message)
        done 1.5
        failed None one: ValueError: could not convert string to float: 'one'
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs must be at least 1, found {jobs}")
    outcomes = _outcomes(work, items, jobs or cores(), finished, name)
    return _told(outcomes, name, progress) if progress else outcomes


def map_batch(work: Callable[[Any], Any], items: Iterable[Any], **options: Any) -> list[Any]:
    """The results of all items in their order, whatever `jobs`; the first error ends the batch.

    Args:
        work: As for `run_batch`.
        items: As for `run_batch`.
        **options: Those of `run_batch`.

    Raises:
        InputError: If `jobs` is below 1 or a worker process is killed.
        Exception: What `work` raises.

    Example:
        >>> map_batch(abs, [-3, 2])
        [3, 2]
    """
    results = {}
    for outcome in run_batch(work, items, **options):
        if outcome.error is not None:
            raise outcome.error
        results[outcome.index] = outcome.result
    return [results[index] for index in sorted(results)]


@contextmanager
def commit(
    products: Iterable[Path | str], *, records: Iterable[Path | str] = ()
) -> Iterator[dict[Path, Path]]:
    """Temporary paths of several files that are moved into place together, or none of them.

    Everything is written before the first file is moved, so that a full disk changes nothing. Old
    records are removed before and new ones moved last: wherever the process is killed, no record
    vouches for files of another run.

    Args:
        products: The files.
        records: The files that vouch for them, by which a batch resumes.

    Yields:
        Final path → path to write to.

    Example:
        >>> import tempfile
        >>> mask, record = (Path(tempfile.mkdtemp()) / name for name in ("a.nii", "a.json"))
        >>> with commit([mask], records=[record]) as temporary:
        ...     _ = temporary[mask].write_bytes(b"mask"), temporary[record].write_text("{}")
        >>> mask.exists(), record.exists()
        (True, True)
    """
    records = [Path(path) for path in records]
    with ExitStack() as meanwhile, ExitStack() as stack:
        # What is entered first is moved last.
        paths = [*records, *map(Path, products)]
        yield {path: stack.enter_context(replacing(path)) for path in paths}
        meanwhile.enter_context(_uninterrupted())
        for path in records:
            path.unlink(missing_ok=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait: a mask that was moved without its record would look like somebody else's."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main one
        return
    pressed = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        for number in pressed[:1]:
            signal.raise_signal(number)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def threads_each(jobs: int) -> Iterator[None]:
    """Let processes that are started meanwhile share out the cores, where nobody has said how.

    Example:
        >>> with threads_each(1000):
        ...     print(os.environ.get("OMP_NUM_THREADS"))
        1
    """
    asked = os.environ.get("OMP_NUM_THREADS")
    if jobs > 1 and asked is None:
        os.environ["OMP_NUM_THREADS"] = str(max(1, cores() // jobs))
    try:
        yield
    finally:
        if asked is None:
            os.environ.pop("OMP_NUM_THREADS", None)


def _end_with_parent() -> None:
    """Let this worker finish the item in hand when interrupted, and end once its parent is gone.

    What it warns of is a line, as in its parent.

    A pool's workers wait for work on a pipe that they hold open themselves: where the parent is
    killed, they would wait for ever and keep their memory.
    """
    warnings.showwarning = lambda message, *_, **__: tell(f"softseg: {brief(message)}")
    parent = multiprocessing.parent_process()
    if parent is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def _told(
    outcomes: Iterator[Outcome], name: Callable[[Any], str], progress: Callable[[str], None]
) -> Iterator[Outcome]:
    for outcome in outcomes:
        progress(name(outcome.item))
        yield outcome


def _outcomes(
    work: Callable[[Any], Any],
    items: Iterable[Any],
    jobs: int,
    finished: Callable[[Any], Any] | None,
    name: Callable[[Any], str],
) -> Iterator[Outcome]:
    waiting = []
    for index, item in enumerate(items):
        if finished is not None:
            found = _outcome(index, item, "skipped", lambda item=item: finished(item), name)
            if found.error is not None or found.result is not None:
                yield found
                continue
        if jobs == 1:
            yield _outcome(index, item, "done", lambda item=item: work(item), name)
        else:
            waiting.append((index, item))
    if len(waiting) > 1:
        yield from _in_processes(work, waiting, min(jobs, len(waiting)), name)
    elif waiting:
        ((index, item),) = waiting
        yield _outcome(index, item, "done", lambda: work(item), name)


def _in_processes(
    work: Callable[[Any], Any], waiting: list, jobs: int, name: Callable[[Any], str]
) -> Iterator[Outcome]:
    # Fresh processes: a fork of a process with threads (a notebook, torch) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_end_with_parent) as pool:
        pending = {pool.submit(work, item): (index, item) for index, item in waiting}
        try:
            for future in as_completed(list(pending)):
                yield _outcome(*pending.pop(future), "done", future.result, name)
        finally:
            pool.shutdown(cancel_futures=True)


def _outcome(
    index: int, item: Any, status: str, compute: Callable[[], Any], name: Callable[[Any], str]
) -> Outcome:
    try:
        return Outcome(index, item, status, compute())
    except BrokenProcessPool as error:
        raise InputError(
            "a process was killed, probably for want of memory; what was finished is kept, run "
            "again with fewer --jobs"
        ) from error
    except InputError as error:
        return Outcome(index, item, "failed", message=str(error), error=error)
    except Exception as error:
        said = f"{name(item)}: {type(error).__name__}: {brief(error)}"
        return Outcome(index, item, "failed", message=said, error=error)
