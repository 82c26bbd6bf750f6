"""Reading ahead in a thread: one core fetches, hashes and decompresses while the other reads the tar's headers."""

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from snoop_image.limits import MIB
from snoop_image.streams import Readable

_CHUNKS = 4


class Ahead:
    """A reader whose source is read by a thread of its own, up to 5 MiB ahead, while the context lasts.

    The source is used by that thread only, until the context ends. Its errors come out of `read`.
    """

    def __init__(self, source: Readable, report: Callable[[], None]) -> None:
        self._source = source
        self._report = report
        self._ready: queue.Queue[bytes | BaseException] = queue.Queue(_CHUNKS)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snoop-read-ahead", daemon=True)
        self._chunk = b""
        self._at = 0
        self._last = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        while self._thread.is_alive():
            try:
                # It may wait for room.
                self._ready.get(timeout=0.05)
            except queue.Empty:
                continue

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                data = self._source.read(MIB)
                self._ready.put(data)
                if not data:
                    return
        except BaseException as error:  # it is raised where it can be caught
            self._ready.put(error)

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes."""
        if self._at == len(self._chunk) and not self._last:
            ready = self._ready.get()
            if isinstance(ready, BaseException):
                self._last = True
                self._chunk, self._at = b"", 0
                raise ready
            self._chunk, self._at, self._last = ready, 0, not ready
            self._report()
        data = self._chunk[self._at : self._at + size]
        self._at += len(data)
        return data
