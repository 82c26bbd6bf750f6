"""One real `snoop-agent`: how it is started, and what can be asked of it."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.bench.cgroups import Group
from tests.bench.containers import FILES
from tests.bench.ingest import Ingest
from tests.bench.report import Report
from tests.bench.trouble import BenchError

_IDLE = 0.02
"""The share of a core up to which an agent counts as idle."""
LOG, REPORT = "agent.log", "snoop-report.json"
# The size of the ring is no setting: nobody has wanted another one yet.
_WITH_RING = """
import sys
from snoop_agent import plan, sidecar
names, defaults = plan.Plan.__match_args__, list(plan.Plan.__init__.__defaults__)
defaults[names.index("ring_pages") - len(names)] = int(sys.argv.pop())
plan.Plan.__init__.__defaults__ = tuple(defaults)
sys.exit(sidecar.main())
"""


def command(agent: Path, ring_pages: int) -> list[str]:
    """Its command line. `ring_pages`: of 4 KiB; 0: its own default."""
    if not ring_pages:
        return [str(agent)]
    return [str(agent.with_name("python")), "-c", _WITH_RING, str(ring_pages)]


def variables(data: Path, uid: str, attach: str, interval: str) -> dict[str, str]:
    """Give the environment of a sidecar, but for the operator's."""
    return {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(data),
        "SNOOP_DATA_DIRECTORY": str(data),
        "SNOOP_REPORT": str(data / REPORT),
        "SNOOP_POD_UID": uid,
        "SNOOP_METRICS_ADDR": "",
        "SNOOP_ATTACH": attach,
        "SNOOP_INTERVAL": interval,
    }


class Agent:
    """One sidecar, told what the operator tells those that it injects. Its volume is on disk, as an emptyDir is."""

    def __init__(self, process: subprocess.Popen[str], group: Group, data: Path, ingest: Ingest) -> None:
        """`data`: its volume, with what `variables` names."""
        self.process, self.group = process, group
        self.began = time.monotonic()
        self.seconds_to_attach = 0.0
        self._data, self._ingest = data, ingest

    @property
    def pid(self) -> int:
        """Of the agent itself."""
        return self.process.pid

    def wait(self, patience_s: float = 120.0) -> "Agent":
        """Wait until it records. BenchError tells why it will not."""
        attached = self._data / "attached"
        until = self.began + patience_s
        while not attached.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise BenchError(f"the agent does not start: {self.complaint()}")
            time.sleep(0.005)
        self.seconds_to_attach = time.monotonic() - self.began
        # It lets the pod go on also when it has given up, and says so a moment later or earlier.
        while " tracing: hooks " not in (words := self.log()):
            if "cannot trace" in words or time.monotonic() > until:
                raise BenchError(self.complaint())
            time.sleep(0.005)
        return self

    def log(self) -> str:
        """What it has said."""
        return (self._data / LOG).read_text(errors="replace")

    def complaint(self) -> str:
        """The last thing that it said went wrong."""
        lines = [line for line in self.log().splitlines() if " ERROR " in line or "Error" in line] or ["no word"]
        return lines[-1].split(" ERROR ", 1)[-1].removeprefix("cannot trace: ").removesuffix("; the agent stays idle")

    def resident(self) -> tuple[int, int]:
        """(RSS, anonymous) in bytes: proc_pid_smaps(5)."""
        words = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        found = {line.split()[0]: int(line.split()[1]) * 1024 for line in words.splitlines()[1:]}
        return found["Rss:"], found["Anonymous:"]

    def settle(self, quiet_s: float = 0.2, patience_s: float = 60.0) -> None:
        """Wait until it has nothing to do for so long: it gathers records for 50 ms, and news for a second."""
        until, busy = time.monotonic() + patience_s, True
        while busy and time.monotonic() < until:
            before = self.group.cpu_seconds()
            time.sleep(quiet_s)
            busy = self.group.cpu_seconds() - before > _IDLE * quiet_s

    def recorded(self, files: int, patience_s: float = 60.0) -> Report:
        """Wait until its report file has so many of the load's files, or time is up, and read it."""
        until = time.monotonic() + patience_s
        while (report := Report.read(self._data / REPORT)).below(FILES) < files and time.monotonic() < until:
            time.sleep(0.5)
        return report

    def end(self, patience_s: float = 60.0) -> bool:
        """Tell it to end, as the kubelet does. Whether it did."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_s)
        return self.process.poll() is not None

    def stop(self, patience_s: float = 60.0) -> Report:
        """End it, and read its last report."""
        if not self.end(patience_s):
            raise BenchError(f"the agent did not end within {patience_s:.0f} s of SIGTERM")
        if not self._ingest.accepted:
            raise BenchError(f"the agent delivered nothing: {self.complaint()}")
        return Report.read(self._data / REPORT)
