"""The lock that a killed Snakemake leaves behind, taken away by the next one.

Snakemake's own lock is a list of files, which does not say who made it: after `kill -9` it stands
in the way until somebody runs `--unlock`. Beside it we keep a lock of the operating system, which
ends with its process. Every Snakemake of this folder shares it while it lives; whoever gets it
alone knows that nobody else lives, and that lists found then are left over.
"""

import logging
import os
import platform
import shutil
from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks on Windows, where `--unlock` is needed
    fcntl = None

NAME = "alive.lock"
_HELD: list[int] = []
"""Descriptors that stay open as long as this process lives; jobs do not inherit them."""


def take_over(state: Path) -> bool:
    """Share the lock below Snakemake's folder `state`; whether a dead one's lists were removed.

    They are left alone where the lock cannot be had (some network file systems have none), and
    where another machine used the folder last, for some file systems keep locks to one machine.
    """
    if fcntl is None:
        return False
    try:
        state.mkdir(exist_ok=True)
        descriptor = os.open(state / NAME, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return False
    try:
        removed = _alone(descriptor) and _remove(state / "locks", descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:
        os.close(descriptor)
        return False
    _HELD.append(descriptor)
    if removed:
        logging.getLogger("snakemake.logging").warning(
            "The lock of a Snakemake that was killed has been removed; its work goes on."
        )
    return removed


def _alone(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(locks: Path, descriptor: int) -> bool:
    """Delete the lists where this machine used the folder last; note that it uses it now."""
    here = platform.node().encode()
    left = locks.is_dir() and any(locks.iterdir())
    if left and os.pread(descriptor, 1000, 0) != here:
        return False
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, here, 0)
    if left:
        shutil.rmtree(locks)
    return left
