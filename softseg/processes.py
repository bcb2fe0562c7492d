"""Worker processes that do not outlive the one that started them."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Let this worker end as soon as its parent is gone, however it went.

    A pool's workers wait for work on a pipe that they hold open themselves: where the parent is
    killed, they would wait for ever and keep their memory. Give this to a pool as `initializer`.

    Example:
        >>> end_with_parent()  # in a process that is nobody's worker: nothing to watch
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_for, args=(parent,), daemon=True).start()


def _wait_for(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
