"""Precision, threads and loggers for the time of one training."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from softseg.training.config import TrainingConfig


def choose_precision(wanted: str) -> str:
    """Lightning's name of the precision: bfloat16 only where the processor multiplies in it.

    Example:
        >>> choose_precision("float32")
        '32-true'
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            fast = torch.cuda.is_bf16_supported()
        else:
            able = getattr(torch.cpu, "get_capabilities", dict)()
            fast = any(able.get(name) for name in ("avx512_bf16", "amx_bf16"))
        wanted = "bfloat16" if fast else "float32"
    return "bf16-mixed" if wanted == "bfloat16" else "32-true"


@contextmanager
def own_settings(config: TrainingConfig) -> Iterator[None]:
    """Threads and a quiet Lightning for the time of one training."""
    import lightning.pytorch  # noqa: F401  sets its loggers' levels when first imported

    threads = torch.get_num_threads()
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    try:
        if config.threads:
            torch.set_num_threads(config.threads)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # Advice on worker processes and GPUs that this module has already thought about.
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    finally:
        torch.set_num_threads(threads)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C be `KeyboardInterrupt`; Lightning makes an exit of it and ignores the next one."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
