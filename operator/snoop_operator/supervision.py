"""Background work that must not die in silence: what crashes is logged and started again, or ends the process."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

_FIRST_DELAY = 1.0
_LAST_DELAY = 30.0
_STEADY = 60.0
"""Seconds after which a task that came back counts as healed."""
_PATIENCE = 10
"""Crashes in a row after which the process is better started anew."""


class HopelessError(Exception):
    """A background task crashes again and again; the message says which, and how."""


class Supervisor:
    """Runs named tasks until `close`. `wait` returns when one of them is hopeless."""

    def __init__(self, first_delay: float = _FIRST_DELAY) -> None:
        self._first_delay = first_delay
        self._tasks: set[asyncio.Task[None]] = set()
        self._hopeless: asyncio.Future[HopelessError] = asyncio.get_running_loop().create_future()

    def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` and start it again whenever it raises. If it returns, it was done."""
        task = asyncio.create_task(self._keep(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self) -> HopelessError:
        """Wait until some task is past mending."""
        return await asyncio.shield(self._hopeless)

    async def close(self) -> None:
        """Cancel every task and wait for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        crashes = 0
        while True:
            started = loop.time()
            try:
                await work()
            except Exception as error:
                crashes = 1 if loop.time() - started > _STEADY else crashes + 1
                what = f"{type(error).__name__}: {error}"
                if crashes >= _PATIENCE:
                    log.critical("task past mending name=%s crashes=%d error=%s", name, crashes, what, exc_info=error)
                    if not self._hopeless.done():
                        self._hopeless.set_result(HopelessError(f"{name} crashed {crashes} times in a row: {what}"))
                    return
                delay = min(self._first_delay * 2 ** (crashes - 1), _LAST_DELAY)
                log.error(
                    "task crashed, starting it again name=%s in=%.1fs error=%s", name, delay, what, exc_info=error
                )
                await asyncio.sleep(delay)
            else:
                return
