"""How much may come in at once: nobody waits in memory, who is too many is told to come back. One event loop."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_PENDING = 64
"""Deltas that are read, parsed or written at one time."""
MAX_BYTES = 128 << 20
"""Bytes of inflated bodies held at one time."""
RATE = 20.0
"""Deltas a second that one pod may go on posting; everything anew, of 100,000 files, is 20 of them."""
BURST = 60.0
_TRACKED = 20_000


class BusyError(Exception):
    """Not now. `status` is 429 (this pod posts too much) or 503 (all do); come back in `retry_after` seconds."""

    def __init__(self, status: int, code: str, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class Limits:
    """Counts what is under way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pending: set[str] = set()
        self._bytes = 0
        self._allowance: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def enter(self, pod_uid: str) -> "Turn":
        """Let one delta of a pod in, or raise BusyError. Leave through the turn's `leave`."""
        if pod_uid in self._pending:
            raise BusyError(429, "pod_busy", "another delta of this pod is under way: post one at a time")
        if len(self._pending) >= MAX_PENDING:
            raise BusyError(503, "busy", "too many deltas are under way", 2)
        self._spend(pod_uid)
        self._pending.add(pod_uid)
        return Turn(self, pod_uid)

    def _spend(self, pod_uid: str) -> None:
        now = self._clock()
        left, since = self._allowance.pop(pod_uid, (BURST, now))
        left = min(BURST, left + (now - since) * RATE)
        granted = left >= 1.0
        self._allowance[pod_uid] = (left - granted, now)
        if len(self._allowance) > _TRACKED:
            self._allowance.popitem(last=False)
        if not granted:
            wait = math.ceil((1.0 - left) / RATE)
            raise BusyError(429, "pod_rate", f"this pod posts more than {RATE:.0f} deltas a second", wait)

    def _reserve(self, size: int) -> None:
        if self._bytes + size > MAX_BYTES:
            raise BusyError(503, "busy", "too many bytes are under way", 2)
        self._bytes += size

    def _leave(self, pod_uid: str, size: int) -> None:
        self._pending.discard(pod_uid)
        self._bytes -= size


class Turn:
    """One delta on its way."""

    def __init__(self, limits: Limits, pod_uid: str) -> None:
        self._limits = limits
        self._pod_uid = pod_uid
        self._size = 0

    def reserve(self, size: int) -> None:
        """Count bytes of its body; BusyError if there are too many under way."""
        self._limits._reserve(size)
        self._size += size

    def __enter__(self) -> "Turn":
        return self

    def __exit__(self, *_: object) -> None:
        self._limits._leave(self._pod_uid, self._size)
