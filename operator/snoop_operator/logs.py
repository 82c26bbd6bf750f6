"""The operator's log: one line an entry, `key=value` after the words, on stderr."""

import logging
import sys
from datetime import UTC, datetime

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "warning": logging.WARNING}


class LineFormatter(logging.Formatter):
    """`2026-01-15T10:30:00.000Z INFO server: listening port=8443`; a traceback stays on the line, escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record as one line."""
        moment = datetime.fromtimestamp(record.created, UTC)
        name = record.name.removeprefix("snoop_operator.")
        text = record.getMessage()
        if record.exc_info:
            text += f" traceback={self.formatException(record.exc_info)!r}"
        stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
        # What a pod, a kubelet or an agent said may hold line breaks; a log line must not be forged by them.
        line = text.replace("\n", "\\n").replace("\r", "\\r")
        return f"{stamp} {record.levelname} {name}: {line}"


def set_up(level: str) -> None:
    """Send every logger of this process to stderr at `level` (debug, info, warn or error)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    chosen = _LEVELS.get(level, logging.ERROR)
    logging.basicConfig(level=chosen, handlers=[handler], force=True)
    for name in ("kopf", "aiohttp.access", "asyncio", "kubernetes"):
        # Their everyday business is not ours; their warnings are.
        logging.getLogger(name).setLevel(logging.DEBUG if chosen == logging.DEBUG else logging.WARNING)
