"""Keys are worked on once, soon, and again after a failure."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from snoop_operator import workqueue
from snoop_operator.workqueue import WorkQueue


@asynccontextmanager
async def working(work: Callable[[str], Awaitable[None]], **timing: float) -> AsyncIterator[WorkQueue[str]]:
    queue = WorkQueue(work, **timing)
    task = asyncio.create_task(queue.run())
    yield queue
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_many_wishes_for_a_key_are_one_run(eventually: Any) -> None:
    done: list[str] = []

    async def work(key: str) -> None:
        done.append(key)

    async with working(work, delay=0.05, gap=0.3) as queue:
        for _ in range(100):
            queue.want("a")
        await eventually(lambda: done)
        assert done == ["a"]


async def test_a_wish_during_the_run_is_a_second_run_after_the_gap(eventually: Any) -> None:
    done: list[float] = []
    loop = asyncio.get_running_loop()

    async def work(key: str) -> None:
        done.append(loop.time())
        if len(done) == 1:
            queue.want(key)

    async with working(work, delay=0.01, gap=0.2) as queue:
        queue.want("a")
        await eventually(lambda: len(done) == 2)
        assert done[1] - done[0] >= 0.2


async def test_a_key_is_never_worked_on_twice_at_once(eventually: Any) -> None:
    running = most = runs = 0

    async def work(key: str) -> None:
        nonlocal running, most, runs
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        runs += 1

    async with working(work, delay=0.0, gap=0.0) as queue:
        queue.want("a")
        await asyncio.sleep(0.02)
        queue.want("a")
        await eventually(lambda: runs == 2)
        assert most == 1


async def test_a_slow_key_does_not_hold_the_others_up(eventually: Any) -> None:
    done: list[str] = []

    async def work(key: str) -> None:
        if key == "slow":
            await asyncio.sleep(60)
        done.append(key)

    async with working(work, delay=0.0) as queue:
        queue.want("slow")
        queue.want("quick")
        await eventually(lambda: done == ["quick"])


async def test_what_fails_is_tried_again_later(
    eventually: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workqueue, "_FIRST_RETRY", 0.05)
    tries = 0

    async def work(key: str) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError("not today")

    async with working(work, delay=0.0) as queue:
        queue.want("a")
        await eventually(lambda: tries == 3)
    assert caplog.text.count("not today") == 2
