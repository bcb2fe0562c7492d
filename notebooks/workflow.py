"""Snakemake as `make` calls it: bars on a terminal, a line a step in a log, one when interrupted.

    python notebooks/workflow.py -s notebooks/Snakefile --configfile notebooks/scales/tiny.yml …

Arguments are Snakemake's.
"""

import logging
import signal
import sys
import time
from pathlib import Path

INTERRUPTED = "interrupted; what was finished is kept, and the same command goes on from there"


def main(arguments: list[str]) -> int:
    """Run Snakemake and return its exit code, 130 where it was interrupted."""
    stops = []

    def stop(number, frame) -> None:
        stops.append(number)
        logging.disable()  # each job that ends with it would show its log as one that failed
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, stop)
    try:
        code = _snakemake(arguments)
    except KeyboardInterrupt:
        code = None
    if not stops:
        return code
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(INTERRUPTED, file=sys.stderr, flush=True)
    return 130  # once the jobs, which got the signal too, have ended


def _snakemake(arguments: list[str]) -> int:
    from snakemake import cli

    logger = "rich"
    if not sys.stderr.isatty():
        from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

        logger = "lines"
        LoggerPluginRegistry().register_plugin("snakemake_logger_plugin_lines", _plugin())
    try:
        cli.main(["--logger", logger, *arguments])
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def _plugin() -> type:
    """A module's worth of Snakemake's logger plug-in; its classes are slow to import."""
    from snakemake_interface_logger_plugins.base import LogHandlerBase

    class LogHandler(LogHandlerBase):
        writes_to_stream = True
        writes_to_file = needs_rulegraph = False
        has_filter = has_formatter = True

        def __post_init__(self) -> None:
            self.lines = Lines()

        def emit(self, record: logging.LogRecord) -> None:
            for line in self.lines.of(record):
                print(line, file=sys.stderr, flush=True)

    return type("plugin", (), {"LogHandler": LogHandler})


class Lines:
    """What is said of Snakemake's records: which step, how many of how many, how long."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.total = self.done = 0
        self.begun = "to do" if {"-n", "--dry-run"} & set(sys.argv) else "begun"
        self.jobs: dict[int, tuple[str, float]] = {}

    def of(self, record: logging.LogRecord) -> list[str]:
        """Lines, often none."""
        event = str(getattr(record, "event", None) or "")
        said = getattr(self, f"_{event}", None)
        if said:
            return said(record)
        text = record.getMessage()
        told = record.levelno >= logging.WARNING or text.startswith("Nothing to be done")
        return [text] if told and event in ("", "error") else []

    def _run_info(self, record) -> list[str]:
        self.total = record.stats["total"]
        return [self._line(f"{self.total} steps")]

    def _job_info(self, record) -> list[str]:
        name = record.rule_msg or record.rule_name.replace("_", " ")
        self.jobs[record.jobid] = name, time.monotonic()
        return [self._line(f"{self.begun}: {name}")]

    def _job_finished(self, record) -> list[str]:
        self.done += 1
        return [self._line(self._ended(record.job_id, "done"))]

    def _job_error(self, record) -> list[str]:
        logs = [Path(path) for path in getattr(record, "log", None) or []]
        shown = [path.read_text(errors="replace").rstrip() for path in logs if path.is_file()]
        return [self._line(self._ended(record.jobid, "failed")), *shown]

    def _ended(self, job: int, word: str) -> str:
        name, began = self.jobs.get(job, ("a step", self.began))
        return f"{word} in {_duration(time.monotonic() - began)}: {name}"

    def _line(self, text: str) -> str:
        return f"{_duration(time.monotonic() - self.began):>8} [{self.done}/{self.total}] {text}"


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    Example:
        >>> _duration(3725.4), _duration(8)
        ('1:02:05', '0:08')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
