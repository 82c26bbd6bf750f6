"""What an operator of the agent can look at: its log on stderr, and numbers, which `endpoints` serves if asked to."""

import logging
import sys
import time
from dataclasses import dataclass, field

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        level = "WARN" if record.levelno == logging.WARNING else record.levelname
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        # One record, one line, whatever the message quotes.
        return f"{moment}.{int(record.msecs):03d}Z {level} " + text.replace("\n", "\\n").replace("\r", "\\r")


def log_to_stderr(level: str) -> None:
    """Send the log to stderr, one line a record, from `level` (debug, info, warn or error) up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])


@dataclass(slots=True)
class Numbers:
    """The agent's state at one moment, as the endpoints tell it."""

    events: dict[str, int] = field(default_factory=dict)
    """Operations seen, by container (name or ID), repeats included."""
    records: dict[int, int] = field(default_factory=dict)
    """Records read, by bits of kinds."""
    observations: int = 0
    dropped: int = 0
    unique_files: int = 0
    report_writes: int = 0
    report_write_errors: int = 0
    posts: int = 0
    post_failures: int = 0
    outbox: int = 0
    gaps: int = 0
    tracing: bool = False
    hooks: str = ""
    attach: str = ""
    shared: bool = False
    skipped: int = 0
    ready: bool = False
    state: str = ""
    """A word or a sentence for /readyz."""
