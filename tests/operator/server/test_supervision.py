"""Background work never dies in silence; a log line is one line."""

import asyncio
import logging
import sys
from typing import Any

import pytest

from snoop_operator import supervision
from snoop_operator.logs import LineFormatter
from snoop_operator.supervision import Supervisor


async def test_what_crashes_is_told_and_started_again(eventually: Any, caplog: pytest.LogCaptureFixture) -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise OSError("gone")

    supervisor = Supervisor(first_delay=0.01)
    supervisor.keep("watcher", work)
    await eventually(lambda: runs == 3)
    assert caplog.text.count("task crashed, starting it again name=watcher") == 2
    await supervisor.close()


async def test_what_crashes_again_and_again_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "_LAST_DELAY", 0.01)

    async def work() -> None:
        raise OSError("gone")

    supervisor = Supervisor(first_delay=0.001)
    supervisor.keep("watcher", work)
    error = await asyncio.wait_for(supervisor.wait(), 5)
    assert "watcher crashed 10 times in a row: OSError: gone" in str(error)
    await supervisor.close()


async def test_closing_ends_every_task() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    supervisor = Supervisor()
    supervisor.keep("sleeper", work)
    await asyncio.sleep(0)
    await supervisor.close()
    assert ended.is_set()


def test_a_log_line_cannot_be_forged_by_what_it_quotes() -> None:
    record = logging.LogRecord("snoop_operator.x", logging.INFO, "f", 1, "pod=%s", ("a\n2026 INFO forged",), None)
    assert "\n" not in LineFormatter().format(record)


def test_a_traceback_stays_on_its_line() -> None:
    try:
        raise OSError("gone")
    except OSError:
        record = logging.LogRecord("snoop_operator.x", logging.ERROR, "f", 1, "failed", None, sys.exc_info())
    line = LineFormatter().format(record)
    assert "\n" not in line
    assert "OSError: gone" in line
