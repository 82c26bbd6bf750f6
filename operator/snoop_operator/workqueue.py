"""A queue of keys to work on: each once however often it is asked for, never twice at the same time, failures later.

Times are the event loop's. Not for several loops or threads.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

_FIRST_RETRY = 1.0
_LAST_RETRY = 60.0


class WorkQueue(Generic[K]):
    """Runs `work(key)` for keys that are wanted, `gap` seconds apart for the same key."""

    def __init__(self, work: Callable[[K], Awaitable[None]], delay: float = 0.2, gap: float = 2.0) -> None:
        self._work = work
        self._delay = delay
        self._gap = gap
        self._due: dict[K, float] = {}
        self._again: dict[K, float] = {}
        self._busy: set[K] = set()
        self._failures: dict[K, int] = {}
        self._wake = asyncio.Event()

    def want(self, key: K) -> None:
        """Have `key` worked on soon. What has changed until then is covered by the same run."""
        now = asyncio.get_running_loop().time()
        due = max(now + self._delay, self._again.get(key, 0.0))
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._wake.set()

    async def run(self, workers: int = 4) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            ready = [(due, key) for key, due in self._due.items() if key not in self._busy]
            due, key = min(ready, key=lambda one: one[0], default=(now + 60.0, None))
            if key is None or due > now:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(due - now):
                        await self._wake.wait()
                continue
            del self._due[key]
            self._busy.add(key)
            try:
                await self._run_one(key)
            finally:
                self._busy.discard(key)
                self._wake.set()

    async def _run_one(self, key: K) -> None:
        loop = asyncio.get_running_loop()
        try:
            await self._work(key)
        # One key's failure, whatever it is, must not keep the others from being worked on.
        except Exception as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(_FIRST_RETRY * 2 ** (failures - 1), _LAST_RETRY)
            log.warning("failed key=%s retry_in=%.0fs error=%s: %s", key, delay, type(error).__name__, error)
            log.debug("failed key=%s", key, exc_info=error)
            self._again[key] = loop.time() + delay
            self._due[key] = min(self._due.get(key, float("inf")), self._again[key])
            self._due[key] = max(self._due[key], self._again[key])
        else:
            self._failures.pop(key, None)
            self._again[key] = loop.time() + self._gap
            if key in self._due:
                self._due[key] = max(self._due[key], self._again[key])
        if len(self._again) > 2 * len(self._due) + 1024:
            now = loop.time()
            self._again = {key: until for key, until in self._again.items() if until > now}
