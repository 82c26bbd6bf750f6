"""The report file: when it is written, and what if it cannot be."""

import ctypes
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from snoop_agent import spool
from snoop_agent.recorder import Recorder

LOG = logging.getLogger(__name__)

SOON = 2.0
"""Seconds after which the first evidence is in the file."""
BREATH = 0.05
"""Seconds of writing between two looks at what else there is to do."""
LARGE, LARGE_INTERVALS = 1 << 20, 10
"""A larger file (bytes) in which nothing but counters would change is written only after so many intervals."""

_trim: Callable[[int], int] = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)
"""Gives back to the system what malloc keeps (malloc_trim(3), glibc): writing takes megabytes for a moment."""


class ReportFile:
    """Writes what `recorder` knows to `path`, every `interval` seconds."""

    def __init__(self, path: Path, interval: float, recorder: Recorder, *, limit: int = 0) -> None:
        """`limit`: bytes that the file may not exceed; 0: any size."""
        self._path = path
        self._interval = interval
        self._recorder = recorder
        self._limit = limit
        self._looked_at: float | None = None
        self._written_at = 0.0
        self._size = 0
        self._holds = (-1, 0)
        self._complaint = ""
        self.writes = 0
        self.errors = 0

    def due(self) -> float:
        """Tell when to `act` next: at once, soon after the first evidence, then at every interval."""
        if self._looked_at is None:
            return 0.0
        _, observations = self._holds
        if not observations and self._recorder.observations:
            return self._looked_at + SOON
        return self._looked_at + self._interval

    def act(self, now: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Write the file, unless it is large and would tell nothing new. `now`, as `due`, is monotonic time.

        `meanwhile` is called some ten times a second of it: the ring fills while a large file is written.
        """
        self._looked_at = now
        fresh = self._holds != self._extent()
        if fresh or self._size <= LARGE or now - self._written_at >= LARGE_INTERVALS * self._interval:
            # It need not outlive a crash of the machine: the pod does not, and another one follows.
            self.write(meanwhile, sync=False)

    def write(self, meanwhile: Callable[[], None] = lambda: None, *, sync: bool = True) -> None:
        """Write the file now. What goes wrong is counted and said once."""
        self._holds = self._extent()
        try:
            chunks = _now_and_then(spool.report_chunks(self._recorder), meanwhile)
            self._size = spool.write(self._path, chunks, sync=sync, limit=self._limit)
        except spool.SpoolError as error:
            self.errors += 1
            LOG.log(logging.DEBUG if str(error) == self._complaint else logging.ERROR, "no report file: %s", error)
            self._complaint = str(error)
            return
        self._written_at = time.monotonic()
        self._complaint = ""
        self.writes += 1
        _trim(0)
        LOG.debug("report written: %d bytes", self._size)

    def _extent(self) -> tuple[int, int]:
        return self._recorder.changes, self._recorder.observations


def _now_and_then(chunks: Iterator[bytes], meanwhile: Callable[[], None]) -> Iterator[bytes]:
    """Pass `chunks` on. What `meanwhile` records is in the file or not: the next one has it."""
    looked = time.monotonic()
    for chunk in chunks:
        yield chunk
        if time.monotonic() - looked >= BREATH:
            meanwhile()
            looked = time.monotonic()
