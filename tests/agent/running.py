"""An agent at work in a thread, and what can be asked of it."""

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path

from snoop_agent import agent as module
from snoop_agent.alarm import Alarm
from snoop_report.codec import loads_report
from snoop_report.model import GapCode, Report

ID = "c" * 64
"""Of the container that its stand-ins speak of."""


@dataclasses.dataclass
class Running:
    agent: module.Agent
    alarm: Alarm
    thread: threading.Thread
    data: Path
    interrupt: Callable[[], None]

    @property
    def attached(self) -> bool:
        return (self.data / "attached").exists()

    @property
    def report(self) -> Report:
        return loads_report((self.data / "snoop-report.json").read_bytes())

    def named(self, name: str) -> bool:
        """Whether the report file is there and calls a container so."""
        path = self.data / "snoop-report.json"
        return path.exists() and name in [one.name for one in self.report.containers]

    def stop(self) -> None:
        self.alarm.stop()
        self.interrupt()
        self.thread.join(10.0)
        assert not self.thread.is_alive()


def codes(report: Report) -> set[GapCode]:
    return {gap.code for gap in report.gaps}
